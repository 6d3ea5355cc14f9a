/**
 * Which devices a test run covers and what they can do. Nothing here knows a host by name: tiny guests are tried once, in a process of
 * their own, and tests that need what did not work are skipped with the reason in their title, `name [skipped: reason]`.
 * scripts/lib/skips.js compares those titles with test/contract/expected-skips.json.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import * as path from 'node:path';
import { Hypervisor, type CreateVmOptions, type Vcpu, type VirtualMachine } from 'node-hax';
import { cacheDirectory, keep, readIfThere } from './assemble';
import { guestImage, loadGuest, loadProgram, ramSize, type GuestImage, type Mode, type Program } from './guests';

/** The lists of expected-skips.json. A KVM that runs no paged 32-bit code is an emulator of its own, whatever it says. */
export type HostKind = 'null' | 'software KVM' | 'hardware KVM' | 'no KVM' | 'software HAXM' | 'hardware HAXM' | 'no HAXM';

interface Probe extends GuestImage {
  /** Ends that mean success; 'halted' by default. */
  readonly end?: string;
  /** What it must have written to port 0xe9; nothing by default. */
  readonly writes?: string;
  /** Entries in the place of the guest's own CPUID leaves of the same function. */
  readonly cpuid?: readonly object[];
  /** Why a test that needs it is skipped. */
  readonly reason: string;
}

const yes = 'mov al, 0x59; out 0xe9, al; hlt';
const probes = {
  paging32: {
    ...guestImage(
      'flat32',
      // A page directory with one 4 MiB page (Intel SDM vol. 3, 4.3).
      `mov dword ptr [0x9000], 0x83; mov eax, 0x9000; mov cr3, eax; mov eax, cr4; or eax, 0x10; mov cr4, eax
       mov eax, cr0; or eax, 0x80000000; mov cr0, eax; jmp 1f; 1: ${yes}`,
    ),
    writes: 'Y',
    reason: 'this KVM runs no 32-bit paging',
  },
  realModeTripleFault: {
    // The limit of the interrupt table excludes every vector: #UD, #GP, #DF all fault.
    ...guestImage('real', 'lidt [1f]; ud2; 1: .word 0; .long 0'),
    end: 'triple-fault',
    reason: 'a triple fault in real mode is no exit of this KVM',
  },
  softwareInterrupts32: {
    ...guestImage(
      'flat32',
      `lea eax, [3f]; mov [0x7000 + 0x30 * 8], ax; mov word ptr [0x7002 + 0x30 * 8], 0x10
       mov dword ptr [0x7004 + 0x30 * 8], 0x8e00; lidt [2f]; int 0x30; hlt; 2: .word 0x7ff; .long 0x7000; 3: ${yes}`,
    ),
    writes: 'Y',
    reason: 'this KVM emulates no INT n in protected mode',
  },
  sse: {
    ...guestImage(
      'long64',
      `mov rax, cr4; or rax, 0x600; mov cr4, rax; mov rax, cr0; and al, 0xfb; mov cr0, rax
       mov eax, 0x59; movd xmm0, eax; paddd xmm0, xmm0; movd eax, xmm0; cmp eax, 0xb2; jne 1f; ${yes}; 1: hlt`,
    ),
    writes: 'Y',
    reason: 'this KVM emulates no SSE arithmetic',
  },
  x87: {
    ...guestImage('real', `fninit; fld1; fld1; faddp; fistp word ptr [0x7000]; cmp word ptr [0x7000], 2; jne 1f; ${yes}; 1: hlt`),
    writes: 'Y',
    reason: 'this KVM emulates no x87 arithmetic',
  },
  exactCpuid: {
    // OSXSAVE (bit 27) follows CR4.
    ...guestImage('real', `mov eax, 1; cpuid; and ecx, 0xf7ffffff; cmp ecx, 0x80000000; jne 1f; ${yes}; 1: hlt`),
    cpuid: [{ function: 1, index: 0, flags: 0, eax: 0x600, ebx: 0, ecx: 0x80000000, edx: 0x178bfbff }],
    writes: 'Y',
    reason: 'guests of this KVM see features of the host that were taken out of their CPUID',
  },
} satisfies Record<string, Probe>;

export type ProbedFeature = keyof typeof probes;
/** `guests`: instructions are executed at all. */
export type HostFeature = ProbedFeature | 'guests' | DeviceFeature;

/** What the capability record tells. KVM has no word for the last two, which it has. */
const deviceFeatures = ['kernelIrqchip', 'pit', 'readOnlyMemory', 'mpState', 'extendedCpuid', 'vcpuCpuid', 'cr8'] as const;
type DeviceFeature = (typeof deviceFeatures)[number];

/** Devices that are processors, and what messages call them. */
const labels = { kvm: 'KVM', haxm: 'HAXM' } as const;
type ProbedBackend = keyof typeof labels;

export interface Host {
  readonly kind: HostKind;
  readonly can: Readonly<Record<HostFeature, boolean>>;
  /** Why a test that needs the feature is skipped. */
  readonly reason: (feature: HostFeature) => string;
}

export interface GuestOptions extends CreateVmOptions {
  /** Bytes of RAM from address 0. */
  readonly ram?: number;
}

/** A device to test on. What it opens is closed after the test. */
export interface Backend {
  readonly name: 'null' | ProbedBackend;
  open(): Hypervisor;
  /** Without the kernel's interrupt controller unless asked for, which works everywhere. */
  vm(options?: CreateVmOptions): VirtualMachine;
  /** A VM with one vCPU, 64 KiB of RAM and the guest loaded into it. */
  guest(mode: Mode, source: string, options?: GuestOptions): Made;
  /** The same with a program that the null device has too. */
  program(program: Program): Made;
}

export interface Made {
  readonly vm: VirtualMachine;
  readonly vcpu: Vcpu;
}

const opened = new Set<Hypervisor>();

function backend(name: Backend['name']): Backend {
  const open = (): Hypervisor => {
    const hypervisor = Hypervisor.open({ backend: name as never });
    opened.add(hypervisor);
    return hypervisor;
  };
  const vm = (options: CreateVmOptions = {}): VirtualMachine => open().createVm({ irqchip: 'user', ...options });
  const withVcpu = ({ ram = ramSize, ...options }: GuestOptions = {}): Made => {
    const made = vm(options);
    made.mapMemory({ gpa: 0, size: ram });
    return { vm: made, vcpu: made.createVcpu() };
  };
  const guest = (mode: Mode, source: string, options?: GuestOptions): Made => {
    const made = withVcpu(options);
    loadGuest(made.vm, made.vcpu, guestImage(mode, source));
    return made;
  };
  const program = (wanted: Program): Made => {
    const made = withVcpu();
    loadProgram(made.vm, made.vcpu, wanted);
    return made;
  };
  return { name, open, vm, guest, program };
}

const nullHost: Host = host('null', { readOnlyMemory: true, cr8: true, vcpuCpuid: true }, () => 'the null device executes nothing');

function host(kind: HostKind, has: Partial<Record<HostFeature, boolean>>, reason: Host['reason']): Host {
  const names: HostFeature[] = ['guests', ...deviceFeatures, ...(Object.keys(probes) as ProbedFeature[])];
  return { kind, can: Object.fromEntries(names.map((name) => [name, has[name] ?? false])) as Host['can'], reason };
}

interface ProbeResult {
  error?: { code: string; message: string };
  features?: Record<string, number>;
  outcomes?: Record<string, { end: string; written: string }>;
}

/** The result for this kernel, device, user and build. A host B that starts afresh is another host, unless HAX_TEST_HOST says otherwise. */
function cacheFile(input: string): string {
  const device = process.env.HAX_KVM_DEVICE ?? '/dev/kvm';
  // A model of the HAXM driver is chosen by the environment.
  const model = Object.entries(process.env).filter(([name]) => name === 'LD_PRELOAD' || name.startsWith('HAXM_MODEL_'));
  const stamp = (file: string): unknown => {
    const stat = statSync(file, { throwIfNoEntry: false });
    return stat && [stat.isFile() && stat.mtimeMs, stat.size, stat.mode, stat.rdev];
  };
  const host = process.env.HAX_TEST_HOST ?? readFileSync('/proc/sys/kernel/random/boot_id', 'latin1');
  const addon = process.env.HAX_ADDON ?? path.resolve(__dirname, '../../build/Release/node_hax.node');
  const us = [process.getuid?.(), process.getgroups?.(), process.version];
  const parts = [host, device, stamp(device), stamp(addon), stamp(path.join(__dirname, 'probe.js')), us, model, input];
  return path.join(cacheDirectory, `probe-${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)}.json`);
}

function probe(name: ProbedBackend): ProbeResult {
  const guests = Object.fromEntries(
    Object.entries<Probe>(probes).map(([name, { memory, state, cpuid }]) => {
      const encoded = memory.map(({ gpa, bytes }) => ({ gpa, bytes: Buffer.from(bytes).toString('base64') }));
      return [name, { memory: encoded, state, cpuid, ramSize }];
    }),
  );
  const input = JSON.stringify({ backend: name, guests });
  const file = cacheFile(input);
  const known = readIfThere(file);
  if (known) return JSON.parse(known.toString()) as ProbeResult;
  const { stdout, stderr, status, error } = spawnSync(process.execPath, [path.join(__dirname, 'probe.js')], {
    input,
    encoding: 'utf8',
    timeout: 180_000,
  });
  if (status !== 0) throw new Error(`probing the device failed: ${error?.message ?? stderr}`);
  const result = JSON.parse(stdout) as ProbeResult;
  // A device that could not be opened may be there the next time.
  if (!result.error) keep(file, Buffer.from(stdout));
  return result;
}

function probedHost(name: ProbedBackend): Host {
  const label = labels[name];
  const { error, features = {}, outcomes = {} } = probe(name);
  if (error) return host(`no ${label}`, {}, () => error.message);
  const can: Partial<Record<HostFeature, boolean>> = { guests: true };
  for (const feature of deviceFeatures) can[feature] = features[feature] !== 0;
  for (const [each, { end = 'halted', writes = '' }] of Object.entries<Probe>(probes)) {
    const outcome = outcomes[each];
    can[each as ProbedFeature] = outcome.end === end && outcome.written === writes;
  }
  const reason = (feature: HostFeature): string =>
    (probes as Partial<Record<HostFeature, Probe>>)[feature]?.reason.replace('KVM', label) ?? `this ${label} has no ${feature}`;
  return host(`${can.paging32 ? 'hardware' : 'software'} ${label}`, can, reason);
}

const probed: Partial<Record<ProbedBackend, Host>> = {};

/** The KVM of this machine, probed at the first call. */
export function probedKvm(): Host {
  return probedDevice('kvm');
}

function probedDevice(name: ProbedBackend): Host {
  return (probed[name] ??= probedHost(name));
}

/** HAX_TEST_BACKENDS=haxm leaves the others out; what it names has to be there. */
const wanted = process.env.HAX_TEST_BACKENDS?.split(',');

/** The null device and KVM always, HAXM where there is a node. */
function devices(): Backend['name'][] {
  return (['null', 'kvm', 'haxm'] as const).filter((name) => (wanted ? wanted.includes(name) : name !== 'haxm' || existsSync('/dev/HAX')));
}

export interface EachBackendOptions {
  /** Devices without it skip the whole group, as one test. */
  readonly needs?: HostFeature | readonly HostFeature[];
}

/** Registers the tests of `body` for the null device, KVM and HAXM. HAX_REQUIRE_KVM=1 makes a missing KVM a failure. */
export function describeEachBackend(title: string, body: (backend: Backend, host: Host) => void, { needs }: EachBackendOptions = {}): void {
  describe(title, () => {
    for (const name of devices()) {
      const each = name === 'null' ? nullHost : probedDevice(name);
      describe(each.kind, () => {
        if (each.kind === 'no KVM' || each.kind === 'no HAXM') {
          unusable(each);
        } else if (lacking(each, needs)) {
          itIf(false, each.reason(lacking(each, needs)!), 'all of it', () => undefined);
        } else {
          afterEach(closeOpened);
          body(backend(name), each);
        }
      });
    }
  });
}

function lacking(each: Host, needs: EachBackendOptions['needs'] = []): HostFeature | undefined {
  const list: readonly HostFeature[] = typeof needs === 'string' ? [needs] : needs;
  return list.find((feature) => !each.can[feature]);
}

/** As describeEachBackend, for KVM alone. */
export function describeKvm(title: string, body: (backend: Backend, host: Host) => void): void {
  describe(title, () => {
    const each = probedKvm();
    describe(each.kind, () => {
      if (each.kind === 'no KVM') {
        unusable(each);
        return;
      }
      afterEach(closeOpened);
      body(backend('kvm'), each);
    });
  });
}

/** As describeEachBackend, for HAXM alone; one skipped test where there is no /dev/HAX. */
export function describeHaxm(title: string, body: (backend: Backend, host: Host) => void): void {
  describe(title, () => {
    const each = devices().includes('haxm') ? probedDevice('haxm') : host('no HAXM', {}, () => 'there is no /dev/HAX');
    describe(each.kind, () => {
      if (each.kind !== 'no HAXM') {
        afterEach(closeOpened);
        body(backend('haxm'), each);
      } else if (devices().includes('haxm')) {
        unusable(each);
      } else {
        itIf(false, 'there is no /dev/HAX', 'all of it', () => undefined);
      }
    });
  });
}

function unusable(each: Host): void {
  const name = each.kind === 'no KVM' ? 'kvm' : 'haxm';
  const label = labels[name];
  const reason = each.reason('guests');
  if (process.env.HAX_REQUIRE_KVM === '1' || wanted?.includes(name)) {
    it('all of it', () => {
      throw new Error(`${label} is required, but cannot be used: ${reason}`);
    });
  } else {
    itIf(false, `${label} cannot be used`, 'all of it', () => undefined);
  }
}

/** A processor of the host that this process may use: a container may have been given others than the first (proc(5)). */
export function allowedCpu(): number {
  return Number(/^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))![1]);
}

function closeOpened(): void {
  for (const hypervisor of opened) hypervisor.close();
  opened.clear();
}

/** A test that needs something; without it the test is skipped and its title says why, in a form that does not change. */
export function itIf(condition: boolean, reason: string, name: string, test: () => unknown, timeout?: number): void {
  if (condition) it(name, test as jest.ProvidesCallback, timeout);
  else it.skip(`${name} [skipped: ${reason}]`, () => undefined);
}

/** `itIf` for a feature of the host. */
export function itNeeds(each: Host, feature: HostFeature, name: string, test: () => unknown, timeout?: number): void {
  itIf(each.can[feature], each.reason(feature), name, test, timeout);
}

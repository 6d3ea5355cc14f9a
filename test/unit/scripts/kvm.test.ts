import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { kvmCalls } from '../../../lib/hypervisor/kvm/calls';
import { capabilities, constants, requests } from '../../../lib/hypervisor/kvm/generated/uapi';
import { exitKinds } from '../../../lib/native/layout';

// eslint-disable-next-line @typescript-eslint/no-require-imports
const { judge } = require('../../../scripts/check-kvm-calls') as { judge: (root: string) => { problems: string[] } };

const root = path.resolve(__dirname, '../../..');
const scripts = path.join(root, 'scripts');
const run = (name: string, ...args: string[]): { status: number | null; text: string } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [path.join(scripts, name), ...args], { encoding: 'utf8' });
  return { status, text: stdout + stderr };
};
const ifHeader = existsSync('/usr/include/linux/kvm.h') ? it : it.skip;

describe("KVM's generated files", () => {
  ifHeader(
    'layouts and numbers are those of the header of this machine',
    () => {
      expect(run('generate-kvm-uapi', '--check')).toEqual({ status: 0, text: expect.stringContaining('structures agree') });
    },
    60_000,
  );

  it('docs/kvm-calls.md is what the table says', () => {
    expect(run('generate-kvm-docs', '--check')).toEqual({ status: 0, text: expect.stringContaining('up to date') });
  });

  it('the table has each call once, with names that exist', () => {
    const keys = kvmCalls.map(({ scope, request }) => `${scope} ${request}`);
    expect(new Set(keys).size).toBe(keys.length);
    for (const { request, capability, method } of kvmCalls) {
      expect(requests).toHaveProperty(request);
      if (capability) expect(capabilities).toHaveProperty(capability);
      expect(method).toMatch(/^(\w+\.)?[a-z]\w+$/);
    }
  });

  it('every capability of x86 has a line that says what it stands for', () => {
    const foreign =
      /^KVM_CAP_(ARM|S390|PPC|MIPS|SPAPR|RISCV|LOONGARCH)_|_(MPIC|XICS|SW_TLB|IPA_SIZE)$|GUEST_DEBUG_HW_[BW]PS$|_(VM_ATTRIBUTES|VM_GPA_BITS|MSI_DEVID|PTP_KVM)$/;
    const notes = jest.requireActual<Record<string, string>>('../../../scripts/lib/kvm-capabilities.js');
    expect(Object.keys(capabilities).filter((name) => !foreign.test(name) && !notes[name])).toEqual([]);
    expect(Object.keys(notes).filter((name) => !(name in capabilities))).toEqual([]);
  });

  it('every exit has a name and a type', () => {
    // KVM_EXIT_… of the header that an x86 processor makes; exits of older kernels and other processors are "unknown", as data.
    const kinds: Record<string, string> = {
      EXCEPTION: 'exception',
      IO: 'io',
      HYPERCALL: 'hypercall',
      DEBUG: 'debug',
      HLT: 'hlt',
      MMIO: 'mmio',
      IRQ_WINDOW_OPEN: 'irq-window',
      SHUTDOWN: 'shutdown',
      FAIL_ENTRY: 'fail-entry',
      INTR: 'interrupted',
      SET_TPR: 'set-tpr',
      TPR_ACCESS: 'tpr-access',
      NMI: 'nmi',
      INTERNAL_ERROR: 'internal-error',
      SYSTEM_EVENT: 'system-event',
      IOAPIC_EOI: 'ioapic-eoi',
      HYPERV: 'hyperv',
      X86_RDMSR: 'msr',
      X86_WRMSR: 'msr',
      DIRTY_RING_FULL: 'dirty-ring-full',
      X86_BUS_LOCK: 'bus-lock',
      XEN: 'xen',
      NOTIFY: 'notify',
      MEMORY_FAULT: 'memory-fault',
      TDX: 'unknown',
    };
    for (const kind of Object.values(kinds)) expect(exitKinds).toContain(kind);
    const foreign = /UNKNOWN|S390|PAPR|EPR|DCR|OSI|WATCHDOG|ARM|RISCV|AP_RESET|LOONGARCH|_(IN|OUT|TYPE|HCALL|SYNIC|SYNDBG)$/;
    const exits = Object.keys(constants).filter((name) => name.startsWith('KVM_EXIT_') && !foreign.test(name));
    expect(exits.map((name) => name.slice('KVM_EXIT_'.length)).filter((name) => !(name in kinds))).toEqual([]);
  });
});

describe('scripts/check-kvm-calls', () => {
  it('counts that every call and exit that was asked for is typed, documented and tested', () => {
    const { status, text } = run('check-kvm-calls');
    const [, wanted, typed, documented, tested, exits, typedExits] =
      /^check-kvm-calls: (\d+) calls wanted: (\d+) typed, (\d+) documented, (\d+) tested, .* (\d+) exits wanted: (\d+) typed\n$/.exec(
        text,
      ) ?? [];
    expect([status, typed, documented, tested, typedExits]).toEqual([0, wanted, wanted, wanted, exits]);
    expect([Number(wanted), Number(exits)]).toEqual([101, 25]);
  });

  let copy: string;
  beforeEach(() => {
    copy = mkdtempSync(path.join(tmpdir(), 'check-kvm-calls-'));
    for (const directory of ['lib/hypervisor', 'lib/native', 'test/contract'])
      cpSync(path.join(root, directory), path.join(copy, directory), { recursive: true });
  });
  afterEach(() => rmSync(copy, { recursive: true }));

  function change(file: string, from: string | RegExp, to: string): void {
    const name = path.join(copy, file);
    const text = readFileSync(name, 'utf8');
    expect(text.replace(from, to)).not.toBe(text);
    writeFileSync(name, text.replace(from, to));
  }

  it.each([
    [
      'a call that is no more in the table',
      'lib/hypervisor/kvm/calls.ts',
      /^.*'KVM_IRQFD'.*\n/m,
      '',
      'vm KVM_IRQFD is not in the table of calls\n',
    ],
    [
      'a method that is gone',
      'lib/hypervisor/kvm/vcpu-events.ts',
      '  nmi(): void',
      '  nonmaskable(): void',
      'vcpu KVM_NMI: there is no method nmi()\n',
    ],
    [
      'a method without types',
      'lib/hypervisor/kvm/vm-irq.ts',
      'irqLine(gsi: number',
      'irqLine(gsi: any',
      'the parameters or the result of irqLine() have no type\n',
    ],
    [
      'a comment with another section',
      'lib/hypervisor/kvm/vcpu-state.ts',
      '(4.11, Linux',
      '(4.12, Linux',
      'vcpu KVM_GET_REGS: its comment does not begin with "KVM_GET_REGS (4.11, Linux 2.6.20"\n',
    ],
    [
      'a comment without errors',
      'lib/hypervisor/kvm/vcpu-events.ts',
      /(KVM_SMI [^]*?)Errors: /,
      '$1',
      'vcpu KVM_SMI: its comment names no errors\n',
    ],
    [
      'a call that no host has seen',
      'test/contract/kvm-calls.json',
      /^.*"vm KVM_SIGNAL_MSI".*\n/gm,
      '',
      'vm KVM_SIGNAL_MSI: no host has seen it',
    ],
    ['a call without a test', 'test/contract/kvm-vm-memory.test.ts', /\.setTssAddr\(/g, '.set(', 'vm KVM_SET_TSS_ADDR: no test'],
    [
      'an exit that has no type',
      'lib/hypervisor/exit.ts',
      "readonly kind: 'notify';",
      'readonly kind: string;',
      'KVM_EXIT_NOTIFY: there is no typed exit of kind notify\n',
    ],
  ])('finds %s', (_, file, from, to, message) => {
    change(file, from, to);
    expect(
      judge(copy)
        .problems.map((problem) => `${problem}\n`)
        .join(''),
    ).toContain(message);
  });

  it('is a command that fails for what it finds', () => {
    change('lib/hypervisor/kvm/vcpu-events.ts', '  nmi(): void', '  nonmaskable(): void');
    const { status, text } = run('check-kvm-calls', copy);
    expect([status, text]).toEqual([1, expect.stringMatching(/ 100 typed, [^]*\nvcpu KVM_NMI: there is no method nmi\(\)\n$/)]);
  });
});

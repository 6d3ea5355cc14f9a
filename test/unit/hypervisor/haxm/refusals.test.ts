/** What the driver would answer with EINVAL, or take and regret: refused by name, and no call is made. */
import { maxGpa } from '../../../../lib/hypervisor/haxm/check';
import { code, ours } from '../../../../lib/hypervisor/haxm/requests';
import { HaxmSystem } from '../../../../lib/hypervisor/haxm/system';
import { HaxmVcpu, type HaxmDebugOptions } from '../../../../lib/hypervisor/haxm/vcpu';
import { HaxmVm } from '../../../../lib/hypervisor/haxm/vm';
import { unpackRegisters } from '../../../../lib/hypervisor/haxm/registers';
import type { Capabilities } from '../../../../lib/hypervisor/capabilities';
import { HaxError } from '../../../../lib/util/errors';

let nextAddress = 0x10000000n;
jest.mock('../../../../lib/native/addon', () => {
  const addresses = new WeakMap<ArrayBufferLike, bigint>();
  return {
    addon: () => ({
      allocateMemory: () => ({ buffer: (_: number, size: number) => new ArrayBuffer(size) }),
      addressOf: (bytes: Uint8Array) => {
        if (!addresses.has(bytes.buffer)) {
          addresses.set(bytes.buffer, nextAddress);
          nextAddress += 0x10000000n;
        }
        return addresses.get(bytes.buffer)!;
      },
    }),
  };
});

const there = { available: true, value: 1 };
const capabilities = {
  backend: 'haxm',
  device: '/dev/HAX',
  apiVersion: 4,
  features: {
    ept: there,
    ramProtection: there,
    implicitRamBlock: there,
    debug: there,
    extendedCpuid: { available: false, value: 0, reason: 'SMAP' },
  },
} as unknown as Capabilities;

/** Counts calls and answers each with success. */
class Driver {
  calls = 0;
  readonly hypervisor = { capabilities };
  readonly vm = { hypervisor: this.hypervisor };
  readonly capabilities = capabilities;
  readonly vms: unknown[] = [];
  /** The numbers of vCPUs that there are, a bit each. */
  vcpuMask = 1;
  readonly memory = { regions: [] as { gpa: number; size: number; bytes: Uint8Array }[] };
  ioctl(request?: number, argument?: number | Uint8Array): number {
    if (request === code(ours.vmNumbers)) (argument as Buffer).writeUInt32LE(this.vcpuMask, 4);
    else this.calls++;
    return 0;
  }
  kick(): void {
    this.calls++;
  }
}

let driver: Driver;
beforeEach(() => (driver = new Driver()));

function expectRefusal(call: () => unknown, field: string): void {
  const before = driver.calls;
  let error: unknown;
  try {
    call();
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(HaxError);
  const { code, message, backend } = error as HaxError;
  expect([code, backend]).toEqual(['ERR_HAX_INVALID_ARGUMENT', 'haxm']);
  expect(message).toContain(field);
  expect(driver.calls).toBe(before);
}

const page = 0x1000;

describe('memory of a VM', () => {
  const made = (): { vm: HaxmVm; va: bigint } => {
    const vm = new HaxmVm(driver);
    return { vm, va: vm.allocate(0x10000).va };
  };

  it('is registered only whole, aligned, once, and where it is', () => {
    const { vm, va } = made();
    const refused: [object, string][] = [
      [{ startVa: 0, size: page }, 'startVa'],
      [{ startVa: va + 1n, size: page }, 'startVa'],
      [{ startVa: va, size: 0 }, 'size'],
      [{ startVa: va, size: 0x1234 }, 'size'],
      [{ startVa: va, size: 0x11000 }, 'startVa and size'],
      [{ startVa: 0x7000, size: page }, 'startVa and size'],
      [{ startVa: va, size: page, reserved: 1 }, 'reserved'],
      [{ startVa: -1, size: page }, 'startVa'],
      [{ startVa: va, size: 2 ** 64 }, 'size'],
    ];
    for (const [options, field] of refused) expectRefusal(() => vm.addRamblock(options as never), field);
    expectRefusal(() => vm.allocRam({ size: 0x100000000n, va }), 'size');
    expectRefusal(() => vm.allocRam({ size: page, va: 0 }), 'va');
    expectRefusal(() => vm.allocRam({ size: page, va: va + 0x10n }), 'va');
    vm.addRamblock({ startVa: va, size: 0x8000 });
    vm.allocRam({ va: va + 0x8000n, size: page });
    expect(driver.calls).toBe(2);
    expectRefusal(() => vm.addRamblock({ startVa: va + 0x7000n, size: 0x1000 }), 'overlap');
  });

  it.each(['setRam', 'setRam2'] as const)('is mapped by %s only from a block, and unmapped with exactly its flag', (call) => {
    const { vm, va } = made();
    vm.addRamblock({ startVa: va, size: 0x8000 });
    const good = { paStart: 0, size: page, va, flags: 0 };
    const refused: [object, string][] = [
      [{ paStart: 0x10 }, 'paStart'],
      [{ paStart: 2n ** 52n }, 'paStart'],
      [{ paStart: maxGpa - 0x1000n, size: 0x2000 }, 'paStart and size'],
      [{ size: 0 }, 'size'],
      [{ size: 0xfff }, 'size'],
      [{ size: 0x9000 }, 'va and size'],
      [{ va: va + 8n }, 'va'],
      [{ va: 0 }, 'va'],
      [{ va: va + 0x8000n }, 'va and size'],
      [{ va: 'x' }, 'va'],
      [{ flags: 2 }, 'flags'],
      [{ flags: 0x81, va: 0 }, 'flags'],
      [{ flags: 0x41 }, 'flags'],
      [{ flags: 0x80 }, 'va'],
      [{ flags: 0x40 }, 'va and size'],
    ];
    for (const [change, field] of refused) expectRefusal(() => vm[call]({ ...good, ...change }), field);
    vm[call](good);
    vm[call]({ ...good, flags: 1 });
    vm[call]({ paStart: 0, size: page, va: 0, flags: 0x80 });
    // A block that goes with its mapping may come again.
    for (let i = 0; i < 2; i++) {
      vm[call]({ paStart: 0x8000, size: page, va: va + 0x8000n, flags: 0x40 });
      expectRefusal(() => vm[call]({ paStart: 0x9000, size: page, va: va + 0x8000n, flags: 0x40 }), 'overlap');
      vm[call]({ paStart: 0x8000, size: page, va: 0, flags: 0x80 });
    }
  });

  it('may be that of a region', () => {
    const { vm } = made();
    const bytes = new Uint8Array(0x4000);
    driver.memory.regions.push({ gpa: 0, size: 0x4000, bytes });
    const va = nextAddress;
    vm.setRam2({ paStart: 0x10000, size: page, va });
    expectRefusal(() => vm.setRam2({ paStart: 0x10000, size: 0x5000, va }), 'va and size');
  });

  it('has reserved words of 0', () => {
    const { vm, va } = made();
    vm.addRamblock({ startVa: va, size: page });
    const good = { paStart: 0, size: page, va };
    expectRefusal(() => vm.setRam2({ ...good, reserved1: 1 }), 'reserved1');
    expectRefusal(() => vm.setRam2({ ...good, reserved2: 1n }), 'reserved2');
    expectRefusal(() => vm.setRam({ ...good, size: 0x100000000n }), 'size');
  });

  it('is protected whole or not at all, and where something is mapped', () => {
    const { vm, va } = made();
    vm.addRamblock({ startVa: va, size: 0x8000 });
    vm.setRam({ paStart: 0x4000, size: 0x4000, va });
    const good = { paStart: 0, size: page, flags: 0 };
    const refused: [object, string][] = [
      [{ flags: 8 }, 'flags'],
      [{ flags: 1 }, 'flags'],
      [{ size: 0 }, 'size'],
      [{ paStart: 1 }, 'paStart'],
      [{ paStart: 0x8000 }, 'paStart and size'],
      [{ reserved: 1 }, 'reserved'],
    ];
    for (const [change, field] of refused) expectRefusal(() => vm.protectRam({ ...good, ...change }), field);
    vm.protectRam(good);
    vm.protectRam({ ...good, flags: 7 });
  });
});

describe('a VM and the system', () => {
  it('number vCPUs from 0 to 15, 0 first, none twice', () => {
    const vm = new HaxmVm(driver);
    for (const id of [16, 64, -1, 1.5]) expectRefusal(() => vm.vcpuCreate(id), 'id');
    expectRefusal(() => vm.vcpuCreate(0), 'id');
    driver.vcpuMask = 0;
    expectRefusal(() => vm.vcpuCreate(1), 'id');
  });

  it('change the limit only without VMs, and to something', () => {
    const system = new HaxmSystem(driver);
    expectRefusal(() => system.setMemlimit({ enabled: true }), 'megabytes');
    expectRefusal(() => system.setMemlimit({ enabled: 1 } as never), 'enabled');
    system.setMemlimit({ enabled: false });
    driver.vms.push({});
    expectRefusal(() => system.setMemlimit({ enabled: false }), 'VMs');
  });

  it('take no VM where it would crash the kernel', () => {
    const without = { ...capabilities, features: { ...capabilities.features, ept: { available: false, value: 0, reason: 'no EPT' } } };
    const system = new HaxmSystem({ ioctl: () => driver.ioctl(), capabilities: without, vms: [] });
    expect(() => system.createVm()).toThrow(/ept: no EPT/);
    expect(driver.calls).toBe(0);
  });

  it('are HAXM’s', () => {
    const kvm = { ...capabilities, backend: 'kvm' };
    expect(() => new HaxmSystem({ ioctl: () => 0, capabilities: kvm, vms: [] })).toThrow(
      expect.objectContaining({ code: 'ERR_HAX_UNSUPPORTED' }),
    );
  });
});

describe('a vCPU', () => {
  it('takes debug flags that go together', () => {
    const vcpu = new HaxmVcpu(driver);
    const refused: [HaxmDebugOptions, string][] = [
      [{ control: 16 }, 'control'],
      [{ control: 2 }, 'control'],
      [{ control: 3, dr: { dr0: 1 } }, 'dr.dr0'],
      [{ control: 9, dr: { dr4: 1 } as never }, 'dr4'],
      [{ control: 9, dr: { dr7: -1 } }, 'dr.dr7'],
      [{ control: 1, reserved: 1 }, 'reserved'],
    ];
    for (const [options, field] of refused) expectRefusal(() => vcpu.debug(options), field);
    vcpu.debug({ control: 9, dr: { dr0: 0x1000, dr1: undefined, dr7: 2 } });
    vcpu.debug({ control: 0 });
  });

  it('takes whole registers, images, lists and vectors', () => {
    const vcpu = new HaxmVcpu(driver);
    const registers = unpackRegisters(Buffer.alloc(512));
    expectRefusal(() => vcpu.setRegs({ ...registers, rip: -1n }), 'rip');
    expectRefusal(() => vcpu.setRegs({ ...registers, cs: { ...registers.cs, ar: 0x20000 } }), 'cs.ar');
    expectRefusal(() => vcpu.setRegs({ rax: 0n } as never), 'rcx');
    expectRefusal(() => vcpu.setFpu(new Uint8Array(511)), '512');
    expectRefusal(() => vcpu.setFpu(new Uint8Array(512).fill(1, 26, 27)), 'mxcsr has no bits above 15');
    expectRefusal(() => vcpu.interrupt(256), 'vector');
    expectRefusal(() => vcpu.setMsrs([[0x10, 2n ** 64n]]), 'MSR 0x10');
    expectRefusal(() => vcpu.setMsrs([[0xc0000082, 1n << 47n]]), 'MSR 0xc0000082 must be a canonical address');
    vcpu.setMsrs(Array.from({ length: 32 }, () => [0x10, 0n] as const));
    expect(driver.calls).toBe(2);
  });

  it('makes no CPUID call where it would crash the kernel', () => {
    const vcpu = new HaxmVcpu(driver);
    for (const call of [() => vcpu.getCpuid(), () => vcpu.setCpuid([])]) expect(call).toThrow(/extendedCpuid: SMAP/);
    expect(driver.calls).toBe(0);
  });
});

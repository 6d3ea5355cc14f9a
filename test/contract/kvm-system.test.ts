/** The calls of the system: versions, capabilities, CPUID tables, MSRs, types of machines. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { Hypervisor, kvmCalls, kvmConstants as C, type VirtualMachine } from 'node-hax';
import { codeOf } from '../support/codes';
import { describeKvm } from '../support/hosts';
import { EINVAL, lacks, recordCalls, refusal } from '../support/kvm-calls';

recordCalls('system');

const page = 4096;
const invalid = 'ERR_HAX_INVALID_ARGUMENT';

describeKvm("KVM's calls: the system", (backend) => {
  it('has every call of the table, and each is a method', () => {
    const vm = backend.vm({ irqchip: 'kernel' });
    const vcpu = vm.createVcpu();
    const device = vm.kvm.hasDevice(C.KVM_DEV_TYPE_VFIO) ? vm.kvm.createDevice(C.KVM_DEV_TYPE_VFIO) : undefined;
    const objects = { system: vm.hypervisor.kvm, vm: vm.kvm, vcpu: vcpu.kvm, device };
    const above = { hypervisor: vm.hypervisor, vm, vcpu };
    for (const { scope, method } of kvmCalls) {
      const [owner, name] = method.includes('.') ? method.split('.') : [undefined, method];
      if (scope === 'device' && !device) continue;
      const object = owner ? above[owner as 'vm'] : objects[scope];
      expect([scope, method, typeof (object as never)[name]]).toEqual([scope, method, 'function']);
    }
    expect(kvmCalls.length).toBeGreaterThan(100);
    device?.close();
  });

  it('versions, sizes, capabilities', () => {
    const { kvm } = backend.open();
    expect(kvm.getApiVersion()).toBe(12);
    expect(kvm.getVcpuMmapSize() % page).toBe(0);
    expect([kvm.checkExtension('KVM_CAP_USER_MEMORY'), kvm.checkExtension('KVM_CAP_PPC_SMT')]).toEqual([1, 0]);
    expect(kvm.extensionsPresent()).toMatchObject({ KVM_CAP_USER_MEMORY: 1, KVM_CAP_NR_VCPUS: expect.any(Number) });
    for (const wrong of ['KVM_CAP_ROCKS', 5, null, undefined, '__proto__'])
      expect(codeOf(() => kvm.checkExtension(wrong as never))).toBe(invalid);
  });

  it('CPUID tables and lists of MSRs', () => {
    const hypervisor = backend.open();
    const { kvm } = hypervisor;
    // Leaves 1, 0xb, 0x1f and 0x8000001e name the processor that answered, which may be another each time.
    const entry = ({ function: f, index, eax, ebx, ecx }: Record<'function' | 'index' | 'eax' | 'ebx' | 'ecx', number>): unknown =>
      [1, 0xb, 0x1f, 0x8000001e].includes(f) ? [f, index] : [f, index, eax, ebx, ecx];
    expect(kvm.getSupportedCpuid().map(entry)).toEqual(hypervisor.supportedCpuid().map(entry));
    if (!lacks(kvm, 'KVM_CAP_EXT_EMUL_CPUID', () => kvm.getEmulatedCpuid())) {
      expect(kvm.getEmulatedCpuid().find((e) => e.function === 1)!.ecx & (1 << 22)).not.toBe(0); // MOVBE
    }
    if (!lacks(kvm, 'KVM_CAP_SYS_HYPERV_CPUID', () => kvm.getSupportedHvCpuid())) {
      expect(kvm.getSupportedHvCpuid()[0].function).toBe(0x40000000);
    }
    expect(kvm.getMsrIndexList()).toEqual(expect.arrayContaining([0x10, 0x174, 0xc0000081]));
    const features = kvm.getMsrFeatureIndexList();
    expect(kvm.getMsrs(features).map(({ index }) => index)).toEqual(features);
    expect(kvm.getMsrs([])).toEqual([]);
    expect(kvm.x86GetMceCapSupported() & 0x100n).toBe(0x100n); // MCG_CTL_P
  });

  it('KVM_CREATE_VM while signals interrupt the thread, as those of a profiler do', () => {
    const profiles = mkdtempSync(path.join(tmpdir(), 'node-hax-profile-'));
    const script = `const hypervisor = require('node-hax').Hypervisor.open({ backend: 'kvm' });
      for (let i = 0; i < 5; i++) hypervisor.createVm().close();
      hypervisor.close();`;
    const flags = ['--cpu-prof', '--cpu-prof-interval=200', `--cpu-prof-dir=${profiles}`];
    const { status, stderr } = spawnSync(process.execPath, [...flags, '-e', script], { encoding: 'utf8' });
    rmSync(profiles, { recursive: true });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  it('attributes of the system', () => {
    const { kvm } = backend.open();
    if (lacks(kvm, 'KVM_CAP_SYS_ATTRIBUTES', () => kvm.hasDeviceAttr(0, 0))) return;
    expect([kvm.hasDeviceAttr(0, C.KVM_X86_XCOMP_GUEST_SUPP), kvm.hasDeviceAttr(9, 9)]).toEqual([true, false]);
    expect(kvm.getDeviceAttr(0, C.KVM_X86_XCOMP_GUEST_SUPP, 8)[0] & 1).toBe(1); // x87
  });

  it('types of machines', () => {
    const hypervisor = backend.open();
    const types = hypervisor.kvm.checkExtension('KVM_CAP_VM_TYPES');
    expect(hypervisor.createVm({ type: C.KVM_X86_DEFAULT_VM, irqchip: 'user' }).closed).toBe(false);
    const protectedVm = (): VirtualMachine => hypervisor.createVm({ type: C.KVM_X86_SW_PROTECTED_VM, irqchip: 'user' });
    if (types & 2) expect(protectedVm().kvm.checkExtension('KVM_CAP_MEMORY_ATTRIBUTES')).not.toBe(0);
    else expect(refusal(protectedVm)).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(codeOf(() => hypervisor.createVm({ type: -1 }))).toBe(invalid);
  });

  it('are not there on other backends', () => {
    const hypervisor = Hypervisor.open({ backend: 'null' as never });
    try {
      const vm = hypervisor.createVm({ irqchip: 'user' });
      const vcpu = vm.createVcpu();
      for (const [owner, calls] of Object.entries({ hypervisor: () => hypervisor.kvm, vm: () => vm.kvm, vcpu: () => vcpu.kvm })) {
        expect(calls).toThrow(`${owner}.kvm needs the backend kvm, not null`);
        expect(codeOf(calls)).toBe('ERR_HAX_UNSUPPORTED');
      }
    } finally {
      hypervisor.close();
    }
  });

  it('are not there after close()', () => {
    const hypervisor = backend.open();
    const { kvm } = hypervisor;
    const vm = hypervisor.createVm({ irqchip: 'user' });
    const calls = vm.kvm;
    hypervisor.close();
    for (const call of [() => kvm.getApiVersion(), () => calls.getClock(), () => calls.hasDevice(C.KVM_DEV_TYPE_VFIO)])
      expect(codeOf(call)).toBe('ERR_HAX_CLOSED');
  });
});

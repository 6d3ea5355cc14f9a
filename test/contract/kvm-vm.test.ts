/** What else a VM has, beside its memory and its interrupts: the clock, filters, devices, statistics. */
import { EventFd, kvmConstants as C } from 'node-hax';
import { codeOf } from '../support/codes';
import { describeKvm } from '../support/hosts';
import { EBUSY, EEXIST, EINVAL, lacks, recordCalls, refusal } from '../support/kvm-calls';

recordCalls('vm');

const page = 4096;
const invalid = 'ERR_HAX_INVALID_ARGUMENT';

describeKvm("KVM's calls: what else a VM has", (backend) => {
  it('KVM_GET_CLOCK, KVM_SET_CLOCK', () => {
    const { kvm } = backend.vm();
    const second = 1_000_000_000n;
    kvm.setClock({ clock: 5000n * second });
    const { clock } = kvm.getClock();
    expect(clock).toBeGreaterThanOrEqual(5000n * second);
    expect(clock).toBeLessThan(5060n * second);
    expect(refusal(() => kvm.setClock({ clock: 0, flags: 1 << 30 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    for (const wrong of [-1, 2n ** 64n, 'x', undefined]) expect(codeOf(() => kvm.setClock({ clock: wrong as never }))).toBe(invalid);
  });

  it('KVM_X86_SET_MSR_FILTER gives MSRs to user space', () => {
    const source = 'mov ecx, 0x175; rdmsr; mov ebx, eax; mov ecx, 0x176; mov eax, 0x55; xor edx, edx; wrmsr; hlt';
    const { vm, vcpu } = backend.guest('flat32', source);
    const { kvm } = vm;
    if (lacks(kvm, 'KVM_CAP_X86_MSR_FILTER', () => kvm.x86SetMsrFilter([]))) return;
    kvm.enableCap('KVM_CAP_X86_USER_SPACE_MSR', [C.KVM_MSR_EXIT_REASON_FILTER]);
    const nothing = { flags: C.KVM_MSR_FILTER_READ | C.KVM_MSR_FILTER_WRITE, base: 0x4000, nmsrs: 64, bitmap: new Uint8Array(8) };
    // Of 0x174 to 0x17b only 0x175 is denied, and only reading it.
    kvm.x86SetMsrFilter([nothing, { flags: C.KVM_MSR_FILTER_READ, base: 0x174, nmsrs: 8, bitmap: Uint8Array.of(0xfd) }]);
    const exit = vcpu.enter();
    if (exit.kind !== 'msr') throw new Error(`an exit of kind ${exit.kind}`);
    expect([exit.index, exit.direction]).toEqual([0x175, 'in']);
    exit.value = 0x1234n;
    exit.fault = false;
    expect(vcpu.enter().kind).toBe('hlt');
    expect(vcpu.getState().rbx).toBe(0x1234n);
    expect(vcpu.getMsrs([0x176])).toEqual([0x55n]);
    expect(refusal(() => kvm.x86SetMsrFilter([{ ...nothing, flags: 0x80 }]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(codeOf(() => kvm.x86SetMsrFilter(new Array(17).fill(nothing)))).toBe(invalid);
    expect(codeOf(() => kvm.x86SetMsrFilter([{ ...nothing, nmsrs: 65 }]))).toBe(invalid);
    kvm.x86SetMsrFilter([{ ...nothing, base: 0x174 }], { defaultDeny: true });
    kvm.x86SetMsrFilter([]);
  });

  it('KVM_SET_PMU_EVENT_FILTER', () => {
    const { kvm } = backend.vm();
    const filter = { action: C.KVM_PMU_EVENT_ALLOW, fixed_counter_bitmap: 1, flags: 0, events: [0xc0, 0x3cn] };
    if (lacks(kvm, 'KVM_CAP_PMU_EVENT_FILTER', () => kvm.setPmuEventFilter(filter))) return;
    kvm.setPmuEventFilter(filter);
    kvm.setPmuEventFilter({ ...filter, action: C.KVM_PMU_EVENT_DENY, events: [] });
    expect(refusal(() => kvm.setPmuEventFilter({ ...filter, flags: 0x80000000 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(refusal(() => kvm.setPmuEventFilter({ ...filter, action: 7 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(refusal(() => kvm.setPmuEventFilter({ ...filter, events: 'x' as never }))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(codeOf(() => kvm.setPmuEventFilter({ ...filter, events: new Array(301).fill(1) }))).toBe(invalid);
  });

  it('KVM_ENABLE_CAP', () => {
    const { kvm } = backend.vm();
    expect(refusal(() => kvm.enableCap('KVM_CAP_USER_MEMORY', [1]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(() => kvm.enableCap('KVM_CAP_PPC_SMT')).toThrow('KVM_CAP_PPC_SMT');
    expect(codeOf(() => kvm.enableCap('KVM_CAP_ROCKS' as never))).toBe(invalid);
    expect(codeOf(() => kvm.enableCap('KVM_CAP_SPLIT_IRQCHIP', [1, 2, 3, 4, 5]))).toBe(invalid);
    expect(refusal(() => kvm.enableCap('KVM_CAP_X86_DISABLE_EXITS', [1n << 63n]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    const split = (): void => kvm.enableCap('KVM_CAP_SPLIT_IRQCHIP', [24]);
    if (lacks(kvm, 'KVM_CAP_SPLIT_IRQCHIP', split)) return;
    split();
    expect(refusal(split)).toBe(`ERR_HAX_IOCTL ${EEXIST}`);
  });

  it('KVM_CREATE_DEVICE and its attributes', () => {
    const { kvm } = backend.vm();
    // KVM_CAP_DEVICE_CTRL does not tell: kernels before 6.4 or so have the call on x86 without it.
    expect([codeOf(() => kvm.createDevice(0x7fffffff)), kvm.hasDevice(0x7fffffff)]).toEqual(['ERR_HAX_IOCTL', false]);
    if (!kvm.hasDevice(C.KVM_DEV_TYPE_VFIO)) return; // a kernel without VFIO
    const device = kvm.createDevice(C.KVM_DEV_TYPE_VFIO);
    expect([device.hasDeviceAttr(1, 1), device.hasDeviceAttr(1, 99)]).toEqual([true, false]);
    expect(refusal(() => device.setDeviceAttr(1, 1, Uint8Array.of(255, 255, 255, 255)))).toBe('ERR_HAX_IOCTL 9'); // EBADF: no such file
    expect(codeOf(() => device.getDeviceAttr(1, 99, 4))).toMatch(/^ERR_HAX_(IOCTL|UNSUPPORTED)$/);
    expect(codeOf(() => device.setDeviceAttr(1, 1, 5 as never))).toBe(invalid);
    device.close();
    expect(codeOf(() => device.hasDeviceAttr(1, 1))).toBe('ERR_HAX_CLOSED');
    expect([codeOf(() => kvm.createDevice(-1)), codeOf(() => kvm.hasDevice('x' as never))]).toEqual([invalid, invalid]);
    expect(refusal(() => [kvm.createDevice(C.KVM_DEV_TYPE_VFIO), kvm.createDevice(C.KVM_DEV_TYPE_VFIO)])).toBe(`ERR_HAX_IOCTL ${EBUSY}`);
  });

  it('statistics', () => {
    const { kvm } = backend.vm();
    if (lacks(kvm, 'KVM_CAP_BINARY_STATS_FD', () => kvm.getStatsFd())) return;
    const stats = kvm.getStatsFd();
    expect(stats.id).toMatch(/^kvm-\d+$/);
    expect(stats.statistics.length).toBe(stats.header.num_desc);
    expect(Object.keys(stats.read())).toContain('remote_tlb_flush');
    stats.close();
  });

  it('the rate of the TSC', () => {
    const vm = backend.vm();
    const calls = [() => vm.kvm.setTscKhz(1_000_000), () => vm.kvm.getTscKhz()];
    if (vm.kvm.checkExtension('KVM_CAP_VM_TSC_CONTROL') === 0) {
      for (const call of calls) lacks(vm.kvm, 'KVM_CAP_VM_TSC_CONTROL', call);
      return;
    }
    const rate = vm.createVcpu().kvm.getTscKhz();
    vm.kvm.setTscKhz(rate);
    expect(vm.kvm.getTscKhz()).toBe(rate);
  });

  it('what another hypervisor or an encrypting processor would need', () => {
    const { kvm } = backend.vm({ irqchip: 'kernel' });
    const xen = { flags: 0, msr: 0x40000200, blob_addr_32: 0, blob_addr_64: 0, blob_size_32: 0, blob_size_64: 0 };
    if (!lacks(kvm, 'KVM_CAP_XEN_HVM', () => kvm.xenHvmConfig(xen))) {
      kvm.xenHvmConfig(xen);
      expect(refusal(() => kvm.xenHvmConfig({ ...xen, flags: 0x80000000 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    }
    const fd = new EventFd();
    if (!lacks(kvm, 'KVM_CAP_HYPERV_EVENTFD', () => kvm.hypervEventfd(1, fd))) {
      kvm.hypervEventfd(0x00abcdef, fd);
      expect(refusal(() => kvm.hypervEventfd(0x00abcdef, fd))).toBe(`ERR_HAX_IOCTL ${EEXIST}`);
      kvm.hypervEventfd(0x00abcdef, fd, true);
      expect(refusal(() => kvm.hypervEventfd(0x01000000, fd))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    }
    const region = { addr: 0, size: page };
    const refused = [
      () => kvm.memoryEncryptOp(new Uint8Array(16)),
      () => kvm.memoryEncryptRegRegion(region),
      () => kvm.memoryEncryptUnregRegion(region),
    ];
    for (const call of refused) expect(codeOf(call)).toMatch(/^ERR_HAX_(UNSUPPORTED|IOCTL)$/);
    expect(codeOf(() => kvm.memoryEncryptOp(new Uint8Array(7)))).toBe(invalid);
  });
});

/** The calls for a vCPU's events: exceptions, interrupts, NMIs, SMIs, debugging, signals, and what is switched on by call. */
import { allocateMemory, kvmConstants as C } from 'node-hax';
import { codeOf } from '../support/codes';
import { at } from '../support/guests';
import { describeKvm } from '../support/hosts';
import { EINVAL, ENXIO, lacks, recordCalls, refusal } from '../support/kvm-calls';

recordCalls('vcpu-events');

/** SIGRTMIN + 7 where HAX_KICK_SIGNAL does not say otherwise (docs/run-loop.md). */
const kickSignal = Number(process.env.HAX_KICK_SIGNAL ?? 41);

describeKvm("KVM's calls: events of a vCPU", (backend, host) => {
  it('KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS', () => {
    const { vm, vcpu } = backend.guest('real', '1: jmp 1b; .org 0x100; mov al, 0x59; out 0xe9, al; hlt');
    vm.memory.write(2 * 4, Uint8Array.of(0, 0x11, 0, 0)); // NMI: 0:1100
    const events = vcpu.kvm.getVcpuEvents();
    expect(events.nmi).toEqual({ injected: 0, pending: 0, masked: 0 });
    vcpu.kvm.setVcpuEvents({ ...events, nmi: { injected: 0, pending: 1, masked: 0 }, flags: C.KVM_VCPUEVENT_VALID_NMI_PENDING });
    expect(vcpu.kvm.getVcpuEvents().nmi.pending).toBe(1);
    const exit = vcpu.enter();
    expect([exit.kind, 'port' in exit && exit.port]).toEqual(['io', 0xe9]);
    expect(vcpu.kvm.getVcpuEvents().nmi).toMatchObject({ masked: 1, pending: 0 });
    vcpu.complete();

    const set = (change: object): void => vcpu.kvm.setVcpuEvents({ ...events, ...change });
    set({ exception: { injected: 1, nr: 14, has_error_code: 1, pending: 0, error_code: 0x12345 } });
    expect(vcpu.kvm.getVcpuEvents().exception).toMatchObject({ nr: 14, has_error_code: 1, error_code: 0x12345 });
    set({ interrupt: { injected: 1, nr: 0x42, soft: 0, shadow: 0 } });
    expect(vcpu.kvm.getVcpuEvents().interrupt).toMatchObject({ injected: 1, nr: 0x42, soft: 0 });
    set({ interrupt: { injected: 0, nr: 0, soft: 0, shadow: 2 }, flags: C.KVM_VCPUEVENT_VALID_SHADOW });
    expect(vcpu.kvm.getVcpuEvents().interrupt.shadow & 2).toBe(2); // AMD knows one kind, which is both
    set({ nmi: { injected: 1, pending: 0, masked: 1 } });
    expect(vcpu.kvm.getVcpuEvents().nmi).toMatchObject({ injected: 1, masked: 1 });
    expect(refusal(() => set({ flags: 1 << 30 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(refusal(() => set({ exception: { injected: 1, nr: 99, has_error_code: 0, pending: 0, error_code: 0 } }))).toBe(
      `ERR_HAX_IOCTL ${EINVAL}`,
    );
  });

  it('events with a payload, and the triple fault', () => {
    const { vm, kvm } = backend.vm().createVcpu();
    vm.kvm.enableCap('KVM_CAP_EXCEPTION_PAYLOAD', [1]);
    const events = kvm.getVcpuEvents();
    const exception = { injected: 0, nr: 14, has_error_code: 1, pending: 1, error_code: 2 };
    const payload = { exception_has_payload: 1, exception_payload: 0x1122_3344_5566n };
    kvm.setVcpuEvents({ ...events, exception, ...payload, flags: C.KVM_VCPUEVENT_VALID_PAYLOAD });
    expect(kvm.getVcpuEvents()).toMatchObject({ exception, ...payload });
    if (lacks(vm.kvm, 'KVM_CAP_X86_TRIPLE_FAULT_EVENT', () => vm.kvm.enableCap('KVM_CAP_X86_TRIPLE_FAULT_EVENT', [1]))) return;
    vm.kvm.enableCap('KVM_CAP_X86_TRIPLE_FAULT_EVENT', [1]);
    kvm.setVcpuEvents({ ...events, triple_fault: { pending: 1 }, flags: C.KVM_VCPUEVENT_VALID_TRIPLE_FAULT });
    expect(kvm.getVcpuEvents().triple_fault.pending).toBe(1);
  });

  it('a SIPI vector of the kernel’s own APIC', () => {
    const vm = backend.vm({ irqchip: 'kernel' });
    const kvm = (vm.createVcpu({ cpus: 2 }), vm.createVcpu({ cpus: 2 })).kvm;
    const events = kvm.getVcpuEvents();
    kvm.setVcpuEvents({ ...events, sipi_vector: 0x12, flags: C.KVM_VCPUEVENT_VALID_SIPI_VECTOR });
    kvm.setMpState(C.KVM_MP_STATE_SIPI_RECEIVED);
    expect(refusal(() => kvm.getVcpuEvents())).toBe('nothing');
  });

  it('KVM_NMI reaches the guest', () => {
    const { vm, vcpu } = backend.guest('real', '1: jmp 1b; .org 0x100; mov al, 0x59; out 0xe9, al; hlt');
    vm.memory.write(2 * 4, Uint8Array.of(0, 0x11, 0, 0));
    vcpu.kvm.nmi();
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0xe9 });
  });

  it('KVM_SMI', () => {
    const { vm, kvm } = backend.vm({ irqchip: 'kernel' }).createVcpu();
    if (lacks(vm.kvm, 'KVM_CAP_X86_SMM', () => kvm.smi())) return;
    kvm.smi();
    expect(kvm.getVcpuEvents().smi.pending).toBe(1);
    const events = kvm.getVcpuEvents();
    for (const [smm_inside_nmi, latched_init] of [
      [1, 0],
      [0, 1],
    ]) {
      // prettier-ignore
      const smi = { smm: 1, pending: 0, smm_inside_nmi, latched_init };
      kvm.setVcpuEvents({ ...events, smi, flags: C.KVM_VCPUEVENT_VALID_SMM });
      expect(kvm.getVcpuEvents().smi).toEqual(smi);
    }
  });

  it('KVM_SMI reaches the guest, in memory of its own, and the guest comes back from it', () => {
    const { vm, vcpu } = backend.guest('real', '1: out 0x11, al; jmp 1b');
    if (lacks(vm.kvm, 'KVM_CAP_X86_SMM', () => vcpu.kvm.smi())) return;
    expect(vm.kvm.checkExtension('KVM_CAP_MULTI_ADDRESS_SPACE')).toBe(2);
    // SMM has the second address space. The handler is at SMBASE + 0x8000 (AMD APM vol. 2, 10.2.3): out 0x10, al; rsm.
    const bytes = allocateMemory(0x10000);
    bytes.set([0xe6, 0x10, 0x0f, 0xaa], 0x8000);
    const region = { flags: 0, guest_phys_addr: 0x30000, memory_size: bytes.length, userspace_addr: bytes };
    vm.kvm.setUserMemoryRegion({ ...region, slot: 1 << 16 });
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x11 });
    vcpu.kvm.smi();
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
    expect(vcpu.kvm.getVcpuEvents().smi.smm).toBe(1);
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x11 });
    expect(vcpu.kvm.getVcpuEvents().smi.smm).toBe(0);
  });

  it('KVM_INTERRUPT reaches the guest', () => {
    const { vm, vcpu } = backend.guest('real', 'sti; 1: jmp 1b; .org 0x100; mov al, 0x59; out 0xe9, al; hlt');
    vm.memory.write(0x42 * 4, Uint8Array.of(0, 0x11, 0, 0));
    vcpu.setState({ rflags: 0x202n });
    vcpu.kvm.interrupt(0x42);
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0xe9 });
    expect(refusal(() => vcpu.kvm.interrupt(256))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(codeOf(() => vcpu.kvm.interrupt(-1))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(refusal(() => backend.vm({ irqchip: 'kernel' }).createVcpu().kvm.interrupt(5))).toBe(`ERR_HAX_IOCTL ${ENXIO}`);
  });

  it('KVM_SET_GUEST_DEBUG: single steps and breakpoints in registers', () => {
    const { vcpu } = backend.guest('real', 'nop; nop; inc ax; inc ax; hlt');
    const debug = (control: number, debugreg: readonly number[] = []): void =>
      vcpu.kvm.setGuestDebug({ control: control | (control ? C.KVM_GUESTDBG_ENABLE : 0), arch: { debugreg } });
    debug(C.KVM_GUESTDBG_SINGLESTEP);
    expect(vcpu.enter()).toMatchObject({ kind: 'debug', pc: BigInt(at.code + 1) });
    expect(vcpu.enter()).toMatchObject({ kind: 'debug', pc: BigInt(at.code + 2) });
    debug(C.KVM_GUESTDBG_USE_HW_BP, [0, 0, 0, at.code + 3, 0, 0, 0, 0x4c0]); // the fourth, local and global
    const exit = vcpu.enter();
    // An emulated SVM never fires them: the guest goes on to its end.
    if (exit.kind === 'debug') expect(exit.pc).toBe(BigInt(at.code + 3));
    else expect([exit.kind, host.can.paging32]).toEqual(['hlt', true]);
    debug(0);
    if (exit.kind === 'debug') expect(vcpu.enter().kind).toBe('hlt');
    expect(codeOf(() => debug(0, new Array(9).fill(0)))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it('KVM_KVMCLOCK_CTRL tells a guest that has kvmclock that it was stopped', () => {
    const { vm, vcpu } = backend.guest('real', '1: out 0x10, al; jmp 1b');
    expect(refusal(() => vcpu.kvm.kvmclockCtrl())).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    vcpu.setMsrs([[0x4b564d01, 0x3001n]]); // MSR_KVM_SYSTEM_TIME_NEW, enabled
    // The flags of struct pvclock_vcpu_time_info: PVCLOCK_GUEST_STOPPED is bit 1.
    const stopped = (): number => (vcpu.enter(), vm.memory.read(0x3000 + 29, 1)[0] & 2);
    expect(stopped()).toBe(0);
    vcpu.kvm.kvmclockCtrl();
    expect(stopped()).toBe(2);
  });

  it('KVM_SET_SIGNAL_MASK takes a set of signals', () => {
    const { vcpu } = backend.guest('real', 'hlt');
    vcpu.kvm.setSignalMask([1, 17, 64]);
    expect(vcpu.enter().kind).toBe('hlt');
    for (const wrong of [[0], [65], [1.5], 5, null])
      expect(codeOf(() => vcpu.kvm.setSignalMask(wrong as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it('KVM_SET_SIGNAL_MASK keeps kicks out of the guest, until the mask is taken away', () => {
    const { vcpu } = backend.guest('flat32', 'dec ecx; jnz 0x1000; hlt');
    // While enter() blocks, the watcher kicks it every 20 ms, so that a worker can be terminated.
    const kicks = (rcx: number): number => {
      const before = vcpu.counters.kicks;
      vcpu.setState({ rip: at.code, rcx });
      expect(vcpu.enter().kind).toBe('hlt');
      return vcpu.counters.kicks - before;
    };
    // A busy machine can make any guest take long once: what the count needs is looked for anew, by the guest that was long enough.
    let rcx = 0x20000;
    const untilKicked = (): void => {
      while (kicks(rcx) < 6) rcx *= 2;
    };
    untilKicked();
    vcpu.kvm.setSignalMask([kickSignal]);
    expect(kicks(rcx)).toBeLessThan(3);
    vcpu.kvm.setSignalMask(undefined);
    untilKicked();
  });

  it('KVM_X86_SETUP_MCE, KVM_X86_SET_MCE', () => {
    const { vm, kvm } = backend.vm().createVcpu();
    const supported = vm.hypervisor.kvm.x86GetMceCapSupported();
    kvm.x86SetupMce(supported | 10n);
    // AMD keeps the number of banks and MCG_CTL_P.
    expect(kvm.getMsrs([0x179])[0].data & 0x1ffn).toBe((supported | 10n) & 0x1ffn);
    kvm.setMsrs([{ index: 0x40c, data: (1n << 64n) - 1n }]); // MC3_CTL: on
    // Corrected, so that no exception follows.
    kvm.x86SetMce({ status: (1n << 63n) | 0x123n, addr: 0x1234_5678n, misc: 0x8765n, mcg_status: 4, bank: 3 });
    expect(kvm.getMsrs([0x40d, 0x40e, 0x40f]).map(({ data }) => data)).toEqual([(1n << 63n) | 0x123n, 0x1234_5678n, 0x8765n]);
    const bank = { status: 1n << 63n, addr: 0, misc: 0, mcg_status: 0, bank: 11 };
    expect(refusal(() => kvm.x86SetMce(bank))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(refusal(() => kvm.x86SetupMce(1n << 62n))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('KVM_TPR_ACCESS_REPORTING, KVM_SET_VAPIC_ADDR need the APIC in the kernel', () => {
    const { kvm } = backend.vm({ irqchip: 'kernel' }).createVcpu();
    kvm.tprAccessReporting(true);
    kvm.tprAccessReporting(false);
    kvm.setVapicAddr(0);
    const bare = backend.vm().createVcpu().kvm;
    expect(refusal(() => bare.setVapicAddr(0x1000))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('KVM_PRE_FAULT_MEMORY', () => {
    const { vm, vcpu } = backend.guest('real', 'hlt');
    if (lacks(vm.kvm, 'KVM_CAP_PRE_FAULT_MEMORY', () => vcpu.kvm.preFaultMemory(0, 0x1000))) return;
    expect(vcpu.kvm.preFaultMemory(0x1000, 0x3000)).toEqual({ gpa: 0x4000n, size: 0n });
  });

  it('statistics count entries', () => {
    const { vcpu } = backend.guest('real', 'out 0x10, al; out 0x10, al; hlt');
    if (lacks(vcpu.vm.kvm, 'KVM_CAP_BINARY_STATS_FD', () => vcpu.kvm.getStatsFd())) return;
    const stats = vcpu.kvm.getStatsFd();
    expect(stats.id).toMatch(/^kvm-\d+\/vcpu-0$/);
    const { exits } = stats.statistics.reduce<Record<string, unknown>>((all, each) => ({ ...all, [each.name]: each }), {});
    expect(exits).toMatchObject({ type: 'cumulative', unit: 'none', exponent: 0, base: 10, size: 1 });
    const before = stats.read().exits[0];
    while (vcpu.enter().kind !== 'hlt');
    expect(stats.read().exits[0]).toBeGreaterThan(before);
    expect(stats.statistics.find(({ name }) => name.endsWith('_ns'))).toMatchObject({ unit: 'seconds', exponent: -9 });
    stats.close();
    expect(codeOf(() => stats.read())).toBe('ERR_HAX_CLOSED');
  });

  it('KVM_ENABLE_CAP and the Hyper-V calls', () => {
    const vcpu = backend.vm({ irqchip: 'kernel' }).createVcpu();
    expect(refusal(() => vcpu.kvm.enableCap('KVM_CAP_USER_MEMORY'))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    lacks(vcpu.vm.kvm, 'KVM_CAP_HYPERV_CPUID', () => vcpu.kvm.getSupportedHvCpuid());
    if (lacks(vcpu.vm.kvm, 'KVM_CAP_HYPERV_SYNIC2', () => vcpu.kvm.enableCap('KVM_CAP_HYPERV_SYNIC2'))) return;
    vcpu.kvm.enableCap('KVM_CAP_HYPERV_SYNIC2');
    expect(vcpu.kvm.getSupportedHvCpuid()[0]).toMatchObject({ function: 0x40000000 });
    expect(refusal(() => vcpu.kvm.enableCap('KVM_CAP_HYPERV_SYNIC2', [], 0x80000000))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('registers travel with entries: sync regs', () => {
    const { vcpu } = backend.guest('real', 'inc bx; out 0x10, al; inc bx; hlt');
    const sync = vcpu.kvm.mapSyncRegs();
    sync.valid = 7n;
    expect(vcpu.enter().kind).toBe('io');
    expect(sync.regs).toEqual(vcpu.kvm.getRegs());
    expect(sync.sregs).toEqual(vcpu.kvm.getSregs());
    expect(sync.events).toEqual(vcpu.kvm.getVcpuEvents());
    expect(sync.regs.rbx).toBe(1n);
    sync.regs = { ...sync.regs, rbx: 0x1232 };
    sync.sregs = { ...sync.sregs, cr2: 0xabcd };
    sync.dirty = 3n;
    expect(vcpu.enter().kind).toBe('hlt');
    expect([vcpu.getState().rbx, vcpu.getState().cr2, sync.dirty]).toEqual([0x1233n, 0xabcdn, 0n]);
  });

  it('closed vCPUs have no calls', () => {
    const vcpu = backend.vm().createVcpu();
    const { kvm } = vcpu;
    vcpu.close();
    const calls = [() => kvm.getRegs(), () => kvm.mapSyncRegs(), () => kvm.nmi(), () => kvm.setMpState(0)];
    expect(calls.map((call) => codeOf(call))).toEqual(calls.map(() => 'ERR_HAX_CLOSED'));
  });
});

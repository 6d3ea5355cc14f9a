/**
 * What single members of KVM's structures do to a guest: a layout that is wrong by a byte and written and read with the same mistake would
 * pass any other test. scripts/mutate-kvm-layouts looks that each member has a test that notices.
 */
import { release } from 'node:os';
import { allocateMemory, kvmConstants as C, type Vcpu, type VirtualMachine } from 'node-hax';
import { apicOn, at, guestImage, loadGuest, userMode } from '../support/guests';
import { describeKvm, type Backend } from '../support/hosts';
import { EINVAL, lacks, recordCalls, refusal } from '../support/kvm-calls';

recordCalls('effects');

const page = 4096;
const EFAULT = 14;

/** The vectors that wait in the local APIC's interrupt request register. */
function requested(vcpu: Vcpu): number[] {
  const lapic = vcpu.kvm.getLapic();
  return Array.from({ length: 256 }, (_, i) => i).filter((i) => (lapic[0x200 + (i >> 5) * 16 + ((i & 31) >> 3)] >> (i & 7)) & 1);
}

/** The kernel's controllers and two vCPUs. */
function twoApics(backend: Backend): { vm: VirtualMachine; vcpus: Vcpu[] } {
  const vm = backend.vm({ irqchip: 'kernel', pit: false });
  const vcpus = [vm.createVcpu({ cpus: 2 }), vm.createVcpu({ cpus: 2 })].map(apicOn);
  return { vm, vcpus };
}

/** Kinds and ports of the exits up to one on port 0x10. */
function untilPort(vcpu: Vcpu): string[] {
  const seen: string[] = [];
  for (let i = 0; i < 100; i++) {
    const exit = vcpu.enter();
    seen.push(exit.kind === 'io' ? `${exit.direction} ${exit.port.toString(16)}` : exit.kind);
    if (exit.kind === 'io' && exit.port === 0x10) break;
  }
  return seen;
}

describeKvm('effects: interrupt controllers and timers', (backend) => {
  it('CR8 is what the structures say, without an APIC in the kernel too, where each entry sets it', () => {
    const { vm, vcpu } = backend.guest('flat32', '1: out 0x10, al; jmp 1b');
    const cr8 = (): bigint => {
      expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
      return vcpu.getState().cr8;
    };
    expect(cr8()).toBe(0n);
    vcpu.kvm.setSregs({ ...vcpu.kvm.getSregs(), cr8: 5 });
    expect([cr8(), cr8()]).toEqual([5n, 5n]);
    if (!lacks(vm.kvm, 'KVM_CAP_SREGS2', () => vcpu.kvm.getSregs2())) {
      vcpu.kvm.setSregs2({ ...vcpu.kvm.getSregs2(), cr8: 6 });
      expect(cr8()).toBe(6n);
    }
    if (lacks(vm.kvm, 'KVM_CAP_SYNC_REGS', () => vcpu.kvm.mapSyncRegs())) return;
    const sync = vcpu.kvm.mapSyncRegs();
    sync.valid = BigInt(C.KVM_SYNC_X86_SREGS);
    cr8();
    sync.sregs = { ...sync.sregs, cr8: 7 };
    sync.dirty = BigInt(C.KVM_SYNC_X86_SREGS);
    expect([cr8(), sync.sregs.cr8]).toEqual([7n, 7n]);
  });

  it('the IOAPIC’s table, the requests that it holds, its index and id', () => {
    const source = 'mov ebx, [0xfec00000]; mov dword ptr [0xfec00000], 0; mov eax, [0xfec00010]; out 0x10, eax; hlt';
    const { vm, vcpu } = backend.guest('flat32', source, { irqchip: 'kernel', pit: false });
    apicOn(vcpu);
    const state = vm.kvm.getIrqchip(2).chip;
    if (!('ioapic' in state)) throw new Error('no IOAPIC');
    const redirtbl = state.ioapic.redirtbl.map((entry, pin) => (pin === 5 ? { bits: 0x57n } : pin === 6 ? { bits: 0x68n } : entry));
    vm.kvm.setIrqchip({ chip_id: 2, chip: { ioapic: { ...state.ioapic, redirtbl, ioregsel: 0x12, id: 0x0b, irr: 1 << 6 } } });
    expect(requested(vcpu)).toEqual([0x68]);
    vm.kvm.irqLine(5, true);
    expect(requested(vcpu)).toEqual([0x57, 0x68]);
    const exit = vcpu.enter();
    expect(exit).toMatchObject({ kind: 'io', port: 0x10 });
    expect([vcpu.getState().rbx & 0xffn, (vcpu.getState().rax >> 24n) & 0xfn]).toEqual([0x12n, 0x0bn]);
  });

  it('messages reach the processor that their address names', () => {
    const { vm, vcpus } = twoApics(backend);
    const message = { address_lo: 0xfee01000, address_hi: 0, data: 0x71 };
    expect(vm.kvm.signalMsi(message)).toBe(1);
    expect(vcpus.map(requested)).toEqual([[], [0x71]]);
    const entry = { gsi: 40, type: C.KVM_IRQ_ROUTING_MSI, flags: 0, u: { msi: { ...message, data: 0x72 } } };
    // The PIC's second half at pin 2, which asks through the first one's pin 2.
    const pin = { gsi: 4, type: C.KVM_IRQ_ROUTING_IRQCHIP, flags: 0, u: { irqchip: { irqchip: C.KVM_IRQCHIP_PIC_SLAVE, pin: 10 - 8 } } };
    vm.kvm.setGsiRouting([entry, pin]);
    vm.kvm.irqLine(40, true);
    expect(vcpus.map(requested)).toEqual([[], [0x71, 0x72]]);
    vm.kvm.irqLine(4, true);
    const slave = vm.kvm.getIrqchip(1).chip;
    expect('pic' in slave && slave.pic.irr).toBe(1 << 2);
    expect(refusal(() => vm.kvm.signalMsi({ ...message, flags: 0x01000000 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    // The upper half of the address is the upper part of the processor's number, and its lowest byte must be zero.
    vm.kvm.enableCap('KVM_CAP_X2APIC_API', [C.KVM_X2APIC_API_USE_32BIT_IDS]);
    expect(refusal(() => vm.kvm.signalMsi({ ...message, address_hi: 1 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    const high = { ...entry, u: { msi: { ...message, address_hi: 1 } } };
    expect(refusal(() => vm.kvm.setGsiRouting([high]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('synthetic interrupts of Hyper-V reach the processor that the route names', () => {
    const { vm, vcpus } = twoApics(backend);
    if (lacks(vm.kvm, 'KVM_CAP_HYPERV_SYNIC2', () => vcpus[1].kvm.enableCap('KVM_CAP_HYPERV_SYNIC2'))) return;
    vm.mapMemory({ gpa: 0, size: 0x10000 });
    for (const vcpu of vcpus) {
      vcpu.kvm.enableCap('KVM_CAP_HYPERV_SYNIC2');
      vcpu.setMsrs([[0x40000080, 1n], [0x40000093, 0x61n]]); // prettier-ignore
    }
    vm.kvm.setGsiRouting([{ gsi: 20, type: C.KVM_IRQ_ROUTING_HV_SINT, flags: 0, u: { hv_sint: { vcpu: 1, sint: 3 } } }]);
    vm.kvm.irqLine(20, true);
    expect(vcpus.map(requested)).toEqual([[], [0x61]]);
  });

  it('the flag of KVM_CREATE_PIT2 keeps port 0x61 in the kernel, and its data bit is part of the state', () => {
    const ports = (flags: number): string[] => {
      const vm = backend.vm();
      vm.kvm.createIrqchip();
      vm.kvm.createPit2(flags);
      vm.mapMemory({ gpa: 0, size: 0x10000 });
      const vcpu = vm.createVcpu();
      loadGuest(vm, vcpu, guestImage('real', 'in al, 0x61; out 0x10, al; hlt'));
      return untilPort(vcpu);
    };
    expect(ports(C.KVM_PIT_SPEAKER_DUMMY)).toEqual(['out 10']);
    expect(ports(0)).toEqual(['in 61', 'out 10']);
    const { vm, vcpu } = backend.guest('real', 'mov al, 2; out 0x61, al; out 0x10, al; hlt', { irqchip: 'kernel' });
    untilPort(vcpu);
    // Kept since Linux 6.0.
    const kept = Number(release().split('.')[0]) >= 6 ? C.KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0;
    const { flags, channels } = vm.kvm.getPit2();
    expect(flags).toBe(kept);
    const before = process.hrtime.bigint();
    vm.kvm.setPit2({ channels, flags: 0 });
    const loaded = vm.kvm.getPit2().channels[2].count_load_time;
    expect(loaded >= before && loaded <= process.hrtime.bigint()).toBe(true);
  });

  it('ticks of the 8254 that the guest missed are made up for', async () => {
    // IRQ 0 at vector 0x20 by the PIC; channel 0 in mode 2 with the longest count, 55 ms. Each tick is an OUT to port 0x12.
    const pic = 'mov al, 0x11; out 0x20, al; mov al, 0x20; out 0x21, al; mov al, 4; out 0x21, al; mov al, 1; out 0x21, al';
    const source = `mov sp, 0x7000; ${pic}; mov al, 0xfe; out 0x21, al; mov al, 0x34; out 0x43, al; xor al, al; out 0x40, al; out 0x40, al
      out 0x10, al; sti; 1: out 0x11, al; jmp 1b; .org 0x100; out 0x12, al; mov al, 0x20; out 0x20, al; iret`;
    const { vm, vcpu } = backend.guest('real', source, { irqchip: 'kernel' });
    vm.memory.write(0x20 * 4, Uint8Array.of(0, 0x11, 0, 0));
    vm.kvm.reinjectControl(false);
    vm.kvm.reinjectControl(true);
    untilPort(vcpu);
    await new Promise((resolve) => setTimeout(resolve, 600));
    const began = performance.now();
    let missed = 0;
    for (let i = 0, ticks = 0; i < 50_000 && missed < 4; i++) {
      const exit = vcpu.enter();
      if (exit.kind === 'io' && exit.port === 0x12) ticks++;
      missed = ticks - Math.ceil((performance.now() - began) / 54);
    }
    expect(missed).toBeGreaterThanOrEqual(4);
  });

  it('the clock that the guest reads is the one that was set, and moves with the time of day where it is given', () => {
    const { vm, vcpu } = backend.guest('real', 'out 0x10, al; out 0x10, al; hlt');
    const second = 1_000_000_000n;
    const clockOfGuest = (): bigint => {
      vcpu.setMsrs([[0x4b564d01, 0x3001n]]); // MSR_KVM_SYSTEM_TIME_NEW: struct pvclock_vcpu_time_info at 0x3000
      untilPort(vcpu);
      return vm.memory.readU64(0x3010);
    };
    const near = (value: bigint, wanted: bigint): boolean => value >= wanted && value < wanted + 60n * second;
    vm.kvm.setClock({ clock: 5000n * second });
    expect(near(clockOfGuest(), 5000n * second)).toBe(true);
    if (!(vm.kvm.checkExtension('KVM_CAP_ADJUST_CLOCK') & C.KVM_CLOCK_REALTIME)) return;
    const realtime = BigInt(Date.now()) * 1_000_000n - 300n * second;
    vm.kvm.setClock({ clock: 7000n * second, flags: C.KVM_CLOCK_REALTIME, realtime });
    expect(near(clockOfGuest(), 7300n * second)).toBe(true);
    const now = vm.kvm.getClock();
    if (now.flags & C.KVM_CLOCK_REALTIME) expect(near(now.realtime, realtime + 300n * second)).toBe(true);
    if (!(now.flags & C.KVM_CLOCK_HOST_TSC)) return;
    // With an offset of 0 the guest's counter is the host's.
    vcpu.kvm.setDeviceAttr(0, 0, new Uint8Array(8));
    const ratio = Number(vcpu.getMsrs([0x10])[0]) / Number(now.host_tsc);
    expect([ratio >= 1, ratio < 10]).toEqual([true, true]);
  });
});

describeKvm('effects: registers and events', (backend) => {
  it("a line has the level that KVM's own call gave it, for vm.irqLine() too", () => {
    const { vm } = backend.guest('real', 'hlt', { irqchip: 'kernel', pit: false });
    const raised = (): boolean => {
      const chip = vm.kvm.getIrqchip(0) as { chip: { pic: { last_irr: number } } };
      return (chip.chip.pic.last_irr & (1 << 5)) !== 0;
    };
    const line = vm.irqLine(5);
    vm.kvm.irqLine(5, true);
    expect(raised()).toBe(true);
    line.set(false);
    expect(raised()).toBe(false);
    line.set(true);
    vm.kvm.irqLineStatus(5, false);
    line.set(true);
    expect(raised()).toBe(true);
  });

  it('an interrupt that waits for the next entry leaves no room for another', () => {
    const { vcpu } = backend.guest('real', 'sti; nop; out 0x10, al; nop; out 0x11, al; hlt');
    vcpu.vm.memory.writeU32(0x20 * 4, at.data);
    vcpu.vm.memory.write(at.data, Uint8Array.of(0xe6, 0x20, 0xcf)); // out 0x20, al; iret
    expect([vcpu.enter().kind, vcpu.interruptReady]).toEqual(['io', true]);
    vcpu.inject(0x20);
    expect(vcpu.interruptReady).toBe(false);
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x20 });
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x11 });
    expect(vcpu.interruptReady).toBe(true);
  });

  it('the guest reads DR7 as it was set', () => {
    const { vcpu } = backend.guest('long64', 'mov rax, dr7; out 0x10, al; hlt');
    // Length and kind of the second breakpoint, which is off.
    vcpu.kvm.setDebugregs({ db: [0, 0, 0, 0], dr6: 0xffff0ff0, dr7: 0x00d00400, flags: 0 });
    untilPort(vcpu);
    expect(vcpu.getState().rax).toBe(0x00d00400n);
  });

  it('KVM_SET_SREGS2 sets EFER', () => {
    const vcpu = backend.vm().createVcpu();
    if (lacks(vcpu.vm.kvm, 'KVM_CAP_SREGS2', () => vcpu.kvm.getSregs2())) return;
    vcpu.kvm.setSregs2({ ...vcpu.kvm.getSregs2(), efer: 1 });
    expect([vcpu.getState().efer, vcpu.kvm.getSregs2().efer]).toEqual([1n, 1n]);
  });

  it('extended control registers that there are not are left alone', () => {
    const { kvm } = backend.vm().createVcpu();
    kvm.setXcrs({ nr_xcrs: 1, flags: 0, xcrs: [{ xcr: 0x01000000, value: 3 }] });
    expect(kvm.getXcrs().xcrs[0]).toEqual({ xcr: 0, value: 1n });
  });

  it('an exception comes with its error code', () => {
    const { vm, vcpu } = backend.guest('flat32', '1: jmp 1b; .org 0x100; pop eax; out 0x10, eax; hlt');
    vm.memory.write(0x7800 + 14 * 8, Uint8Array.of(0, 0x11, 0x10, 0, 0, 0x8e, 0, 0)); // interrupt gate to 0x10:0x1100
    vcpu.setState({ idt: { base: 0x7800, limit: 0x7ff } });
    const events = vcpu.kvm.getVcpuEvents();
    const exception = { injected: 1, nr: 14, has_error_code: 1, pending: 0, error_code: 6 };
    vcpu.kvm.setVcpuEvents({ ...events, exception, flags: 0 });
    expect(untilPort(vcpu)).toEqual(['out 10']);
    expect(vcpu.getState().rax).toBe(6n);
  });

  it('a shadow of interrupts is no software interrupt', () => {
    const { kvm } = backend.vm().createVcpu();
    const events = kvm.getVcpuEvents();
    kvm.setVcpuEvents({ ...events, interrupt: { injected: 0, nr: 0, soft: 0, shadow: 2 }, flags: C.KVM_VCPUEVENT_VALID_SHADOW });
    const { soft, shadow } = kvm.getVcpuEvents().interrupt;
    expect([soft, shadow > 0]).toEqual([0, true]);
  });

  it('a processor starts where its SIPI vector says', () => {
    const vm = backend.vm({ irqchip: 'kernel' });
    vm.mapMemory({ gpa: 0, size: 0x20000 });
    const vcpu = (vm.createVcpu({ cpus: 2 }), vm.createVcpu({ cpus: 2 }));
    vm.memory.write(0x12000, Uint8Array.of(0xe6, 0x10, 0xf4)); // out 0x10, al; hlt
    vcpu.kvm.setVcpuEvents({ ...vcpu.kvm.getVcpuEvents(), sipi_vector: 0x12, flags: C.KVM_VCPUEVENT_VALID_SIPI_VECTOR });
    vcpu.kvm.setMpState(C.KVM_MP_STATE_SIPI_RECEIVED);
    expect(untilPort(vcpu)).toEqual(['out 10']);
    expect(vcpu.getState().cs).toMatchObject({ base: 0x12000n, selector: 0x1200 });
  });

  it('an uncorrected machine check sets its status and raises #MC', () => {
    const { kvm, ...vcpu } = withMachineChecks(backend);
    kvm.x86SetMce({ status: (1n << 63n) | (1n << 61n) | 0x123n, addr: 0x1000, misc: 0, mcg_status: 5, bank: 3 }); // VAL, UC
    expect(vcpu.msr(0x17a)).toBe(5n);
    expect(kvm.getVcpuEvents().exception).toMatchObject({ nr: 18 });
  });

  it('accesses to the task priority register are exits while they are reported', () => {
    // Between them OUTs: a KVM that emulates instructions in batches makes other exits only there.
    const source = 'mov eax, [0xfee00080]; out 0x11, al; mov dword ptr [0xfee00080], 0x20; out 0x11, al; out 0x11, al; out 0x10, al; hlt';
    const { vcpu } = backend.guest('flat32', source, { irqchip: 'kernel', pit: false });
    apicOn(vcpu);
    vcpu.kvm.tprAccessReporting(true);
    const seen: unknown[] = [];
    for (let exit = vcpu.enter(); exit.kind !== 'io' || exit.port === 0x11; exit = vcpu.enter()) {
      if (exit.kind === 'tpr-access') seen.push([exit.direction, exit.rip >= BigInt(at.code)]);
      else if (exit.kind !== 'io') seen.push(exit.kind);
    }
    // There the first one tells of both.
    expect([seen[1], seen.length]).toEqual([['out', true], 2]);
    vcpu.kvm.tprAccessReporting(false);
    vcpu.setState({ rip: at.code });
    expect(untilPort(vcpu)).toEqual(['out 11', 'out 11', 'out 11', 'out 10']);
  });

  it('KVM_TRANSLATE says that pages can be written and are the supervisor’s', () => {
    const { vcpu } = backend.guest('long64', 'hlt');
    expect(vcpu.kvm.translate(0x2345)).toMatchObject({ physical_address: 0x2345n, valid: 1, writeable: 1, usermode: 0 });
  });

  it('statistics have no flags, and buckets only where they are histograms', () => {
    const { vm, kvm } = backend.vm().createVcpu();
    if (lacks(vm.kvm, 'KVM_CAP_BINARY_STATS_FD', () => kvm.getStatsFd())) return;
    const stats = kvm.getStatsFd();
    expect(stats.header.flags).toBe(0);
    for (const { name, type, bucketSize } of stats.statistics)
      if (type !== 'linear-histogram') expect([name, bucketSize]).toEqual([name, 0]);
    stats.close();
  });
});

function withMachineChecks(backend: Backend): { kvm: Vcpu['kvm']; msr: (index: number) => bigint } {
  const vcpu = backend.vm().createVcpu();
  vcpu.kvm.x86SetupMce(vcpu.vm.hypervisor.kvm.x86GetMceCapSupported() | 10n);
  vcpu.setState({ cr4: vcpu.getState().cr4 | 0x40n }); // CR4.MCE
  vcpu.kvm.setMsrs([0x17b, 0x400 + 4 * 3].map((index) => ({ index, data: (1n << 64n) - 1n }))); // MCG_CTL, MC3_CTL: on
  return { kvm: vcpu.kvm, msr: (index) => vcpu.getMsrs([index])[0] };
}

describeKvm('effects: memory and zones', (backend) => {
  it('a coalesced zone ends where it says', () => {
    const { vm, vcpu } = backend.guest('real', 'mov ax, 0x3000; mov ds, ax; mov [0x10], al; mov [0x80], al; hlt');
    const ring = vcpu.kvm.mapCoalescedRing();
    vm.kvm.registerCoalescedMmio({ addr: 0x30000, size: 0x12 });
    expect(vcpu.enter()).toMatchObject({ kind: 'mmio', address: 0x30080 });
    expect(ring.drain().map(({ phys_addr }) => phys_addr)).toEqual([0x30010n]);
  });

  it('flags of a capability that has none are refused', () => {
    const { kvm } = backend.vm();
    kvm.enableCap('KVM_CAP_X86_DISABLE_EXITS', [0]);
    expect(refusal(() => kvm.enableCap('KVM_CAP_X86_DISABLE_EXITS', [0], 0x01000000))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('KVM_SET_USER_MEMORY_REGION2: slots are those of the older call, and read-only where asked', () => {
    const { vm, vcpu } = backend.guest('real', 'mov ax, 0x2000; mov ds, ax; mov byte ptr [0], 0x42; hlt');
    const slot = { slot: 50, flags: C.KVM_MEM_READONLY, guest_phys_addr: 0x20000, memory_size: page, userspace_addr: allocateMemory(page) };
    const region = { ...slot, guest_memfd_offset: 0, guest_memfd: 0 };
    if (lacks(vm.kvm, 'KVM_CAP_USER_MEMORY2', () => vm.kvm.setUserMemoryRegion2(region))) return;
    vm.kvm.setUserMemoryRegion2(region);
    expect(vcpu.enter()).toMatchObject({ kind: 'mmio', address: 0x20000, direction: 'out' });
    vm.kvm.setUserMemoryRegion({ ...slot, memory_size: 0 });
    expect(refusal(() => vm.kvm.setUserMemoryRegion({ ...slot, memory_size: 0 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('memory that is not there fails the entry, and the guest goes on when it is', () => {
    const { vm, vcpu } = backend.guest('long64', 'mov byte ptr [0x21234], 0x42; mov byte ptr [0x40000], 1; hlt');
    // For users, whose code no KVM emulates: a fault while emulating is an access to a device.
    userMode(vcpu);
    const slot = { slot: 9, flags: 0, guest_phys_addr: 0x20000, memory_size: 4 * page };
    // Nothing of this process lies in its first megabyte.
    vm.kvm.setUserMemoryRegion({ ...slot, userspace_addr: 0x10000 });
    expect(refusal(() => vcpu.enter())).toBe(`ERR_HAX_IOCTL ${EFAULT}`);
    vm.kvm.setUserMemoryRegion({ ...slot, memory_size: 0, userspace_addr: 0 });
    const bytes = allocateMemory(4 * page);
    vm.kvm.setUserMemoryRegion({ ...slot, userspace_addr: bytes });
    expect(vcpu.enter()).toMatchObject({ kind: 'mmio', address: 0x40000 });
    expect(bytes[0x1234]).toBe(0x42);
  });
});

import { allocateMemory, kvmConstants as C, type Exit, type Vcpu } from 'node-hax';
import { guestImage, loadGuest } from '../support/guests';
import { describeKvm } from '../support/hosts';
import { lacks, recordCalls } from '../support/kvm-calls';

recordCalls('exits');

/**
 * Plain copies of the exits up to one on port 0x10, which is the guests' end here: HLT stays in a kernel that has the APIC. Those on port
 * 0x11 are left out; a KVM that emulates instructions in batches makes other exits only between them.
 */
function exits(vcpu: Vcpu, at: (exit: Exit) => void = () => undefined): Record<string, unknown>[] {
  const seen: Record<string, unknown>[] = [];
  for (let i = 0; i < 100; i++) {
    const exit = vcpu.enter();
    if (exit.kind === 'io' && exit.port === 0x10) break;
    if (exit.kind === 'io') continue;
    at(exit);
    seen.push(JSON.parse(JSON.stringify(exit)) as Record<string, unknown>);
  }
  return seen;
}

describeKvm("KVM's exits", (backend, host) => {
  it('IOAPIC_EOI: the guest ends a level-triggered interrupt of the split controllers', () => {
    const vm = backend.vm();
    if (lacks(vm.kvm, 'KVM_CAP_SPLIT_IRQCHIP', () => vm.kvm.enableCap('KVM_CAP_SPLIT_IRQCHIP', [24]))) return;
    vm.kvm.enableCap('KVM_CAP_SPLIT_IRQCHIP', [24]);
    vm.mapMemory({ gpa: 0, size: 0x10000 });
    const vcpu = vm.createVcpu();
    loadGuest(vm, vcpu, guestImage('flat32', 'mov dword ptr [0xfee000b0], 0; out 0x11, al; out 0x10, al; hlt'));
    const vector = 0x61;
    const msi = { address_lo: 0xfee00000, address_hi: 0, data: 0x8000 | vector }; // bit 15: level
    vm.kvm.setGsiRouting([{ gsi: 3, type: C.KVM_IRQ_ROUTING_MSI, flags: 0, u: { msi } }]);
    vcpu.setMsrs([[0x1b, 0xfee00900]]);
    // Enabled, and with the vector in service (Intel SDM vol. 3, 11.8.4).
    const lapic = vcpu.kvm.getLapic();
    lapic[0xf1] |= 1;
    for (const register of [0x100, 0x180]) lapic[register + (vector >> 5) * 16 + ((vector & 31) >> 3)] |= 1 << (vector & 7);
    vcpu.kvm.setLapic(lapic);
    expect(exits(vcpu)).toEqual([{ kind: 'ioapic-eoi', vector }]);
  });

  it('INTERNAL_ERROR: an access to a device by an instruction that no KVM emulates, with its bytes', () => {
    const { vcpu } = backend.guest('flat32', 'popcnt eax, [0x300000]; hlt');
    const exit = vcpu.enter();
    if (exit.kind !== 'internal-error') throw new Error(`an exit of kind ${exit.kind}`);
    expect([exit.suberror, Buffer.from(exit.instruction.subarray(0, 8)).toString('hex')]).toEqual([1, 'f30fb80500003000']);
    // The first word says that the bytes are there, the second begins with their number.
    expect([exit.data.length >= 3, exit.data[0] & 1n, Number(exit.data[1] & 0xffn)]).toEqual([true, 1n, exit.instruction.length]);
    expect(vcpu.getState().rip).toBe(0x1000n);
  });

  it.each(['flat32', 'long64'] as const)('HYPERCALL: one that the program asked for, and its reply, from %s', (mode) => {
    const { vm, vcpu } = backend.guest(mode, 'mov eax, 12; mov ebx, 0x2000; mov ecx, 3; mov edx, 0x10; vmmcall; out 0x10, al; hlt');
    const asked = 1 << 12; // KVM_HC_MAP_GPA_RANGE
    if (!(vm.kvm.checkExtension('KVM_CAP_EXIT_HYPERCALL') & asked)) return;
    vm.kvm.enableCap('KVM_CAP_EXIT_HYPERCALL', [asked]);
    // A software KVM does not come back from the instruction.
    if (!host.can.paging32) return;
    const seen = exits(vcpu, (exit) => {
      if (exit.kind === 'hypercall') exit.result = 77n;
    });
    const call = {
      kind: 'hypercall',
      number: 12,
      arguments: ['8192', '3', '16', '0', '0', '0'],
      longMode: mode === 'long64',
      result: '77',
    };
    expect([seen, vcpu.getState().rax & 0xffffffffn]).toEqual([[call], 77n]);
  });

  it('SYSTEM_EVENT: a guest of Hyper-V resets and crashes', () => {
    const vm = backend.vm({ irqchip: 'kernel' });
    vm.mapMemory({ gpa: 0, size: 0x10000 });
    const vcpu = vm.createVcpu();
    if (lacks(vm.kvm, 'KVM_CAP_HYPERV_CPUID', () => vcpu.kvm.getSupportedHvCpuid())) return;
    const leaves = vcpu.kvm.getSupportedHvCpuid();
    vcpu.kvm.setCpuid2([...vcpu.kvm.getCpuid2().filter((e) => e.function >>> 8 !== 0x400000), ...leaves]);
    // HV_X64_MSR_RESET, and HV_X64_MSR_CRASH_CTL with its bit 63 (Microsoft's TLFS, appendix F).
    const reset = 'mov ecx, 0x40000003; mov eax, 1; xor edx, edx; wrmsr';
    const crash = 'mov ecx, 0x40000105; xor eax, eax; mov edx, 0x80000000; wrmsr';
    loadGuest(vm, vcpu, guestImage('flat32', `${reset}; nop; ${crash}; nop; out 0x10, al; hlt`));
    const events = exits(vcpu).map(({ kind, type, data }) => [kind, type, data]);
    expect(events).toEqual([C.KVM_SYSTEM_EVENT_RESET, C.KVM_SYSTEM_EVENT_CRASH].map((type) => ['system-event', type, []]));
  });

  it('SET_TPR: CR8 is lowered and nobody in the kernel watches it', () => {
    const { vcpu } = backend.guest('long64', 'mov eax, 9; mov cr8, rax; mov eax, 5; mov cr8, rax; out 0x10, al; hlt');
    const seen = exits(vcpu);
    // An emulator of instructions makes no exit of it.
    if (seen.length > 0) expect(seen).toEqual([{ kind: 'set-tpr', cr8: '5' }]);
    expect(vcpu.getState().cr8).toBe(5n);
  });

  it('DIRTY_RING_FULL: harvested and reset, the guest goes on and no page is lost', () => {
    const vm = backend.vm();
    if (lacks(vm.kvm, 'KVM_CAP_DIRTY_LOG_RING', () => vm.kvm.resetDirtyRings())) return;
    vm.kvm.enableCap('KVM_CAP_DIRTY_LOG_RING', [4096 * 16]);
    vm.mapMemory({ gpa: 0, size: 0x10000 });
    const vcpu = vm.createVcpu();
    const ring = vcpu.kvm.mapDirtyRing(4096);
    const pages = 5000;
    const size = pages * 4096;
    const flags = C.KVM_MEM_LOG_DIRTY_PAGES;
    vm.kvm.setUserMemoryRegion({ slot: 7, flags, guest_phys_addr: 0x200000, memory_size: size, userspace_addr: allocateMemory(size) });
    const source = `mov edi, 0x200000; mov ebx, ${pages / 100}
      2: mov ecx, 100; 1: mov byte ptr [edi], 1; add edi, 4096; loop 1b; out 0x11, al; dec ebx; jnz 2b; out 0x10, al; hlt`;
    loadGuest(vm, vcpu, guestImage('flat32', source));
    const written = new Set<bigint>();
    // The kernel keeps some entries in reserve. A software KVM may write on past all of them before it exits, and loses pages then.
    let overran = false;
    const harvest = (): void => {
      const entries = ring.harvest();
      overran ||= entries.length === ring.entries;
      for (const { slot, offset } of entries) if (slot === 7) written.add(offset);
      expect(vm.kvm.resetDirtyRings()).toBe(entries.length);
    };
    const kinds = exits(vcpu, harvest).map(({ kind }) => kind);
    harvest();
    expect(new Set(kinds)).toEqual(new Set(['dirty-ring-full']));
    if (!overran) expect(written.size).toBe(pages);
  });

  it('HYPERV: the guest turns its synthetic interrupt controller on', () => {
    const vm = backend.vm({ irqchip: 'kernel' });
    vm.mapMemory({ gpa: 0, size: 0x10000 });
    const vcpu = vm.createVcpu();
    if (lacks(vm.kvm, 'KVM_CAP_HYPERV_SYNIC2', () => vcpu.kvm.enableCap('KVM_CAP_HYPERV_SYNIC2'))) return;
    const leaves = vcpu.kvm.getSupportedHvCpuid();
    vcpu.kvm.setCpuid2([...vcpu.kvm.getCpuid2().filter((e) => e.function >>> 8 !== 0x400000), ...leaves]);
    vcpu.kvm.enableCap('KVM_CAP_HYPERV_SYNIC2');
    loadGuest(vm, vcpu, guestImage('flat32', 'mov ecx, 0x40000080; mov eax, 1; xor edx, edx; wrmsr; out 0x10, al; hlt'));
    expect(exits(vcpu)).toEqual([
      { kind: 'hyperv', type: C.KVM_EXIT_HYPERV_SYNIC, index: 0x40000080, arguments: ['1', '0', '0', '0', '0', '0'], result: '0' },
    ]);
  });
});

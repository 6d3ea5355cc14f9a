/** Exits that a TypeScript program serves while run() has the vCPU. */
import { allocateMemory, kvmConstants as C, type Vcpu } from 'node-hax';
import { guestImage, loadGuest } from '../support/guests';
import { describeKvm } from '../support/hosts';
import { lacks, recordCalls } from '../support/kvm-calls';

recordCalls('served');

/** KVM_GET_MP_STATE and the rest are for a vCPU that runs nothing: run() ends when the guest writes to port 0x10. */
function untilPort(vcpu: Vcpu): Promise<unknown> {
  vcpu.vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0xff, write: () => vcpu.stop({ reason: 'exit-code', status: 0 }) });
  vcpu.vm.ports.add({ at: 0x11, length: 1 }, { read: () => 0xff, write: () => undefined });
  return vcpu.run();
}
const ended = { reason: 'exit-code', status: 0 };

describeKvm('exits that a program serves', (backend) => {
  it('MSRs of its own: read, written, and refused with #GP', async () => {
    const rdmsr = 'mov ecx, 0x4000beef; rdmsr; mov esi, eax; mov edi, edx';
    const source = `${rdmsr}; mov eax, 7; mov edx, 8; wrmsr; mov ecx, 0x4000dead; rdmsr; hlt; .org 0x100; out 0x10, al; hlt`;
    const { vm, vcpu } = backend.guest('flat32', source);
    if (lacks(vm.kvm, 'KVM_CAP_X86_USER_SPACE_MSR', () => vm.kvm.enableCap('KVM_CAP_X86_USER_SPACE_MSR', [2]))) return;
    vm.kvm.enableCap('KVM_CAP_X86_USER_SPACE_MSR', [C.KVM_MSR_EXIT_REASON_UNKNOWN]);
    vm.memory.write(0x7800 + 13 * 8, Uint8Array.of(0, 0x11, 0x10, 0, 0, 0x8e, 0, 0)); // #GP to 0x10:0x1100
    vcpu.setState({ idt: { base: 0x7800, limit: 0x7ff } });
    const seen: unknown[] = [];
    vcpu.onExit('msr', (exit) => {
      seen.push([exit.direction, exit.index, exit.direction === 'out' && exit.value]);
      if (exit.index !== 0x4000beef) return;
      exit.fault = false;
      exit.value = 0x1122_3344_5566_7788n;
    });
    expect(await untilPort(vcpu)).toEqual(ended);
    expect(seen).toEqual([
      ['in', 0x4000beef, false],
      ['out', 0x4000beef, 0x8_0000_0007n],
      ['in', 0x4000dead, false],
    ]);
    expect([vcpu.getState().rsi, vcpu.getState().rdi]).toEqual([0x5566_7788n, 0x1122_3344n]);
  });

  it('an MSR that is refused does not lose an interrupt that is raised meanwhile', async () => {
    // Masks all but line 4 of the first controller, at vector 8; #GP steps over the two bytes of RDMSR.
    const controller = [
      [0x20, 0x11],
      [0x21, 8],
      [0x21, 4],
      [0x21, 1],
      [0x21, 0xef],
    ].map(([port, byte]) => `mov al, ${byte}; out ${port}, al`);
    const { vm, vcpu } = backend.guest(
      'real',
      `${controller.join('; ')}; sti; mov ecx, 0x4000dead; rdmsr; 1: jmp 1b; .org 0x100; mov bp, sp; add word ptr [bp], 2; iret
       .org 0x120; out 0x10, al; hlt`,
      { irqchip: 'user' },
    );
    if (lacks(vm.kvm, 'KVM_CAP_X86_USER_SPACE_MSR', () => vm.kvm.enableCap('KVM_CAP_X86_USER_SPACE_MSR', [2]))) return;
    vm.kvm.enableCap('KVM_CAP_X86_USER_SPACE_MSR', [C.KVM_MSR_EXIT_REASON_UNKNOWN]);
    vm.memory.write(13 * 4, Uint8Array.of(0, 0x11, 0, 0));
    vm.memory.write((8 + 4) * 4, Uint8Array.of(0x20, 0x11, 0, 0));
    vcpu.onExit('msr', () => vm.irqLine(4).set(true));
    expect(await untilPort(vcpu)).toEqual(ended);
  });

  it('a full dirty ring: harvested by the handler; without one the run ends', async () => {
    const make = (): { vcpu: Vcpu; harvest: () => number } | undefined => {
      const vm = backend.vm();
      if (lacks(vm.kvm, 'KVM_CAP_DIRTY_LOG_RING', () => vm.kvm.resetDirtyRings())) return undefined;
      vm.kvm.enableCap('KVM_CAP_DIRTY_LOG_RING', [4096 * 16]);
      vm.mapMemory({ gpa: 0, size: 0x10000 });
      const vcpu = vm.createVcpu();
      const ring = vcpu.kvm.mapDirtyRing(4096);
      const memory_size = 6000 * 4096;
      const userspace_addr = allocateMemory(memory_size);
      vm.kvm.setUserMemoryRegion({ slot: 7, flags: C.KVM_MEM_LOG_DIRTY_PAGES, guest_phys_addr: 0x200000, memory_size, userspace_addr });
      const source = `mov edi, 0x200000; mov ebx, 60
        2: mov ecx, 100; 1: mov byte ptr [edi], 1; add edi, 4096; loop 1b; out 0x11, al; dec ebx; jnz 2b; out 0x10, al; hlt`;
      loadGuest(vm, vcpu, guestImage('flat32', source));
      return { vcpu, harvest: () => (ring.harvest(), vm.kvm.resetDirtyRings()) };
    };
    const served = make();
    if (!served) return;
    let harvested = 0;
    served.vcpu.onExit('dirty-ring-full', () => {
      harvested += served.harvest();
    });
    expect(await untilPort(served.vcpu)).toEqual(ended);
    expect(harvested).toBeGreaterThan(0);
    expect(await untilPort(make()!.vcpu)).toMatchObject({ reason: 'unhandled-exit', kind: 'dirty-ring-full' });
  });

  it('single steps', async () => {
    const { vcpu } = backend.guest('real', 'nop; nop; inc bx; out 0x10, al; hlt');
    vcpu.kvm.setGuestDebug({ control: C.KVM_GUESTDBG_ENABLE | C.KVM_GUESTDBG_SINGLESTEP, arch: { debugreg: [] } });
    const steps: number[] = [];
    vcpu.onExit('debug', ({ pc }) => {
      steps.push(Number(pc));
      if (steps.length === 3) vcpu.stop({ reason: 'exit-code', status: 0 });
    });
    expect(await untilPort(vcpu)).toEqual(ended);
    expect([steps, vcpu.getState().rbx & 0xffffn]).toEqual([[0x1001, 0x1002, 0x1003], 1n]);
  });

  it('the end of an interrupt of the split controllers goes on, seen or not', async () => {
    for (const serve of [true, false]) {
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
      const lapic = vcpu.kvm.getLapic();
      lapic[0xf1] |= 1;
      for (const register of [0x100, 0x180]) lapic[register + (vector >> 5) * 16 + ((vector & 31) >> 3)] |= 1 << (vector & 7);
      vcpu.kvm.setLapic(lapic);
      const seen: number[] = [];
      if (serve) vcpu.onExit('ioapic-eoi', (exit) => void seen.push(exit.vector));
      expect(await untilPort(vcpu)).toEqual(ended);
      expect(seen).toEqual(serve ? [vector] : []);
    }
  });
});

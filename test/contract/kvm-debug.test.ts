/** Debugging a guest, and registers that travel with entries, in the scenarios of the kernel's own tests of both. */
import { kvmConstants as C, type Exit, type Vcpu } from 'node-hax';
import { apicOn, at } from '../support/guests';
import { describeKvm } from '../support/hosts';
import { EBUSY, EINVAL, recordCalls, refusal } from '../support/kvm-calls';

recordCalls('debug');

/** Bits of DR6 (Intel SDM vol. 3, 18.2.3): a breakpoint's own, BD, a single step. */
const [BD, BS] = [1n << 13n, 1n << 14n];

function debug(vcpu: Vcpu, control: number, debugreg: readonly (number | bigint)[] = []): void {
  vcpu.kvm.setGuestDebug({ control: control && control | C.KVM_GUESTDBG_ENABLE, arch: { debugreg } });
}

/** What is told of a debug exit, with the bits of DR6 that name its cause. */
function told(exit: Exit): unknown {
  if (exit.kind !== 'debug') return exit.kind;
  return [exit.exception, Number(exit.pc) - at.code, exit.dr6 & (BD | BS | 0xfn)];
}

describeKvm('debugging: single steps', (backend) => {
  const step = C.KVM_GUESTDBG_SINGLESTEP;

  it('stop after each instruction, jumps and those that end in user space too', () => {
    const { vcpu } = backend.guest('flat32', 'mov eax, 1; add eax, 2; jmp 1f; nop; 1: out 0x10, al; inc eax; hlt');
    debug(vcpu, step);
    const steps: unknown[] = [];
    let out = 0;
    while (vcpu.getState().rip < at.code + 14) {
      const exit = vcpu.enter();
      if (exit.kind === 'io') out = exit.port;
      else steps.push(told(exit));
    }
    // After an OUT that user space has served, a KVM that emulates instructions goes on to the next one.
    const pcs = steps.length === 4 ? [5, 8, 11, 14] : [5, 8, 11, 13, 14];
    expect(steps).toEqual(pcs.map((pc) => [1, pc, BS])); // #DB
    expect([out, vcpu.getState().rax]).toEqual([0x10, 4n]);
    debug(vcpu, 0);
    expect(vcpu.enter().kind).toBe('hlt');
  });

  it('are not the guest’s own: its flags and debug registers stay as they are', () => {
    const { vcpu } = backend.guest('long64', 'mov rbx, dr7; mov rcx, dr0; out 0x10, al; hlt');
    vcpu.kvm.setDebugregs({ db: [0x1234, 0, 0, 0], dr6: 0xffff0ff0, dr7: 0x400, flags: 0 });
    debug(vcpu, step | C.KVM_GUESTDBG_USE_HW_BP, [0x7fff, 0, 0, 0, 0, 0, 0, 0x402]);
    for (let i = 0; i < 20 && vcpu.enter().kind === 'debug'; i++) expect(vcpu.kvm.getRegs().rflags & 0x100n).toBe(0n); // TF
    expect([vcpu.getState().rbx, vcpu.getState().rcx]).toEqual([0x400n, 0x1234n]);
    expect(vcpu.kvm.getDebugregs()).toMatchObject({ db: [0x1234n, 0n, 0n, 0n], dr7: 0x400n });
  });

  it('can keep interrupts out meanwhile', () => {
    const { vm, vcpu } = backend.guest('flat32', 'nop; nop; nop; 1: jmp 1b; .org 0x100; out 0x10, al; hlt', {
      irqchip: 'kernel',
      pit: false,
    });
    if (!(vm.kvm.checkExtension('KVM_CAP_SET_GUEST_DEBUG2') & C.KVM_GUESTDBG_BLOCKIRQ)) return;
    vm.memory.write(0x7800 + 0x61 * 8, Uint8Array.of(0, 0x11, 0x10, 0, 0, 0x8e, 0, 0)); // vector 0x61 to 0x10:0x1100
    vcpu.setState({ idt: { base: 0x7800, limit: 0x7ff }, rflags: 0x202n });
    apicOn(vcpu);
    vm.kvm.signalMsi({ address_lo: 0xfee00000, address_hi: 0, data: 0x61 });
    debug(vcpu, step | C.KVM_GUESTDBG_BLOCKIRQ);
    expect([1, 2, 3].map(() => told(vcpu.enter()))).toEqual([1, 2, 3].map((pc) => [1, pc, BS]));
    debug(vcpu, 0);
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
  });
});

describeKvm('debugging: breakpoints in registers', (backend, host) => {
  it('each of the four stops the guest where it says, and names itself', () => {
    const { vcpu } = backend.guest('flat32', 'nop; nop; nop; nop; nop; nop; nop; nop; hlt');
    const seen: unknown[] = [];
    for (let i = 0; i < 4 && seen.at(-1) !== 'hlt'; i++) {
      const registers = [0, 0, 0, 0, 0, 0, 0, 0x400 | (2 << (2 * i))];
      registers[i] = at.code + 2 * i + 1;
      debug(vcpu, C.KVM_GUESTDBG_USE_HW_BP, registers);
      seen.push(told(vcpu.enter()));
    }
    // An emulated SVM never fires them: the guest goes on to its end.
    if (seen[0] === 'hlt') expect(host.can.paging32).toBe(true);
    else expect(seen).toEqual([0, 1, 2, 3].map((i) => [1, 2 * i + 1, 1n << BigInt(i)]));
  });

  it('watch writes of one to eight bytes, where the host has watchpoints', () => {
    const { vcpu } = backend.guest('long64', 'mov eax, [0x7008]; mov byte ptr [0x7008], 1; nop; hlt');
    // DR1: written, one byte (RW 01, LEN 00).
    debug(vcpu, C.KVM_GUESTDBG_USE_HW_BP, [0, 0x7008, 0, 0, 0, 0, 0, 0x400 | (2 << 2) | (1 << 20)]);
    const exit = vcpu.enter();
    if (exit.kind !== 'hlt') expect(told(exit)).toEqual([1, 15, 2n]);
  });

  it('are of no concern to the guest: it reads and writes its own, unless DR7.GD has it stopped', () => {
    const { vcpu } = backend.guest('long64', 'mov rax, dr7; out 0x10, al; hlt');
    debug(vcpu, C.KVM_GUESTDBG_USE_HW_BP, [0, 0, 0, 0, 0, 0, 0, 0x2400]);
    const exit = vcpu.enter();
    // General detect: before the instruction that touches a debug register.
    if (exit.kind === 'debug') expect(told(exit)).toEqual([1, 0, BD]);
    else expect([exit.kind, vcpu.getState().rax & 0x2000n]).toEqual(['io', 0n]);
  });
});

describeKvm('debugging: exceptions for the guest', (backend) => {
  it.each([
    ['#DB', C.KVM_GUESTDBG_INJECT_DB, 1],
    ['#BP', C.KVM_GUESTDBG_INJECT_BP, 3],
  ])('%s waits for the next entry, unless one waits already', (_, inject, vector) => {
    const { vm, vcpu } = backend.guest('real', '1: jmp 1b; .org 0x100; out 0x10, al; hlt');
    vm.memory.write(vector * 4, Uint8Array.of(0, 0x11, 0, 0));
    debug(vcpu, inject);
    expect(vcpu.kvm.getVcpuEvents().exception.nr).toBe(vector);
    expect(refusal(() => debug(vcpu, inject))).toBe(`ERR_HAX_IOCTL ${EBUSY}`);
    // An emulated SVM cannot deliver #BP: it has no next instruction to return to.
    if (vector === 1) expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
  });
});

describeKvm('registers that travel with entries', (backend) => {
  const source = '1: inc ebx; out 0x10, al; jmp 1b';
  const all = BigInt(C.KVM_SYNC_X86_REGS | C.KVM_SYNC_X86_SREGS | C.KVM_SYNC_X86_EVENTS);

  it('parts that there are not are refused', () => {
    const { vcpu } = backend.guest('flat32', source);
    const sync = vcpu.kvm.mapSyncRegs();
    expect(BigInt(vcpu.vm.kvm.checkExtension('KVM_CAP_SYNC_REGS'))).toBe(all);
    for (const bad of [all + 1n, 1n << 63n]) {
      sync.valid = bad;
      expect(refusal(() => vcpu.enter())).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
      sync.valid = 0n;
      sync.dirty = bad;
      expect(refusal(() => vcpu.enter())).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
      sync.dirty = 0n;
    }
    expect(vcpu.enter().kind).toBe('io');
  });

  it('the kernel stores what is valid, and nothing else', () => {
    const { vcpu } = backend.guest('flat32', source);
    const sync = vcpu.kvm.mapSyncRegs();
    sync.valid = all;
    expect(vcpu.enter().kind).toBe('io');
    expect([sync.regs, sync.sregs, sync.events]).toEqual([vcpu.kvm.getRegs(), vcpu.kvm.getSregs(), vcpu.kvm.getVcpuEvents()]);
    sync.valid = BigInt(C.KVM_SYNC_X86_SREGS);
    sync.regs = { ...sync.regs, rbx: 0xdead };
    expect(vcpu.enter().kind).toBe('io');
    expect([sync.regs.rbx, vcpu.kvm.getRegs().rbx]).toEqual([0xdeadn, 2n]);
  });

  it('what is valid is one mask, which syncState() sets too: the last one counts', () => {
    const { vcpu } = backend.guest('flat32', source);
    vcpu.syncState(['general']);
    const sync = vcpu.kvm.mapSyncRegs();
    expect([vcpu.enter().kind, vcpu.getState().rbx]).toEqual(['io', vcpu.kvm.getRegs().rbx]);
    sync.valid = BigInt(C.KVM_SYNC_X86_EVENTS);
    expect([vcpu.enter().kind, vcpu.getState().rbx]).toEqual(['io', vcpu.kvm.getRegs().rbx]);
    vcpu.syncState(['general']);
    expect(sync.valid).toBe(BigInt(C.KVM_SYNC_X86_REGS));
    expect([vcpu.enter().kind, vcpu.getState().rbx]).toEqual(['io', vcpu.kvm.getRegs().rbx]);
  });

  it('the kernel takes what is dirty, and nothing else', () => {
    const { vcpu } = backend.guest('flat32', source);
    const sync = vcpu.kvm.mapSyncRegs();
    sync.valid = all;
    expect(vcpu.enter().kind).toBe('io');
    sync.regs = { ...sync.regs, rbx: 0x100 };
    expect(vcpu.enter().kind).toBe('io');
    expect(sync.regs.rbx).toBe(2n); // not marked
    sync.regs = { ...sync.regs, rbx: 0x200 };
    sync.sregs = { ...sync.sregs, cr2: 0xbeef };
    sync.dirty = BigInt(C.KVM_SYNC_X86_REGS);
    expect(vcpu.enter().kind).toBe('io');
    expect([sync.regs.rbx, sync.sregs.cr2, sync.dirty]).toEqual([0x201n, 0n, 0n]);
    sync.sregs = { ...sync.sregs, cr2: 0xbeef };
    sync.dirty = BigInt(C.KVM_SYNC_X86_SREGS);
    expect(vcpu.enter().kind).toBe('io');
    expect([sync.regs.rbx, sync.sregs.cr2]).toEqual([0x202n, 0xbeefn]);
    // Dirty without valid: taken, and not stored again.
    sync.valid = 0n;
    sync.regs = { ...sync.regs, rbx: 0x300 };
    sync.dirty = BigInt(C.KVM_SYNC_X86_REGS);
    expect(vcpu.enter().kind).toBe('io');
    expect([sync.regs.rbx, vcpu.kvm.getRegs().rbx]).toEqual([0x300n, 0x301n]);
  });

  it('an NMI among the events reaches the guest', () => {
    const { vm, vcpu } = backend.guest('real', '1: out 0x10, al; jmp 1b; .org 0x100; out 0x11, al; hlt');
    vm.memory.write(2 * 4, Uint8Array.of(0, 0x11, 0, 0));
    const sync = vcpu.kvm.mapSyncRegs();
    sync.valid = all;
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
    sync.events = { ...sync.events, nmi: { ...sync.events.nmi, pending: 1 }, flags: C.KVM_VCPUEVENT_VALID_NMI_PENDING };
    sync.dirty = BigInt(C.KVM_SYNC_X86_EVENTS);
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x11 });
    expect(sync.events.nmi.masked).toBe(1);
  });
});

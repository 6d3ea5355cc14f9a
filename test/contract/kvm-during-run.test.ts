/** KVM's calls on a vCPU that run() has: a debugger, or who saves a machine, makes them in handlers and while it is paused. */
import { kvmConstants as C, kvmRequests, type Vcpu } from 'node-hax';
import { codeOf } from '../support/codes';
import { at } from '../support/guests';
import { describeKvm } from '../support/hosts';

function step(vcpu: Vcpu, on: boolean): void {
  const control = on ? C.KVM_GUESTDBG_ENABLE | C.KVM_GUESTDBG_SINGLESTEP : 0;
  vcpu.kvm.setGuestDebug({ control, arch: { debugreg: [] } });
}

describeKvm("KVM's calls on a vCPU during run()", (backend) => {
  describe.each([false, true])('threaded %s', (threaded) => {
    it('a handler switches single steps on, and that of the steps switches them off', async () => {
      const { vm, vcpu } = backend.guest('flat32', 'out 0x10, al; inc ebx; inc ebx; inc ebx; inc ebx; hlt');
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => step(vcpu, true) });
      const rips: bigint[] = [];
      vcpu.onExit('debug', ({ pc }) => {
        expect(vcpu.kvm.getRegs().rip).toBe(pc);
        expect(vcpu.kvm.translate(pc).physical_address).toBe(pc);
        if (rips.push(pc) === 2) step(vcpu, false);
      });
      expect(await vcpu.run({ threaded })).toEqual({ reason: 'halted' });
      // After an OUT that user space has served, a KVM that emulates instructions goes on to the next one.
      expect(rips.length).toBe(2);
      expect(rips[1] - rips[0]).toBe(1n);
      expect(vcpu.getState().rbx).toBe(4n);
    });

    it('a paused one gives its state and takes it', async () => {
      const { vcpu } = backend.guest('flat32', '1: inc ebx; jmp 1b; .org 0x100; mov al, 0x5a; hlt');
      const run = vcpu.run({ threaded });
      vcpu.pause();
      expect(vcpu.kvm.getVcpuEvents().exception.injected).toBe(0);
      expect(vcpu.kvm.getXsave().length).toBe(4096);
      vcpu.kvm.setRegs({ ...vcpu.kvm.getRegs(), rip: BigInt(at.code) + 0x100n });
      vcpu.resume();
      expect(await run).toEqual({ reason: 'halted' });
      expect(vcpu.getState().rax & 0xffn).toBe(0x5an);
    });

    it('none enters the guest', async () => {
      const { vcpu } = backend.guest('flat32', '1: jmp 1b');
      const run = vcpu.run({ threaded, paused: true });
      expect(codeOf(() => vcpu.ioctl(kvmRequests.KVM_RUN, 0))).toBe('ERR_HAX_RUNNING');
      // Of which the kernel takes 32 bits.
      expect(codeOf(() => vcpu.ioctl(2 ** 32 + kvmRequests.KVM_RUN, 0))).toBe('ERR_HAX_INVALID_ARGUMENT');
      expect(() => vcpu.ioctl(kvmRequests.KVM_RUN, 0)).toThrow(expect.objectContaining({ hint: expect.stringContaining('stop() it') }));
      vcpu.stop();
      await run;
    });
  });

  it('one whose guest is in on a thread refuses them', async () => {
    const { vcpu } = backend.guest('flat32', '1: jmp 1b');
    const run = vcpu.run({ threaded: true });
    expect(codeOf(() => vcpu.kvm.getRegs())).toBe('ERR_HAX_RUNNING');
    vcpu.stop();
    await run;
  });
});

/** An application processor that waits for INIT and its start-up IPI: whoever asks for its MP state has it take them, which changes its registers. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Vcpu, VcpuState, VirtualMachine } from 'node-hax';
import { assemble } from '../support/assemble';
import { at, guestImage, loadGuest, ramSize, sink } from '../support/guests';
import { describeKvm, type Backend } from '../support/hosts';

/** Through the boot processor's local APIC (Intel SDM vol. 3, 11.6.1): enabled; to APIC id 1; INIT; start at 0x8000. */
const startTheOther = `mov dword ptr [0xf0], 0x1ff; mov dword ptr [0x310], 0x01000000; mov dword ptr [0x300], 0x4500
  mov dword ptr [0x300], 0x4608; out 0x11, al; hlt`;
const [ownCode, startCode] = [0x3000, 0x8000];

/** Two processors; the second one has run code of its own, then the first has sent it INIT and a start-up IPI, which it has not taken. */
function withPending(backend: Backend, synced: readonly ('general' | 'system')[]): { vm: VirtualMachine; ap: Vcpu } {
  const vm = backend.vm({ irqchip: 'kernel', pit: false });
  vm.mapMemory({ gpa: 0, size: ramSize });
  const [bsp, ap] = [vm.createVcpu({ cpus: 2 }), vm.createVcpu({ cpus: 2 })];
  loadGuest(vm, bsp, guestImage('real', startTheOther));
  bsp.setState({ ds: { base: 0xfee00000 } });
  vm.memory.write(ownCode, assemble('out 0x10, al; out 0x12, al; hlt', { origin: ownCode }));
  vm.memory.write(startCode, assemble('out 0x80, al; hlt', { origin: startCode }));
  ap.syncState(synced);
  ap.setParts({ general: { rip: ownCode, rflags: 2 }, system: { cs: { base: 0, selector: 0 } }, mpState: 'runnable' });
  expect(ap.enter()).toMatchObject({ kind: 'io', port: 0x10 });
  ap.complete();
  expect(bsp.enter()).toMatchObject({ kind: 'io', port: 0x11 });
  return { vm, ap };
}

const started = { rip: 0n, cs: startCode };
const where = ({ general, system }: Pick<VcpuState, 'general' | 'system'>): object => ({ rip: general.rip, cs: Number(system.cs.base) });

describeKvm('a start-up IPI that is pending', (backend) => {
  describe.each([[[]], [['general', 'system']]] as const)('with %j travelling with each exit', (synced) => {
    it('is taken before the registers that are asked for together with the MP state', () => {
      const { ap } = withPending(backend, synced);
      expect(where(ap.getParts(['general', 'system', 'mpState']))).toEqual(started);
      expect(ap.kvm.getRegs().rip).toBe(0n);
    });

    it('shows in all registers once the MP state was read', () => {
      const { ap } = withPending(backend, synced);
      expect(ap.registers.rip).toBe(BigInt(ownCode + 2));
      expect(ap.mpState).toBe('runnable');
      const { rip, cs } = ap.getState();
      expect([rip, cs.base, ap.registers.rip, ap.getPosition().rip]).toEqual([0n, BigInt(startCode), 0n, 0n]);
    });

    it('is where the processor goes on, whatever register was set after it was taken', () => {
      const { ap } = withPending(backend, synced);
      expect(ap.mpState).toBe('runnable');
      ap.registers.rbx = 5n;
      expect(ap.enter()).toMatchObject({ kind: 'io', port: 0x80 });
      expect(ap.registers.rbx).toBe(5n);
    });
  });
});

describeKvm('registers that are set while a processor waits for INIT', (backend) => {
  it('are not lost by an entry that a signal ends, and later ones count', async () => {
    const vm = backend.vm({ irqchip: 'kernel', pit: false });
    vm.mapMemory({ gpa: 0, size: ramSize });
    vm.createVcpu({ cpus: 2 });
    const ap = vm.createVcpu({ cpus: 2 });
    vm.memory.write(at.code, assemble('out 0x10, al; hlt', { origin: at.code }));
    const written: number[] = [];
    const device = sink((value) => {
      written.push(value);
      ap.stop();
    });
    vm.ports.add({ at: 0x10, length: 1 }, device);
    ap.syncState(['general']);
    const wait = async (): Promise<void> => {
      const { kicks } = ap.counters;
      const run = ap.run();
      while (ap.counters.kicks === kicks) await delay(1);
      ap.stop();
      await run;
    };
    await wait();
    ap.setState({ rax: 0x11 });
    await wait();
    expect(ap.getState().rax).toBe(0x11n);
    ap.kvm.setVcpuEvents(ap.kvm.getVcpuEvents());
    ap.setParts({
      general: { rip: at.code, rax: 0x22, rflags: 2 },
      system: { cs: { base: 0, selector: 0 } },
      mpState: 'runnable',
    });
    expect(await ap.run()).toEqual({ reason: 'killed' });
    expect(written).toEqual([0x22]);
  });
});

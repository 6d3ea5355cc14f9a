/** Pauses that come while a handler of the vCPU is at work, or its promise is awaited: no reply is lost, none stays half done. */
import { setTimeout as delay } from 'node:timers/promises';
import type { RunEnd, Vcpu } from 'node-hax';
import { codeOf, codeOfAsync } from '../support/codes';
import { at } from '../support/guests';
import { describeEachBackend } from '../support/hosts';

const halted: RunEnd = { reason: 'halted' };
const al = (vcpu: Vcpu): number => Number(vcpu.getState().rax & 0xffn);
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(1);
}

describeEachBackend('a pause at an access of the vCPU', (backend) => {
  describe.each([false, true])('threaded %s', (threaded) => {
    const reading = (read: (vcpu: Vcpu) => number | Promise<number>): Vcpu => {
      const { vm, vcpu } = backend.program({ kind: 'in', port: 0x60 });
      vm.ports.add({ at: 0x60, length: 1 }, { read: () => read(vcpu), write: () => undefined });
      return vcpu;
    };

    it.each([
      ['its own handler', (vcpu: Vcpu): number => (vcpu.pause(), 0x5a)],
      ['its own handler, which gives a promise', (vcpu: Vcpu): Promise<number> => (vcpu.pause(), delay(5, 0x5a))],
      ['somebody else while its promise is awaited', (vcpu: Vcpu): Promise<number> => (setTimeout(() => vcpu.pause(), 1), delay(20, 0x5a))],
    ])('by %s shows the reply, once it is there, and goes on with it', async (_name, read) => {
      const vcpu = reading(read);
      const run = vcpu.run({ threaded });
      await until(() => vcpu.paused && al(vcpu) === 0x5a);
      vcpu.resume();
      expect(await run).toEqual(halted);
      expect(al(vcpu)).toBe(0x5a);
    });

    it('is not needed to complete one whose handler has not replied: that is refused, and the reply is not lost', async () => {
      const codes: (string | undefined)[] = [];
      const complete = (): void => void codes.push(codeOf(() => reader.complete()));
      const reader = reading(async () => {
        complete();
        await delay(1);
        complete();
        return 0x5a;
      });
      expect(await reader.run({ threaded })).toEqual(halted);
      expect([codes, al(reader)]).toEqual([['ERR_HAX_RUNNING', 'ERR_HAX_RUNNING'], 0x5a]);
      const { vm, vcpu: writer } = backend.program({ kind: 'out', port: 0x60 });
      vm.ports.add({ at: 0x60, length: 1 }, { read: () => 0, write: () => writer.complete() });
      expect(await writer.run({ threaded })).toEqual(halted);
    });

    it('by its own handler, and stopped in the pause, shows the reply', async () => {
      const vcpu = reading(() => (vcpu.pause(), 0x5a));
      const run = vcpu.run({ threaded });
      await until(() => vcpu.paused);
      vcpu.stop();
      expect(await run).toEqual({ reason: 'killed' });
      expect(al(vcpu)).toBe(0x5a);
    });

    it('that a run begins with lets no instruction through', async () => {
      const vcpu = reading(() => 0x5a);
      const { entries } = vcpu.counters;
      const run = vcpu.run({ threaded, paused: true });
      await delay(20);
      expect([vcpu.paused, vcpu.counters.entries]).toEqual([true, entries]);
      vcpu.resume();
      expect(await run).toEqual(halted);
      expect([vcpu.paused, al(vcpu)]).toEqual([false, 0x5a]);
      const stopped = vcpu.run({ threaded, paused: true });
      vcpu.stop();
      expect(await stopped).toEqual({ reason: 'killed' });
      expect(await codeOfAsync(() => vcpu.run({ threaded, paused: 1 as never }))).toBe('ERR_HAX_INVALID_ARGUMENT');
    });

    it('and resumed by the handler that it has waited for is over', async () => {
      const { vm, vcpu } = backend.program({ kind: 'out', port: 0x60, times: 2 ** 31 });
      let [pausing, resumed, writes] = [false, 0, 0];
      const write = (): void => {
        writes++;
        if (!pausing) return;
        vcpu.resume();
        resumed++;
      };
      vm.ports.add({ at: 0x60, length: 1 }, { read: () => 0, write });
      const run = vcpu.run({ threaded });
      // Inline no exit waits while others have the thread: the handler itself pauses.
      for (let i = 0; i < 500 && (threaded ? resumed < 3 : i < 3); i++) {
        const before = writes;
        pausing = true;
        vcpu.pause();
        pausing = false;
        if (vcpu.paused) vcpu.resume();
        await until(() => writes > before + 1);
      }
      vcpu.stop();
      expect(await run).toEqual({ reason: 'killed' });
    });

    it('is over with the vCPU: to resume it then is nothing', async () => {
      const vcpu = reading(() => 0x5a);
      const run = vcpu.run({ threaded, paused: true });
      vcpu.close();
      vcpu.resume();
      expect(await run).toEqual({ reason: 'killed' });
      vcpu.resume();
    });

    it('and resumed in the same handler leaves nothing behind', async () => {
      const vcpu = reading(() => (vcpu.pause(), vcpu.resume(), 0x5a));
      expect(await vcpu.run({ threaded })).toEqual(halted);
      expect([vcpu.paused, al(vcpu)]).toEqual([false, 0x5a]);
    });
  });
});

describeEachBackend(
  'a pause at accesses of a guest',
  (backend) => {
    it.each([false, true])('loses none of a string, in or out, nor any of memory; threaded %s', async (threaded) => {
      const source = `mov di, ${at.data}; mov cx, 20; mov dx, 0x60; rep insb; mov si, ${at.data}; mov cx, 20; rep outsb
        mov ax, 0x3000; mov ds, ax; mov al, [0x10]; mov [0x11], al; hlt`;
      const { vm, vcpu } = backend.guest('real', source);
      const numbers = Array.from({ length: 20 }, (_, i) => i + 1);
      const written: number[] = [];
      let reads = 0;
      const pausing = <T>(value: T): T => {
        vcpu.pause();
        setTimeout(() => vcpu.resume(), 1);
        return value;
      };
      vm.ports.add({ at: 0x60, length: 1 }, { read: () => pausing(++reads), write: (_, value) => void pausing(written.push(value)) });
      vm.mmio.add({ at: 0x30000, length: 0x100 }, { read: () => pausing(0x77), write: (_, value) => void pausing(written.push(value)) });
      expect(await vcpu.run({ threaded })).toEqual(halted);
      expect([...vm.memory.read(at.data, 20)]).toEqual(numbers);
      expect(written).toEqual([...numbers, 0x77]);
    });
  },
  { needs: 'guests' },
);

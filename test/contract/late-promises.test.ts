/** Promises of handlers that settle when their run has ended: they do not reach the access of a later one. */
import { setImmediate as turn } from 'node:timers/promises';
import type { IoHandler, RunEnd } from 'node-hax';
import { at } from '../support/guests';
import { describeEachBackend, type Made } from '../support/hosts';

const halted: RunEnd = { reason: 'halted' };

/** Answers by a promise each access that `slow` says; the others at once, with the number of the access. */
class Slow implements IoHandler {
  readonly written: number[] = [];
  settle: ((value: number) => void) | undefined;
  #count = 0;

  constructor(private readonly slow: (count: number) => boolean) {}

  read(): number | Promise<number> {
    return this.#answer();
  }

  write(_offset: number, value: number): void | Promise<void> {
    this.written.push(value);
    const answer = this.#answer();
    if (typeof answer !== 'number') return answer.then(() => undefined);
  }

  #answer(): number | Promise<number> {
    return this.slow(++this.#count) ? new Promise((settle) => (this.settle = settle)) : this.#count;
  }
}

describeEachBackend(
  'a promise of a run that was stopped',
  (backend) => {
    describe.each([false, true])('threaded %s', (threaded) => {
      const until = async (condition: () => unknown): Promise<void> => {
        while (!condition()) await turn();
      };
      /** Stops the run that waits for `first`, and lets its promise settle while the next run waits for `second`. */
      const twoRuns = async ({ vcpu }: Made, first: Slow, second: Slow): Promise<void> => {
        const run = vcpu.run({ threaded });
        await until(() => first.settle);
        vcpu.stop();
        await run;
        const next = vcpu.run({ threaded });
        await until(() => second.settle);
        first.settle!(0xee);
        for (let i = 0; i < 3; i++) await turn();
        second.settle!(4);
        expect(await next).toEqual(halted);
      };

      it('is not in the string that a later one reads', async () => {
        const source = `mov di, ${at.data}; mov cx, 4; mov dx, 0x60; rep insb; mov cx, 4; mov dx, 0x61; rep insb; hlt`;
        const made = backend.guest('real', source);
        const [first, second] = [new Slow((count) => count === 1), new Slow((count) => count === 4)];
        made.vm.ports.add({ at: 0x60, length: 1 }, first);
        made.vm.ports.add({ at: 0x61, length: 1 }, second);
        await twoRuns(made, first, second);
        expect([...made.vm.memory.read(at.data + 4, 4)]).toEqual([1, 2, 3, 4]);
      });

      it('is not in the bytes that a later one reads from memory', async () => {
        const made = backend.guest('long64', 'mov rax, [0x30000]; mov rbx, [0x30010]; hlt');
        const [first, second] = [new Slow((count) => count === 1), new Slow((count) => count === 2)];
        made.vm.mmio.add({ at: 0x30000, length: 8 }, first);
        made.vm.mmio.add({ at: 0x30010, length: 8 }, second);
        await twoRuns(made, first, second);
        expect(made.vcpu.getState().rbx).toBe(0x4_0000_0001n);
      });

      it.each([
        ['a port', 'mov al, 0x77; out 0x61, al; in al, 0x60; hlt'],
        ['memory', 'mov ax, 0x3000; mov ds, ax; mov al, 0x77; out 0x61, al; mov al, [0]; hlt'],
      ])('has read all-ones from %s, not what an earlier access has left, and is behind the access', async (_name, source) => {
        const { vm, vcpu } = backend.guest('real', source);
        const device = new Slow(() => true);
        vm.ports.add({ at: 0x60, length: 1 }, device);
        vm.ports.add({ at: 0x61, length: 1 }, { read: () => 0, write: () => undefined });
        vm.mmio.add({ at: 0x30000, length: 1 }, device);
        const run = vcpu.run({ threaded });
        await until(() => device.settle);
        vcpu.stop();
        await run;
        const { rip } = vcpu.getState();
        expect(await vcpu.run({ threaded })).toEqual(halted);
        expect([vcpu.getState().rax & 0xffn, vcpu.getState().rip]).toEqual([0xffn, rip + 1n]);
      });

      it('goes on with the bytes of its own write', async () => {
        const source = 'mov rax, 0x1122334455667788; mov [0x30000], rax; inc rax; ror rax, 32; mov [0x30010], rax; hlt';
        const made = backend.guest('long64', source);
        const [first, second] = [new Slow((count) => count === 1), new Slow((count) => count === 1)];
        made.vm.mmio.add({ at: 0x30000, length: 8 }, first);
        made.vm.mmio.add({ at: 0x30010, length: 8 }, second);
        await twoRuns(made, first, second);
        expect([first.written, second.written]).toEqual([
          [0x55667788, 0x11223344],
          [0x11223344, 0x55667789],
        ]);
      });
    });
  },
  { needs: 'guests' },
);

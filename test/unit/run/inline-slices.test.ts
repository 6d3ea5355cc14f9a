/** The inline run loop: slices, pauses, and interrupts of controllers of ours. */
import type { InterruptSource } from '../../../lib/bus/interrupts';
import { exitPage, ExitKind, InterruptReason } from '../../../lib/native/layout';
import { bench, next, run } from './inline-bench';
import { exit, halt, out, runner, script, scripted, slice } from './scripted-addon';

jest.mock('../../../lib/native/addon', () => jest.requireActual<typeof import('./scripted-addon')>('./scripted-addon').scriptedAddon);

it('a handler that has writes posted ends the slice, and the next one looks for them', async () => {
  const made = bench();
  const { posted } = made.vcpu.vm as unknown as { posted: { active: boolean; waiting: boolean; onActive: Set<() => void>; drain(): void } };
  const drained: number[] = [];
  Object.assign(posted, { waiting: true, drain: () => void drained.push(made.vcpu.exits.snapshot().slices) });
  const write = (): void => {
    posted.active = true;
    for (const tell of posted.onActive) tell();
  };
  made.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write });
  await run(made, out(0x10, 1), halt);
  expect(drained).toEqual([2]);
});

describe('slices', () => {
  it('give up at an event; a guest that never exits gets longer ones, one that exits the shortest again', () => {
    const made = bench();
    void made.vcpu.run();
    for (let i = 0; i < 6; i++) expect(slice()).toBe(next.goOn);
    expect(runner.caps.map((cap) => cap / 1e6)).toEqual([10, 100, 480]);
    script.push(out(1, 1), exit(ExitKind.Interrupted, { subcode: InterruptReason.Slice }));
    slice();
    expect(runner.caps.at(-1)).toBe(10e6);
    slice();
    script.push(exit(ExitKind.Interrupted, { subcode: InterruptReason.Kick }));
    slice();
    expect(runner.caps.map((cap) => cap / 1e6).slice(-2)).toEqual([100, 10]);
    made.vcpu.stop();
  });

  it('end with the first exit where they would be long, so that its promises need not wait', () => {
    const { vcpu, ports } = bench();
    let served = 0;
    ports.add({ at: 1, length: 1 }, { read: () => 0, write: () => void served++ });
    void vcpu.run();
    script.push(out(1, 1), out(1, 1), out(1, 1));
    slice();
    expect(served).toBe(3);
    slice(); // a quiet one: the next would be long
    script.push(out(1, 1), out(1, 1), out(1, 1));
    slice();
    expect(served).toBe(4);
    expect(runner.caps.at(-1)).toBe(10e6);
    slice();
    expect(served).toBe(6);
    vcpu.stop();
  });

  it('are short from the first posted write on', () => {
    const { vcpu } = bench();
    const run = vcpu.run();
    for (let i = 0; i < 4; i++) slice();
    expect(runner.caps.at(-1)).toBeGreaterThan(10e6);
    const { onActive } = vcpu.vm.posted;
    for (const tell of onActive) tell();
    expect(runner.caps.at(-1)).toBe(10e6);
    vcpu.stop();
    return run;
  });

  it('find a guest that is halted for good under the controllers of the kernel', async () => {
    const now = jest.spyOn(process.hrtime, 'bigint').mockReturnValue(0n);
    try {
      const made = bench({ kernelIrqchip: true });
      const ended = made.vcpu.run();
      const after = (milliseconds: number): number => {
        now.mockReturnValue(BigInt(milliseconds) * 1_000_000n);
        return slice();
      };
      made.native.halted = true;
      expect(after(50)).toBe(next.goOn); // not asked that often
      made.native.rflags = 0x202n;
      expect(after(200)).toBe(next.goOn); // an interrupt can wake it
      made.native.rflags = 2n;
      expect(after(400)).toBe(next.end);
      expect(await ended).toEqual({ reason: 'halted' });
    } finally {
      now.mockRestore();
    }
  });

  it('tell others of the thread when the guest sleeps under the controllers of the kernel, and when it no longer does', () => {
    const other = bench().vcpu;
    void other.run();
    const made = bench({ kernelIrqchip: true });
    void made.vcpu.run();
    slice();
    expect(runner.idle).toEqual([]);
    made.native.halted = true;
    slice();
    slice();
    expect(runner.idle).toEqual([true]);
    script.push(exit(ExitKind.Io, { port: 0x30, direction: 'out' }));
    slice();
    slice();
    script.push(exit(ExitKind.Io, { port: 0x30, direction: 'out' }));
    slice();
    expect(runner.idle).toEqual([true, false, true, false]);
    slice();
    slice();
    other.stop();
    slice();
    expect(runner.idle.slice(4)).toEqual([true, false]); // nobody is left to be told
    made.vcpu.stop();
  });

  it('may be late where looks at the clock end them, but not while writes are posted or a slice is long', () => {
    const { vcpu, ports } = bench();
    ports.add({ at: 1, length: 1 }, { read: () => 0, write: () => undefined });
    void vcpu.run();
    slice();
    slice();
    script.push(out(1, 1));
    slice();
    expect(runner.caps.map((cap) => cap / 1e6)).toEqual([10, 100, 480, 10]);
    expect(runner.lateCaps.map((cap) => cap / 1e6)).toEqual([25, 100, 480, 25]);
    const { posted } = vcpu.vm as unknown as { posted: { active: boolean; onActive: Set<() => void> } };
    posted.active = true;
    for (const tell of posted.onActive) tell();
    expect([runner.caps.at(-1), runner.lateCaps.at(-1)]).toEqual([10e6, 10e6]);
    vcpu.stop();
  });

  it('setReferenced is passed on', () => {
    const made = bench();
    void made.vcpu.run();
    made.vcpu.setReferenced(false);
    expect(runner.referenced).toBe(false);
    made.vcpu.stop();
  });
});

describe('pause and resume', () => {
  it('the guest rests in between', async () => {
    const made = bench();
    const ended = made.vcpu.run();
    expect(slice()).toBe(next.goOn);
    made.vcpu.pause();
    expect(made.native.completed).toBe(1);
    expect(slice()).toBe(next.park);
    made.vcpu.resume();
    expect(runner.woken).toBe(1);
    script.push(halt);
    expect(slice()).toBe(next.end);
    expect(await ended).toEqual({ reason: 'halted' });
  });
});

describe('interrupt controllers of ours', () => {
  class Source implements InterruptSource {
    queue: number[] = [];
    onPending: (() => void) | undefined;
    get pending(): boolean {
      return this.queue.length > 0;
    }
    acknowledge(): number {
      return this.queue.shift()!;
    }
    raise(vector: number): void {
      this.queue.push(vector);
      this.onPending?.();
    }
  }
  const ready = (on: boolean) => scripted.page.setUint32(exitPage.interruptReady, on ? 1 : 0, true);
  const window = (): number => scripted.page.getUint32(exitPage.requestWindow, true);

  it('give a vector when the guest can take one, and ask to be told otherwise', () => {
    const source = new Source();
    const made = bench({ source });
    void made.vcpu.run();
    ready(false);
    source.raise(0x20);
    slice();
    expect([made.native.injected, window()]).toEqual([[], 1]);
    ready(true);
    source.queue.push(0x21);
    script.push(exit(ExitKind.IrqWindow));
    slice();
    expect([made.native.injected, window()]).toEqual([[0x20], 1]);
    ready(true);
    slice();
    slice();
    expect([made.native.injected, window()]).toEqual([[0x20, 0x21], 0]);
    made.vcpu.stop();
    expect(source.onPending).toBeUndefined();
  });

  it('wake a guest that is halted; with interrupts off it is halted for good', async () => {
    const source = new Source();
    const made = bench({ source });
    made.native.rflags = 0x202n;
    const ended = made.vcpu.run();
    script.push(halt);
    expect(slice()).toBe(next.park);
    expect(slice()).toBe(next.park);
    source.raise(0x20);
    expect(runner.woken).toBe(1);
    ready(true);
    made.native.rflags = 2n;
    script.push(halt);
    expect(slice()).toBe(next.end);
    expect(await ended).toEqual({ reason: 'halted' });
    expect(made.native.injected).toEqual([0x20]);
  });

  it('an interrupt that is taken back before the guest has it does not end a halt', () => {
    const source = new Source();
    const made = bench({ source });
    made.native.rflags = 0x202n;
    void made.vcpu.run();
    script.push(halt);
    expect(slice()).toBe(next.park);
    source.raise(0x20);
    source.queue.length = 0;
    script.push(out(0x10, 1));
    expect([slice(), script.length]).toEqual([next.park, 1]);
    source.raise(0x21);
    ready(true);
    expect([slice(), script.length, made.native.injected]).toEqual([next.goOn, 0, [0x21]]);
    made.vcpu.stop();
  });

  it('a halt with an interrupt that waits is none', () => {
    const source = new Source();
    const made = bench({ source });
    made.native.rflags = 0x202n;
    void made.vcpu.run();
    ready(false);
    source.queue.push(0x30);
    script.push(halt);
    expect(slice()).toBe(next.goOn);
    made.vcpu.stop();
  });
});

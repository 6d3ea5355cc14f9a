/** Slices that follow each other at once: the event loop has a turn when it has something to do, or has waited for long. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { describeEachBackend } from '../support/hosts';

type Metrics = { readonly uvMetricsInfo: { readonly loopCount: number } };
const turns = (): number => (performance.nodeTiming as unknown as Metrics).uvMetricsInfo.loopCount;

describeEachBackend('slices of a guest that exits all the time', (backend) => {
  /** Calls `handler` with the number of slices that are over, until it says that it is through. */
  async function untilDone(handler: (slices: number) => boolean): Promise<void> {
    const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10, times: 2 ** 31 });
    const write = (): void => {
      if (handler(vcpu.exits.snapshot().slices)) vcpu.stop();
    };
    vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write });
    expect(await vcpu.run()).toEqual({ reason: 'killed' });
  }

  it('cost the loop no turn each, while it has nothing to do', async () => {
    // A collection of V8's has a task for each turn while it goes on, for example that of the test file before: the least of some tries counts.
    let least = Infinity;
    for (let i = 0; i < 20 && least >= 25; i++) {
      let [before, began] = [0, 0];
      await untilDone((slices) => {
        before ||= turns();
        began ||= performance.now();
        return slices >= 50;
      });
      // One each 100 ms is right, and a slice may take that long on a busy machine.
      least = Math.min(least, turns() - before - (performance.now() - began) / 100);
      await delay(50);
    }
    expect(least).toBeLessThan(25);
  });

  it.each([
    ['a promise', (callback: () => void) => void Promise.resolve().then(callback)],
    ['process.nextTick()', (callback: () => void) => process.nextTick(callback)],
  ])('leave what a handler gives to %s no longer than the slice', async (_, give) => {
    let [given, done, late] = [0, true, 0];
    await untilDone((slices) => {
      if (done) {
        given = slices;
        done = false;
        give(() => (done = true));
      } else if (slices > given) {
        late++;
      }
      return late > 0 || slices >= 5;
    });
    expect(late).toBe(0);
  });

  // Exits of a device may be too slow for two looks at the clock in a slice, and a busy machine may have other work when a slice is to end.
  if (backend.name === 'null') {
    it('are ended by looks at the clock, without a kick', async () => {
      const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10, times: 2 ** 31 });
      const ofTheirOwn = (slices: number): number => slices - vcpu.counters.kicks;
      const write = (): void => {
        const { slices } = vcpu.exits.snapshot();
        if (ofTheirOwn(slices) >= 10 || slices >= 2000) vcpu.stop();
      };
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write });
      await vcpu.run();
      expect(ofTheirOwn(vcpu.exits.snapshot().slices)).toBeGreaterThanOrEqual(10);
    });
  }

  it('do not follow the one in whose tick the run has ended, beside a guest that waits', async () => {
    const other = backend.program({ kind: 'spin' }).vcpu;
    const waiting = other.run({ paused: true });
    await delay(5); // it has had its turn
    const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10, times: 2 ** 31 });
    let [writes, late, stopped] = [0, 0, false];
    const stop = (): void => {
      stopped = true;
      vcpu.stop();
    };
    const write = (): void => {
      if (stopped) late++;
      else if (++writes === 100) process.nextTick(stop);
    };
    vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write });
    expect(await vcpu.run()).toEqual({ reason: 'killed' });
    await delay(5);
    expect(late).toBe(0);
    other.stop();
    await waiting;
  });

  it('end for an immediate and for a timer', async () => {
    const seen: string[] = [];
    let asked = false;
    await untilDone(() => {
      if (!asked) {
        setImmediate(() => seen.push('immediate'));
        setTimeout(() => seen.push('timer'), 30);
        asked = true;
      }
      return seen.length === 2;
    });
    expect(seen.sort()).toEqual(['immediate', 'timer']);
  });
});

import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import type { RunOptions, Vcpu } from 'node-hax';
import { describeEachBackend } from '../support/hosts';
import { shareBeside, writesForEver } from '../support/shares';

const milliseconds = ({
  counters: { guestNs, javascriptNs, waitingNs },
}: Vcpu): { guest: number; javascript: number; waiting: number } => ({
  guest: guestNs / 1e6,
  javascript: javascriptNs / 1e6,
  waiting: waitingNs / 1e6,
});

/** Keeps this thread busy. */
function work(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

describeEachBackend('where the time of a run goes', (backend) => {
  describe.each<[string, RunOptions]>([
    ['inline', {}],
    ['threaded', { threaded: true }],
  ])('%s', (_, options) => {
    it('to the guest while it spins', async () => {
      const { vcpu } = backend.program({ kind: 'spin' });
      const began = performance.now();
      // On a slow machine the first delay ends before the first slice, and what is not compiled yet takes longer than the slice.
      do {
        const run = vcpu.run(options);
        await delay(100);
        vcpu.stop();
        await run;
      } while (vcpu.counters.guestNs <= vcpu.counters.javascriptNs);
      const whole = performance.now() - began;
      const { guest, javascript, waiting } = milliseconds(vcpu);
      expect(guest + javascript + waiting).toBeLessThanOrEqual(whole * 1.01);
    });

    it('to the guest before it has exited', async () => {
      const { vcpu } = backend.program({ kind: 'spin' });
      const run = vcpu.run(options);
      const seen = [vcpu.counters.guestNs];
      while (seen.length < 4) {
        await delay(20);
        const { guestNs } = vcpu.counters;
        if (guestNs !== seen.at(-1)) seen.push(guestNs);
      }
      vcpu.stop();
      await run;
      seen.push(vcpu.counters.guestNs);
      expect(seen).toEqual([...seen].sort((a, b) => a - b));
    });

    // Few enough for each to be timed, and so many in a slice that most are not: then other work of the machine may meet with a sample, or with
    // what is between samples, and what devices have asked for at least is all that can be told.
    it.each([
      [8, 0.9],
      [2000, 0.2],
    ])('to JavaScript while devices work, %i exits', async (times, share) => {
      const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10, times });
      let inHandlers = 0;
      vm.ports.add(
        { at: 0x10, length: 1 },
        {
          read: () => 0,
          write: () => {
            const began = performance.now();
            work(100 / times);
            inHandlers += performance.now() - began;
          },
        },
      );
      const began = performance.now();
      await vcpu.run(options);
      const { javascript } = milliseconds(vcpu);
      expect(javascript).toBeGreaterThan((times > 8 ? 100 : inHandlers) * share);
      expect(javascript).toBeLessThanOrEqual(performance.now() - began);
    });

    it('to waiting while a promise has the reply, and to nobody between runs', async () => {
      /** The share of the time until the answer in which the vCPU waited. */
      const ask = async (): Promise<{ vcpu: Vcpu; share: number }> => {
        const { vm, vcpu } = backend.program({ kind: 'in', port: 0x10 });
        let asked = 0;
        let answered = 0;
        const read = async (): Promise<number> => {
          asked = performance.now();
          await delay(60);
          answered = performance.now();
          return 1;
        };
        vm.ports.add({ at: 0x10, length: 1 }, { read, write: () => undefined });
        await vcpu.run(options);
        return { vcpu, share: milliseconds(vcpu).waiting / (answered - asked) };
      };
      let seen = await ask();
      // What else the machine did between the question and the end of the slice is no waiting.
      for (let i = 0; i < 50 && seen.share <= 0.5; i++) seen = await ask();
      expect(seen.share).toBeGreaterThan(0.5);
      const before = seen.vcpu.counters;
      await delay(20);
      expect(seen.vcpu.counters).toEqual(before);
    });
  });
});

describeEachBackend('guests that run inline on one thread', (backend) => {
  it('have turns, though one of them never exits', async () => {
    expect(await shareBeside(backend.program({ kind: 'spin' }).vcpu, backend)).toBeGreaterThan(0.3);
  });

  const counted = (): { vcpu: Vcpu; writes: () => number } => {
    const { vm, vcpu } = writesForEver(backend);
    let count = 0;
    vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => void count++ });
    return { vcpu, writes: () => count };
  };

  it('have turns each, in a program that lives in setImmediate', async () => {
    const guests = [counted(), counted()];
    const runs = guests.map(({ vcpu }) => vcpu.run());
    const all = (): number[] => guests.map(({ writes }) => writes());
    for (let turns = 0; turns < 20_000 && Math.min(...all()) <= 1000; turns++) await turn();
    expect(Math.min(...all())).toBeGreaterThan(1000);
    for (const { vcpu } of guests) vcpu.stop();
    expect(await Promise.all(runs)).toEqual([{ reason: 'killed' }, { reason: 'killed' }]);
  });

  it('leave it to the exits of one with a thread of its own', async () => {
    const { vcpu: spins } = backend.program({ kind: 'spin' });
    const { vcpu, writes } = counted();
    const runs = [spins.run(), vcpu.run({ threaded: true })];
    while (writes() < 5000 && spins.counters.guestNs < 10e9) await delay(500);
    expect(writes()).toBeGreaterThanOrEqual(5000);
    for (const each of [spins, vcpu]) each.stop();
    expect(await Promise.all(runs)).toEqual([{ reason: 'killed' }, { reason: 'killed' }]);
  });
});

import { setImmediate as turn } from 'node:timers/promises';
import { describeEachBackend } from '../support/hosts';

describeEachBackend('a spinning guest', (backend) => {
  it('is stopped 1,000 times in every way, none lost', async () => {
    const { vcpu } = backend.program({ kind: 'spin' });
    const ways: (() => Promise<unknown>)[] = [
      // At once; by a microtask; in each phase of the loop; by a signal; by a timer that is due during the slice.
      () => {
        const run = vcpu.run();
        vcpu.stop();
        return run;
      },
      () => {
        const run = vcpu.run();
        queueMicrotask(() => vcpu.stop());
        return run;
      },
      () => {
        const run = vcpu.run();
        setImmediate(() => vcpu.stop());
        return run;
      },
      () => {
        const run = vcpu.run();
        setTimeout(() => vcpu.stop(), 0);
        return run;
      },
      async () => {
        const run = vcpu.run();
        await turn();
        await turn();
        vcpu.kick();
        vcpu.stop();
        return run;
      },
      () => {
        const controller = new AbortController();
        const run = vcpu.run({ signal: controller.signal });
        setImmediate(() => controller.abort(new Error('aborted')));
        return run.catch((error: unknown) => ({ reason: (error as Error).message === 'aborted' ? 'killed' : 'lost' }));
      },
    ];
    let killed = 0;
    for (let i = 0; i < 1000; i++) {
      const end = (await ways[i % ways.length]()) as { reason: string };
      if (end.reason === 'killed') killed++;
    }
    expect(killed).toBe(1000);
    expect(vcpu.running).toBe(false);
    // Nothing is left over for the next entry.
    vcpu.kick();
    expect(vcpu.enter()).toMatchObject({ kind: 'interrupted', reason: 'kick' });
  });

  it('takes timers from 0 to 3 ms on the edge of its slices', async () => {
    const { vcpu } = backend.program({ kind: 'spin' });
    for (let i = 0; i < 120; i++) {
      const run = vcpu.run();
      setTimeout(() => vcpu.stop(), i % 4);
      expect(await run).toEqual({ reason: 'killed' });
    }
  });

  it('is kicked before each entry, and each comes back once', () => {
    const times = backend.name === 'null' ? 100_000 : 2_000;
    const { vcpu } = backend.program({ kind: 'out', port: 0x10, times: 60_000 });
    if (backend.name === 'null') vcpu.setState({ rcx: times });
    let [interrupted, served] = [0, 0];
    for (let i = 0; i < times; i++) {
      vcpu.kick();
      if (vcpu.enter().kind === 'interrupted') interrupted++;
      if (i % 8 === 0 && vcpu.enter().kind === 'io') served++;
    }
    expect([interrupted, served]).toEqual([times, Math.ceil(times / 8)]);
  });

  it('goes on where it was, run after run', async () => {
    const { vcpu } = backend.program({ kind: 'out', port: 0x10, times: 4000 });
    const { vm } = vcpu;
    let count = 0;
    vm.ports.add(
      { at: 0x10, length: 1 },
      {
        read: () => 0,
        write: () => {
          count++;
          if (count % 10 === 0) vcpu.stop();
          if (count % 7 === 0) vcpu.kick();
        },
      },
    );
    let runs = 0;
    while ((await vcpu.run()).reason === 'killed') runs++;
    expect([count, runs]).toEqual([4000, 400]);
  });
});

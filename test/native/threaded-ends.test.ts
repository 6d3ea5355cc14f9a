import { childReport, runChild } from '../support/child';
import { describeEachBackend } from '../support/hosts';
import { kinds, repeats } from '../support/sanitized';

/** Far more than the 100 ms that it takes, for busy hosts; a process that hangs never ends. */
const limit = 200_000;

describeEachBackend('the end of everything while four guests spin on threads of their own', (backend) => {
  // Two that never exit and two that exit all the time.
  const four = `
    const made = ['spin', 'outForEver', 'spin', 'outForEver'].map((program) => make('${backend.name}', program));
    const runs = made.map(({ vcpu }) => vcpu.run({ threaded: true }));
    setTimeout(() => console.log('spin'), 20);`;

  it('process.exit() gives its status', async () => {
    const { status, signal, stderr } = await runChild(`${four} setTimeout(() => process.exit(7), 60)`, { limit });
    expect([status, signal, stderr]).toEqual([7, null, '']);
  });

  it('process.exit() in a handler does too', async () => {
    const script = `${four}
      let count = 0;
      made[1].vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { if (++count === 100) process.exit(9); } });`;
    const { status, stderr } = await runChild(script, { limit });
    expect([status, stderr]).toEqual([9, '']);
  });

  it('an uncaught throw and an unhandled rejection give 1 and tell why', async () => {
    const thrown = await runChild(`${four} setTimeout(() => { throw new Error('from a timer'); }, 60)`, { limit });
    expect([thrown.status, thrown.stderr]).toEqual([1, expect.stringContaining('from a timer')]);
    const failed = await runChild(
      `${four} made[3].vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { throw new Error('device trouble'); } });`,
      { limit },
    );
    expect([failed.status, failed.stderr]).toEqual([1, expect.stringMatching(/ERR_HAX_DEVICE_FAILED[^]*device trouble/)]);
  });

  it.each(kinds(['SIGTERM', 'SIGINT', 'SIGKILL'] as const))('%s ends it as that signal', async (name) => {
    const { status, signal } = await runChild(four, { limit, onOutput: (child) => child.kill(name) });
    expect([status, signal]).toEqual([null, name]);
  });

  it('a handler for SIGINT runs, and can stop the guests', async () => {
    const script = `${four}
      process.on('SIGINT', () => { made.forEach(({ vcpu }) => vcpu.stop()); });
      Promise.all(runs).then((ends) => { console.log(ends.map(({ reason }) => reason).join()); process.exit(5); });`;
    const { status, stdout } = await runChild(script, { limit, onOutput: (child) => child.kill('SIGINT') });
    expect([status, stdout]).toEqual([5, 'spin\nkilled,killed,killed,killed\n']);
  });

  it('worker.terminate() and process.exit() of a worker come back, and the process goes on', async () => {
    const times = repeats(5);
    const script = `
      const { Worker } = require('node:worker_threads');
      const { once } = require('node:events');
      const source = (then) => "const { make } = require('./test/support/child-guests.js'); const { parentPort } = require('node:worker_threads');" +
        "const runs = ['spin', 'outForEver', 'spin', 'outForEver'].map((program) => make('${backend.name}', program).vcpu.run({ threaded: true }));" +
        "setTimeout(() => parentPort.postMessage('spin'), 5);" + then;
      (async () => {
        const codes = [];
        for (let i = 0; i < ${times}; i++) {
          const worker = new Worker(source(''), { eval: true });
          await once(worker, 'message');
          codes.push(await worker.terminate());
          const leaving = new Worker(source("setTimeout(() => process.exit(3), 10);"), { eval: true });
          codes.push((await once(leaving, 'exit'))[0]);
        }
        report(codes);
      })();`;
    expect(await childReport(script, { limit })).toEqual(new Array(times).fill([1, 3]).flat());
  });

  it('comes by itself when the runs are not referenced', async () => {
    const script = `${four} made.forEach(({ vcpu }) => vcpu.setReferenced(false)); process.on('exit', () => console.log('exit'));`;
    const { status, stdout } = await runChild(script, { limit });
    expect([status, stdout]).toEqual([0, 'spin\nexit\n']);
  });

  it('everything is collected, in any order, when runs have ended and nobody looks', async () => {
    const script = `
      const { setTimeout: delay } = require('node:timers/promises');
      (async () => {
        const collected = new Set();
        const registry = new FinalizationRegistry((name) => collected.add(name));
        const round = async (i) => {
          const { hypervisor, vm, vcpu, region } = make('${backend.name}', i % 2 ? 'spin' : 'outForEver');
          Object.entries({ hypervisor, vm, vcpu, region }).forEach(([name, object]) => registry.register(object, name + i));
          const run = vcpu.run({ threaded: true });
          await delay(2);
          gc();
          if (i % 3 === 0) vcpu.close(); else if (i % 3 === 1) vm.close(); else { vcpu.stop(); await run; }
        };
        for (let i = 0; i < 12; i++) await round(i);
        for (let i = 0; i < 100 && collected.size < 48; i++) { gc(); await delay(10); }
        report({ collected: collected.size });
      })();`;
    expect(await childReport(script, { flags: ['--expose-gc'], limit })).toEqual({ collected: 48 });
  });
});

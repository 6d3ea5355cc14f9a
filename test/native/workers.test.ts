import { childReport, runChild } from '../support/child';
import { describeEachBackend } from '../support/hosts';
import { repeats } from '../support/sanitized';

/** `start(source)`: a worker that has `make`, `parentPort` and what CommonJS has; `message(worker)`: the next that it posts. */
const workers = `
  const { Worker } = require('node:worker_threads');
  const { once } = require('node:events');
  const { setTimeout: delay } = require('node:timers/promises');
  const { descriptors } = require('./test/support/child-guests.js');
  const start = (source) => new Worker(
    "const { make } = require('./test/support/child-guests.js'); const { parentPort } = require('node:worker_threads');" + source,
    { eval: true },
  );
  const message = async (worker) => (await once(worker, 'message'))[0];
  // The last of a worker goes a moment after it has ended.
  const settled = async (most) => {
    for (let i = 0; i < 200 && descriptors() > most; i++) await delay(10);
    return descriptors();
  };
`;

describeEachBackend('workers', (backend) => {
  it('each have the addon and a guest of their own, beside that of the main thread', async () => {
    const script = `${workers}
      const source = \`
        const { vcpu, vm } = make('${backend.name}', 'outForEver');
        let count = 0;
        vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { if (++count === 500) vcpu.stop({ reason: 'exit-code', status: 5 }); } });
        vcpu.run().then((end) => { vm.hypervisor.close(); parentPort.postMessage({ count, end }); });
      \`;
      (async () => {
        const { vcpu } = make('${backend.name}', 'spin');
        const own = vcpu.run();
        const results = await Promise.all([1, 2, 3, 4].map(() => start(source)).map(message));
        vcpu.stop();
        report({ results, own: await own });
      })();`;
    const { results, own } = await childReport<{ results: unknown[]; own: unknown }>(script);
    expect(results).toEqual(new Array(4).fill({ count: 500, end: { reason: 'exit-code', status: 5 } }));
    expect(own).toEqual({ reason: 'killed' });
  });

  const times = repeats(8);
  it.each([
    ['spins inside run()', `make('${backend.name}', 'spin').vcpu.run(); setTimeout(() => parentPort.postMessage('spins'), 5);`],
    ['exits all the time', `make('${backend.name}', 'outForEver').vcpu.run(); setTimeout(() => parentPort.postMessage('runs'), 5);`],
    ['blocks its thread in enter()', `const { vcpu } = make('${backend.name}', 'spin'); parentPort.postMessage('enters'); vcpu.enter();`],
    [
      'waits for a device',
      `const { vm, vcpu } = make('${backend.name}', 'outForEver');
       vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => new Promise(() => parentPort.postMessage('waits')) }); vcpu.run();`,
    ],
  ])('are terminated while the guest %s, and leave nothing', async (_, source) => {
    const script = `${workers}
      (async () => {
        const one = async () => {
          const worker = start(${JSON.stringify(source)});
          await message(worker);
          await delay(20);
          return worker.terminate();
        };
        await one();
        await one();
        const before = descriptors();
        const codes = [];
        for (let i = 0; i < ${times}; i++) codes.push(await one());
        report({ codes, leaked: (await settled(before)) > before });
      })();`;
    expect(await childReport(script)).toEqual({ codes: new Array(times).fill(1), leaked: false });
  });

  it.each([
    ['spins inside run()', `make('${backend.name}', 'spin').vcpu.run(); setTimeout(() => parentPort.postMessage('spins'), 5);`],
    ['blocks its thread in enter()', `const { vcpu } = make('${backend.name}', 'spin'); parentPort.postMessage('enters'); vcpu.enter();`],
  ])('do not hold up process.exit() while a guest %s', async (_, source) => {
    const script = `${workers} message(start(${JSON.stringify(source)})).then(() => setTimeout(() => process.exit(3), 20))`;
    const { status, stderr } = await runChild(script);
    expect([status, stderr]).toEqual([3, '']);
  });

  it('end by process.exit() and by throwing, in a handler and in a timer', async () => {
    const script = `${workers}
      const withHandler = (action) => \`
        const { vcpu, vm } = make('${backend.name}', 'outForEver');
        let count = 0;
        vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { if (++count === 50) { \${action} } } });
        vcpu.run();\`;
      const withTimer = (action) => \`make('${backend.name}', 'spin').vcpu.run(); setTimeout(() => { \${action} }, 10);\`;
      const end = async (source) => {
        const worker = start(source);
        let error;
        worker.on('error', (reason) => (error = reason.code ?? reason.message));
        return new Promise((resolve) => worker.on('exit', (code) => resolve([code, error])));
      };
      (async () => {
        const results = [];
        for (const wrap of [withHandler, withTimer]) {
          for (const action of ['process.exit(4)', 'throw new Error("thrown")']) results.push(await end(wrap(action)));
        }
        report({ results });
      })();`;
    const { results } = await childReport<{ results: unknown[] }>(script);
    expect(results).toEqual(
      [
        [4, undefined],
        [1, 'ERR_HAX_DEVICE_FAILED'],
        [4, undefined],
        [1, 'thrown'],
      ].map(([code, error]) => [code, error ?? null]),
    );
  });

  it('are terminated in the middle of any call', async () => {
    const moments = repeats(24);
    const source = `
      const { Hypervisor } = require('node-hax');
      let posted = false;
      for (;;) {
        const { vm, vcpu, hypervisor, region } = make('${backend.name}', 'out');
        try { vm.mapMemory({ gpa: 0, size: 4096 }); } catch {}
        try { vcpu.native.setState('none'); } catch {}
        vcpu.enter();
        vcpu.getState();
        vcpu.complete();
        region.bytes[0] = 1;
        vm.memory.write(0, Buffer.alloc(100));
        hypervisor.close();
        if (!posted) { posted = true; parentPort.postMessage('works'); }
      }`;
    const script = `${workers}
      (async () => {
        const codes = new Set();
        for (let i = 0; i < ${moments}; i++) {
          const worker = start(${JSON.stringify(source)});
          await message(worker);
          const until = performance.now() + i * ${8.88 / moments};
          while (performance.now() < until);
          codes.add(await worker.terminate());
        }
        report([...codes]);
      })();`;
    expect(await childReport(script)).toEqual([1]);
  });
});

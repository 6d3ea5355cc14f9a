import { childReport, runChild } from '../support/child';
import { describeEachBackend } from '../support/hosts';

/** As in a runtime that hides its event loop. */
const env = { HAX_PLAIN_SLICES: '1' };

describeEachBackend('slices where the event loop is hidden', (backend) => {
  it('serve exits to the end', async () => {
    const script = `const { vcpu, vm } = make('${backend.name}', 'out');
      const written = [];
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: (_, value) => void written.push(value) });
      vcpu.run().then(({ reason }) => report({ reason, writes: written.length }));`;
    expect(await childReport(script, { env })).toEqual({ reason: 'halted', writes: 1 });
  });

  it.each(['spin', 'outForEver'])('leave the loop to timers and sockets while the guest runs: %s', async (program) => {
    const script = `const { vcpu } = make('${backend.name}', '${program}');
      const run = vcpu.run();
      const server = require('node:net').createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1', () => {
        const client = require('node:net').connect(server.address().port, '127.0.0.1');
        let echoes = 0;
        const say = () => client.write('x');
        client.on('connect', say).on('data', () => {
          if (++echoes < 20) return setTimeout(say, 1);
          client.destroy();
          server.close();
          vcpu.stop();
          run.then(({ reason }) => report({ reason, echoes, slices: vcpu.exits.snapshot().slices > 1 }));
        });
      });`;
    expect(await childReport(script, { env })).toEqual({ reason: 'killed', echoes: 20, slices: true });
  });

  it('end in time after a handler has entered another guest', async () => {
    const script = `const { vcpu, vm } = make('${backend.name}', 'outForEver');
      const other = make('${backend.name}', 'out').vcpu;
      let inner;
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => void (inner ??= other.enter().kind) });
      const run = vcpu.run();
      const wait = () => (inner ? setTimeout(() => vcpu.stop(), 20) : setTimeout(wait, 1));
      wait();
      run.then(({ reason }) => report({ reason, inner }));`;
    expect(await childReport(script, { env })).toEqual({ reason: 'killed', inner: 'io' });
  });

  it('park for a promise, and pause and resume', async () => {
    const script = `const { setTimeout: delay } = require('node:timers/promises');
      const { vcpu, vm } = make('${backend.name}', 'outForEver');
      let writes = 0;
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => (++writes % 10 === 0 ? delay(1) : undefined) });
      (async () => {
        const run = vcpu.run();
        await delay(50);
        vcpu.pause();
        const held = writes;
        await delay(20);
        const during = writes - held;
        vcpu.resume();
        while (writes < held + 20) await delay(1);
        vcpu.stop();
        report({ reason: (await run).reason, during });
      })();`;
    expect(await childReport(script, { env })).toEqual({ reason: 'killed', during: 0 });
  });

  it('end with the process, the worker, and what throws', async () => {
    const spinning = `const { vcpu } = make('${backend.name}', 'spin'); vcpu.run();`;
    expect(await runChild(`${spinning} setTimeout(() => process.exit(7), 30)`, { env })).toMatchObject({ status: 7, stderr: '' });
    const unreferenced = await runChild(`${spinning} vcpu.setReferenced(false); setTimeout(() => console.log('end'), 30)`, { env });
    expect(unreferenced).toMatchObject({ status: 0, stdout: 'end\n' });
    const failing = `const { vcpu, vm } = make('${backend.name}', 'outForEver');
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => { throw new Error('device trouble'); } });
      vcpu.run().catch(({ code }) => report(code));`;
    expect(await childReport(failing, { env })).toBe('ERR_HAX_DEVICE_FAILED');
    const worker = `const { Worker } = require('node:worker_threads');
      const worker = new Worker(\`const { make } = require('./test/support/child-guests.js'); make('${backend.name}', 'spin').vcpu.run();
        setTimeout(() => require('node:worker_threads').parentPort.postMessage(0), 20)\`, { eval: true });
      worker.once('message', () => worker.terminate().then((status) => report({ status })));`;
    expect(await childReport(worker, { env })).toEqual({ status: 1 });
  });

  it('keep the process also while the guest is paused', async () => {
    const script = `const { vcpu } = make('${backend.name}', 'spin');
      vcpu.run({ paused: true }).then(({ reason }) => report({ reason }));
      setTimeout(() => vcpu.stop(), 30).unref();`;
    expect(await childReport(script, { env })).toEqual({ reason: 'killed' });
  });

  it('come although nothing else wakes the loop, when they do not keep the process', async () => {
    const script = `const { vcpu, vm } = make('${backend.name}', 'outForEver');
      const waiting = setTimeout(() => undefined, 30_000);
      let begun;
      const write = () => {
        begun ??= vcpu.exits.slices;
        if (vcpu.exits.slices < begun + 100) return;
        vcpu.stop();
        clearTimeout(waiting);
      };
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write });
      vcpu.run().then(({ reason }) => report({ reason }));
      vcpu.setReferenced(false);`;
    expect(await childReport(script, { env })).toEqual({ reason: 'killed' });
  });

  it('are refused where there is no descriptor for them', async () => {
    const script = `const { openSync, closeSync } = require('node:fs');
      const { vcpu } = make('${backend.name}', 'halt');
      const more = () => openSync('/dev/null');
      require('node:child_process').execFileSync('prlimit', ['--nofile=64', '--pid', String(process.pid)], { env: { PATH: process.env.PATH } });
      const all = [];
      try { for (;;) all.push(more()); } catch {}
      const run = () => vcpu.run().then(({ reason }) => reason);
      let refused;
      try { run().then(report); } catch ({ code, operation }) { refused = { code, operation }; }
      all.forEach(closeSync);
      if (refused) run().then((reason) => report({ ...refused, reason }));`;
    expect(await childReport(script, { env })).toEqual({ code: 'ERR_HAX_IOCTL', operation: 'timerfd_create', reason: 'halted' });
  });

  it('are for inline mode: threads need the loop', async () => {
    const script = `const { vcpu } = make('${backend.name}', 'spin');
      try { vcpu.run({ threaded: true }); } catch ({ code, message }) { report({ code, message }); }`;
    expect(await childReport(script, { env })).toEqual({
      code: 'ERR_HAX_UNSUPPORTED',
      message: expect.stringMatching(/hides its event loop/) as string,
    });
  });
});

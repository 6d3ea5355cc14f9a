/** What a callback opens right before a slice of guest time begins, and what exit handlers queue: none of it waits for the guest. */
import { childReport } from '../support/child';
import { describeEachBackend } from '../support/hosts';

/** The longest slice is 10 ms while a guest exits and 160 ms while it does not; an end that never comes is what fails. */
const limit = 200_000;

describeEachBackend('what throws in a tick after a slice', (backend) => {
  it.each(['nextTick', 'queueMicrotask', 'rejection', 'setImmediate'])('by %s leaves a program that goes on its guest', async (how) => {
    const script = `
      const seen = [];
      process.on('uncaughtException', ({ message }) => seen.push(message));
      const fail = () => { throw new Error('of a tick'); };
      const late = { nextTick: () => process.nextTick(fail), queueMicrotask: () => queueMicrotask(fail),
        rejection: () => void Promise.reject(new Error('of a tick')), setImmediate: () => setImmediate(fail) };
      const { vcpu, vm } = make('${backend.name}', 'outForEver');
      let writes = 0;
      const write = () => {
        if (++writes === 10) late.${how}();
        if (writes > 10 && seen.length > 0) vcpu.stop();
      };
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write });
      vcpu.run().then(({ reason }) => report({ reason, seen }));`;
    expect(await childReport(script, { limit })).toEqual({ reason: 'killed', seen: ['of a tick'] });
  });
});

describeEachBackend('opened in the callback before a slice', (backend) => {
  // Each source is opened in an immediate, a timer and a promise callback; the guest never leaves the loop by itself.
  const script = (program: string, threaded: boolean): string => `
    const net = require('node:net');
    const fs = require('node:fs');
    const os = require('node:os');
    const dns = require('node:dns');
    const zlib = require('node:zlib');
    const { MessageChannel, Worker } = require('node:worker_threads');
    const { execFile } = require('node:child_process');
    const { vcpu, vm } = make('${backend.name}', '${program}');
    vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => undefined });
    const run = vcpu.run({ threaded: ${threaded} });
    const sources = {
      socket: (done) => {
        const server = net.createServer((socket) => socket.end('hello'));
        server.listen(0, '127.0.0.1', () => net.connect(server.address().port, '127.0.0.1').on('data', () => { server.close(); done(); }));
      },
      unixSocket: (done) => {
        const path = os.tmpdir() + '/node-hax-' + process.pid + '-' + Math.random();
        const server = net.createServer((socket) => socket.end('hello')).listen(path, () => net.connect(path).on('data', () => { server.close(); done(); }));
      },
      file: (done) => fs.readFile('package.json', done),
      pipe: (done) => execFile('/bin/echo', ['hello'], done),
      messagePort: (done) => {
        const { port1, port2 } = new MessageChannel();
        port2.on('message', () => { port2.close(); done(); });
        port1.postMessage(1);
      },
      worker: (done) => new Worker('require("node:worker_threads").parentPort.postMessage(1)', { eval: true }).on('message', () => done()),
      // libuv's pool tells of its work by an async handle, as a threadsafe function does.
      pool: (done) => zlib.deflate(Buffer.alloc(1000), done),
      lookup: (done) => dns.lookup('127.0.0.1', done),
      broadcast: (done) => {
        const from = new BroadcastChannel('x' + Math.random());
        const other = new BroadcastChannel(from.name);
        other.onmessage = () => { other.close(); from.close(); done(); };
        from.postMessage(1);
      },
      timer: (done) => setTimeout(done, 1),
      immediate: (done) => setImmediate(done),
      microtask: (done) => queueMicrotask(done),
      nextTick: (done) => process.nextTick(done),
    };
    const openers = {
      immediate: (open) => setImmediate(open),
      timer: (open) => setTimeout(open, 1),
      promise: (open) => fs.promises.stat('.').then(open),
    };
    (async () => {
      const finished = [];
      for (const [how, opener] of Object.entries(openers)) {
        for (const [name, source] of Object.entries(sources)) {
          await new Promise((resolve) => opener(() => source(resolve)));
          finished.push(how + ' ' + name);
        }
      }
      vcpu.stop();
      const { reason } = await run;
      report({ finished: finished.length, expected: Object.keys(openers).length * Object.keys(sources).length, reason });
    })();`;

  it.each([
    ['spins', 'spin', false],
    ['exits all the time', 'outForEver', false],
    ['spins on a thread of its own', 'spin', true],
    ['exits all the time on a thread of its own', 'outForEver', true],
  ] as const)('sockets, files, ports and the rest come in while the guest %s', async (_, program, threaded) => {
    const { finished, expected, reason } = await childReport<{ finished: number; expected: number; reason: string }>(
      script(program, threaded),
      { limit },
    );
    expect([finished, reason]).toEqual([expected, 'killed']);
  });

  it.each([false, true])(
    'microtasks and nextTick of exit handlers run, in order, before the guest has ended (threaded: %s)',
    async (threaded) => {
      // A slice of the null device has many exits: the callbacks run at its end, but all of them, in the order in which they were queued.
      const source = `
      const { vcpu, vm } = make('${backend.name}', 'outForEver');
      const order = [];
      let count = 0;
      let late = 0;
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => {
        const n = ++count;
        if (n > 50) { if (order.length >= 100) vcpu.stop(); return; }
        process.nextTick(() => { order.push('t' + n); if (!vcpu.running) late++; });
        queueMicrotask(() => { order.push('m' + n); if (!vcpu.running) late++; });
      } });
      vcpu.run({ threaded: ${threaded} }).then(() => {
        const of = (kind) => order.filter((each) => each[0] === kind).map((each) => Number(each.slice(1)));
        report({ ticks: of('t'), microtasks: of('m'), late });
      });`;
      const all = Array.from({ length: 50 }, (_, i) => i + 1);
      expect(await childReport(source, { limit })).toEqual({ ticks: all, microtasks: all, late: 0 });
    },
  );

  it('a handler that awaits goes on in the same slice or the next', async () => {
    const source = `
      const { vcpu, vm } = make('${backend.name}', 'outForEver');
      let count = 0;
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: async () => { await null; await undefined; if (++count === 200) vcpu.stop(); } });
      vcpu.run().then(({ reason }) => report({ reason, count }));`;
    expect(await childReport(source, { limit })).toEqual({ reason: 'killed', count: 200 });
  });
});

describeEachBackend('given to the loop by an exit handler in the middle of a slice', (backend) => {
  it.each([
    ['an immediate', '', '(done) => setImmediate(done)'],
    // The loop has as many handles after these as before.
    ['an immediate beside a timer that is cleared', 'begin();', '(done) => { clearTimeout(later); setImmediate(done); }'],
    ['an immediate beside a timer that is unreferenced', 'begin();', '(done) => { later.unref(); setImmediate(done); }'],
    ['a handle that closes', 'const server = net.createServer().listen(0, "127.0.0.1", begin);', '(done) => server.close(done)'],
    ['a handle that was never active and closes', 'begin();', '(done) => dgram.createSocket("udp4").close(done)'],
    ['a request that fails at once', '', '(done) => net.connect("/nowhere/at/all").on("error", done)'],
  ])('%s ends the slice before the guest goes on', async (_, prepare, open) => {
    const source = `
      const [dgram, net] = [require('node:dgram'), require('node:net')];
      const { vcpu, vm } = make('${backend.name}', 'outForEver');
      const open = ${open};
      const later = setTimeout(() => undefined, 1000000);
      let count = 0;
      vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => {
        if (++count === 20) open(() => { report(count); vcpu.stop(); });
      } });
      const begin = () => vcpu.run().then(() => process.exit());
      ${prepare || 'begin();'}`;
    expect(await childReport(source, { limit })).toBe(20);
  });
});

it('a timer that an exit handler sets shortens the slice', async () => {
  // Entries of a millisecond, up to ten in a slice. Now and then a busy machine lets the watcher's thread wait: the middle one of 41 tells.
  const source = `
    const { vcpu, vm } = make('null', 'outForEver');
    vcpu.setState({ ...vcpu.getState(), rdi: 1000000n });
    const later = setTimeout(() => undefined, 1000000); // so that the loop has the same number of timers
    const all = [];
    let waits;
    vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => {
      if (waits !== undefined) return void waits++;
      waits = 0;
      setTimeout(() => {
        all.push(waits);
        waits = undefined;
        if (all.length === 41) vcpu.stop();
      }, 1);
    } });
    vcpu.run().then(() => { clearTimeout(later); report(all.sort((a, b) => a - b)[20]); });`;
  expect(await childReport<number>(source, { limit })).toBeLessThanOrEqual(5);
});

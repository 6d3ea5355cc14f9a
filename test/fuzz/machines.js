'use strict';

// Run by test/native/life-fuzz.test.ts in a process of its own, which a mistake may crash or hang. Whole machines, on this thread or in a worker,
// are paused, resumed, killed, aborted, closed, written to and waited for at random moments, while their guests print, reset, sleep and end:
// every machine has to come to its end, and nothing may be thrown that nobody has asked for.
// Standard input: { backend, inWorker, programs, seed, runs, least, limit }. Prints { rounds, ends } as JSON.

const { readFileSync } = require('node:fs');
const { Writable } = require('node:stream');
const { setTimeout: delay } = require('node:timers/promises');
const { Machine, launchInWorker } = require('node-hax');
const { chances } = require('./random.js');

const { backend, inWorker, programs, seed, runs, least, limit = Infinity } = JSON.parse(readFileSync(0, 'utf8'));
const TOO_LONG = 60_000;

const { random, oneIn, pick } = chances(seed);

const ends = {};
const count = (what) => void (ends[what] = (ends[what] ?? 0) + 1);
const failed = (error) => count(error.code ?? error.message);

const slow = () => new Writable({ highWaterMark: 10, write: (bytes, encoding, done) => setTimeout(done, random(4)) });

function options(signal) {
  const cpus = backend === 'kvm' && oneIn(4) ? 1 + random(3) : 1;
  const here = {
    threaded: oneIn(2),
    debugConsole: { port: 0x80, output: slow() },
    onUnclaimed: () => {
      if (oneIn(40)) throw new Error('a listener of the test');
    },
  };
  return {
    kernel: Buffer.from(pick(programs), 'base64'),
    format: 'flat',
    memory: '2M',
    backend,
    cpus,
    debugExit: oneIn(2),
    reboot: oneIn(2),
    ...(cpus === 1 && oneIn(2) && { irqchip: 'user' }),
    ...(oneIn(3) && { sharedMemory: true }),
    ...(oneIn(3) && { signal }),
    ...(!inWorker && oneIn(2) && here),
  };
}

/** One thing that a program may do to its machine. In a worker most are promises. */
function act(machine, abort) {
  const { console } = machine;
  const actions = [
    () => machine.pause(),
    () => machine.resume(),
    () => Promise.all([machine.pause(), machine.resume()]),
    () => void console.write(Buffer.alloc(1 + random(100), 'a')),
    () => void console.resume(),
    () => void console.pause(),
    () => oneIn(4) && void console.pipe(slow()),
    () => oneIn(4) && void console.unpipe(),
    () => void console.waitFor(pick(['A', 'tick', 'never']), { timeout: random(50) }).catch(failed),
    () => void (oneIn(2) ? machine.unref() : machine.ref()),
    () => (inWorker ? machine.statistics() : machine.statistics),
    () => oneIn(8) && (inWorker ? machine.registers(random(2)) : machine.vcpu.stop()),
    () => oneIn(8) && !inWorker && machine.vcpu.close(),
    () => oneIn(16) && !inWorker && machine.vm.close(),
    () => oneIn(16) && void console.destroy(),
    () => oneIn(8) && machine.kill(),
    () => oneIn(8) && void machine.close(),
    () => oneIn(8) && abort(),
  ];
  return pick(actions)();
}

async function round() {
  const controller = new AbortController();
  const given = options(controller.signal);
  const machine = inWorker ? await launchInWorker(given) : new Machine(given);
  const actNow = async () => {
    try {
      await act(machine, () => controller.abort(new Error('aborted')));
    } catch (error) {
      failed(error);
    }
  };
  const ended = machine.ended.then(({ reason }) => count(reason), failed);
  machine.on('reset', () => void (oneIn(3) && actNow()));
  if (!inWorker) machine.start();
  for (const until = Date.now() + 5 + random(40) * (oneIn(10) ? 15 : 1); Date.now() < until; await delay(random(4))) await actNow();
  const late = delay(TOO_LONG, undefined, { ref: false }).then(() => {
    throw new Error(`seed ${seed}: after ${TOO_LONG} ms still ${machine.state}`);
  });
  await Promise.race([machine.close(), late]);
  await Promise.race([ended, late]);
}

async function main() {
  let rounds = 0;
  for (const end = performance.now() + limit; rounds < least || (rounds < runs && performance.now() < end); rounds++) await round();
  process.stdout.write(JSON.stringify({ rounds, ends }), () => process.exit());
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});

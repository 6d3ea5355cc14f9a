'use strict';

// From a kick until the thread that was in the guest has given its vCPU back; and whether a kick gets lost.

const { makeGuest, someBackend } = require('./lib/guests.js');
const { root } = require('./lib/raw.js');
const { main } = require('./lib/row.js');
const { quantile, round } = require('./lib/statistics.js');
const { supervise } = require('./lib/supervise.js');

/** Kicks between two messages, and milliseconds: on a busy machine a kick may take some, and silence is taken for a lost one. */
const batch = 1000;
const pause = 1000;

function spinFor(nanoseconds) {
  const end = process.hrtime.bigint() + BigInt(Math.round(nanoseconds));
  while (process.hrtime.bigint() < end);
}

/**
 * Kicks a guest that spins on a thread of its own. `settleNs`: how long it is left in the guest; a random time below that when `random`,
 * so that kicks meet every instruction of the way in. A lost one never returns, which supervise() sees.
 */
async function kicks({ backend, rounds, settleNs, random }) {
  const { addon } = require(`${root}/dist/native/addon.js`);
  const { exitPage } = require(`${root}/dist/native/layout.js`);
  const { vcpu, hypervisor } = makeGuest('spin', { backend });
  const { ThreadRunner, resumeSlot, setPump } = addon();
  const slot = 1;
  const runner = new ThreadRunner(vcpu.native, slot, new Uint8Array(0));
  const page = new BigUint64Array(vcpu.shared);
  setPump(() => undefined);
  runner.start();
  for (let left = rounds; left > 0;) {
    const us = [];
    const before = page[exitPage.kicks / 8];
    const end = performance.now() + pause;
    while (us.length < Math.min(batch, left) && (us.length === 0 || performance.now() < end)) {
      resumeSlot(slot);
      spinFor(random ? Math.random() * settleNs : settleNs);
      const start = process.hrtime.bigint();
      runner.hold();
      us.push(Number(process.hrtime.bigint() - start) / 1000);
      if (!runner.takeExit()) throw new Error('a kick returned without an exit');
    }
    const consumed = Number(page[exitPage.kicks / 8] - before);
    left -= us.length;
    await new Promise((resolve) => process.send({ rounds: us.length, consumed, us: random ? [] : us }, resolve));
  }
  runner.stop();
  hypervisor.close();
}

async function measure({ quick = false, rounds = quick ? 20_000 : 1_000_000 }) {
  const backend = someBackend();
  // A millisecond: the thread has entered the guest for sure.
  const timed = await supervise(__filename, { child: true, backend, settleNs: 1e6 }, { rounds: quick ? 1000 : 5000 });
  const many = await supervise(__filename, { child: true, backend, settleNs: 20_000, random: true }, { rounds });
  const us = timed.messages.flatMap((message) => message.us);
  const done = [...timed.messages, ...many.messages];
  const sum = (name) => done.reduce((total, message) => total + message[name], 0);
  return {
    p50: round(quantile(us, 0.5)),
    p99: round(quantile(us, 0.99)),
    kicks: sum('rounds'),
    // Never came back, or came back without the kick.
    lost: timed.hangs + many.hangs + sum('rounds') - sum('consumed'),
    crashes: timed.crashes + many.crashes,
    backend,
  };
}

const describe = ({ p50, p99, kicks, lost, crashes }) => [
  ['kick to return', `${p50} µs at the median, ${p99} at p99`],
  ['kicks', `${kicks}, ${lost} lost, ${crashes} crashes`],
];

module.exports = { describe, measure };

if (require.main === module) {
  const options = JSON.parse(process.argv[2] ?? '{}');
  if (options.child) kicks(options).then(() => process.disconnect());
  else main(measure);
}

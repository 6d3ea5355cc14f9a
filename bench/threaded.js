'use strict';

// What an exit costs that is served on another thread than its vCPU's: wall time over a loop in C, sleeping and spinning.

const { execFileSync } = require('node:child_process');
const os = require('node:os');
const { program, raw, root } = require('./lib/raw.js');
const { main, measureIn } = require('./lib/row.js');
const { quantile, round } = require('./lib/statistics.js');

const port = 0xb0;

const wallNs = () => Number(process.hrtime.bigint());

/** Microseconds an exit, one way of waiting. */
async function measureOne({ sleeping, exits, rounds }) {
  const { Hypervisor } = require(`${root}/dist/index.js`);
  const { nullLoop, nullSet } = raw();
  const hypervisor = Hypervisor.open({ backend: 'null' });
  const vm = hypervisor.createVm({ irqchip: 'user' });
  const device = { writes: 0, read: () => 0xff, write: () => void device.writes++ };
  vm.ports.add({ at: port, length: 8 }, device);
  const vcpu = vm.createVcpu();
  // With more threads of vCPUs than processors none spins.
  const idle = Array.from({ length: sleeping ? os.cpus().length : 0 }, () => {
    const other = vm.createVcpu();
    other.setState({ rbp: 1 });
    const run = other.run({ threaded: true });
    other.pause();
    return { other, run };
  });
  const over = [];
  const sleeps = [];
  for (let i = -3; i < rounds; i++) {
    nullSet(exits, port, 1, 0);
    const began = wallNs();
    nullLoop();
    const inC = wallNs() - began;
    device.writes = 0;
    vcpu.setState({ rcx: exits, rdx: port, rbx: 1, rbp: 0 });
    const slept = process.resourceUsage().voluntaryContextSwitches; // of all threads
    const start = wallNs();
    await vcpu.run({ threaded: true });
    const took = wallNs() - start;
    if (device.writes !== exits) throw new Error(`${device.writes} writes of ${exits}`);
    if (i < 0) continue;
    over.push((took - inC) / exits / 1000);
    sleeps.push((process.resourceUsage().voluntaryContextSwitches - slept) / exits);
  }
  for (const { other, run } of idle) {
    other.stop();
    await run;
  }
  hypervisor.close();
  const sleepsPerExit = round(quantile(sleeps, 0.1), 2);
  return { us: round(quantile(over, 0.1), 2), p50: round(quantile(over, 0.5), 2), sleepsPerExit, exits, rounds };
}

/** The least that it can cost: two threads in C that do nothing else. */
function floor({ sleeping, exits, rounds }) {
  const output = execFileSync(program('crossing'), [sleeping ? 'sleep' : 'spin', exits, rounds].map(String), { encoding: 'utf8' });
  return round(quantile(output.trim().split('\n').map(Number), 0.1) / 1000, 2);
}

function measure({ one, quick = false }) {
  if (one) return measureOne(one);
  const rounds = quick ? 10 : 40;
  const both = (options) => ({ ...measureIn(__filename, { one: options }), floor: floor(options) });
  return {
    sleeping: both({ sleeping: true, exits: 3_000, rounds }),
    spinning: both({ sleeping: false, exits: 20_000, rounds }),
  };
}

const words = ({ us, p50, floor, sleepsPerExit }) =>
  `${us} µs over C (p10 of rounds; p50 ${p50}; floor ${floor}), ${sleepsPerExit} sleeps an exit`;

const describe = ({ sleeping, spinning }) => [
  ['both sides sleep', words(sleeping)],
  ['both sides spin', words(spinning)],
];

module.exports = { describe, measure };

if (require.main === module) main(measure);

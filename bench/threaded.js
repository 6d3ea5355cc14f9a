'use strict';

// What an exit costs that is served on another thread than its vCPU's: wall time over a loop in C, sleeping and spinning.

const os = require('node:os');
const { raw, root } = require('./lib/raw.js');
const { main, measureIn } = require('./lib/row.js');
const { quantile, round } = require('./lib/statistics.js');

const port = 0xb0;

const wallNs = () => Number(process.hrtime.bigint());

/** Microseconds an exit, one way of waiting. */
async function measureOne({ sleeping, exits, rounds }) {
  const { Hypervisor } = require(`${root}/dist/index.js`);
  const { nullLoop } = raw();
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
  for (let i = -3; i < rounds; i++) {
    const began = wallNs();
    nullLoop(exits, port, 1, 0);
    const inC = wallNs() - began;
    device.writes = 0;
    vcpu.setState({ rcx: exits, rdx: port, rbx: 1, rbp: 0 });
    const start = wallNs();
    await vcpu.run({ threaded: true });
    const took = wallNs() - start;
    if (device.writes !== exits) throw new Error(`${device.writes} writes of ${exits}`);
    if (i >= 0) over.push((took - inC) / exits / 1000);
  }
  for (const { other, run } of idle) {
    other.stop();
    await run;
  }
  hypervisor.close();
  return { us: round(quantile(over, 0.1), 2), p50: round(quantile(over, 0.5), 2), exits, rounds };
}

function measure({ one, quick = false }) {
  if (one) return measureOne(one);
  const rounds = quick ? 10 : 40;
  return {
    sleeping: measureIn(__filename, { one: { sleeping: true, exits: 3_000, rounds } }),
    spinning: measureIn(__filename, { one: { sleeping: false, exits: 20_000, rounds } }),
  };
}

const describe = ({ sleeping, spinning }) => [
  ['both sides sleep', `${sleeping.us} µs over C (p10 of rounds; p50 ${sleeping.p50})`],
  ['both sides spin', `${spinning.us} µs over C (p10 of rounds; p50 ${spinning.p50})`],
];

module.exports = { describe, measure };

if (require.main === module) main(measure);

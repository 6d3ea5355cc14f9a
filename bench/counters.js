'use strict';

// What the counters cost that are always on: the dispatch of the null device with them and without, in turns of processes.

const path = require('node:path');
const { main, measureIn } = require('./lib/row.js');
const { paired, median, round } = require('./lib/statistics.js');

function measure({ quick = false }) {
  const row = { backend: 'null', devices: 1, exits: quick ? 400_000 : 2_000_000, rounds: quick ? 9 : 15 };
  const processes = quick ? 5 : 15;
  const ns = { counted: [], uncounted: [] };
  for (let i = 0; i < processes; i++) {
    const order = i % 2 === 0 ? ['counted', 'uncounted'] : ['uncounted', 'counted'];
    for (const side of order) {
      ns[side].push(measureIn(path.join(__dirname, 'dispatch.js'), { ...row, uncounted: side === 'uncounted' }).ns);
    }
  }
  const cost = paired(ns.counted, ns.uncounted);
  return {
    ns: round(cost.median),
    middleHalf: [round(cost.low), round(cost.high)],
    counted: round(median(ns.counted)),
    uncounted: round(median(ns.uncounted)),
    processes,
  };
}

const describe = ({ ns, middleHalf, counted, uncounted }) => [
  ['an exit on the null device, counted', `${counted} ns over C`],
  ['the same without counters', `${uncounted} ns over C`],
  ['the counters', `${ns} ns (middle half ${middleHalf.join(' to ')})`],
];

module.exports = { describe, measure };

if (require.main === module) main(measure);

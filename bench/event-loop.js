'use strict';

// What of the guest's time goes to the event loop and JavaScript, inline, beside a loop in C that has the thread to itself.

const { inTurns, openPair } = require('./lib/pair.js');
const { main, measureIn, measureInEach } = require('./lib/row.js');
const { above, looksBusy, median, paired, round, typical } = require('./lib/statistics.js');

/** A guest that does little but OUT, in a process of its own: CPU time of the thread, in per cent of the loop in C. */
async function measureWrites({ row, rounds }) {
  const times = await inTurns(openPair(row), rounds, 2);
  const percentOfC = (values, base) => round((100 * above(values, base)) / typical(times.c), 2);
  return {
    percent: percentOfC(times.js, times.c),
    // What the smallest loop through JavaScript loses, which never goes back to the event loop: that comes on top.
    floorPercent: percentOfC(times.floor, times.c),
    cMs: round(typical(times.c) / 1e6),
    rounds,
    busy: looksBusy(times.c),
  };
}

/** A guest that never exits, in a process of its own: what of its time it was not running, as it sees it itself, in per cent, over C's. */
async function measureSpinning({ row, rounds }) {
  const lost = await inTurns(openPair(row), rounds, 1);
  const percent = (ticks) => ticks.map((each) => (100 * each) / row.ticks);
  const { median: percentOverC, low, high } = paired(percent(lost.js), percent(lost.c));
  return {
    percent: round(percentOverC, 2),
    middleHalf: [round(low, 2), round(high, 2)],
    cPercent: round(median(percent(lost.c)), 2),
    ticks: row.ticks,
    rounds,
  };
}

function measure({ one, quick = false }) {
  if (one) return one.row.ticks ? measureSpinning(one) : measureWrites(one);
  // A second or two a round, so that each has slices of every length that the run loop uses.
  const spin = { backend: 'kvm', ticks: quick ? 2e9 : 4e9 };
  // All its slices are of one length, so that its rounds can be short, as those of the dispatch table are.
  const pio = { backend: 'kvm', floor: true, exits: 8_000 };
  return {
    spinning: measureIn(__filename, { one: { row: spin, rounds: quick ? 7 : 15 } }),
    pio: measureInEach(quick ? 1 : 3, 'percent', __filename, { one: { row: pio, rounds: quick ? 40 : 100 } }),
  };
}

function describe({ spinning, pio }) {
  const ofSpinning = ({ percent, middleHalf: [low, high], cPercent }) =>
    `${percent} % over C (middle half ${low} to ${high}), which is not running for ${cPercent} % itself`;
  const ofWrites = ({ percent, ofProcesses, floorPercent }) =>
    `${percent} % over C (of each process: ${ofProcesses.join(', ')}); floor of dispatch alone ${floorPercent} %`;
  return [
    ['a guest that spins', spinning.skipped ?? ofSpinning(spinning)],
    ['a guest that does little but OUT', pio.skipped ?? ofWrites(pio)],
  ];
}

module.exports = { describe, measure };

if (require.main === module) main(measure);

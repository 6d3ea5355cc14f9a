'use strict';

// What of the guest's CPU time goes to the event loop and JavaScript, inline, beside a loop in C that has the thread to itself.

const { inTurns, openPair } = require('./lib/pair.js');
const { main, measureIn, measureInEach } = require('./lib/row.js');
const { byPairs, byTenths, looksBusy, quantile, round } = require('./lib/statistics.js');

/** One guest, in a process of its own: per cent of the loop in C. */
async function measureOne({ row, rounds }) {
  const times = await inTurns(openPair(row), rounds, 2);
  const { typical, above } = row.tenths ? byTenths : byPairs;
  const shares = times.whole.map((whole, i) => (100 * (whole - times.c[i])) / times.c[i]);
  const percentOfC = (values, base) => round((100 * above(values, base)) / typical(times.c), 2);
  return {
    percent: percentOfC(times.whole, times.c),
    // What the smallest loop through JavaScript loses, which never goes back to the event loop: that comes on top.
    ...(row.floor && { floorPercent: percentOfC(times.floor, times.c) }),
    middleHalf: [round(quantile(shares, 0.25), 2), round(quantile(shares, 0.75), 2)],
    betweenSlicesPercent: percentOfC(times.whole, times.inside),
    cMs: round(typical(times.c) / 1e6),
    rounds,
    busy: looksBusy(times.c),
  };
}

function measure({ one, quick = false }) {
  if (one) return measureOne(one);
  // Half a second and more a round, so that each has slices of every length that the run loop uses.
  const spin = { backend: 'kvm', spins: quick ? 300_000 : 600_000 };
  // All its slices are of one length, so that its rounds can be short, as those of the dispatch table are.
  const pio = { backend: 'kvm', floor: true, tenths: true, exits: 8_000 };
  return {
    spinning: measureIn(__filename, { one: { row: spin, rounds: quick ? 9 : 31 } }),
    pio: measureInEach(3, 'percent', __filename, { one: { row: pio, rounds: quick ? 40 : 100 } }),
  };
}

const describe = (figures) =>
  Object.entries({ spinning: 'a guest that spins', pio: 'a guest that does little but OUT' }).map(([name, title]) => {
    const { skipped, percent, middleHalf, ofProcesses, betweenSlicesPercent, floorPercent } = figures[name];
    if (skipped) return [title, skipped];
    const floor = floorPercent === undefined ? '' : `; floor of dispatch alone ${floorPercent} %`;
    const spread = ofProcesses ? `three processes: ${ofProcesses.join(', ')}` : `middle half ${middleHalf.join(' to ')}`;
    return [title, `${percent} % over C (${spread}), ${betweenSlicesPercent} % between slices${floor}`];
  });

module.exports = { describe, measure };

if (require.main === module) main(measure);

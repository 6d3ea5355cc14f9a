'use strict';

// What of the guest's CPU time goes to the event loop and JavaScript, inline, beside a loop in C that has the thread to itself.

const { inTurns, openPair } = require('./lib/pair.js');
const { main, measureIn } = require('./lib/row.js');
const { looksBusy, median, paired, quantile, round } = require('./lib/statistics.js');

/** One guest, in a process of its own: per cent of the loop in C. */
async function measureOne({ row, rounds }) {
  const times = await inTurns(openPair(row), rounds, 2);
  const shares = times.whole.map((whole, i) => (100 * (whole - times.c[i])) / times.c[i]);
  const between = paired(times.whole, times.inside).median;
  // What the smallest loop through JavaScript loses, which never goes back to the event loop: that comes on top.
  const floor = row.floor && { floorPercent: round((100 * paired(times.floor, times.c).median) / median(times.c), 2) };
  return {
    percent: round(median(shares), 2),
    ...floor,
    middleHalf: [round(quantile(shares, 0.25), 2), round(quantile(shares, 0.75), 2)],
    betweenSlicesPercent: round((100 * between) / median(times.c), 2),
    cMs: round(median(times.c) / 1e6),
    rounds,
    busy: looksBusy(times.c),
  };
}

function measure({ one, quick = false }) {
  if (one) return measureOne(one);
  // Half a second and more a round, so that each has slices of every length that the run loop uses.
  const spin = { backend: 'kvm', spins: quick ? 300_000 : 600_000 };
  const pio = { backend: 'kvm', floor: true, exits: quick ? 8_000 : 40_000 };
  return {
    spinning: measureIn(__filename, { one: { row: spin, rounds: quick ? 9 : 31 } }),
    pio: measureIn(__filename, { one: { row: pio, rounds: quick ? 31 : 75 } }),
  };
}

const describe = (figures) =>
  Object.entries({ spinning: 'a guest that spins', pio: 'a guest that does little but OUT' }).map(([name, title]) => {
    const { skipped, percent, middleHalf, betweenSlicesPercent, floorPercent } = figures[name];
    const floor = floorPercent === undefined ? '' : `; floor of dispatch alone ${floorPercent} %`;
    return [
      title,
      skipped ?? `${percent} % over C (middle half ${middleHalf.join(' to ')}), ${betweenSlicesPercent} % between slices${floor}`,
    ];
  });

module.exports = { describe, measure };

if (require.main === module) main(measure);

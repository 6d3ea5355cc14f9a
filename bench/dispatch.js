'use strict';

// One row of the dispatch table: node bench/dispatch.js '{"backend":"null","devices":1,"entryNs":0,"exits":2000000,"rounds":25}'

const { inTurns, openPair } = require('./lib/pair.js');
const { outLoop } = require('./lib/programs.js');
const { main } = require('./lib/row.js');
const { above, looksBusy, paired, round, typical } = require('./lib/statistics.js');
const { withoutCounters } = require('./lib/uncounted.js');

/** A row of the table; nanoseconds an exit. */
async function measure(row) {
  if (row.uncounted) withoutCounters();
  const times = await inTurns(openPair(row), row.rounds);
  const each = (values) => values.map((value) => value / row.exits);
  const [js, c] = [each(times.js), each(times.c)];
  const pairs = paired(js, c);
  return {
    ns: round(above(js, c)),
    percent: round((100 * above(js, c)) / typical(c), 2),
    pairs: round(pairs.median),
    middleHalf: [round(pairs.low), round(pairs.high)],
    c: round(typical(c)),
    js: round(typical(js)),
    ...(row.floor && { floor: round(above(each(times.floor), c)) }),
    exits: row.exits,
    rounds: row.rounds,
    busy: looksBusy(c),
  };
}

module.exports = { measure, outLoop };

if (require.main === module) main(measure);

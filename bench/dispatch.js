'use strict';

// One row of the dispatch table: node bench/dispatch.js '{"backend":"null","devices":1,"entryNs":0,"exits":2000000,"rounds":25}'

const { inTurns, openPair, outLoop } = require('./lib/pair.js');
const { main } = require('./lib/row.js');
const { looksBusy, median, paired, round } = require('./lib/statistics.js');
const { withoutCounters } = require('./lib/uncounted.js');

/** A row of the table; nanoseconds an exit. */
async function measure(row) {
  if (row.uncounted) withoutCounters();
  const times = await inTurns(openPair(row), row.rounds);
  const each = (values) => values.map((value) => value / row.exits);
  const [whole, inside, inC] = [each(times.whole), each(times.inside), each(times.c)];
  const over = paired(whole, inC);
  const c = median(inC);
  return {
    ns: round(over.median),
    percent: round((100 * over.median) / c, 2),
    middleHalf: [round(over.low), round(over.high)],
    inSlices: round(paired(inside, inC).median),
    c: round(c),
    js: round(median(whole)),
    ...(row.floor && { floor: round(paired(each(times.floor), inC).median) }),
    exits: row.exits,
    rounds: row.rounds,
    busy: looksBusy(inC),
  };
}

module.exports = { measure, outLoop };

if (require.main === module) main(measure);

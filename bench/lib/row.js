'use strict';

// Each measurement is a process of its own: what V8 has learnt in one must not help or harm the next. Such a script gives
// `measure(options)`, and when it is started itself prints what that gives as one line of JSON.

const { execFileSync } = require('node:child_process');
const { middleOf } = require('./statistics.js');

const missing = ['ERR_HAX_NO_DEVICE', 'ERR_HAX_NO_PERMISSION'];

/** For the end of a script: what it does when it is started, with its options as JSON in the first argument. */
function main(measure) {
  const options = JSON.parse(process.argv[2] ?? '{}');
  Promise.resolve(options)
    .then(measure)
    .catch((error) => {
      if (missing.includes(error.code)) return { skipped: error.message };
      throw error;
    })
    .then(
      // Not before all of it is written: guests may still run.
      (result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit()),
      (error) => {
        process.stderr.write(`bench: ${error.stack}\n`);
        process.exit(1);
      },
    );
}

/** Runs such a script, below `wrapper` where there is one. */
function measureIn(script, options, { wrapper = [], env = {}, flags = [] } = {}) {
  const [program, ...words] = [...wrapper, process.execPath, ...flags, script, JSON.stringify(options)];
  const output = execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  return JSON.parse(output);
}

/** The same in `count` processes, one after the other: the one in the middle by `figure`. */
function measureInEach(count, figure, ...how) {
  const results = [];
  for (let i = 0; i < count; i++) {
    const result = measureIn(...how);
    if (result.skipped !== undefined) return result;
    results.push(result);
  }
  return middleOf(results, figure);
}

module.exports = { main, measureIn, measureInEach };

'use strict';

// Run by main.js under flock(1): whoever waited for the lock finds the work done.

const cache = require('./cache.js');
const { SetupError } = require('../lib/packages.js');

const say = (text) => process.stderr.write(`test-in-vm: ${text}\n`);

try {
  cache.fill(say);
} catch (error) {
  say(error instanceof SetupError ? error.message : `internal error: ${error.stack}`);
  process.exitCode = 1;
}

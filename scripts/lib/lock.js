'use strict';

// Takes turns with others in the same clone: two `npm ci`, or two node-gyp, at a time destroy each other's files.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

// Calls `work` while nobody else holds `file`; whoever ends, however that is, holds it no longer. Without flock(1), or where nothing can be
// written, there is no waiting.
function inTurn(file, work, say) {
  let lock;
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    lock = fs.openSync(file, 'a');
  } catch {
    return work();
  }
  try {
    // The lock is that of the open file, which flock(1) shares with us: it outlives flock(1).
    const flock = (...options) => spawnSync('flock', [...options, '3'], { stdio: ['ignore', 'ignore', 'ignore', lock] }).status;
    if (flock('-n') === 1) {
      say('waiting for another one that installs or builds here');
      flock();
    }
    return work();
  } finally {
    fs.closeSync(lock);
  }
}

module.exports = { inTurn };

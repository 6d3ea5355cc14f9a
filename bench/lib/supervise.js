'use strict';

// Many rounds in a child process that may crash or hang: it is started again until all rounds are done, and both are counted.

const { fork } = require('node:child_process');

const parts = 20; // of the patience, in which it is counted

/**
 * Starts `script` with `{...options, rounds}`; the child sends `{ rounds, ... }` for what it has done. Gives the messages, and how often it
 * ended by itself too early (`crashes`, with why) or said nothing for `patience` milliseconds (`hangs`). After ten of these it gives up.
 * Only time in which this process ran counts: a machine that stood still says nothing about the child, and a hang has no second try.
 */
async function supervise(script, options, { rounds, patience = 60_000 }) {
  const result = { messages: [], crashes: 0, hangs: 0, why: [] };
  let left = rounds;
  while (left > 0 && result.crashes + result.hangs < 10) {
    await new Promise((resolve, reject) => {
      const child = fork(script, [JSON.stringify({ ...options, rounds: left })], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
      let errors = '';
      let hung = false;
      let silent = 0;
      const ticks = setInterval(() => {
        if (++silent <= parts) return;
        hung = true;
        child.kill('SIGKILL');
      }, patience / parts);
      child.stderr.on('data', (bytes) => (errors += bytes));
      child.on('message', (message) => {
        silent = 0;
        left -= message.rounds;
        result.messages.push(message);
      });
      child.once('error', reject);
      child.once('close', (status, signal) => {
        clearInterval(ticks);
        if (hung) result.hangs++;
        else if (status !== 0) {
          result.crashes++;
          result.why.push(`${signal ?? `status ${status}`}: ${errors.trim().slice(0, 300)}`);
        } else if (left > 0) return reject(new Error(`${script} ended with ${left} rounds to go`));
        resolve();
      });
    });
  }
  return result;
}

module.exports = { supervise };

'use strict';

// Many rounds in a child process that may crash or hang: it is started again until all rounds are done, and both are counted.

const { fork } = require('node:child_process');

/**
 * Starts `script` with `{...options, rounds}`; the child sends `{ rounds, ... }` for what it has done. Gives the messages, and how often it
 * ended by itself too early (`crashes`, with why) or said nothing for `patience` milliseconds (`hangs`). After ten of these it gives up.
 */
async function supervise(script, options, { rounds, patience = 20_000 }) {
  const result = { messages: [], crashes: 0, hangs: 0, why: [] };
  let left = rounds;
  while (left > 0 && result.crashes + result.hangs < 10) {
    await new Promise((resolve, reject) => {
      const child = fork(script, [JSON.stringify({ ...options, rounds: left })], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
      let errors = '';
      let hung = false;
      const hangs = () => {
        hung = true;
        child.kill('SIGKILL');
      };
      let timer = setTimeout(hangs, patience);
      child.stderr.on('data', (bytes) => (errors += bytes));
      child.on('message', (message) => {
        clearTimeout(timer);
        timer = setTimeout(hangs, patience);
        left -= message.rounds;
        result.messages.push(message);
      });
      child.once('error', reject);
      child.once('close', (status, signal) => {
        clearTimeout(timer);
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

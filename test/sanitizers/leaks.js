'use strict';

// Preloaded into each Node that LeakSanitizer looks at. When a process ends by process.exit() or an uncaught error, Node frees nothing, and
// what only V8's heap points to would look lost: the reports of such a process are marked. One that ends by itself frees its environment.

const fs = require('node:fs');
const { isMainThread } = require('node:worker_threads');

if (isMainThread) {
  let ended = false;
  process.on('beforeExit', () => (ended = true));
  process.on('exit', () => {
    if (!ended) fs.writeFileSync(`${process.env.HAX_SANITIZER_REPORTS}/exited.${process.pid}`, '');
  });
}

'use strict';

// Writes what a script is to tell, its help for example, to standard output. Where that takes nothing (a full disk, a reader that is gone) a
// line says so, and the status is 1.
function writeOut(text) {
  process.stdout.once('error', ({ message }) => {
    process.stderr.write(`standard output cannot be written: ${message}\n`);
    process.exitCode = 1;
  });
  process.stdout.write(text);
}

module.exports = { writeOut };

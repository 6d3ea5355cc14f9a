'use strict';

// The run loop without its counters, for what they cost: the built file of lib/run/inline.ts is compiled without the statements that count.

const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const { root } = require('./raw.js');

const file = path.join(root, 'dist/run/inline.js');
const counting = ['ports[port]++;', 'kinds[kind]++;', 'exits.slices++;'];

/** `source` without each of the statements that count; throws when one is not there any more. */
function strip(source) {
  return counting.reduce((text, statement) => {
    const parts = text.split(statement);
    if (parts.length !== 2)
      throw new Error(`dist/run/inline.js has '${statement}' ${parts.length - 1} times: bench/lib/uncounted.js expects it once`);
    return parts.join('');
  }, source);
}

/** For this process; before node-hax is loaded. */
function withoutCounters() {
  const compiled = new Module(file, null);
  compiled.filename = file;
  compiled.paths = Module._nodeModulePaths(path.dirname(file));
  require.cache[file] = compiled;
  compiled._compile(strip(fs.readFileSync(file, 'utf8')), file);
  compiled.loaded = true;
}

module.exports = { strip, withoutCounters };

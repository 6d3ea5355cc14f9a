'use strict';

// What of the benchmarks is in C, compiled when it is missing or older than its source: the addon with the loops, and programs.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { findHeaders } = require('../../scripts/lib/headers.js');

const root = path.resolve(__dirname, '../..');

function compile(name, built, options) {
  const source = path.join(root, 'bench/native', `${name}.c`);
  const output = path.join(root, 'out/bench', built);
  if (fs.existsSync(output) && fs.statSync(output).mtimeMs > fs.statSync(source).mtimeMs) return output;
  fs.mkdirSync(path.dirname(output), { recursive: true });
  execFileSync('cc', ['-O2', '-Wall', '-Wextra', ...options(), '-o', output, source], { stdio: 'inherit' });
  return output;
}

/** The addon of native/raw.c. */
function raw() {
  const options = () => ['-shared', '-fPIC', '-DNAPI_VERSION=8', `-I${path.join(findHeaders(), 'include/node')}`];
  return require(compile('raw', 'raw.node', options));
}

/** The path of a program. */
const program = (name) => compile(name, name, () => ['-pthread']);

module.exports = { program, raw, root };

'use strict';

// What of the benchmarks is in C, compiled when it is missing or older than its source: the addon with the loops, and programs.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { findHeaders } = require('../../scripts/lib/headers.js');

const root = path.resolve(__dirname, '../..');

function compile(sources, built, options) {
  const files = sources.map((source) => path.join(root, source));
  const output = path.join(root, 'out/bench', built);
  const changed = (file) => fs.statSync(file).mtimeMs;
  if (fs.existsSync(output) && files.every((file) => changed(file) < changed(output))) return output;
  fs.mkdirSync(path.dirname(output), { recursive: true });
  execFileSync('cc', ['-O2', '-Wall', '-Wextra', ...options(), '-o', output, ...files], { stdio: 'inherit' });
  return output;
}

const sourcesOfRaw = ['bench/native/raw.c', 'bench/native/fast.cc', 'native/binding/fast_call.cc', 'native/core/os_linux.cc'];

/** The addon of native/raw.c. */
function raw() {
  const directories = () => [path.join(findHeaders(), 'include/node'), path.join(root, 'native'), require('node-addon-api').include_dir];
  const options = () => [
    '-shared',
    '-fPIC',
    '-DNAPI_VERSION=8',
    '-DNAPI_DISABLE_CPP_EXCEPTIONS',
    ...directories().map((each) => `-I${each}`),
  ];
  return require(compile(sourcesOfRaw, 'raw.node', options));
}

/** The path of a program. */
const program = (name) => compile([`bench/native/${name}.c`], name, () => ['-pthread']);

module.exports = { program, raw, root };

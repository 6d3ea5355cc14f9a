'use strict';

// The addon with the C loops (native/raw.c), compiled when it is missing or older than its source.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { findHeaders } = require('../../scripts/lib/headers.js');

const root = path.resolve(__dirname, '../..');
const source = path.join(root, 'bench/native/raw.c');
const built = path.join(root, 'out/bench/raw.node');

function raw() {
  const fresh = fs.existsSync(built) && fs.statSync(built).mtimeMs > fs.statSync(source).mtimeMs;
  if (!fresh) {
    fs.mkdirSync(path.dirname(built), { recursive: true });
    const include = path.join(findHeaders(), 'include/node');
    execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-shared', '-fPIC', '-DNAPI_VERSION=8', `-I${include}`, '-o', built, source], {
      stdio: 'inherit',
    });
  }
  return require(built);
}

module.exports = { raw, root };

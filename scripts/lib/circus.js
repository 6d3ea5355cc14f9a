'use strict';

// Makes what runs test files where Jest itself is slow, inside host B and under sanitizers: circus-main.js with the libraries that it needs as
// one file, and each file of the tests as JavaScript. Jest takes 20 s to start in host B and 8 s for each file.

const fs = require('node:fs');
const path = require('node:path');
const { root } = require('./prepare.js');

// The others mock modules, which is Jest's alone.
const PROJECTS = ['contract', 'native', 'boot'];

function typescriptBelow(directory) {
  return fs
    .readdirSync(path.join(root, directory), { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => path.join(directory, name));
}

// Into the directory `out`, which it empties.
function compile(out) {
  const { buildSync, transformSync } = require('esbuild'); // scripts/test installs it
  fs.rmSync(out, { recursive: true, force: true });
  buildSync({
    entryPoints: [path.join(__dirname, 'circus-main.js')],
    outfile: path.join(out, 'main.js'),
    bundle: true,
    platform: 'node',
    target: 'node20',
    alias: { '@jest/expect': path.join(__dirname, 'circus-expect.js') },
    logLevel: 'error',
  });
  for (const name of [...PROJECTS, 'support'].flatMap((each) => typescriptBelow(`test/${each}`))) {
    const { code } = transformSync(fs.readFileSync(path.join(root, name), 'utf8'), {
      loader: 'ts',
      format: 'cjs',
      target: 'node20',
      banner: "'use strict';", // as every module of ECMAScript is
    });
    const file = path.join(out, `${name}.js`);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, code);
  }
}

// The command that runs `files` and writes their results to `output`; in the repository's root.
function circusCommand(out, output, timeout, files) {
  return [process.execPath, path.join(out, 'main.js'), output, String(timeout), out, ...files];
}

module.exports = { PROJECTS, circusCommand, compile };

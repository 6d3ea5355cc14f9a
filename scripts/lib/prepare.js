'use strict';

// What scripts/demo and scripts/test need before they can begin, on a machine that may have nothing but Node.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { findHeaders, packageName } = require('./headers.js');
const { PACKAGES, SetupError, ensure } = require('./packages.js');

const root = path.resolve(__dirname, '../..');

// Runs a program whose output nobody wants unless it fails.
function quietly(label, program, args, say) {
  const began = Date.now();
  const done = spawnSync(program, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (done.status !== 0) {
    process.stderr.write(`${done.stdout ?? ''}${done.stderr ?? ''}`);
    throw new SetupError(`${label} failed${done.error ? `: ${done.error.message}` : ''}`);
  }
  say(`${label}, ${((Date.now() - began) / 1000).toFixed(1)} s`);
}

// The npm that runs us, or the one on PATH.
function npm(args, say) {
  const script = process.env.npm_execpath;
  const [program, first] = script && /\.c?js$/.test(script) ? [process.execPath, [script]] : ['npm', []];
  quietly(`npm ${args[0]}`, program, [...first, ...args, '--no-audit', '--no-fund'], say);
}

function installDependencies(say) {
  const time = (file) => fs.statSync(path.join(root, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (time('node_modules/.package-lock.json') < time('package-lock.json')) npm(['ci', '--include=dev'], say);
  if (!findHeaders()) npm(['install', '--no-save', '--no-package-lock', packageName], say);
}

function checkNode() {
  const [major] = process.versions.node.split('.').map(Number);
  if (major < 20) throw new SetupError(`Node 20 or newer is needed; this is ${process.versions.node}`);
}

// Packages, npm packages and the build. `extra` are Debian packages for what comes after it.
function prepare(extra, say) {
  checkNode();
  ensure([...PACKAGES.build, ...extra], say);
  installDependencies(say);
}

function build() {
  const done = spawnSync(process.execPath, [path.join(root, 'scripts/build')], { cwd: root, stdio: 'inherit' });
  if (done.status !== 0) throw new SetupError('the build failed');
}

// What this host's devices can do: the report of `hax doctor --json`.
function doctor() {
  const done = spawnSync(process.execPath, [path.join(root, 'dist/cli/main.js'), 'doctor', '--json'], { encoding: 'utf8' });
  try {
    return JSON.parse(done.stdout);
  } catch {
    throw new SetupError(`hax doctor said nothing that can be read: ${done.stderr}`);
  }
}

module.exports = { build, doctor, prepare, root };

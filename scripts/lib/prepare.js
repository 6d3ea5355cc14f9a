'use strict';

// What scripts/demo and scripts/test need before they can begin, on a machine that may have nothing but Node.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { findHeaders, packageName } = require('./headers.js');
const { inTurn } = require('./lock.js');
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

// Whether each package that package-lock.json wants in `directory` is installed in that version; those for other systems may be missing. The
// files' times tell nothing: a checkout sets them, and a clock that was put right.
function upToDate(directory) {
  const read = (file) => {
    try {
      return JSON.parse(fs.readFileSync(path.join(directory, file), 'utf8')).packages;
    } catch {
      return undefined; // not there, or cut short
    }
  };
  const [wanted, installed] = [read('package-lock.json'), read('node_modules/.package-lock.json')];
  if (!wanted || !installed) return false;
  const right = ([name, { version, integrity, optional }]) => {
    const there = installed[name];
    return there ? there.version === version && there.integrity === integrity : optional === true;
  };
  return Object.entries(wanted)
    .filter(([name]) => name !== '')
    .every(right);
}

function installDependencies(say) {
  if (!upToDate(root)) npm(['ci', '--include=dev'], say);
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
  inTurn(path.join(root, 'out/setup.lock'), () => installDependencies(say), say);
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

module.exports = { build, doctor, prepare, root, upToDate };

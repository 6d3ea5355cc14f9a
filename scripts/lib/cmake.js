'use strict';

// The addon by cmake-js, from native/CMakeLists.txt. What ships is built by scripts/build.

const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { findHeaders, packageName } = require('./headers.js');
const { SetupError } = require('./packages.js');

const root = path.resolve(__dirname, '../..');
const CONFIGURATION = 'Checked'; // none of CMake's own: those have flags beside the ones of CMakeLists.txt

function environment() {
  const headers = findHeaders();
  if (!headers) throw new SetupError(`Node's headers are not here: run npm install --no-save ${packageName}, which brings them`);
  // cmake-js downloads them unless it is told where they are, and lets npm's configuration win.
  const kept = Object.entries(process.env).filter(([name]) => !/^npm_(package_)?config_/i.test(name));
  return { ...Object.fromEntries(kept), npm_config_nodedir: headers };
}

// Configures in `out`, which then has compile_commands.json, and builds `targets`. Where they are.
function cmake(out, { targets = [], sanitize = '', werror = false } = {}) {
  const api = path.resolve(require('node-addon-api').include_dir);
  const options = { HAX_SANITIZE: sanitize, HAX_ADDON_API: api, HAX_WERROR: werror ? 'ON' : 'OFF' };
  const common = ['--directory', path.join(root, 'native'), '--out', out, '--config', CONFIGURATION, '--prefer-make'];
  const step = (words) => {
    const file = path.join(root, 'node_modules/cmake-js/bin/cmake-js');
    const done = spawnSync(process.execPath, [file, ...words, ...common], {
      cwd: root,
      env: environment(),
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    if (done.status !== 0) throw new SetupError(`cmake-js could not ${words[0]} in ${out}:\n${done.stdout ?? ''}${done.stderr ?? ''}`);
  };
  step(['configure', ...Object.entries(options).map(([name, value]) => `--CD${name}=${value}`)]);
  for (const target of targets) step(['build', '--target', target, '--parallel', '2']);
  return path.join(out, CONFIGURATION);
}

module.exports = { cmake };

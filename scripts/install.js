'use strict';

// npm runs this after it has unpacked the package (npm 12 only where the user has approved it). node-gyp-build decides: where a prebuilt
// binary loads there is nothing to do, elsewhere it has node-gyp build one. Then V8 compiles the command, which starts sooner for it. It never
// fails the installation: importing node-hax always works, and using it says what is missing, with what this script has noted down.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { makeCodeCache } = require('./lib/code-cache.js');
const { findHeaders } = require('./lib/headers.js');

const root = path.resolve(__dirname, '..');
const note = path.join(root, 'build/install-failed.txt');
const log = path.join(root, 'build/install.log');

const PLATFORMS = ['linux', 'win32', 'darwin', 'netbsd'];

function build() {
  const headers = findHeaders();
  const environment = { ...process.env, npm_config_jobs: 'max', ...(headers ? { npm_config_nodedir: headers } : {}) };
  const decide = require.resolve('node-gyp-build/bin.js');
  return spawnSync(process.execPath, [decide], { cwd: root, encoding: 'utf8', env: environment, maxBuffer: 1 << 26 });
}

// One sentence for the error that will be thrown where the addon is used; all of it in the log.
function report(done) {
  const output = `${done.stdout ?? ''}${done.stderr ?? ''}`;
  const reason =
    /^gyp ERR! stack (?:Error: )?(.*)$/m.exec(output)?.[1] ?? done.error?.message ?? `node-gyp-build ended with status ${done.status}`;
  fs.mkdirSync(path.dirname(note), { recursive: true });
  fs.writeFileSync(log, output);
  fs.writeFileSync(note, `no prebuilt binary fits, and building it failed: ${reason} (${log})\n`);
  process.stderr.write(
    `node-hax: no prebuilt binary fits this system, and building it failed: ${reason}\nnode-hax: all of it is in ${log}\n`,
  );
}

function main() {
  // A checkout is built by scripts/build.
  if (fs.existsSync(path.join(root, 'tsconfig.json'))) return;
  if (process.arch !== 'x64' || !PLATFORMS.includes(process.platform)) {
    process.stderr.write(
      `node-hax: there is no hypervisor for ${process.platform}-${process.arch}; it can be imported, and doctor() asked\n`,
    );
    return;
  }
  fs.rmSync(note, { force: true });
  const done = build();
  if (done.status !== 0) report(done);
  makeCodeCache(path.join(root, 'dist/cli'));
}

try {
  main();
} catch (error) {
  process.stderr.write(`node-hax: ${error.message}\n`);
}

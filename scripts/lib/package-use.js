'use strict';

// The installed package in use, as its documents say.

const fs = require('node:fs');
const path = require('node:path');
const { PATIENT } = require('./bare-machine.js');

const IMPORT = `
import { HaxError, Hypervisor, doctor } from 'node-hax';
import whole from 'node-hax';
import { whyUnavailable } from 'node-hax/testing';
import { createRequire } from 'node:module';
const required = createRequire(import.meta.url)('node-hax');
if (required.Hypervisor !== Hypervisor || whole.Hypervisor !== Hypervisor) throw new Error('import and require differ');
let code;
try { Hypervisor.open({ backend: 'null' }).close(); } catch (error) { code = error instanceof HaxError ? error.code : String(error); }
console.log(JSON.stringify({ names: Object.keys(required).length, code, addon: doctor().addon.ok, reason: whyUnavailable() }));
`;

const ASK = `
const { Hypervisor } = require('node-hax');
try { Hypervisor.open(); } catch ({ code, message, hint }) { console.log(JSON.stringify({ code, message, hint })); }
`;

// Rounds of 100,000 exits of the null device, until compiled code has made nearly all calls of run() without Node-API.
const FAST = `
const { Hypervisor } = require('node-hax');
const { exitPage } = require(require('node:path').join(process.cwd(), 'node_modules/node-hax/dist/native/layout.js'));
const vm = Hypervisor.open({ backend: 'null' }).createVm({ irqchip: 'user' });
vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => undefined });
const vcpu = vm.createVcpu();
const slowCalls = () => Number(new BigUint64Array(vcpu.shared)[exitPage.slowCalls / 8]);
(async () => {
  let slow = 100_000;
  for (let round = 0; round < 30 && slow >= 1_000; round++) {
    const before = slowCalls();
    vcpu.setState({ rcx: 100_000n, rdx: 0x10n });
    await vcpu.run();
    slow = slowCalls() - before;
  }
  console.log(JSON.stringify({ slow, v8: process.versions.v8 }));
})();
`;

// A tool that has to succeed; its standard output.
function succeed(machine, program, args, options) {
  const done = machine.run(program, args, options);
  if (done.status !== 0)
    throw new Error(`${machine.name}: ${program} ${args.join(' ')}: status ${done.status}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

function expect(machine, what, condition) {
  if (!condition) throw new Error(`${machine.name}: ${what}`);
}

const NPM_OPTIONS = ['--no-audit', '--no-fund', '--prefer-offline', PATIENT];

// import, require, doctor, demo.
function checkUse(machine, tarball, say) {
  succeed(machine, 'npm', ['install', ...NPM_OPTIONS, tarball]);
  const installed = path.join(machine.project, 'node_modules/node-hax');
  expect(machine, 'the installation has built something, though a prebuilt binary fits', !fs.existsSync(path.join(installed, 'build')));

  machine.write('use.mjs', IMPORT);
  const seen = JSON.parse(succeed(machine, 'node', ['use.mjs']));
  expect(machine, `the addon does not work: ${JSON.stringify(seen)}`, seen.addon && seen.code === undefined && seen.names > 10);
  machine.write('use.cjs', "if (typeof require('node-hax').launch !== 'function') throw new Error('no launch()');");
  succeed(machine, 'node', ['use.cjs']);

  const calls = JSON.parse(succeed(machine, 'node', ['-e', FAST]));
  expect(machine, `run() is not called without Node-API: ${JSON.stringify(calls)}`, calls.slow < 1_000);

  const doctor = machine.run('npx', ['node-hax', 'doctor', '--json']);
  const report = JSON.parse(doctor.stdout);
  expect(machine, `doctor: ${doctor.stdout}`, report.addon.ok && doctor.status === (report.ok ? 0 : 1));
  expect(machine, 'doctor finds no usable device, and HAX_REQUIRE_KVM asks for one', report.ok || process.env.HAX_REQUIRE_KVM !== '1');
  let demo = `no demo: ${report.linux.reason}`;
  if (report.ok) {
    const said = succeed(machine, 'npx', ['node-hax', 'demo']);
    expect(machine, `the demo said ${said}`, /^Hello from a guest on \/dev\/\w+, through a UART/.test(said));
    demo = 'demo';
  }
  say(`${machine.name}: installed without a compiler; import, require, fast calls, doctor, ${demo}`);
}

// Where no prebuilt binary fits: nothing fails before the addon is used, and then the error says all there is to say.
function checkWithoutAddon(machine, say) {
  fs.rmSync(path.join(machine.project, 'node_modules/node-hax/prebuilds'), { recursive: true });
  const ask = () => JSON.parse(succeed(machine, 'node', ['-e', ASK]));
  const first = ask();
  expect(machine, `not ERR_HAX_NO_ADDON, but ${JSON.stringify(first)}`, first.code === 'ERR_HAX_NO_ADDON');
  for (const part of ['linux-x64', 'glibc', 'Node 26', 'build/Release/node_hax.node (not there)', 'node-hax.glibc.node (not there)'])
    expect(machine, `ERR_HAX_NO_ADDON does not tell ${part}: ${first.message}`, first.message.includes(part));
  const remedy = 'npm install-scripts approve node-hax && npm rebuild node-hax';
  expect(machine, `ERR_HAX_NO_ADDON does not tell the remedy: ${first.hint}`, first.hint.includes(remedy));
  const doctor = machine.run('npx', ['node-hax', 'doctor']);
  expect(machine, `doctor: ${doctor.stdout}`, doctor.status === 1 && doctor.stdout.includes(remedy));

  // The remedy on a machine that has no compiler either: it does not fail, and the error knows why.
  succeed(machine, 'npm', ['install-scripts', 'approve', 'node-hax']);
  succeed(machine, 'npm', ['rebuild', 'node-hax']);
  const second = ask();
  expect(machine, `the error does not tell why the build failed: ${second.message}`, second.message.includes('building it failed'));
  say(
    `${machine.name}: without a binary: import and doctor work, use throws ERR_HAX_NO_ADDON; npm rebuild without a compiler fails nothing`,
  );
}

// The remedy where there is a compiler.
function checkCompiled(machine, say) {
  const began = Date.now();
  succeed(machine, 'npm', ['rebuild', 'node-hax'], { compiler: true });
  expect(
    machine,
    'the remedy built nothing',
    fs.existsSync(path.join(machine.project, 'node_modules/node-hax/build/Release/node_hax.node')),
  );
  const seen = JSON.parse(succeed(machine, 'node', ['use.mjs']));
  expect(machine, `the addon that npm rebuild made does not work: ${JSON.stringify(seen)}`, seen.addon);
  say(`${machine.name}: npm rebuild with a compiler builds an addon that loads, ${((Date.now() - began) / 1000).toFixed(1)} s`);
}

module.exports = { checkCompiled, checkUse, checkWithoutAddon };

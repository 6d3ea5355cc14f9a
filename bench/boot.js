#!/usr/bin/env node
'use strict';

// node bench/boot.js exits | pair [PAIRS]: Debian's cloud kernel on a real KVM. Where this host's KVM cannot run Linux call it inside host B:
//   scripts/test-in-vm --share out/bench node bench/boot.js exits
// The kernel is fetched and the initrd built before, outside: node bench/boot.js prepare

const { execFileSync, spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const root = path.resolve(__dirname, '..');
const out = path.join(root, 'out/bench');
const kernel = path.join(out, 'vmlinuz');
const initrd = path.join(out, 'initrd.img');
const commandLine = 'console=ttyS0 quiet';
// What init prints first: scripts/make-initrd.
const initLine = /^node-hax: init runs/m;

function prepare() {
  fs.mkdirSync(out, { recursive: true });
  const fetched = execFileSync(path.join(root, 'scripts/fetch-kernel'), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
  fs.copyFileSync(fetched, kernel);
  execFileSync(path.join(root, 'scripts/make-initrd'), [initrd], { stdio: 'inherit' });
}

/** Starts a machine; milliseconds from the spawn to init's line, and to its end. */
function boot(command, args) {
  return new Promise((resolve, reject) => {
    const start = process.hrtime.bigint();
    const since = () => Number(process.hrtime.bigint() - start) / 1e6;
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    let line;
    child.stdout.on('data', (bytes) => {
      output += bytes;
      if (line === undefined && initLine.test(output)) line = since();
    });
    child.once('error', reject);
    child.once('close', () => (line === undefined ? reject(new Error(`no line of init in:\n${output}`)) : resolve({ line, end: since() })));
  });
}

const haxArguments = [
  'dist/cli/main.js',
  'run',
  kernel,
  '--initrd',
  initrd,
  '--append',
  commandLine,
  '--memory',
  '256M',
  '--timeout',
  '60',
];
const bootHax = (...more) => boot(process.execPath, [...haxArguments.map((word, i) => (i === 0 ? path.join(root, word) : word)), ...more]);
const bootQemu = () =>
  boot('qemu-system-x86_64', [
    ...'-nodefaults -no-user-config -display none -machine pc -accel kvm -cpu host -smp 1 -m 256 -no-reboot -serial stdio'.split(' '),
    ...['-kernel', kernel, '-initrd', initrd, '-append', commandLine],
  ]);

/** KVM's own counts of exits to user space, over all its VMs since the module was loaded. */
function kvmCounts() {
  const directory = '/sys/kernel/debug/kvm';
  if (!fs.existsSync(path.join(directory, 'io_exits'))) {
    try {
      execFileSync('mount', ['-t', 'debugfs', 'none', '/sys/kernel/debug'], { stdio: 'ignore' });
    } catch {
      return undefined;
    }
  }
  const read = (name) => Number(fs.readFileSync(path.join(directory, name), 'utf8'));
  return fs.existsSync(path.join(directory, 'io_exits')) ? { io: read('io_exits'), mmio: read('mmio_exits') } : undefined;
}

/** Boots in this process, up to the line or to the end; KVM counts over living VMs only, so it is asked before the machine is closed. */
async function count(untilInit) {
  const { launch } = require(path.join(root, 'dist/index.js'));
  const machine = await launch({ kernel, initrd, append: commandLine, memory: '256M' });
  await (untilInit ? machine.console.waitFor(initLine) : machine.ended);
  const { handled, kinds, ports, slices, kicks, interrupted } = machine.statistics;
  const kvm = kvmCounts();
  await machine.close();
  return { handled, kinds, ports, slices, kicks, interrupted, kvm };
}

async function exits() {
  const result = { commandLine, toInit: await count(true), whole: await count(false) };
  fs.writeFileSync(path.join(out, 'boot-exits.json'), `${JSON.stringify(result, null, 2)}\n`);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

async function pair(pairs) {
  const median = (values) => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)];
  await bootQemu(); // the machine's first boot is faster than all others
  const times = { hax: [], qemu: [] };
  for (let i = 0; i < pairs; i++) {
    const order = i % 2 === 0 ? ['hax', 'qemu'] : ['qemu', 'hax'];
    for (const who of order) times[who].push((await (who === 'hax' ? bootHax() : bootQemu())).line);
  }
  const result = {
    pairs,
    hax: median(times.hax),
    qemu: median(times.qemu),
    ratio: median(times.hax.map((t, i) => t / times.qemu[i])),
    times,
  };
  fs.writeFileSync(path.join(out, `boot-pair-${process.pid}-${Date.now()}.json`), `${JSON.stringify(result)}\n`);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

const [what, pairs] = process.argv.slice(2);
const run = { prepare, exits, pair: () => pair(Number(pairs ?? 7)) }[what];
if (!run) {
  process.stderr.write('Usage: node bench/boot.js prepare | exits | pair [PAIRS]\n');
  process.exitCode = 2;
} else {
  Promise.resolve(run()).catch((error) => {
    process.stderr.write(`bench: ${error.stack}\n`);
    process.exitCode = 1;
  });
}

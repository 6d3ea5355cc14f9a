'use strict';

// What both boot benchmarks need: the guest's files, host B where this host's KVM cannot run Linux, and starting machines.

const { execFileSync, spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { writeOut } = require('../../scripts/lib/write-out.js');

const root = path.resolve(__dirname, '../..');
const out = path.join(root, 'out/bench');
const files = { kernel: path.join(out, 'vmlinuz'), initrd: path.join(out, 'initrd.img') };
const commandLine = 'console=ttyS0 quiet';
const memory = 256; // MiB
/** What init of scripts/make-initrd prints first. */
const initLine = 'node-hax: init runs';

/** Debian's cloud kernel and an initrd with our init, outside of host B, which has no network. */
function prepare() {
  fs.mkdirSync(out, { recursive: true });
  const fetched = execFileSync(path.join(root, 'scripts/fetch-kernel'), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
  fs.copyFileSync(fetched, files.kernel);
  execFileSync(path.join(root, 'scripts/make-initrd'), [files.initrd], { stdio: 'inherit' });
}

/** Whether this host's KVM runs Linux; hax doctor knows. */
function runsLinux() {
  const done = spawnSync(process.execPath, [path.join(root, 'dist/cli/main.js'), 'doctor', '--json'], { encoding: 'utf8' });
  return JSON.parse(done.stdout).linux.ok === true;
}

/** Runs `script` with `words` where Linux can run, and gives what it prints as JSON. */
function where(script, words) {
  const command = [process.execPath, path.join(root, 'bench', script), '--here', ...words];
  const [program, ...args] = runsLinux() ? command : [path.join(root, 'scripts/test-in-vm'), '--timeout', '120', '--', ...command];
  return JSON.parse(execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }));
}

const hax = (...more) => [
  process.execPath,
  path.join(root, 'dist/cli/main.js'),
  ...['run', files.kernel, '--initrd', files.initrd, '--append', commandLine, '--memory', `${memory}M`, '--timeout', '60', ...more],
];

const qemu = () => [
  'qemu-system-x86_64',
  ...'-nodefaults -no-user-config -display none -machine pc -accel kvm -cpu host -smp 1 -no-reboot -serial stdio'.split(' '),
  ...['-m', String(memory), '-kernel', files.kernel, '-initrd', files.initrd, '-append', commandLine],
];

/** Starts a machine and kills it at init's line, if it does not end by itself; milliseconds from the spawn to the line. */
function timeToLine([program, ...args], endsItself) {
  return new Promise((resolve, reject) => {
    const start = process.hrtime.bigint();
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    let milliseconds;
    child.stdout.on('data', (bytes) => {
      output += bytes;
      if (milliseconds !== undefined || !output.includes(initLine)) return;
      milliseconds = Number(process.hrtime.bigint() - start) / 1e6;
      if (!endsItself) child.kill('SIGKILL');
    });
    child.once('error', reject);
    child.once('close', () => {
      if (milliseconds === undefined) reject(new Error(`${program} never came to init's line; it printed:\n${output}`));
      else resolve(milliseconds);
    });
  });
}

/** `text` to standard output; a failure to standard error and status 1. */
function report(work) {
  Promise.resolve()
    .then(work)
    .then(writeOut, (error) => {
      // What a program of its own said is on standard error already.
      if (error.status === undefined) process.stderr.write(`bench: ${error.stack}\n`);
      process.exitCode = 1;
    });
}

module.exports = { commandLine, files, hax, initLine, memory, out, prepare, qemu, report, root, timeToLine, where };

'use strict';

const { execFileSync, spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const { QEMU, find } = require('../lib/packages.js');

const SILENCE = Number(process.env.HAX_HOST_B_SILENCE) || 20; // seconds without a heartbeat
const NUDGED = 2; // seconds without one until the processor is interrupted
const BOOT = 40; // seconds to the first one, on a machine that is not busy with other things
const BUFFERED = 16 << 20; // bytes that wait for our own reader before we stop taking more
const FILE_SYSTEM = 'local,security_model=none,multidevs=remap';

function bootLimit() {
  return Math.min(BOOT * Math.max(1, os.loadavg()[0] / os.availableParallelism()), 3 * BOOT);
}

function qemuArguments(files, options, tscKhz) {
  const line = [
    'console=ttyS0 quiet panic=-1 oops=panic mitigations=off nokaslr no_timer_check tsc=reliable',
    `tsc_early_khz=${tscKhz}`,
    // What the emulator translated for one process serves the next if it lies at the same address.
    'rcupdate.rcu_expedited=1 norandmaps',
    // Repeated string instructions, emulated one element at a time, copy and clear at a third of the speed of plain loops.
    'clearcpuid=rep_good',
  ];
  const comma = (file) => file.replaceAll(',', ',,');
  const share = (id, where, extra) => [
    ...['-fsdev', `${FILE_SYSTEM},id=${id},path=${comma(where)}${extra}`],
    ...['-device', `virtio-9p-pci,fsdev=${id},mount_tag=${id}`],
  ];
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-machine', 'q35,hpet=off', '-accel', 'tcg,thread=multi,tb-size=1024', '-cpu', 'max,-la57,-erms,-fsrm'],
    ...['-smp', `${options.cpus}`, '-m', `${options.memory}`],
    ...['-kernel', files.vmlinux, '-initrd', files.initramfs, '-append', line.join(' ')],
    ...['-chardev', 'socket,id=console,fd=3', '-serial', 'chardev:console'],
    ...['-chardev', 'socket,id=port,fd=4', '-device', 'virtio-serial-pci', '-device', 'virtserialport,nr=1,chardev=port,name=host-b'],
    ...share('root', '/', ',readonly=on'),
    ...options.shares.flatMap((where, i) => share(`share${i}`, where, '')),
  ];
}

// Variables that make sense inside. Those of Node's own channel to a parent name a file descriptor that is not there; further
// certificates, of no use without a network, more than double the time in which an emulated Node starts.
function environment(variables = process.env) {
  const wanted = /^(PATH|HOME|XDG_CACHE_HOME|LANG|CI|(HAX_|NODE_|npm_|JEST_).*)$/;
  const unwanted = /^NODE_(CHANNEL_.*|UNIQUE_ID|EXTRA_CA_CERTS)$/;
  return Object.entries(variables).filter(([name]) => wanted.test(name) && !unwanted.test(name));
}

// The order to init.c, as its head comment describes it.
function order(files, options) {
  const { uid, gid } = options.user ?? { uid: 0, gid: 0 };
  const strings = [Date.now(), uid, gid, files.modules, process.cwd(), options.shares.length, ...options.shares];
  strings.push(options.command.length, ...options.command, ...environment().map(([name, value]) => `${name}=${value}`));
  const body = Buffer.from(strings.map((text) => `${text}\0`).join(''));
  const head = Buffer.alloc(4);
  head.writeUInt32LE(body.length);
  return Buffer.concat([head, body]);
}

// Calls back for each frame of init.c's in a stream of chunks.
function frames(each) {
  let held = Buffer.alloc(0);
  return (chunk) => {
    held = held.length > 0 ? Buffer.concat([held, chunk]) : chunk;
    while (held.length >= 5 && held.length >= 5 + held.readUInt32LE(1)) {
      const end = 5 + held.readUInt32LE(1);
      each(String.fromCharCode(held[0]), held.subarray(5, end));
      held = held.subarray(end);
    }
  };
}

// How a machine ended that neither reported a status nor was ended by us.
function explain(consoleText, beats, code, signal, errors) {
  const panic = /Kernel panic[^\r\n]*/.exec(consoleText);
  if (panic) return { result: 'panic', message: `inner kernel panic: ${panic[0]}` };
  const refusal = /host-b: ([^\r\n]*)/.exec(consoleText);
  if (refusal) return { result: 'setup', message: `host B could not start: ${refusal[1]}` };
  if (code === 0 && beats > 0) return { result: 'panic', message: 'host B reset or powered off before the command ended' };
  const said = errors.trim().split('\n').pop();
  return { result: 'setup', message: `QEMU ended with ${signal ?? `status ${code}`}${said ? `: ${said}` : ''}` };
}

// Starts host B, runs the command in it, and resolves with what became of it: { result, status?, message? }.
// stop is an AbortSignal: the machine is ended, and the promise resolves, when it fires.
function run(files, options, streams, stop) {
  const tscKhz = Number(execFileSync(files.tscRate, { encoding: 'utf8' }));
  // The kernel ends QEMU with us, however we end.
  const args = ['--pdeathsig', 'KILL', '--', find(QEMU), ...qemuArguments(files, options, tscKhz)];
  const child = spawn(find('setpriv'), args, { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'], detached: true });
  const [, , stderr, serial, port] = child.stdio;
  let consoleText = '';
  let errors = '';
  let outcome;
  let beats = 0;
  let silent = 0;

  return new Promise((resolve) => {
    const end = (what) => {
      outcome ??= what;
      child.kill('SIGKILL');
    };
    const limit = bootLimit();
    // Counts seconds in which we ran: being stopped ourselves is not the machine's silence.
    const ticks = setInterval(() => {
      silent += port.isPaused() ? 0 : 1;
      // QEMU 7.2 loses an interrupt now and then when a guest of the emulated SVM exits: the processor sleeps with its timer pending, until
      // another one comes.
      if (beats > 0 && silent >= NUDGED) port.write('\0');
      if (silent > (beats > 0 ? SILENCE : limit)) end({ result: 'hung', message: beats > 0 ? `no heartbeat for ${SILENCE} s` : 'no boot' });
    }, 1000);
    const timer = setTimeout(() => end({ result: 'timeout', message: `timed out after ${options.timeout} s` }), options.timeout * 1000);
    const interrupt = () => end({ result: 'interrupted' });
    stop.addEventListener('abort', interrupt);
    if (stop.aborted) interrupt(); // between two starts

    const pass = (stream, bytes) => {
      if (stream.write(bytes) || stream.writableLength < BUFFERED || port.isPaused()) return;
      port.pause();
      stream.once('drain', () => port.resume());
    };
    const take = frames((type, payload) => {
      silent = 0;
      // The order tells the time, so it leaves when it will be read at once.
      if (type === 'b' && beats++ === 0) port.write(order(files, options));
      if (type === 'o') pass(streams.stdout, payload);
      else if (type === 'e') pass(streams.stderr, payload);
      else if (type === 'f') end({ result: 'setup', message: `host B could not start: ${payload}` });
      else if (type === 'x') end({ result: 'exited', status: payload.readUInt32LE(0) });
    });
    port.on('data', take);
    serial.on('data', (bytes) => {
      consoleText = (consoleText + bytes.toString('latin1')).slice(-65536);
      if (options.console) fs.appendFileSync(options.console, bytes);
    });
    stderr.on('data', (bytes) => (errors = (errors + bytes).slice(-4096)));
    for (const stream of [port, serial, stderr]) stream.on('error', () => {}); // reset when QEMU is killed

    child.on('error', (error) => (outcome ??= { result: 'setup', message: `setpriv: ${error.message}` }));
    child.on('close', (code, signal) => {
      clearInterval(ticks);
      clearTimeout(timer);
      stop.removeEventListener('abort', interrupt);
      resolve(outcome ?? explain(consoleText, beats, code, signal, errors));
    });
  });
}

module.exports = { environment, run };

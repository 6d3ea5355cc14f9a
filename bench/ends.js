'use strict';

// How long a process and a worker take to end while four guests spin, with which status, and whether any crashes.

const { fork } = require('node:child_process');
const { once } = require('node:events');
const { writeSync } = require('node:fs');
const { setTimeout: delay } = require('node:timers/promises');
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');
const { makeGuest, someBackend } = require('./lib/guests.js');
const { main } = require('./lib/row.js');
const { median, round } = require('./lib/statistics.js');
const { supervise } = require('./lib/supervise.js');

const guests = 4;
/** What process.exit() is given. */
const status = 7;
/** How long guests spin before the end, milliseconds. */
const spinFor = 10;

/** Two guests that never exit and two that exit all the time. */
function start({ backend, threaded }) {
  for (let i = 0; i < guests; i++) void makeGuest(i % 2 === 0 ? 'spin' : 'out', { backend }).vcpu.run({ threaded });
}

/** A process that ends itself: with four threads of vCPUs, or with four workers that each have a guest inline. */
async function leave({ backend, workers }) {
  if (workers) {
    const all = Array.from({ length: guests }, (_, i) => {
      return new Worker(__filename, { workerData: { backend, alone: i % 2 === 0 ? 'spin' : 'out' } });
    });
    await Promise.all(all.map((worker) => once(worker, 'message')));
  } else {
    start({ backend, threaded: true });
  }
  await delay(spinFor);
  writeSync(1, String(process.hrtime.bigint()));
  process.exit(status);
}

/** Ends of worker threads one after the other; the process goes on. */
async function terminate({ backend, rounds }) {
  for (let i = 0; i < rounds; i++) {
    const worker = new Worker(__filename, { workerData: { backend, threaded: i % 2 === 0 } });
    await once(worker, 'message');
    await delay(spinFor);
    const began = performance.now();
    const code = await worker.terminate();
    const message = { rounds: 1, ms: performance.now() - began, right: code === 1 };
    await new Promise((resolve) => process.send(message, resolve));
  }
  process.disconnect();
}

function inWorker({ alone, ...options }) {
  if (alone) void makeGuest(alone, options).vcpu.run();
  else start(options);
  setTimeout(() => parentPort.postMessage('runs'), 1);
}

/** One process from its process.exit() to what its parent learns. */
async function oneProcess(options) {
  const child = fork(__filename, [JSON.stringify({ child: 'leave', ...options })], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  let output = '';
  child.stdout.on('data', (bytes) => (output += bytes));
  const hung = setTimeout(() => child.kill('SIGKILL'), 60_000);
  let end;
  child.once('exit', () => (end = process.hrtime.bigint()));
  const [code, signal] = await once(child, 'close');
  clearTimeout(hung);
  return { ms: Number(end - BigInt(output || end)) / 1e6, right: code === status, crashed: signal !== null };
}

function summary(ends, crashes) {
  const ms = ends.map((end) => end.ms);
  return {
    p50: round(median(ms)),
    most: round(Math.max(...ms)),
    rounds: ends.length,
    wrongStatus: ends.filter((end) => !end.right).length,
    crashes,
  };
}

async function measure({ quick = false, rounds = quick ? 10 : 100 }) {
  const backend = someBackend();
  const ends = [];
  for (let i = 0; i < rounds; i++) ends.push(await oneProcess({ backend, workers: i % 2 === 1 }));
  const workers = await supervise(__filename, { child: 'terminate', backend }, { rounds });
  return {
    process: summary(ends, ends.filter(({ crashed }) => crashed).length),
    worker: { ...summary(workers.messages, workers.crashes + workers.hangs), why: workers.why },
    backend,
  };
}

function describe(figures) {
  return ['process', 'worker'].map((name) => {
    const { p50, most, rounds, wrongStatus, crashes } = figures[name];
    const what = name === 'process' ? 'process.exit()' : 'worker.terminate()';
    return [what, `${p50} ms at the median, ${most} at most; of ${rounds} rounds ${wrongStatus} with a wrong status, ${crashes} crashes`];
  });
}

module.exports = { describe, measure };

if (!isMainThread) inWorker(workerData);
else if (require.main === module) {
  const options = JSON.parse(process.argv[2] ?? '{}');
  if (options.child === 'leave') void leave(options);
  else if (options.child === 'terminate') void terminate(options);
  else main(measure);
}

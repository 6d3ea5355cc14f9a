'use strict';

// What the event loop's callbacks wait for beside a guest that runs inline, against the same program without a VM.

const { execFile, spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { promisify } = require('node:util');
const { makeGuest } = require('./lib/guests.js');
const { program } = require('./lib/raw.js');
const { main, measureIn } = require('./lib/row.js');
const { quantile, round } = require('./lib/statistics.js');

const conditions = ['none', 'out', 'spin'];
const probes = { echo, timer, readFile };
const fileSize = 4096;

/** Microseconds for each answer of a TCP echo server to another process. */
async function ask(port, count) {
  const { stdout } = await promisify(execFile)(program('echo-client'), [String(port), String(count)]);
  return stdout
    .trim()
    .split('\n')
    .map((ns) => Number(ns) / 1000);
}

async function echo(count) {
  const server = net.createServer((socket) => socket.setNoDelay().pipe(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const took = await ask(server.address().port, count);
  server.close();
  return took;
}

/** The same of a server in C beside the same guest: the floor. Nothing where the kernel has no io_uring for it. */
async function echoInC(condition, count) {
  const server = spawn(program('echo-guest'), [condition], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [first] = await Promise.race([once(server.stdout, 'data'), once(server, 'exit')]);
  if (first === 3) return [];
  if (!Buffer.isBuffer(first)) throw new Error(`echo-guest ended with status ${first}`);
  return ask(Number(first), count);
}

const percentiles = (values) => [0.5, 0.99].map((p) => round(quantile(values, p)));

/** How many microseconds more than a millisecond a timer of one takes. */
function timer(count) {
  return new Promise((resolve) => {
    const late = [];
    let set = performance.now();
    const fired = () => {
      late.push((performance.now() - set - 1) * 1000);
      if (late.length === count) return resolve(late);
      set = performance.now();
      setTimeout(fired, 1);
    };
    setTimeout(fired, 1);
  });
}

/** Microseconds to read a small file, with a pause of a few milliseconds between two. */
async function readFile(count) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hax-bench-'));
  const file = path.join(directory, 'file');
  fs.writeFileSync(file, Buffer.alloc(fileSize));
  const took = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await fs.promises.readFile(file);
    took.push((performance.now() - start) * 1000);
    await new Promise((resolve) => setTimeout(resolve, 1 + (i % 3)));
  }
  fs.rmSync(directory, { recursive: true });
  return took;
}

/** One condition in a process of its own; all values. */
async function measureOne({ condition, counts }) {
  const guest = condition === 'none' ? undefined : makeGuest(condition);
  const run = guest?.vcpu.run();
  const values = {};
  for (const [name, probe] of Object.entries(probes)) {
    await probe(Math.ceil(counts[name] / 10)); // V8 compiles
    values[name] = await probe(counts[name]);
  }
  guest?.vcpu.stop();
  await run;
  return values;
}

async function measure({ one, quick = false }) {
  if (one) return measureOne(one);
  const counts = quick ? { echo: 800, timer: 600, readFile: 100 } : { echo: 3000, timer: 2000, readFile: 500 };
  const rounds = quick ? 1 : 4;
  const floors = { out: [], spin: [] };
  const values = Object.fromEntries(conditions.map((name) => [name, { echo: [], timer: [], readFile: [] }]));
  for (let i = 0; i < rounds; i++) {
    for (const condition of i % 2 === 0 ? conditions : [...conditions].reverse()) {
      const got = measureIn(__filename, { one: { condition, counts } });
      if (got.skipped) return got;
      for (const name of Object.keys(probes)) values[condition][name].push(...got[name]);
      if (condition !== 'none') floors[condition].push(...(await echoInC(condition, counts.echo)));
    }
  }
  const figures = {};
  for (const condition of conditions) {
    figures[condition] = {};
    for (const name of Object.keys(probes)) {
      const [p50, p99] = percentiles(values[condition][name]);
      const none = figures.none[name];
      figures[condition][name] =
        none === undefined ? { p50, p99 } : { p50, p99, overP50: round(p50 - none.p50), overP99: round(p99 - none.p99) };
    }
    if (condition === 'none' || floors[condition].length === 0) continue;
    const [p50, p99] = percentiles(floors[condition]);
    figures[condition].echo.floor = { p50, p99 };
  }
  return figures;
}

function describe(figures) {
  if (figures.skipped) return [['skipped', figures.skipped]];
  const titles = { none: 'no VM', out: 'a guest that does little but OUT', spin: 'a guest that spins' };
  const microseconds = ({ p50, p99 }) => `${p50} / ${p99}`;
  return conditions.map((condition) => {
    const { echo, timer, readFile } = figures[condition];
    const floor = echo.floor ? ` (floor ${microseconds(echo.floor)})` : '';
    return [
      titles[condition],
      `echo ${microseconds(echo)}${floor}, timer late ${microseconds(timer)}, readFile ${microseconds(readFile)} µs (p50 / p99)`,
    ];
  });
}

module.exports = { describe, measure };

if (require.main === module) main(measure);

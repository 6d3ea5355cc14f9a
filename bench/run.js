#!/usr/bin/env node
'use strict';

// npm run bench [-- --json] [--quick]: the dispatch table. README.md beside this file has the method.

const { execFileSync } = require('node:child_process');
const os = require('node:os');
const path = require('node:path');
const { raw, root } = require('./lib/raw.js');
const { round } = require('./lib/statistics.js');

const USAGE = `Usage: npm run bench -- [--json] [--quick]

Prints what node-hax adds to a loop in C over the same device, in nanoseconds of CPU time an exit.
  --json    as one line of JSON
  --quick   a few short rounds, to see that it works
`;

/** Enough exits that a round lasts 50 ms or more, so that it has slices and turns of the event loop in it. */
function rows(quick) {
  const rounds = quick ? 3 : 25;
  const free = { backend: 'null', exits: quick ? 400_000 : 2_000_000, rounds };
  const slow = { backend: 'null', entryNs: 1200, exits: quick ? 20_000 : 60_000, rounds };
  // An exit of a software KVM costs 7 µs and the machine is never that quiet: more rounds.
  const kvm = { backend: 'kvm', exits: quick ? 2_000 : 8_000, rounds: quick ? 3 : 75 };
  // The null device behind the ioctls of the HAXM driver model.
  const haxm = { ...free, backend: 'haxm' };
  return [
    ['null', 'one', 'null device, one class', { ...free, devices: 1 }],
    ['null', 'eight', 'null device, eight classes', { ...free, devices: 8 }],
    ['null1200', 'one', 'null device of 1.2 µs, one class', { ...slow, devices: 1 }],
    ['null1200', 'eight', 'null device of 1.2 µs, eight classes', { ...slow, devices: 8 }],
    ['haxm', 'one', 'null device as /dev/HAX, one class', { ...haxm, devices: 1 }],
    ['haxm', 'eight', 'null device as /dev/HAX, eight classes', { ...haxm, devices: 8 }],
    ['kvm', 'one', '/dev/kvm, one class', { ...kvm, devices: 1 }],
    ['kvm', 'eight', '/dev/kvm, eight classes', { ...kvm, devices: 8 }],
    ['null', 'posted', 'null device, posted writes', { ...free, devices: 1, posted: true }],
    ['kvm', 'posted', '/dev/kvm, posted writes', { ...kvm, devices: 1, posted: true }],
  ];
}

function measure(row) {
  const words = [process.execPath, path.join(__dirname, 'dispatch.js'), JSON.stringify(row)];
  if (row.backend === 'haxm') words.unshift(path.join(root, 'scripts/with-haxm-model'));
  const [program, ...args] = words;
  const env = { ...process.env, HAXM_MODEL_NULL: '1' };
  return JSON.parse(execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], env }));
}

function asJson(results) {
  const pick = ({ ns, percent, skipped }, withPercent) => (skipped ? { skipped } : withPercent ? { ns, percent } : { ns });
  const { null: free, null1200, haxm, kvm } = results;
  return {
    dispatch: {
      null: { one: pick(free.one), eight: pick(free.eight) },
      kvm: pick(kvm.one, true),
      null1200: { one: pick(null1200.one), eight: pick(null1200.eight) },
      kvmEight: pick(kvm.eight, true),
      haxmNull: { one: pick(haxm.one), eight: pick(haxm.eight) },
    },
    // Nanoseconds of a write that a native ring takes and JavaScript drains; how many times cheaper than a plain exit KVM's ring is.
    posted: {
      ring: pick(free.posted),
      kvm: kvm.posted.skipped ? { skipped: kvm.posted.skipped } : { ns: kvm.posted.js, cheaper: round(kvm.one.js / kvm.posted.js, 1) },
    },
    details: results,
    date: new Date().toISOString().slice(0, 10),
    node: process.versions.node,
    cpus: os.cpus().length,
  };
}

const columns = ['raw C', 'node-hax', 'over C', 'middle half', 'in slices', '%'];
const line = (name, cells) => `${name.padEnd(38)}${cells.map((cell) => cell.padStart(13)).join('')}\n`;

function describe({ skipped, c, js, ns, middleHalf, inSlices, percent }) {
  if (skipped) return [`  skipped: ${skipped}`];
  return [c, js, ns]
    .map((value) => value.toFixed(1))
    .concat(middleHalf.map((value) => value.toFixed(0)).join('..'), inSlices.toFixed(1), percent.toFixed(1));
}

function main(words) {
  if (words.includes('--help')) return void process.stdout.write(USAGE);
  const unknown = words.find((word) => !['--json', '--quick'].includes(word));
  if (unknown !== undefined) {
    process.stderr.write(`bench: unknown option '${unknown}'\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  raw(); // compiled once, not by each row
  const json = words.includes('--json');
  if (!json) process.stdout.write(line('ns an exit, thread CPU time', columns));
  const results = {};
  for (const [device, classes, name, row] of rows(words.includes('--quick'))) {
    const result = measure(row);
    (results[device] ??= {})[classes] = result;
    if (!json) process.stdout.write(line(name, describe(result)));
  }
  if (json) process.stdout.write(`${JSON.stringify(asJson(results))}\n`);
  const busy = Object.values(results)
    .flatMap(Object.values)
    .some((result) => result.busy);
  if (busy) process.stderr.write('bench: this machine did other work meanwhile; figures of a quiet one are lower\n');
}

try {
  main(process.argv.slice(2));
} catch (error) {
  // What a row of its own said is on standard error already.
  if (error.status === undefined) process.stderr.write(`bench: ${error.stack}\n`);
  process.exitCode = 1;
}

#!/usr/bin/env node
'use strict';

// Boot against QEMU: from the spawn to init's first line, in turns. README.md beside this file has the method.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { hax, initLine, prepare, qemu, report, timeToLine, where } = require('./lib/boot.js');
const { median, round } = require('./lib/statistics.js');

const USAGE = `Usage: node bench/boot-pair.js [--json] [--pairs N]

Boots Debian's cloud kernel N times (default 7) with node-hax and with QEMU, in turns, and prints the median of the ratios; inside host B
where this host's KVM cannot run Linux.
`;

/** A call of host B lasts two minutes at most. */
const pairsPerCall = 4;

/** node-hax's time, and what of it was not spent inside KVM_RUN. */
async function bootHax() {
  const statistics = path.join(os.tmpdir(), `hax-boot-${process.pid}.json`);
  const line = await timeToLine(hax('--exit-on', initLine, '--stats-file', statistics), true);
  const guest = JSON.parse(fs.readFileSync(statistics, 'utf8')).guestNs / 1e6;
  return { line: round(line), outside: round(line - guest) };
}

/** The floor under what is outside: a Node that does nothing, from its spawn to its end. */
function bareNode() {
  const start = process.hrtime.bigint();
  execFileSync(process.execPath, ['-e', '0']);
  return round(Number(process.hrtime.bigint() - start) / 1e6);
}

const bootQemu = async () => ({ line: round(await timeToLine(qemu(), false)) });

/** `pairs` pairs, of which the first is the `first`th of all: the order swaps each pair. */
async function measure(first, pairs) {
  // A machine's first boot is faster than all others, and what is read from disk the first time is slower.
  await bootQemu();
  await bootHax();
  const results = [];
  for (let i = first; i < first + pairs; i++) {
    let theirs = i % 2 === 0 ? undefined : await bootQemu();
    const ours = await bootHax();
    theirs ??= await bootQemu();
    results.push({ hax: ours, qemu: theirs, node: bareNode() });
  }
  return results;
}

function summary(pairs) {
  return {
    ratio: round(median(pairs.map(({ hax, qemu }) => hax.line / qemu.line)), 3),
    hax: round(median(pairs.map(({ hax }) => hax.line)), 0),
    qemu: round(median(pairs.map(({ qemu }) => qemu.line)), 0),
    outside: round(median(pairs.map(({ hax }) => hax.outside)), 0),
    node: round(median(pairs.map(({ node }) => node)), 0),
    pairs,
  };
}

async function main(words) {
  if (words.includes('--help')) return USAGE;
  const value = (name, otherwise) => (words.includes(name) ? Number(words[words.indexOf(name) + 1]) : otherwise);
  const wanted = value('--pairs', 7);
  if (words.includes('--here')) return `${JSON.stringify(await measure(value('--first', 0), wanted))}\n`;
  prepare();
  const pairs = [];
  while (pairs.length < wanted) {
    const now = Math.min(pairsPerCall, wanted - pairs.length);
    pairs.push(...where('boot-pair.js', ['--first', String(pairs.length), '--pairs', String(now)]));
    process.stderr.write(`bench: ${pairs.length} of ${wanted} pairs\n`);
  }
  const result = summary(pairs);
  if (words.includes('--json')) return `${JSON.stringify(result)}\n`;
  const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
  return [
    ...pairs.map(({ hax, qemu }) => `${seconds(hax.line)} against ${seconds(qemu.line)}: ${(hax.line / qemu.line).toFixed(3)}\n`),
    `median of ${pairs.length} pairs: ${result.ratio} times QEMU's time (${seconds(result.hax)} against ${seconds(result.qemu)}), `,
    `${seconds(result.outside)} of it outside KVM_RUN (a Node that does nothing takes ${seconds(result.node)})\n`,
  ].join('');
}

report(() => main(process.argv.slice(2)));

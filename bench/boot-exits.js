#!/usr/bin/env node
'use strict';

// The exits of a Linux boot by kind and port, beside KVM's own counts. README.md beside this file has the method.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { setTimeout } = require('node:timers/promises');
const { commandLine, files, initLine, memory, prepare, report, root, where } = require('./lib/boot.js');

const USAGE = `Usage: node bench/boot-exits.js [--json]

Boots Debian's cloud kernel and prints the exits that JavaScript handled up to init's first line and up to power-off; inside host B where
this host's KVM cannot run Linux. Exit status 1 when they are not the exits that KVM has counted.
`;

/** KVM's counts over the VMs that there are; null where debugfs cannot be had. */
function kvmCounts() {
  const directory = '/sys/kernel/debug/kvm';
  try {
    if (!fs.existsSync(directory)) execFileSync('mount', ['-t', 'debugfs', 'none', '/sys/kernel/debug'], { stdio: 'ignore' });
    const read = (name) => Number(fs.readFileSync(path.join(directory, name), 'utf8'));
    return { io: read('io_exits'), mmio: read('mmio_exits') };
  } catch {
    return null;
  }
}

/** One boot. Both sides are read in one turn of JavaScript, when the vCPU, which has the same thread, is not in the guest. */
async function boot(toInit) {
  const { launch } = require(path.join(root, 'dist/index.js'));
  await setTimeout(100); // a machine closed in this turn is still KVM's
  const before = kvmCounts();
  const machine = await launch({ kernel: files.kernel, initrd: files.initrd, append: commandLine, memory: `${memory}M` });
  await (toInit ? machine.console.waitFor(initLine) : machine.ended);
  const { handled, kinds, ports, pages, slices, kicks, interrupted } = machine.statistics;
  const after = kvmCounts();
  await machine.close();
  const kvm = before && after && { io: after.io - before.io, mmio: after.mmio - before.mmio };
  return { handled, kinds, ports, pages, slices, kicks, interrupted, kvm };
}

function agrees({ kinds, kvm }) {
  return kvm === null || (kvm.io === (kinds.io ?? 0) && kvm.mmio === (kinds.mmio ?? 0));
}

const rows = (counts) =>
  Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `  ${String(count).padStart(7)}  ${name}\n`)
    .join('');

function describe(title, result) {
  const { handled, kinds, ports, pages, slices, kicks, interrupted, kvm } = result;
  const handledKinds = Object.fromEntries(Object.entries(kinds).filter(([kind]) => kind !== 'interrupted'));
  const counted = kvm
    ? `io_exits ${kvm.io}, mmio_exits ${kvm.mmio}: ${agrees(result) ? 'the same' : 'NOT THE SAME'}`
    : 'not to be had here';
  return [
    `${title}: ${handled} exits handled in JavaScript\n`,
    rows(handledKinds),
    Object.keys(ports).length > 0 ? 'by port:\n' : '',
    rows(ports),
    Object.keys(pages).length > 0 ? 'by page:\n' : '',
    rows(pages),
    `apart from these: ${slices} slices, ${kicks} kicks, ${interrupted} signals of others\n`,
    `KVM's own counts: ${counted}\n`,
  ].join('');
}

async function main(words) {
  if (words.includes('--help')) return USAGE;
  if (words.includes('--here')) return `${JSON.stringify({ commandLine, toInit: await boot(true), whole: await boot(false) })}\n`;
  prepare();
  const result = where('boot-exits.js', []);
  if (!agrees(result.toInit) || !agrees(result.whole)) process.exitCode = 1;
  if (words.includes('--json')) return `${JSON.stringify(result)}\n`;
  return `${describe("up to init's first line", result.toInit)}\n${describe('up to power-off', result.whole)}`;
}

report(() => main(process.argv.slice(2)));

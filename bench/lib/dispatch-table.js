'use strict';

// The dispatch table: its rows, and what they are as JSON and as text.

const path = require('node:path');
const { raw, root } = require('./raw.js');
const { measureInEach } = require('./row.js');
const { round } = require('./statistics.js');

/**
 * Enough exits that a round has slices and turns of the event loop in it; many of them, in several processes, because machines change their
 * speed meanwhile.
 */
function rows(quick) {
  const often = { floor: true, rounds: quick ? 40 : 60, processes: 3 };
  const free = { ...often, backend: 'null', exits: quick ? 400_000 : 2_000_000 };
  const slow = { ...often, backend: 'null', entryNs: 1200, exits: quick ? 8_000 : 30_000 };
  // An exit takes 4 to 14 µs: with three processes, as the others have, this was half of the gate's time.
  const kvm = { ...often, backend: 'kvm', exits: 8_000, ...(quick ? { rounds: 40, processes: 1 } : { rounds: 100 }) };
  // The null device behind the ioctls of the HAXM driver model.
  const haxm = { ...free, floor: false, backend: 'haxm' };
  return [
    ['null', 'one', 'null device, one class', { ...free, devices: 1 }],
    ['null', 'eight', 'null device, eight classes', { ...free, devices: 8 }],
    ['null1200', 'one', 'null device of 1.2 µs, one class', { ...slow, devices: 1 }],
    ['null1200', 'eight', 'null device of 1.2 µs, eight classes', { ...slow, devices: 8 }],
    ['haxm', 'one', 'null device as /dev/HAX, one class', { ...haxm, devices: 1 }],
    ['haxm', 'eight', 'null device as /dev/HAX, eight classes', { ...haxm, devices: 8 }],
    ['kvm', 'one', '/dev/kvm, one class', { ...kvm, devices: 1 }],
    ['kvm', 'eight', '/dev/kvm, eight classes', { ...kvm, devices: 8 }],
    ['null', 'posted', 'null device, posted writes', { ...free, floor: false, devices: 1, posted: true }],
    ['kvm', 'posted', '/dev/kvm, posted writes', { ...kvm, devices: 1, posted: true, processes: 1 }],
  ];
}

/** Rows that the gate does without: what makes them worse makes the others worse. */
const besides = ['null1200.one', 'null1200.eight', 'haxm.eight', 'kvm.eight'];

/** All rows, or those of the gate, each in a process of its own; `onRow(name, result)` as they come. */
function measureTable({ quick, plant, check }, onRow = () => undefined) {
  raw(); // compiled once, not by each row
  const results = {};
  for (const [device, classes, name, { processes = 1, ...row }] of rows(quick)) {
    if (check && besides.includes(`${device}.${classes}`)) continue;
    const wrapper = row.backend === 'haxm' ? [path.join(root, 'scripts/with-haxm-model')] : [];
    const options = { wrapper, env: { HAXM_MODEL_NULL: '1' } };
    // What was planted is seen in any process, and in few rounds.
    const [count, given] = plant ? [1, { ...row, rounds: 8, plant }] : [processes, row];
    const result = measureInEach(count, 'ns', path.join(root, 'bench/dispatch.js'), given, options);
    (results[device] ??= {})[classes] = result;
    onRow(name, result);
  }
  const { one, posted } = results.kvm;
  if (!posted.skipped) {
    posted.cheaper = round(one.js / posted.js, 1);
    posted.cheaperInC = round(posted.c / (posted.c + posted.floor), 1);
  }
  return results;
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
      kvm: kvm.posted.skipped
        ? { skipped: kvm.posted.skipped }
        : { ns: kvm.posted.js, cheaper: kvm.posted.cheaper, cheaperInC: kvm.posted.cheaperInC },
    },
    details: results,
  };
}

const columns = ['raw C', 'node-hax', 'over C', 'spread', 'floor', '%'];
const line = (name, cells) => `${name.padEnd(38)}${cells.map((cell) => cell.padStart(12)).join('')}\n`;
const head = () => line('ns an exit, thread CPU time', columns);

function describeRow(name, { skipped, c, js, ns, middleHalf, ofProcesses, floor, percent }) {
  if (skipped) return line(name, [`  skipped: ${skipped}`]);
  const cells = [c, js, ns].map((value) => value.toFixed(1));
  const spread = ofProcesses.length > 1 ? [ofProcesses.at(0), ofProcesses.at(-1)] : middleHalf;
  return line(name, [...cells, spread.map((value) => value.toFixed(0)).join('..'), floor?.toFixed(1) ?? '-', percent.toFixed(1)]);
}

const isBusy = (results) =>
  Object.values(results)
    .flatMap(Object.values)
    .some((result) => result.busy);

module.exports = { asJson, describeRow, head, isBusy, measureTable };

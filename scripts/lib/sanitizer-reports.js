'use strict';

// What sanitizers have written to their log files, as findings. Node and V8 are not instrumented, so that only some reports are about us.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const root = path.resolve(__dirname, '../..');

// The sanitizer itself did not work: nothing that it says about the rest can be trusted.
const BROKEN = /FATAL: \w+Sanitizer|\w+Sanitizer: CHECK failed|\w+Sanitizer has encountered a fatal error/;
// The first line of a report. LeakSanitizer's has one for each leak; its own header says nothing.
const BEGINS = [
  BROKEN,
  /^=*\d*=*(?:ERROR|WARNING): \w+Sanitizer:? (?!detected memory leaks)/,
  /^(?:Direct|Indirect) leak of /,
  /: runtime error: /,
  /\w+Sanitizer:DEADLYSIGNAL/,
];
const OURS = /\(node_hax\.node\+0x[0-9a-f]+\)/;
const LEAK = /^(?:Direct|Indirect) leak of /;
const FRAME = /^\s+#(\d+) /;
// What we call directly and what reports on our behalf.
const RUNTIME = /\(lib(?:asan|tsan|stdc\+\+|c|gcc_s)[-.][^()]*\)$/;

// Whether the first frame above the runtime is ours in one of the stacks in `lines`.
function entersFromOurs(lines) {
  let entered = false;
  return lines.some((line) => {
    const frame = FRAME.exec(line);
    if (!frame) return false;
    if (frame[1] === '0') entered = false;
    if (entered || RUNTIME.test(line)) return false;
    entered = true;
    return OURS.test(line);
  });
}

// Whether a report is about us. Of ThreadSanitizer's only those where a stack's first frame above the runtime is ours: V8 collects garbage
// on threads of its own, whose locks are not instrumented, and any call of ours may be below that. And none about the number of a descriptor
// that others opened: libuv closes by syscall(), which the runtime does not see, and afterwards the kernel gives us the same number.
function isOurs(title, lines) {
  if (!title.includes('ThreadSanitizer')) return lines.some((line) => OURS.test(line));
  const descriptor = lines.findIndex((line) => /^\s+Location is file descriptor \d+ created by/.test(line));
  if (descriptor < 0) return entersFromOurs(lines);
  const opened = lines.slice(descriptor + 1, lines.indexOf('', descriptor));
  return entersFromOurs(lines) && entersFromOurs(opened);
}

// Paths as make has them, from the root of the checkout.
const tidy = (text) => text.replaceAll(`${root}/`, '').replace(/(?:[^\s(]*\/)?\.\.\/(?=(?:native|test|node_modules)\/)/g, '');

// The reports in the text of one log file.
function parseReports(text) {
  const reports = [];
  for (const line of text.split('\n')) {
    if (BEGINS.some((begins) => begins.test(line))) {
      reports.push({ title: line.replace(/^=*\d+=*|\s*\(pid=\d+\)/g, '').trim(), lines: [] });
    }
    reports.at(-1)?.lines.push(line);
  }
  return reports.map(({ title, lines }) => ({
    title: tidy(title),
    text: tidy(lines.join('\n').trimEnd()),
    ours: isOurs(title, lines),
    broken: BROKEN.test(title),
  }));
}

// The lines of our frames, which the runtime leaves to us: function and place, for inlined calls the innermost first.
function nameFrames(text, addon) {
  const unnamed = /<null> <null> \(node_hax\.node\+(0x[0-9a-f]+)\)/g;
  const offsets = [...new Set([...text.matchAll(unnamed)].map(([, offset]) => offset))];
  if (offsets.length === 0) return text;
  const { stdout } = spawnSync('addr2line', ['-Cfai', '-e', addon, ...offsets], { encoding: 'utf8' });
  const names = new Map();
  for (const part of (stdout ?? '').split(/^0x/m).slice(1)) {
    const [offset, ...lines] = part.trim().split('\n');
    const calls = lines.flatMap((name, i) => (i % 2 === 0 ? [`${name} ${lines[i + 1]}`] : []));
    names.set(BigInt(`0x${offset}`), tidy(calls.join(' < ')));
  }
  return text.replace(unnamed, (whole, offset) => `${names.get(BigInt(offset)) ?? '??'} (node_hax.node+${offset})`);
}

// The place in our code that a report is about: its first frame of ours, without what it was inlined into.
function placeOf(text) {
  const frame = text.split('\n').find((line) => OURS.test(line) && FRAME.test(line)) ?? '';
  return frame.replace(FRAME, '').replace(OURS, '').split(' < ')[0].trim();
}

// Every report in a directory: the findings, each once with how often and where it was made, and how many are not about us. What leaked in a
// process that was left with process.exit() is none (test/sanitizers/leaks.js).
function readReports(directory, addon) {
  const findings = new Map();
  let others = 0;
  for (const name of fs.readdirSync(directory).sort()) {
    const file = path.join(directory, name);
    const leaksCount = !fs.existsSync(path.join(directory, `exited${path.extname(name)}`));
    for (const report of parseReports(fs.readFileSync(file, 'utf8'))) {
      if ((!report.ours || (LEAK.test(report.title) && !leaksCount)) && !report.broken) {
        others++;
        continue;
      }
      const text = nameFrames(report.text, addon);
      const place = placeOf(text);
      // Addresses and sizes differ from process to process.
      const key = `${report.title.replace(/0x[0-9a-f]+|\d+/g, 'n')} ${place}`;
      const known = findings.get(key) ?? { title: report.title, place, text, file, times: 0 };
      known.times++;
      findings.set(key, known);
    }
  }
  return { findings: [...findings.values()], others };
}

module.exports = { parseReports, readReports };

'use strict';

// What failed, short enough for the end of a log: CI keeps that and may lose the rest.

const fs = require('node:fs');
const path = require('node:path');
const { stripVTControlCharacters } = require('node:util');

const TESTS = 30; // that are told; the others are counted
const MESSAGE = 8; // lines of each
const STEP = 20; // lines of what a step said last
const WIDTH = 300; // characters of a line

// The failed tests in Jest's list of test files: { file, name, message } each. A file that could not even be run has no name of a test.
function failuresOf(testResults, root) {
  return testResults.flatMap(({ name, message, assertionResults }) => {
    const file = path.relative(root, name);
    const failed = assertionResults.filter(({ status }) => status === 'failed');
    if (failed.length === 0) return message ? [{ file, name: '', message }] : [];
    return failed.map(({ fullName, failureMessages }) => ({ file, name: fullName, message: failureMessages.join('\n') }));
  });
}

// Which of `files`, paths below `root`, are not in the list as passed: they failed, or did not run.
function notPassed(files, testResults, root) {
  const failed = new Set(failuresOf(testResults, root).map(({ file }) => file));
  const ran = new Set(testResults.map(({ name }) => path.relative(root, name)));
  return files.filter((file) => failed.has(file) || !ran.has(file));
}

// Lines as a terminal without colours shows them, none of them empty or long.
function linesOf(text) {
  const lines = stripVTControlCharacters(text).split(/\r?\n/);
  return lines.filter((line) => line.trim()).map((line) => (line.length > WIDTH ? `${line.slice(0, WIDTH)}…` : line));
}

// { where, file, name, message } each, as lines.
function describeFailures(failures) {
  const lines = failures.slice(0, TESTS).flatMap(({ where, file, name, message }) => {
    const head = linesOf(`${where}: ${file}: ${name || 'it could not be run'}`.replaceAll('\n', ' '));
    return [
      ...head,
      ...linesOf(message)
        .slice(0, MESSAGE)
        .map((line) => `    ${line}`),
    ];
  });
  return failures.length > TESTS ? [...lines, `and ${failures.length - TESTS} more`] : lines;
}

// The end of a file of any size.
function endOf(file) {
  const most = 1 << 16;
  let descriptor;
  try {
    descriptor = fs.openSync(file, 'r');
  } catch {
    return [];
  }
  const { size } = fs.fstatSync(descriptor);
  const bytes = Buffer.alloc(Math.min(size, most));
  const length = fs.readSync(descriptor, bytes, 0, bytes.length, size - bytes.length);
  fs.closeSync(descriptor);
  return linesOf(bytes.toString('utf8', 0, length)).slice(-STEP);
}

function read(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

// What a run of .ci/run that has `out` found wrong: the end of what each failed step said, and the failed tests.
function describeRun(out) {
  const steps = (read(path.join(out, 'failed')) ?? '').split('\n').filter(Boolean);
  const ends = steps.flatMap((step) => [`--- ${step} failed; it said at its end:`, ...endOf(path.join(out, 'logs', `${step}.log`))]);
  const files = ['test-results', 'sanitize/address', 'sanitize/thread'].map((each) => path.join(out, each, 'failures.json'));
  const tests = describeFailures(files.flatMap((file) => JSON.parse(read(file) ?? '[]')));
  return tests.length > 0 ? [...ends, '--- failed tests:', ...tests] : ends;
}

module.exports = { describeFailures, describeRun, failuresOf, notPassed };

if (require.main === module) for (const line of describeRun(process.argv[2])) console.log(line);

'use strict';

// Runs Jest, here or inside host B, and reads its JSON results. A condition of host B itself is never taken for a test's failure.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { root } = require('./prepare.js');

const JEST = path.join(root, 'node_modules/jest/bin/jest.js');
const TEST_IN_VM = path.join(root, 'scripts/test-in-vm');
const RESULTS = path.join(root, 'out/test-results');

const TEST_TIMEOUT = 60_000; // milliseconds; host B takes up to ten times as long as the machine around it

function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

// The counts in a run's results; a file that could not even be run is a failure.
function count(results) {
  const { numPassedTests: passed, numFailedTests, numRuntimeErrorTestSuites, numPendingTests, numTodoTests } = results;
  return { passed, failed: numFailedTests + numRuntimeErrorTestSuites, skipped: numPendingTests + numTodoTests };
}

function jestArguments(project, output, files) {
  return [JEST, '--ci', '--selectProjects', project, '--passWithNoTests', '--json', `--outputFile=${output}`, '--runTestsByPath', ...files];
}

function listFiles(project) {
  const done = spawnSync(process.execPath, [JEST, '--selectProjects', project, '--listTests', '--json'], { cwd: root, encoding: 'utf8' });
  return JSON.parse(done.stdout.slice(done.stdout.indexOf('['))).sort();
}

// One project on this host: { where, project, results } or { where, project, trouble }.
function runHere(project) {
  const output = path.join(RESULTS, `this-host-${project}.json`);
  fs.rmSync(output, { force: true });
  const files = listFiles(project);
  if (files.length === 0) return [];
  const stdio = ['ignore', 2, 2];
  const done = spawnSync(process.execPath, jestArguments(project, output, files), { cwd: root, stdio });
  const results = readJson(output);
  const trouble = results ? undefined : `Jest ended with ${done.signal ?? `status ${done.status}`} and left no results`;
  return [{ where: 'this host', project, results, trouble }];
}

function runCall(project, file) {
  const name = `host-b-${project}-${path.basename(file, '.test.ts')}`;
  const output = path.join(RESULTS, `${name}.json`);
  const statusFile = path.join(RESULTS, `${name}.status.json`);
  for (const old of [output, statusFile]) fs.rmSync(old, { force: true });
  const inside = [process.execPath, ...jestArguments(project, output, [file]), '--runInBand', `--testTimeout=${TEST_TIMEOUT}`];
  const args = ['--timeout', '120', '--share', RESULTS, '--status-file', statusFile, '--', ...inside];
  spawnSync(TEST_IN_VM, args, { cwd: root, stdio: ['ignore', 2, 2], env: { ...process.env, HAX_REQUIRE_KVM: '1' } });
  const ended = readJson(statusFile)?.result ?? 'without a status';
  const results = ended === 'exited' ? readJson(output) : undefined;
  const trouble = results ? undefined : `${path.basename(file)}: ${ended}${ended === 'exited' ? ', but Jest left no results' : ''}`;
  return { where: 'host B', project, results, trouble };
}

// One project inside host B: a start for each file, because a start has two minutes and a busy machine needs them.
function runInHostB(project) {
  return listFiles(project).map((file) => runCall(project, file));
}

module.exports = { RESULTS, count, readJson, runHere, runInHostB };

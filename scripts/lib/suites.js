'use strict';

// Runs Jest here, or what Jest's tests need of it inside host B, and reads the JSON results. A condition of host B itself is never taken for a
// test's failure.

const { spawn, spawnSync } = require('node:child_process');
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { PROJECTS: ON_CIRCUS, circusCommand, compile } = require('./circus.js');
const { pack } = require('./host-b-calls.js');
const { root } = require('./prepare.js');
const { metTimeLimits } = require('./totals.js');

const JEST = path.join(root, 'node_modules/jest/bin/jest.js');
const TEST_IN_VM = path.join(root, 'scripts/test-in-vm');
const RESULTS = path.join(root, 'out/test-results');
const CIRCUS = path.join(root, 'out/circus');
const CACHE = path.join(root, 'node_modules/.cache/node-hax-tests'); // of test/support/assemble.ts
const SECONDS = path.join(root, 'test/host-b-seconds.json');

const HOST_B = `host B, ${randomUUID()}`; // the same for all calls of this run, whose kernel may be a newer one than the last run's
const CALL = 120; // seconds that a call of host B may take
// Milliseconds that a test may take there: at first, and when its file is tried again by itself.
const TEST = 60_000;
const TEST_ALONE = 100_000;

const LONG = process.env.HAX_TEST_LONG === '1';

// Whether a test file has tests of each backend, or of HAXM (test/support/hosts.ts): what it says of others is the same beside the model.
const isForHaxm = (file) => /^\s*describe(EachBackend|Haxm)\(/m.test(fs.readFileSync(file, 'utf8'));

// What stands before a command so that its device is another one. Many workers are worth the model's time at night.
const DEVICES = {
  kvm: { name: '', label: '', before: [], env: {}, wants: () => true },
  haxm: {
    name: '-haxm',
    label: ', HAXM model',
    before: [path.join(root, 'scripts/with-haxm-model')],
    env: { HAX_TEST_BACKENDS: 'haxm' },
    wants: (file) => isForHaxm(file) && (LONG || path.basename(file) !== 'many-workers.test.ts'),
  },
};

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

function listFiles(project, device = DEVICES.kvm) {
  const done = spawnSync(process.execPath, [JEST, '--selectProjects', project, '--listTests', '--json'], { cwd: root, encoding: 'utf8' });
  return JSON.parse(done.stdout.slice(done.stdout.indexOf('[')))
    .filter(device.wants)
    .sort();
}

// One project on this host, or the `part`th of `parts` of its files: { where, project, results } or { where, project, trouble }; none where it has
// no file.
async function runHere(project, device = DEVICES.kvm, part = 0, parts = 1) {
  const output = path.join(RESULTS, `this-host-${project}${device.name}${parts > 1 ? `-${part}` : ''}.json`);
  fs.rmSync(output, { force: true });
  const files = listFiles(project, device).filter((_, number) => number % parts === part);
  if (files.length === 0) return [];
  const [program, ...args] = [...device.before, process.execPath, ...jestArguments(project, output, files)];
  const child = spawn(program, args, { cwd: root, stdio: ['ignore', 2, 2], env: { ...process.env, ...device.env } });
  const ended = await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (status, signal) => resolve(signal ?? `status ${status}`));
  });
  const results = readJson(output);
  const trouble = results ? undefined : `Jest ended with ${ended} and left no results`;
  return [{ where: `this host${device.label}`, project, results, trouble }];
}

// As spawnSync, but others run meanwhile; what it prints comes in one piece at its end.
function inTheBackground(program, args, env) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env });
    const pieces = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => pieces.push(piece));
    child.once('error', (error) => pieces.push(`${error.message}\n`));
    child.once('close', () => {
      for (const piece of pieces) process.stderr.write(piece);
      resolve();
    });
  });
}

async function runCall({ project, files, device }, number, testTimeout = TEST) {
  const name = `host-b-${project}${device.name}-${number}`;
  const output = path.join(RESULTS, `${name}.json`);
  const statusFile = path.join(RESULTS, `${name}.status.json`);
  for (const old of [output, statusFile]) fs.rmSync(old, { force: true });
  const onJest = () => [process.execPath, ...jestArguments(project, output, files), '--runInBand'];
  const runner = ON_CIRCUS.includes(project) ? circusCommand(CIRCUS, output, testTimeout, files) : onJest();
  const shares = ['--share', RESULTS, '--share', CACHE];
  const args = ['--timeout', String(CALL), ...shares, '--status-file', statusFile, '--', ...device.before, ...runner];
  // The null device is the same everywhere, and so is host B: what it can do is tried once for all calls.
  const env = { HAX_REQUIRE_KVM: '1', HAX_TEST_BACKENDS: 'kvm', HAX_TEST_HOST: HOST_B, ...device.env };
  await inTheBackground(TEST_IN_VM, args, { ...process.env, ...env });
  const ended = readJson(statusFile)?.result ?? 'without a status';
  const results = ended === 'exited' ? readJson(output) : undefined;
  const names = files.map((file) => path.basename(file)).join(', ');
  const trouble = results ? undefined : `${names}: ${ended}${ended === 'exited' ? ', but left no results' : ''}`;
  return { where: `host B${device.label}`, project, device, files, results, trouble };
}

let compiled = false;

// Test files ({ project, device, file } each) as functions that run a call of host B with some of them. They are compiled at the first call of
// this: at a later one those of earlier calls may be running, who read the same files.
function callsOfHostB(jobs) {
  if (jobs.length === 0) return [];
  if (!compiled) compile(CIRCUS);
  compiled = true;
  fs.mkdirSync(CACHE, { recursive: true });
  return pack(jobs, readJson(SECONDS) ?? {}).map((call, number) => async () => [await runCall(call, number)]);
}

// Tasks, functions that give runs, as many at a time as there are processors: each call of host B emulates one. A task may add others, which
// come next, since what is short is last. What host B itself did not live through is started again, file by file, when it has the machine to
// itself: that says nothing about the tests. So is a call in which a test met its time limit; its second word counts.
async function runAll(tasks) {
  const waiting = [...tasks];
  const results = [];
  const add = (more) => waiting.unshift(...more);
  const lane = async () => {
    for (let task = waiting.shift(); task; task = waiting.shift()) results.push(...(await task(add)));
  };
  await Promise.all(Array.from({ length: os.availableParallelism() }, lane));
  const isDoubtful = ({ files, trouble, results: own }) => files && (trouble !== undefined || metTimeLimits(own));
  const done = results.filter((run) => !isDoubtful(run));
  let again = 0;
  for (const { trouble, project, device, files } of results.filter(isDoubtful)) {
    const names = files.map((file) => path.basename(file)).join(', ');
    process.stderr.write(`test: ${trouble ?? `${names}: a test met its time limit inside host B`}; starting it once more\n`);
    for (const file of files) done.push(await runCall({ project, device, files: [file] }, `again-${again++}`, TEST_ALONE));
  }
  return done;
}

module.exports = { DEVICES, RESULTS, SECONDS, callsOfHostB, count, listFiles, readJson, runAll, runHere };

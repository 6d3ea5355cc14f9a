'use strict';

// Jest's tests without Jest around them: jest-circus and expect run the files one after another in one process. They share node-hax, but not
// the tests' own modules, whose hooks each file wants. scripts/lib/circus.js makes one file of this: inside host B reading and compiling Jest
// takes most of a call.
// Usage: node main.js OUTPUT.json TIMEOUT-MS COMPILED-DIRECTORY FILE…; writes the part of Jest's JSON results that scripts/test reads.

const Module = require('node:module');
const fs = require('node:fs');
const path = require('node:path');
const circus = require('jest-circus');
const { expect } = require('expect');
const { total } = require('./totals.js');

const TIMEOUT = Symbol.for('TEST_TIMEOUT_SYMBOL'); // where jest.setTimeout() puts it for jest-circus
const PATIENCE = 3000; // milliseconds until what a test has left behind is no reason to go on; LeakSanitizer wants an end without exit()
const root = process.cwd();

// What tests and hosts import: their own files as JavaScript, node-hax as it was built, and what is in this file already.
function resolveModules(compiled) {
  require.extensions['.ts'] = (module, filename) => {
    module._compile(fs.readFileSync(path.join(compiled, `${path.relative(root, filename)}.js`), 'utf8'), filename);
  };
  const { main } = require(path.join(root, 'package.json'));
  const load = Module._load;
  Module._load = (request, parent, isMain) => {
    if (request === 'fast-check') return require('fast-check');
    return load(request === 'node-hax' ? path.join(root, main) : request, parent, isMain);
  };
}

// One test as Jest tells of it.
function assertion({ testPath, status, errors, duration }) {
  const [, ...titles] = testPath; // the first is the block around all
  const states = { done: errors.length > 0 ? 'failed' : 'passed', skip: 'pending', todo: 'todo' };
  return {
    ancestorTitles: titles.slice(0, -1),
    title: titles.at(-1),
    fullName: titles.join(' '),
    status: states[status],
    duration,
    failureMessages: errors,
  };
}

function print(name, { assertionResults, startTime, endTime, message }) {
  const failed = assertionResults.filter(({ status }) => status === 'failed');
  const seconds = ((endTime - startTime) / 1000).toFixed(1);
  process.stderr.write(`${failed.length > 0 || message ? 'FAIL' : 'PASS'} ${path.relative(root, name)} (${seconds} s)\n`);
  for (const { fullName, failureMessages } of failed) process.stderr.write(`  ${fullName}\n${failureMessages.join('\n')}\n`);
  if (message) process.stderr.write(`${message}\n`);
}

async function runFile(name, timeout) {
  const startTime = Date.now();
  circus.resetState();
  for (const file of Object.keys(require.cache)) if (file.endsWith('.ts')) delete require.cache[file];
  globalThis[TIMEOUT] = timeout;
  let assertionResults = [];
  let message;
  try {
    require(name);
    const { testResults, unhandledErrors } = await circus.run();
    assertionResults = testResults.map(assertion);
    message = unhandledErrors.join('\n');
  } catch (error) {
    message = error.stack;
  }
  const result = { name, startTime, endTime: Date.now(), assertionResults, message };
  print(name, result);
  return result;
}

async function main([output, timeout, compiled, ...files]) {
  for (const name of ['FORCE_COLOR', 'NO_COLOR', 'NODE_EXTRA_CA_CERTS']) delete process.env[name]; // as test/support/environment.js
  const { afterAll, afterEach, beforeAll, beforeEach, describe, it, test } = circus;
  const jest = { setTimeout: (milliseconds) => void (globalThis[TIMEOUT] = milliseconds) };
  Object.assign(globalThis, { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest, test });
  resolveModules(compiled);
  const results = [];
  let running = '';
  // What no test has caught is a failure of the file, and the end of the run: whatever else it has broken is unknown.
  const stray = (error) => {
    const now = Date.now();
    const result = { name: running, startTime: now, endTime: now, assertionResults: [], message: `uncaught: ${error?.stack ?? error}` };
    print(running, result);
    fs.writeFileSync(output, JSON.stringify(total([...results, result])));
    process.exit(1);
  };
  process.on('uncaughtException', stray);
  process.on('unhandledRejection', stray);
  for (running of files) results.push(await runFile(running, Number(timeout)));
  const all = total(results);
  fs.writeFileSync(output, JSON.stringify(all));
  process.exitCode = all.numFailedTests + all.numRuntimeErrorTestSuites > 0 ? 1 : 0;
  setTimeout(() => process.exit(), PATIENCE).unref();
}

void main(process.argv.slice(2));

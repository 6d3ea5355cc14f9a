'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const cache = require('./cache.js');
const machine = require('./machine.js');
const { parse, USAGE, UsageError } = require('./options.js');
const { PACKAGES, SetupError, ensure, find, mustRun } = require('../lib/packages.js');
const { writeOut } = require('../lib/write-out.js');

const STATUS = { usage: 2, timeout: 120, panic: 121, hung: 122, setup: 123 };

const say = (text) => process.stderr.write(`test-in-vm: ${text}\n`);

// The cache's files; what is missing is made first, by one caller at a time.
function prepare() {
  if (process.arch !== 'x64' || process.platform !== 'linux') throw new SetupError('host B needs Linux on x86-64');
  ensure(PACKAGES.hostB, say);
  const found = cache.lookUp();
  if (found && !found.incomplete) return found;
  const top = cache.directory();
  mustRun('mkdir', ['-p', '--', top]); // Node's own never ends below /proc
  const filler = [process.execPath, path.join(__dirname, 'fill-cache.js')];
  const done = spawnSync(find('flock'), [path.join(top, 'lock'), ...filler], { stdio: ['ignore', 'ignore', 'inherit'] });
  if (done.status === 1) throw new SetupError(''); // it said why
  if (done.status !== 0) throw new SetupError(`filling the cache ended with ${done.signal ?? `status ${done.status}`}`);
  return cache.lookUp();
}

async function runWithRestart(files, options, stop) {
  let restarts = 0;
  for (;;) {
    const outcome = await machine.run(files, options, process, stop);
    if (outcome.result !== 'hung' || restarts === 1) return { ...outcome, restarts };
    restarts++;
    say(`host B hung (${outcome.message}); restarting it once: the command starts over, its output so far stays`);
  }
}

// Ends the machine when we are told to end; the reason is the signal's name.
function watchSignals() {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => stop.abort(name));
  const gone = (error) => stop.abort(error.code === 'EPIPE' ? 'SIGPIPE' : 'SIGTERM');
  process.stdout.on('error', gone);
  process.stderr.on('error', gone);
  return stop.signal;
}

function empty(file) {
  try {
    fs.writeFileSync(file, '');
  } catch (error) {
    throw new UsageError(error.message);
  }
}

async function main(words) {
  const began = Date.now();
  let options = {};
  let outcome;
  try {
    options = parse(words);
    if (options.help) return writeOut(USAGE);
    for (const file of [options.statusFile, options.console]) if (file) empty(file);
    const files = prepare();
    const stop = watchSignals();
    outcome = await runWithRestart(files, options, stop);
    if (outcome.result === 'interrupted') outcome.status = 128 + os.constants.signals[stop.reason];
  } catch (error) {
    if (error instanceof UsageError) outcome = { result: 'usage', message: `${error.message} (--help tells more)` };
    else if (error instanceof SetupError) outcome = { result: 'setup', message: error.message };
    else outcome = { result: 'setup', message: `internal error: ${error.stack}` };
  }
  const { result, message, restarts = 0 } = outcome;
  const status = outcome.status ?? STATUS[result];
  if (message) say(result === 'hung' ? `host B hung again (${message})` : message);
  const seconds = (Date.now() - began) / 1000;
  const record = JSON.stringify({ result, status, restarts, seconds });
  if (options.statusFile && result !== 'usage') fs.writeFileSync(options.statusFile, `${record}\n`);
  process.exitCode = status;
}

module.exports = { main };

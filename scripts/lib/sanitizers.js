'use strict';

// The addon under a sanitizer: its runtime, its options, and a command with both. The runtime has to be in the process before the addon is
// loaded, so it is preloaded, and child processes inherit that.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { cmake } = require('./cmake.js');
const { SetupError } = require('./packages.js');
const { readReports } = require('./sanitizer-reports.js');

const root = path.resolve(__dirname, '../..');

// `planted`: functions of test/sanitizers/planted.cc, and what has to be found.
const SANITIZERS = {
  address: {
    title: 'AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer',
    flags: 'address,undefined',
    runtime: 'libasan.so',
    planted: {
      nothing: undefined,
      overflow: /heap-buffer-overflow/,
      useAfterFree: /heap-use-after-free/,
      leak: /Direct leak of 100 byte/,
      shift: /shift exponent 40 is too large/,
    },
  },
  thread: {
    title: 'ThreadSanitizer',
    flags: 'thread',
    runtime: 'libtsan.so',
    planted: { nothing: undefined, race: /data race/, raceOfCopies: /data race/, raceInOrder: undefined },
  },
};

const directory = (name) => path.join(root, 'out/sanitize', name);

function runtimeOf(name) {
  const { runtime } = SANITIZERS[name];
  const done = spawnSync('g++', [`-print-file-name=${runtime}`], { encoding: 'utf8' });
  const file = done.stdout?.trim();
  if (file && path.isAbsolute(file) && fs.existsSync(file)) return fs.realpathSync(file);
  throw new SetupError(`${runtime} is not here; as root: apt-get install --no-install-recommends g++`);
}

const join = (options) =>
  Object.entries(options)
    .map(([key, value]) => `${key}=${value}`)
    .join(':');

// The status of a process stays its own and reports are in files, so that neither is taken for the other.
function optionsOf(name, reports) {
  // Names are looked up afterwards and for frames of ours only: it takes seconds a process.
  const common = { symbolize: 0, exitcode: 0 };
  if (name === 'thread') {
    const thread = {
      ...common,
      log_path: path.join(reports, 'thread'),
      atexit_sleep_ms: 50, // at its end a process waits for what its other threads may still do: a whole second, unless it is told
      ignore_noninstrumented_modules: 1, // what Node's code asks the C library to touch is no report of ours, and half the time; its locks count
    };
    return { TSAN_OPTIONS: join(thread) };
  }
  // Only Node is looked through for leaks, not each shell and compiler that tests start.
  const own = path.join(directory(name), 'options');
  const node = path.basename(fs.realpathSync(process.execPath));
  fs.writeFileSync(`${own}.${node}`, 'detect_leaks=1\n');
  const format = '"    #%n %f %S %M"'; // with the module, which tells ours from others
  const address = {
    ...common,
    log_path: path.join(reports, 'address'),
    abort_on_error: 1,
    handle_abort: 1,
    detect_leaks: 0,
    include_if_exists: `${own}.%b`,
    malloc_context_size: 3, // the C++ library's, and ours; with 30 frames a process spends seconds on its leaks, with 8 a third of its start
    allocator_may_return_null: 1, // V8 asks for more than there is, and copes
    verify_asan_link_order: 0, // the HAXM driver model is preloaded before it
    stack_trace_format: format,
  };
  const undefinedBehaviour = { ...common, log_path: path.join(reports, 'undefined'), print_stacktrace: 1, stack_trace_format: format };
  return {
    ASAN_OPTIONS: join(address),
    UBSAN_OPTIONS: join(undefinedBehaviour),
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --require=${path.join(root, 'test/sanitizers/leaks.js')}`.trim(),
  };
}

// gcc 12's ThreadSanitizer finds no room for its memory where a kernel spreads mappings over more than 28 bits.
function withoutSpread(name) {
  if (name !== 'thread') return [];
  return spawnSync('setarch', ['-R', 'true']).status === 0 ? ['setarch', '-R'] : [];
}

// Runs a command with the runtime preloaded and HAX_ADDON set; { status, signal, findings, others }.
function runUnder(name, addon, command, { env = {}, stdio = 'inherit' } = {}) {
  const reports = fs.mkdtempSync(path.join(directory(name), 'reports-'));
  const [program, ...args] = [...withoutSpread(name), ...command];
  const done = spawnSync(program, args, {
    cwd: root,
    stdio,
    env: {
      ...process.env,
      ...optionsOf(name, reports),
      HAX_ADDON: addon,
      HAX_SANITIZER: name,
      HAX_SANITIZER_REPORTS: reports,
      LD_PRELOAD: [runtimeOf(name), process.env.LD_PRELOAD].filter(Boolean).join(':'),
      ...env,
    },
  });
  if (done.error) throw new SetupError(`${program}: ${done.error.message}`);
  return { status: done.status, signal: done.signal, ...readReports(reports, addon), reports };
}

// The addon, and the one with planted bugs.
function build(name, options) {
  const out = cmake(directory(name), { targets: ['node_hax', 'planted'], sanitize: SANITIZERS[name].flags, ...options });
  return { addon: path.join(out, 'node_hax.node'), planted: path.join(out, 'planted/node_hax.node') };
}

module.exports = { SANITIZERS, build, directory, runUnder };

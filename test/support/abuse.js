'use strict';

// Run by test/native/abuse.test.ts in a process of its own, with the backend as argument: every method of every class, in every state,
// with arguments and receivers of every kind. What is thrown must be an error of ours with a code; V8 itself refuses strange receivers
// with a TypeError. Reports what was anything else.

const path = require('node:path');
const hax = require('node-hax');
const { addon } = require(path.resolve(__dirname, '../../dist/native/addon.js'));
const { make, report } = require('./child-guests.js');

const backend = process.argv[2];
const detached = new Uint8Array(16);
structuredClone(detached.buffer, { transfer: [detached.buffer] });

// Made anew for each call where a call may keep or change them.
const values = [
  () => undefined,
  () => null,
  () => true,
  () => 0,
  () => 1,
  () => -1,
  () => 0.5,
  () => NaN,
  () => Infinity,
  () => 4096,
  () => 2 ** 31,
  () => 2 ** 32,
  () => 2 ** 52,
  () => 2 ** 53,
  () => 0n,
  () => -1n,
  () => 2n ** 64n,
  () => '',
  () => 'text',
  () => '128M',
  () => Symbol('s'),
  () => ({}),
  () => ({
    gpa: 0,
    size: 4096,
    at: 0,
    length: 1,
    id: 1,
    rax: {},
    reason: 'killed',
    backend: 7,
    signal: 5,
    irqchip: [],
    cpuid: 7,
    cpus: 'x',
  }),
  () => Object.create(null),
  () => [],
  () => [1, 2, 3],
  () => [[1, 2]],
  () => [Symbol('in a list')],
  () => () => undefined,
  () => class {},
  () => new Uint8Array(0),
  () => new Uint8Array(8192),
  () => detached,
  () => new Uint8Array(new SharedArrayBuffer(64)),
  () => new Float64Array(4),
  () => new DataView(new ArrayBuffer(8)),
  () => new ArrayBuffer(8),
  () => new Proxy({}, {}),
  () => new Proxy(() => undefined, {}),
  () => new Date(NaN),
  () => /x/,
  () => Promise.resolve(),
  () => globalThis,
];

const bad = [];
let calls = 0;

function acceptable(error, strangeReceiver) {
  if (error instanceof hax.HaxError && /^ERR_HAX_[A-Z_]+$/.test(error.code) && error.message.length > 0) return true;
  return strangeReceiver && error instanceof TypeError;
}

/** What closes the machines of before: a driver has room for few. */
const closers = [];

function closeAll() {
  for (const close of closers.splice(0)) close();
}

function attempt(label, call, strangeReceiver = false) {
  calls++;
  try {
    const result = call();
    // Handles that nobody has: their class closes nothing by itself before it is collected.
    if (typeof result?.close === 'function' && result.constructor.name.startsWith('Native')) closers.push(() => result.close());
    if (typeof result?.then === 'function') {
      result.then(
        () => undefined,
        (error) => {
          if (!acceptable(error, strangeReceiver)) bad.push(`${label} rejected: ${describe(error)}`);
        },
      );
    }
  } catch (error) {
    if (!acceptable(error, strangeReceiver)) bad.push(`${label} threw: ${describe(error)}`);
  }
}

function describe(value) {
  return value instanceof Error ? `${value.name}: ${value.message}` : typeof value;
}

// The methods, getters and setters that a class has itself.
function members(object) {
  const prototype = Object.getPrototypeOf(object);
  return Object.getOwnPropertyNames(prototype)
    .concat(Object.getOwnPropertySymbols(prototype))
    .filter((name) => name !== 'constructor' && !(typeof name === 'symbol' && name === Symbol.for('nodejs.util.inspect.custom')))
    .map((name) => ({ name, label: String(name), ...Object.getOwnPropertyDescriptor(prototype, name) }));
}

// Called by other parts of node-hax only, with what these have checked.
const internal = {
  Hypervisor: ['forget'],
  VirtualMachine: ['forget'],
  GuestMemory: ['insert', 'remove'],
  ExitView: [],
  PortBus: ['read', 'write'],
  MmioBus: ['read', 'write', 'readBytes', 'writeBytes'],
  NativeDescriptor: [],
};

/** All objects of a new VM, in a state: fresh, running or closed. */
function objects(state) {
  const made = make(backend, state === 'running' ? 'spin' : 'halt');
  const native = addon().openHypervisor(backend);
  const nativeVm = native.createVm(false, false, 0);
  const nativeMemory = addon().allocateMemory(4096);
  const nativeVcpu = nativeVm.createVcpu(0);
  const runner = new (addon().SliceRunner)(nativeVcpu, () => 2, 1e6);
  const descriptor = addon().openEventfd(0);
  const natives = [descriptor, nativeVcpu, nativeMemory, nativeVm, native];
  closers.push(() => made.hypervisor.close(), ...natives.map((each) => () => each.close()));
  if (state === 'running') {
    made.vcpu.run().catch(() => undefined);
    runner.start();
  }
  if (state === 'closed') {
    closeAll();
  }
  return [
    made.hypervisor,
    made.vm,
    made.vcpu,
    made.region,
    made.vm.memory,
    made.vm.ports,
    made.vm.mmio,
    made.vcpu.exit,
    native,
    nativeVm,
    nativeMemory,
    nativeVcpu,
    runner,
    descriptor,
  ];
}

// A call may close or start things: then the next one gets new objects.
function lasting(state) {
  let current;
  let uses = 0;
  return (index, spoils) => {
    if (++uses % 500 === 0 || current === undefined) {
      closeAll();
      current = objects(state);
    }
    const object = current[index];
    if (spoils) current = undefined;
    return object;
  };
}

// What takes an object to another state. Few lists are enough there: VMs are slow to make and slower to close.
const spoiling = new Set(['close', 'Symbol(Symbol.dispose)', 'start', 'stop']);

function argumentLists() {
  const lists = values.map((value) => [value]);
  // Pairs and longer lists: each value beside each of a few that pass the first check.
  const plausible = [() => 0, () => 4096, () => new Uint8Array(16), () => true];
  for (const first of plausible) for (const second of values) lists.push([first, second]);
  for (let i = 0; i < values.length; i++) {
    lists.push(
      [() => 0, () => 0, values[i]],
      [() => 0, values[i], () => 0, () => 4096, () => false],
      [() => 0, () => 0, () => 0, values[i], values[i]],
    );
  }
  return [[], ...lists];
}

function grid() {
  const lists = argumentLists();
  for (const state of ['fresh', 'running', 'closed']) {
    const get = lasting(state);
    for (let index = 0; index < 14; index++) {
      const sample = get(index, false);
      const owner = sample.constructor.name;
      for (const { name, label, value, get: getter, set: setter } of members(sample)) {
        if (internal[owner]?.includes(label)) continue;
        const spoils = state !== 'closed' && spoiling.has(label);
        const where = `${owner}.${label} (${state})`;
        if (getter) attempt(where, () => get(index, false)[name]);
        if (setter) for (const make_ of values) attempt(`${where} = `, () => (get(index, false)[name] = make_()));
        if (typeof value !== 'function') continue;
        // Whatever makes VMs, memory or processors is tried less often.
        const chosen = lists.filter((_, i) => (spoils ? i % 100 === 0 : state === 'fresh' || i % 3 === 0));
        for (const list of chosen) {
          const object = get(index, spoils);
          // A guest that spins would not come back from a blocking entry.
          if (state === 'running' && owner === 'NativeVcpu' && label === 'enter') continue;
          attempt(`${where} with ${list.length}: ${list.map((each) => String(each).slice(6, 40)).join(' | ')}`, () =>
            object[name](...list.map((each) => each())),
          );
          if (label === 'run' && state === 'fresh') object.stop?.();
        }
        for (const receiver of [
          undefined,
          null,
          5,
          {},
          [],
          Object.create(sample),
          new Proxy(sample, {}),
          values,
          get((index + 1) % 14, false),
        ]) {
          attempt(`${where} of another receiver`, () => value.call(receiver, 0, 0), true);
        }
      }
      attempt(`new ${owner}`, () => new sample.constructor(), true);
      attempt(`${owner} called`, () => sample.constructor(), true);
      attempt(`class extends ${owner}`, () => new (class extends sample.constructor {})(5), true);
    }
    closeAll();
  }
}

function functions() {
  const native = addon();
  // initialize would replace how errors are made, adoptDescriptor would take descriptors of Node's own.
  for (const name of ['backends', 'openHypervisor', 'allocateMemory', 'addressOf', 'openEventfd', 'openMemfd', 'detach', 'run']) {
    for (const list of argumentLists()) attempt(`addon.${name}`, () => native[name](...list.map((each) => each())));
  }
  for (const list of argumentLists()) {
    attempt('new SliceRunner', () => new native.SliceRunner(...list.map((each) => each())));
    attempt('Hypervisor.open', () => hax.Hypervisor.open(...list.map((each) => each())).close());
  }
}

// Whatever a program writes into the memory that a vCPU shares with it.
function shared() {
  let seed = 12345;
  const random = () => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0);
  const { hypervisor, vcpu } = make(backend, 'outForEver');
  const words = new Uint32Array(vcpu.shared);
  for (let i = 0; i < 600; i++) {
    for (let j = 0; j < words.length; j += 1 + (random() % 40)) words[j] = random() % 3 === 0 ? 0xffffffff : random();
    const tries = ['enter', 'complete', 'getState', 'getPosition', 'getFpu'];
    attempt(`shared, then ${tries[i % tries.length]}`, () => vcpu[tries[i % tries.length]]());
    attempt('exit as JSON', () => JSON.stringify(vcpu.exit));
    attempt('native state', () => vcpu.native.getState(random() % 64));
  }
  hypervisor.close();
}

// At the end of the stack anything may throw a RangeError, but nothing may break.
function stack() {
  const { hypervisor, vm, vcpu } = make(backend, 'halt');
  let depth = 0;
  const uses = [
    () => hypervisor.createVm({ irqchip: 'user' }).close(),
    () => vm.mapMemory({ gpa: 1, size: 1 }),
    () => vcpu.getState(),
    () => vcpu.enter(),
  ];
  const dive = (use) => {
    depth++;
    try {
      dive(use);
    } catch {
      // Here, and on the way up, there is hardly any stack left.
    }
    try {
      use();
    } catch {
      // Any error will do.
    }
    if (depth-- > 40) throw new RangeError('enough');
  };
  for (const use of uses) {
    depth = 0;
    try {
      dive(use);
    } catch {
      // As above.
    }
  }
  attempt('new NativeVm after that', () => new vm.native.constructor(), true);
  vcpu.getState();
  hypervisor.close();
}

async function main() {
  // Promises that are rejected for good reason, and objects that are let go of.
  process.removeAllListeners('warning');
  process.on('warning', () => undefined);
  functions();
  grid();
  shared();
  stack();
  await new Promise((resolve) => setTimeout(resolve, 20));
  // After all this the addon works as before.
  const { vcpu, hypervisor } = make(backend, 'out');
  const { reason } = await vcpu.run();
  hypervisor.close();
  report({ calls, bad: [...new Set(bad)].slice(0, 40), count: bad.length, reason });
  process.exit(0);
}

void main();

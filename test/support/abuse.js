'use strict';

// Run by test/native/abuse.test.ts in a process of its own, with the backend as argument: every method of every class, in every state,
// with arguments and receivers of every kind. What is thrown must be an error of ours with a code; V8 itself refuses strange receivers
// with a TypeError. Reports what was anything else.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { setImmediate: turn } = require('node:timers/promises');
const { Worker, parentPort, workerData } = require('node:worker_threads');
const hax = require('node-hax');
const { addon } = require(path.resolve(__dirname, '../../dist/native/addon.js'));
const { forgotten, isClass, members, reachable } = require('./abuse-classes.js');
const { lists, single, values } = require('./abuse-values.js');
const { make, report } = require('./child-guests.js');

const backend = process.argv[2];
const scratch = workerData ?? fs.mkdtempSync(path.join(os.tmpdir(), 'node-hax-abuse-'));

// Under a sanitizer a call takes several times as long.
const fewer = process.env.HAX_SANITIZER === undefined ? 1 : 8;

const bad = new Map();
let calls = 0;
// Handles that calls gave and that nobody has: they would be closed when they are collected, and a driver has room for few.
const given = [];

function acceptable(error, strangeReceiver) {
  if (error instanceof hax.HaxError && /^ERR_HAX_[A-Z_]+$/.test(error.code) && error.message.length > 0) return true;
  return strangeReceiver && error instanceof TypeError;
}

function attempt(label, call, strangeReceiver = false, args = []) {
  calls++;
  const judge = (how) => (error) => {
    if (acceptable(error, strangeReceiver)) return;
    // One example of each is enough.
    const key = `${label} ${how} ${error instanceof Error ? error.name : typeof error}`;
    const given = args.map((each) => String(each).slice(6, 40)).join(', ');
    if (!bad.has(key)) bad.set(key, `${key}: ${error?.message} (called with ${given || 'nothing'})`);
  };
  try {
    const result = call();
    if (!strangeReceiver && typeof result?.close === 'function' && /^(Native|Kvm|Haxm)/.test(result.constructor.name)) given.push(result);
    if (typeof result?.then === 'function') result.then(() => undefined, judge('rejected'));
  } catch (error) {
    judge('threw')(error);
  }
}

// What this host has not, by its class.
const absent = new Set();

// What else there is, on some hosts only, by its class.
function extras(vm, vcpu) {
  const found = {};
  const add = (name, get) => {
    try {
      found[name] = get();
    } catch (error) {
      if (!acceptable(error)) throw error;
      absent.add(name);
    }
  };
  add('KernelIrqLine', () => vm.hypervisor.createVm({ irqchip: 'kernel' }).irqLine(4));
  add('userLine', () => vm.irqLine(4));
  add('EventFd', () => new hax.EventFd());
  add('MemFd', () => new hax.MemFd(4096));
  if (backend === 'kvm') {
    add('KvmDevice', () => vm.kvm.createDevice(hax.kvmConstants.KVM_DEV_TYPE_VFIO));
    add('KvmStats', () => vm.kvm.getStatsFd());
    add('SyncRegs', () => vcpu.kvm.mapSyncRegs());
    add('CoalescedRing', () => vcpu.kvm.mapCoalescedRing());
    add('DirtyRing', () => vcpu.kvm.mapDirtyRing(256));
  }
  if (backend === 'haxm') {
    add('HaxmMemory', () => vm.haxm.allocate(4096));
    add('HaxmNode', () => vm.haxm.vcpuCreate(1));
  }
  return found;
}

// A VM and everything that belongs to it, and the same of the addon's own classes.
function everything(program) {
  const made = make(backend, program);
  const native = {};
  native.hypervisor = addon().openHypervisor(backend);
  native.vm = native.hypervisor.createVm(false, false, 0);
  native.memory = addon().allocateMemory(4096);
  native.vcpu = native.vm.createVcpu(0);
  native.descriptor = addon().openEventfd(0);
  native.watch = new (addon().DescriptorWatch)(native.descriptor, () => undefined);
  native.runner = new (addon().SliceRunner)(native.vcpu, () => 2, 1e6, 1e6);
  native.thread = new (addon().ThreadRunner)(native.vcpu, 0, new Uint8Array(0));
  const removable = made.vm.ports.add({ at: 0x700, length: 1 }, { read: () => 0, write: () => undefined });
  const trace = new hax.ExitTrace(path.join(scratch, 'trace.json'));
  return { ...made, native, removable, trace, ...extras(made.vm, made.vcpu) };
}

function closeAll({ hypervisor, native, trace, EventFd, MemFd, KvmDevice, KvmStats }) {
  native.runner.stop();
  native.thread.stop();
  for (const each of [native.watch, native.descriptor, native.vcpu, native.memory, native.vm, native.hypervisor]) each.close();
  for (const each of [EventFd, MemFd, KvmDevice, KvmStats, trace, ...given.splice(0), hypervisor]) each?.close();
}

const states = {
  fresh: async () => everything('halt'),
  running: async () => {
    const all = everything('spin');
    all.vcpu.run().catch(() => undefined);
    all.native.runner.start();
    await turn();
    return all;
  },
  // The vCPU belongs to another thread than the one that calls.
  'on its thread': async () => {
    const all = everything('spin');
    all.vcpu.run({ threaded: true }).catch(() => undefined);
    all.native.thread.start();
    addon().resumeSlot(0);
    await turn();
    return all;
  },
  stopped: async () => {
    const all = everything('spin');
    const run = all.vcpu.run();
    all.native.runner.start();
    await turn();
    all.vcpu.stop();
    all.native.runner.stop();
    await run;
    return all;
  },
  closed: async () => {
    const all = everything('halt');
    closeAll(all);
    return all;
  },
};

// Objects of a state. After a call that may close or start something, and now and then, the next one gets new objects.
class Supply {
  #state;
  #all;
  #objects;
  #uses = 0;

  constructor(state) {
    this.#state = state;
  }

  async objects() {
    if (!this.#all || ++this.#uses % 500 === 0) await this.renew();
    return this.#objects;
  }

  async renew() {
    this.close();
    this.#all = await states[this.#state]();
    this.#objects = reachable(this.#all);
  }

  close() {
    if (this.#all) closeAll(this.#all);
    this.#all = undefined;
  }
}

const spoiling = /^(close|start|stop|pause|resume|hold|Symbol\(Symbol\.(asyncD|d)ispose\))$/;
// A guest that spins would not come back: with a kick waiting the entry ends at once.
const blocking = new Set(['enter']);

function callMember(object, { key, label }, args) {
  if (blocking.has(label)) object.kick();
  return object[key](...args);
}

// A share of `all`, another one each time.
let turns = 0;
function some(all, share) {
  turns++;
  return all.filter((_, i) => (i + turns) % share === 0);
}

// Every member of one object; methods with a share of the argument lists.
async function abuseMembers(where, name, supply, share) {
  const get = async () => (await supply.objects()).get(name);
  for (const member of members(await get())) {
    const { key, label, value, get: getter, set: setter } = member;
    const at = `${name}.${label} (${where})`;
    if (getter) {
      const object = await get();
      attempt(at, () => object[key]);
    }
    for (const make_ of setter ? values : []) {
      const object = await get();
      attempt(`${at} =`, () => (object[key] = make_()), false, [make_]);
    }
    if (typeof value === 'function') {
      const spoils = spoiling.test(label);
      // Those take no arguments, and each call costs new objects.
      for (const list of some(lists, spoils ? 200 * Math.min(fewer, 2) : share)) {
        const object = await get();
        const call = () =>
          callMember(
            object,
            member,
            list.map((each) => each()),
          );
        attempt(at, call, false, list);
        if (label === 'run') object.stop?.();
        if (spoils) await supply.renew();
      }
    }
    await abuseReceivers(at, member, await get(), [...(await supply.objects()).values()]);
  }
}

// Methods and accessors taken off their object.
async function abuseReceivers(at, { value, get: getter, set: setter }, own, others) {
  const strangers = [undefined, null, 5, {}, [], Object.create(own), new Proxy(own, {}), values, ...others.filter((each) => each !== own)];
  for (const receiver of strangers) {
    for (const callable of [value, getter, setter]) {
      if (typeof callable === 'function') attempt(`${at} of another receiver`, () => callable.call(receiver, 0, 0), true);
    }
  }
}

// The names of the classes that it has met.
async function grid() {
  const names = new Set();
  for (const state of Object.keys(states)) {
    const supply = new Supply(state);
    for (const [name, sample] of await supply.objects()) {
      names.add(name);
      await abuseMembers(state, name, supply, (state === 'fresh' ? 2 : 8) * fewer);
      const { constructor } = sample;
      if (constructor === Object) continue;
      attempt(`new ${name}`, () => new constructor(), true);
      attempt(`${name} called`, () => constructor(), true);
      attempt(`class extends ${name}`, () => new (class extends constructor {})(5), true);
    }
    supply.close();
  }
  return names;
}

// What only holds on to one object, everything else being collected.
async function collected() {
  const all = await states.fresh();
  const names = [...reachable(all).keys()];
  closeAll(all);
  for (const name of names) {
    let kept = reachable(everything('halt')).get(name);
    await collect();
    for (const member of members(kept).sort(closingLast)) {
      const { key, label, value, get: getter, set: setter } = member;
      const at = `${name}.${label} (all else collected)`;
      if (getter) attempt(at, () => kept[key]);
      if (setter) for (const make_ of values) attempt(`${at} =`, () => (kept[key] = make_()));
      if (typeof value !== 'function') continue;
      for (const list of some(single, 5))
        attempt(at, () =>
          callMember(
            kept,
            member,
            list.map((each) => each()),
          ),
        );
      if (label === 'run') kept.stop?.();
    }
    kept = undefined;
  }
  await collect();
}

const closingLast = (a, b) => Number(spoiling.test(a.label)) - Number(spoiling.test(b.label));

async function collect() {
  for (let i = 0; i < 4; i++) {
    global.gc();
    await turn();
  }
}

// Another thread gets what can be sent there of each object, and calls the methods of its own classes with that.
async function wrongThread() {
  const all = everything('halt');
  const worker = new Worker(__filename, { argv: [backend], workerData: scratch });
  const answer = new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  for (const [name, object] of reachable(all)) {
    try {
      worker.postMessage({ name, object });
    } catch (error) {
      // Most cannot be sent at all.
      if (error.name !== 'DataCloneError') throw error;
    }
  }
  for (const buffer of [all.vcpu.shared, all.region.bytes.buffer, all.native.memory.buffer(0, 4096)]) {
    // Memory of the addon's stays where it is.
    attempt('a transfer of its memory', () => worker.postMessage({ name: 'none', object: buffer }, [buffer]), true);
  }
  worker.postMessage(undefined);
  const result = await answer;
  calls += result.calls;
  for (const [key, example] of result.bad) bad.set(key, example);
  all.vcpu.getState();
  all.region.bytes.fill(0);
  closeAll(all);
  await worker.terminate();
}

// The other thread's part.
function beStranger() {
  const own = reachable(everything('halt'));
  parentPort.on('message', (message) => {
    if (!message) return parentPort.postMessage({ calls, bad: [...bad] });
    const { name, object } = message;
    if (!own.has(name)) return;
    for (const { label, value, get: getter, set: setter } of members(own.get(name))) {
      for (const callable of [value, getter, setter]) {
        if (typeof callable === 'function') attempt(`${name}.${label} (from another thread)`, () => callable.call(object, 0, 0), true);
      }
    }
  });
}

// Machines, here and in a worker, in each of their states; a boot sector that spins.
async function machines() {
  const kernel = new Uint8Array(512);
  kernel.set([0xeb, 0xfe]);
  kernel.set([0x55, 0xaa], 510);
  const options = { kernel, backend, memory: '1M', irqchip: 'user' };
  const made = {
    created: async () => new hax.Machine(options),
    running: async () => hax.launch(options),
    paused: async () => {
      const machine = await hax.launch(options);
      await machine.pause();
      return machine;
    },
    stopped: async () => {
      const machine = await hax.launch(options);
      machine.kill();
      await machine.ended;
      return machine;
    },
    closed: async () => {
      const machine = await hax.launch(options);
      await machine.close();
      return machine;
    },
    'running in a worker': async () => hax.launchInWorker(options),
    'closed in a worker': async () => {
      const machine = await hax.launchInWorker(options);
      await machine.close();
      return machine;
    },
  };
  const names = new Set();
  for (const [state, get] of Object.entries(made)) {
    const machine = await get();
    for (const object of [machine, machine.console]) {
      const name = object.constructor.name;
      names.add(name);
      for (const member of members(object).sort(closingLast)) {
        const { key, label, value, get: getter } = member;
        const at = `${name}.${label} (${state})`;
        if (getter) attempt(at, () => object[key]);
        if (typeof value === 'function')
          for (const list of lists)
            attempt(at, () =>
              callMember(
                object,
                member,
                list.map((each) => each()),
              ),
            );
        await abuseReceivers(at, member, object, [machine.console]);
      }
    }
    await machine.close();
  }
  return names;
}

// Functions of the package and of the addon.
async function functions() {
  // initialize and setPump would replace what is ours, adoptDescriptor would take descriptors of Node's own, sendNow write to them; doctor takes a host of its tests'.
  const unsafe = ['initialize', 'setPump', 'adoptDescriptor', 'sendNow', 'doctor'];
  // Each call of these makes a thread.
  const costly = ['launchInWorker', 'WorkerMachine'];
  const isFunction = (value) => typeof value === 'function' && !isClass(value);
  for (const [owner, object] of Object.entries({ addon: addon(), hax })) {
    for (const [name, value] of Object.entries(object)) {
      if (!isFunction(value) || unsafe.includes(name)) continue;
      for (const list of some(lists, costly.includes(name) ? 20 : 1))
        attempt(`${owner}.${name}`, () => value(...list.map((each) => each())));
    }
  }
  for (const list of lists) {
    const args = () => list.map((each) => each());
    attempt('Hypervisor.open', () => hax.Hypervisor.open(...args()).close());
    for (const name of ['EventFd', 'MemFd']) attempt(`new ${name}`, () => new hax[name](...args()).close());
    for (const name of ['ExitTrace', 'Machine']) attempt(`new ${name}`, () => new hax[name](...args()).close());
    for (const name of ['SliceRunner', 'ThreadRunner', 'DescriptorWatch']) attempt(`new ${name}`, () => new (addon()[name])(...args()));
    attempt('resumeSlot', () => addon().resumeSlot(...args()));
  }
  for (const list of some(lists, 20)) attempt('new WorkerMachine', () => new hax.WorkerMachine(...list.map((each) => each())).close());
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
  const uses = [
    () => hypervisor.createVm({ irqchip: 'user' }).close(),
    () => vm.mapMemory({ gpa: 1, size: 1 }),
    () => vcpu.getState(),
    () => vcpu.enter(),
  ];
  for (const use of uses) {
    let above = 0; // frames between this one and the end of the stack
    const dive = () => {
      try {
        dive();
      } catch {
        // Here, and on the way up, there is hardly any stack left.
      }
      if (++above > 400) return;
      try {
        use();
      } catch {
        // Any error will do.
      }
    };
    dive();
  }
  attempt('new NativeVm after that', () => new vm.native.constructor(), true);
  vcpu.getState();
  hypervisor.close();
}

async function main() {
  // Promises that are rejected for good reason, and objects that are let go of.
  process.removeAllListeners('warning');
  process.on('warning', () => undefined);
  // Some of the values are file names.
  process.chdir(scratch);
  await functions();
  const names = await grid();
  await collected();
  await wrongThread();
  for (const name of await machines()) names.add(name);
  shared();
  stack();
  await new Promise((resolve) => setTimeout(resolve, 20));
  // After all this the addon works as before.
  const { vcpu, hypervisor } = make(backend, 'out');
  const { reason } = await vcpu.run();
  hypervisor.close();
  fs.rmSync(scratch, { recursive: true });
  report({
    calls,
    bad: [...bad.values()].slice(0, 40),
    count: bad.size,
    forgotten: forgotten(new Set([...names, ...absent]), backend),
    reason,
  });
  process.exit(0);
}

if (workerData) beStranger();
else void main();

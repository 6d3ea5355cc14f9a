'use strict';

// Which objects and methods there are, found by looking: a class or a method that is added is abused without anybody thinking of it.

const fs = require('node:fs');
const path = require('node:path');
const hax = require('node-hax');

const dist = path.resolve(__dirname, '../../dist');
const NATIVE = /^(Native\w+|SliceRunner|ThreadRunner|DescriptorWatch)$/;
const textOf = (callable) => Function.prototype.toString.call(callable);
const isClass = (value) => typeof value === 'function' && (/^class\b/.test(textOf(value)) || NATIVE.test(value.name));

// Classes that no program can get hold of, or whose abuse is another test's.
const elsewhere = {
  HaxError: 'is what is thrown',
  ManualClock: 'for tests; its callers are devices',
  RealClock: 'its callers are devices',
  ...Object.fromEntries(
    ['AddressRange', 'Claim', 'UnclaimedReports', 'Checker', 'Doorbells', 'ExitCounters', 'ExitHandlers', 'ExitTrack', 'Extensions']
      .concat([
        'GuestRun',
        'KvmCalls',
        'PostedWrites',
        'CoalescedZones',
        'Intermission',
        'StateView',
        'VcpuParts',
        'SharedBacking',
        'FileSource',
        'Processors',
        'Board',
        'BoardClock',
      ])
      .concat(['ConsolePort', 'ConsoleText'])
      .concat(['TablePool', 'ThreadedRun', 'PlainSliceRunner', 'VcpuEventCalls', 'VcpuStateCalls', 'VmIrqCalls', 'VmMemoryCalls', 'Intr'])
      .map((name) => [name, 'is inside: those who call it have checked, or it is a base of a class that is abused']),
  ),
};

// Called by other parts of node-hax only, with what these have checked.
const internal = {
  Hypervisor: ['forget'],
  VirtualMachine: ['forget'],
  GuestMemory: ['insert', 'remove'],
  PortBus: ['read', 'write'],
  MmioBus: ['read', 'write', 'readBytes', 'writeBytes'],
  ExitTrace: ['track'],
  // The last three throw what Node's emitters throw.
  Console: ['receive', '_read', '_destroy', '_write', 'removeListener', 'off', 'removeAllListeners'],
};

// Every class of the package, and its layer: devices have laws of their own (device-laws.ts).
function findClasses() {
  const found = new Map();
  for (const layer of ['bus', 'devices', 'hypervisor', 'machine', 'memory', 'run', 'time']) {
    for (const file of fs.readdirSync(path.join(dist, layer), { recursive: true })) {
      // The worker's entry runs where it is loaded.
      if (!file.endsWith('.js') || file.endsWith('worker-entry.js')) continue;
      for (const value of Object.values(require(path.join(dist, layer, file)))) if (isClass(value)) found.set(value.name, layer);
    }
  }
  for (const value of Object.values(hax)) if (isClass(value) && !found.has(value.name)) found.set(value.name, 'index');
  return found;
}

const classes = findClasses();

// Classes that should be abused for a backend and are none of `names`.
function forgotten(names, backend) {
  const kvm = '(?:Kvm.*|CoalescedRing|DirtyRing|SyncRegs)$';
  const others = new RegExp({ kvm: '^Haxm', haxm: `^${kvm}`, null: `^(?:Haxm|${kvm})` }[backend]);
  return [...classes]
    .filter(([name, layer]) => layer !== 'devices' && !names.has(name) && !Object.hasOwn(elsewhere, name) && !others.test(name))
    .map(([name]) => name);
}

function isOurs(object) {
  const constructor = Object.getPrototypeOf(object)?.constructor;
  return isClass(constructor);
}

// One object of each class that can be reached from `roots`, by the name of its class. Objects without a class are known by their key.
function reachable(roots) {
  const found = new Map();
  const seen = new Set();
  const visit = (value, key) => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return;
    seen.add(value);
    const plain = Object.getPrototypeOf(value) === Object.prototype;
    if (!plain && !Array.isArray(value) && !isOurs(value)) return;
    const name = plain ? String(key) : Object.getPrototypeOf(value).constructor.name;
    if (Object.hasOwn(elsewhere, name) || classes.get(name) === 'devices') return;
    if (name !== 'Array' && !found.has(name) && (!plain || members(value).length > 0)) found.set(name, value);
    for (let level = value; level && level !== Object.prototype && level !== Array.prototype; level = Object.getPrototypeOf(level)) {
      for (const each of Reflect.ownKeys(level)) {
        if (each === 'constructor' || each === '__proto__') continue;
        try {
          visit(value[each], each);
        } catch {
          // A getter that has nothing to give now.
        }
      }
    }
  };
  for (const [key, value] of Object.entries(roots)) visit(value, key);
  return found;
}

// The methods, getters and setters of an object's class and of those of ours that it extends, or of an object without a class its own.
function members(object) {
  const found = new Map();
  const add = (level, wanted) => {
    for (const key of Reflect.ownKeys(level)) {
      const label = String(key);
      const member = Object.getOwnPropertyDescriptor(level, key);
      if (key === 'constructor' || key === Symbol.for('nodejs.util.inspect.custom') || !wanted(label, member)) continue;
      if (!found.has(key)) found.set(key, { key, label, ...member });
    }
  };
  const prototype = Object.getPrototypeOf(object);
  if (prototype === Object.prototype) add(object, (_, { value, get }) => get || (typeof value === 'function' && !isClass(value)));
  const hidden = internal[prototype.constructor.name] ?? [];
  for (let level = prototype; level && isOurs(Object.create(level)); level = Object.getPrototypeOf(level)) {
    if (level.constructor.name === 'KvmCalls') break; // protected, all of it
    add(level, (label) => !hidden.includes(label));
  }
  return [...found.values()];
}

module.exports = { forgotten, isClass, members, reachable };

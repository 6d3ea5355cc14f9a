'use strict';

// What test/support/abuse.js calls everything with: values that fit nowhere, or somewhere by accident.

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

const single = [[], ...values.map((value) => [value])];

// Pairs and longer lists: each value beside each of a few that pass the first check.
const plausible = [() => 0, () => 4096, () => new Uint8Array(16), () => true];
const lists = [
  ...single,
  ...plausible.flatMap((first) => values.map((second) => [first, second])),
  ...values.flatMap((value) => [
    [() => 0, () => 0, value],
    [() => 0, value, () => 0, () => 4096, () => false],
    [() => 0, () => 0, () => 0, value, value],
  ]),
];

module.exports = { lists, single, values };

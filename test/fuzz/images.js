'use strict';

// Run by test/guest/fuzz.test.ts in a process of its own, which may be killed when it hangs. Gives launch() images that are random, or sound
// ones with random damage, in random machines: each has to be refused with an error of ours, or to run until it ends or is killed.
// Standard input: { seed, runs, images: { name: base64 } }. Prints how often what happened, as JSON.

const fc = require('fast-check');
const { HaxError, launch } = require('node-hax');

const RUNNING = 40; // milliseconds that a guest may run
const ENDING = 30_000; // milliseconds in which it has to be gone after that, on a machine that may stand still meanwhile

function images(bases) {
  const random = fc.uint8Array({ maxLength: 2048 });
  // Longer runs of equal bytes, which random bytes never give.
  const runs = fc.array(fc.tuple(fc.nat(255), fc.nat(600)), { maxLength: 6 });
  const patchy = runs.map((list) => Buffer.concat(list.map(([byte, length]) => Buffer.alloc(length, byte))));
  const edges = fc.constantFrom(0, 1, 0x7f, 0x80, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffff000, 0x100000);
  const edit = fc.record({ at: fc.nat(1200), value: fc.oneof(edges, fc.nat(0xffffffff)), width: fc.constantFrom(1, 2, 4) });
  const damaged = fc
    .record({
      base: fc.constantFrom(...bases),
      edits: fc.array(edit, { maxLength: 3 }),
      cut: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { freq: 2 }),
    })
    .map(({ base, edits, cut }) => {
      const bytes = Buffer.from(base);
      for (const { at, value, width } of edits) if (at + width <= bytes.length) bytes.writeUIntLE(value % 2 ** (8 * width), at, width);
      return cut === null ? bytes : bytes.subarray(0, Math.floor(bytes.length * cut));
    });
  return fc.oneof({ weight: 1, arbitrary: random }, { weight: 1, arbitrary: patchy }, { weight: 4, arbitrary: damaged });
}

// Mostly what makes sense, so that guests get to run; else anything.
function machines() {
  const mostly = (usual, odd) => fc.oneof({ weight: 12, arbitrary: usual }, { weight: 1, arbitrary: odd });
  const odd = fc.constantFrom(0, 0xffff, 0x10000, 0x9fc00, 0xa0000, 0xfffff, 0x100000, 0xffffffff, 2 ** 32, -1, 0.5, NaN);
  const load = mostly(fc.constantFrom(0x7c00, 0x1000, 0x20000), fc.oneof(odd, fc.nat(0xfffff)));
  const none = fc.constant(undefined);
  const flat = fc.record({ format: fc.constant('flat'), load, entry: mostly(none, odd), mode: fc.constantFrom(16, 32, 64) });
  const formats = ['elf', 'multiboot', 'bootsector', 'bzimage', 'pvh'];
  const other = fc.record({ format: mostly(fc.constant('auto'), fc.constantFrom(...formats)), load: mostly(none, load) });
  const modules = fc.array(fc.uint8Array({ minLength: 1, maxLength: 5000 }), { maxLength: 3 });
  const extra = fc.record({
    memory: mostly(fc.constantFrom('2M', '4M', '64M'), fc.constantFrom('1M', 1, 2 ** 20 + 4096)),
    append: mostly(none, fc.oneof(fc.string({ maxLength: 40 }), fc.constant('x'.repeat(70_000)))),
    initrd: mostly(fc.constant([]), fc.oneof(fc.uint8Array({ maxLength: 10 }), modules)),
    debugExit: fc.constant(true),
  });
  return fc.tuple(fc.oneof(flat, other), extra).map(([one, two]) => {
    const all = { ...one, ...two };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  });
}

const within = (promise, milliseconds, what) => {
  let timer;
  const late = new Promise(
    (_, reject) => (timer = setTimeout(() => reject(new Error(`${what} took more than ${milliseconds} ms`)), milliseconds)),
  );
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

async function outcome(kernel, options) {
  let machine;
  try {
    machine = await launch({ kernel, ...options, reboot: false });
  } catch (error) {
    if (!(error instanceof HaxError)) throw error;
    if (/\n/.test(error.message)) throw new Error(`not one sentence: ${error.message}`, { cause: error });
    return error.code;
  }
  const timer = setTimeout(() => machine.kill(), RUNNING);
  try {
    return (await within(machine.ended, RUNNING + ENDING, 'the end')).reason;
  } finally {
    clearTimeout(timer);
    await within(machine.close(), ENDING, 'close()');
  }
}

async function main() {
  const input = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
  const bases = Object.values(input.images).map((text) => Buffer.from(text, 'base64'));
  const counts = {};
  const property = fc.asyncProperty(images(bases), machines(), async (kernel, options) => {
    const what = await outcome(kernel, options);
    counts[what] = (counts[what] ?? 0) + 1;
  });
  await fc.assert(property, { seed: input.seed, numRuns: input.runs, interruptAfterTimeLimit: input.limit, markInterruptAsFailure: false });
  process.stdout.write(JSON.stringify(counts));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});

'use strict';

// Resident memory that each further idle machine takes.

const fs = require('node:fs');
const { setTimeout: delay } = require('node:timers/promises');
const v8 = require('node:v8');
const vm = require('node:vm');
const { root } = require('./lib/raw.js');
const { main } = require('./lib/row.js');
const { median, round } = require('./lib/statistics.js');

const KiB = 1024;
const guestMemory = 16 * KiB * KiB;
/** sti; hlt; jmp back: with the kernel's controllers it sleeps inside KVM_RUN. */
const idle = Buffer.of(0xfb, 0xf4, 0xeb, 0xfc);
/** Machines that come first: the pools are filled and V8 has compiled. */
const first = 8;

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc');

/** Resident bytes of this process, and how many of them are guest RAM: the mappings of its size that fork() leaves out. */
function resident() {
  let all = 0;
  let guest = 0;
  for (const text of fs.readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const number = (name) => Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * KiB;
    all += number('Rss');
    if (/^VmFlags:.* dc/m.test(text) && number('Size') >= guestMemory) guest += number('Rss');
  }
  return { all, guest };
}

async function settled() {
  await delay(300);
  collect();
  collect();
  await delay(100);
  return resident();
}

async function measure({ quick = false }) {
  const { launch } = require(`${root}/dist/index.js`);
  const machines = [];
  const add = async (count) => {
    for (let i = 0; i < count; i++) machines.push(await launch({ kernel: idle, format: 'flat', memory: guestMemory, backend: 'kvm' }));
    return settled();
  };
  const perMachine = [];
  const guest = [];
  const step = 8;
  let before = await add(first);
  for (let i = 0; i < (quick ? 2 : 5); i++) {
    const after = await add(step);
    perMachine.push((after.all - after.guest - (before.all - before.guest)) / step / KiB);
    guest.push((after.guest - before.guest) / step / KiB);
    before = after;
  }
  for (const machine of machines) await machine.close();
  return { kib: round(median(perMachine), 0), guestKib: round(median(guest), 0), machines: machines.length };
}

const describe = ({ skipped, kib, guestKib, machines }) => [
  ['each further idle machine', skipped ?? `${kib} KiB, and ${guestKib} of its guest's RAM (${machines} machines)`],
];

module.exports = { describe, measure };

if (require.main === module) main(measure);

'use strict';

// Run by test/native/life-fuzz.test.ts in a process of its own. Guests read a number, write it back and post a count, without end, while their
// vCPUs are paused, resumed, kicked, stopped and run again at random moments, by timers and by handlers: each access has to reach its device once,
// in order, and each reply the guest.
// Standard input: { backend, code, seed, runs, least, limit }. Prints { rounds, accesses, lost } as JSON.

const { readFileSync } = require('node:fs');
const { setTimeout: delay } = require('node:timers/promises');
const { Hypervisor, realMode } = require('node-hax');
const { chances } = require('./random.js');

const { backend, code, seed, runs, least, limit = Infinity } = JSON.parse(readFileSync(0, 'utf8'));
const { random, oneIn, pick } = chances(seed);
const program = Buffer.from(code, 'base64');
const lost = [];
let accesses = 0;

class Guest {
  /** A promise has the reply, or the guest has not shown yet that it came: a run that ends before it is there loses it. */
  parked = false;
  stopped = false;
  #number = 0;
  #awaited;
  #posted = 0;

  constructor(vm, id, posted, act) {
    this.vcpu = vm.createVcpu();
    // The program finds its ports from dx on.
    const at = 0x100 + 16 * id;
    this.vcpu.setState({ ...realMode({ ip: 0x1000 }), rdx: at, rbx: 0 });
    this.act = act;
    vm.ports.add({ at, length: 1 }, { read: () => this.#read(), write() {} });
    vm.ports.add({ at: at + 1, length: 1 }, { read: () => 0, write: (_, value) => this.#written(value) });
    vm.ports.add({ at: at + 2, length: 1, posted }, { read: () => 0, write: (_, value) => this.#counted(value) });
  }

  #read() {
    if (this.#awaited !== undefined) lost.push(`the write of ${this.#awaited}`);
    const number = (this.#number = (this.#number + 1) & 0xff);
    this.#awaited = number;
    this.parked = !this.stopped && oneIn(20);
    this.act();
    if (!this.parked) return number;
    return delay(random(3)).then(() => {
      this.act();
      return number;
    });
  }

  #written(value) {
    accesses++;
    if (value !== this.#awaited) lost.push(`${value} was written, not ${this.#awaited}`);
    this.#awaited = undefined;
    this.parked = false;
    this.act();
  }

  #counted(value) {
    if (value !== ((this.#posted + 1) & 0xff)) lost.push(`${value} was posted after ${this.#posted}`);
    this.#posted = value;
    this.act();
  }
}

function actOn(guest) {
  const { vcpu } = guest;
  const actions = [
    () => {
      vcpu.pause();
      setTimeout(() => vcpu.resume(), random(3));
    },
    () => {
      vcpu.pause();
      vcpu.resume();
    },
    () => vcpu.kick(),
    () => vcpu.resume(),
    () => {
      if (guest.parked) return;
      guest.stopped = true;
      vcpu.stop();
    },
  ];
  pick(actions)();
}

async function round() {
  const hypervisor = Hypervisor.open({ backend });
  const vm = hypervisor.createVm({ irqchip: 'user' });
  vm.mapMemory({ gpa: 0, size: '64K' });
  vm.memory.write(0x1000, program);
  let over = false;
  const act = () => over || random(6) > 0 || actOn(pick(guests));
  const posted = oneIn(2);
  const guests = [0, 1, 2].map((id) => new Guest(vm, id, posted, act));
  const threads = random(4);
  const ended = guests.map(async (guest, i) => {
    while (!over) {
      guest.stopped = false;
      await guest.vcpu.run({ threaded: i < threads });
    }
  });
  for (const until = Date.now() + 200; Date.now() < until; await delay(3)) {
    for (const { vcpu } of guests) if (oneIn(3)) vcpu.resume();
    act();
  }
  over = true;
  for (const { vcpu } of guests) vcpu.stop();
  await Promise.all(ended);
  hypervisor.close();
}

async function main() {
  let rounds = 0;
  for (const end = performance.now() + limit; rounds < least || (rounds < runs && performance.now() < end); rounds++) await round();
  process.stdout.write(JSON.stringify({ rounds, accesses, lost: lost.slice(0, 10) }), () => process.exit());
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});

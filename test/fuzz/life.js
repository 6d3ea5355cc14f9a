'use strict';

// Run by test/native/life-fuzz.test.ts in a process of its own, which a mistake may crash or hang. VMs with several vCPUs, most of them on
// threads of their own, are paused, resumed, kicked, stopped, aborted and closed at random moments, by timers and by handlers, some of which
// take long, throw or give promises: every run has to come to its end.
// Standard input: { backend, seed, runs, least, limit }. Prints { rounds, ends, overlaps } as JSON.

const { readFileSync } = require('node:fs');
const { setTimeout: delay } = require('node:timers/promises');
const { Hypervisor, realMode } = require('node-hax');
const { chances } = require('./random.js');

const { backend, seed, runs, least, limit = Infinity } = JSON.parse(readFileSync(0, 'utf8'));
const PORT = 0x10;
const POSTED = 0x18;
/** Longer than the looks at halted vCPUs are apart, milliseconds. */
const LONG = 230;
const TOO_LONG = 60_000;

const { random, oneIn, pick } = chances(seed);

const ends = {};
const count = (what) => void (ends[what] = (ends[what] ?? 0) + 1);
let overlaps = 0;

/** cli; next: out PORT, al; out POSTED, al; in al, PORT; loop next; hlt */
const code = Uint8Array.of(0xfa, 0xe6, PORT, 0xe6, POSTED, 0xe4, PORT, 0xe2, 0xf8, 0xf4);

function load(vm, vcpu, i) {
  const rcx = oneIn(3) ? random(3000) : 60_000;
  if (backend === 'null') return vcpu.setState({ rcx, rdx: PORT, rbx: 2, rbp: oneIn(5) ? 1 : 0, rsi: random(2) });
  const ip = 0x1000 + 64 * i;
  vm.memory.write(ip, code);
  // An application processor under the kernel's controllers waits for a start that never comes.
  vcpu.setState({ ...realMode({ ip }), rcx });
}

function act(vm, vcpus, abort) {
  const vcpu = pick(vcpus);
  const actions = [
    () => vcpu.pause(),
    () => vcpu.resume(),
    () => vcpus.forEach((each) => each.resume()),
    () => {
      vcpu.pause();
      vcpu.resume();
    },
    () => vcpu.kick(),
    () => oneIn(8) && vcpu.getState(),
    () => delay(random(3), 0),
    () => Promise.resolve(0),
    () => oneIn(8) && vcpu.stop(),
    () => oneIn(20) && vcpus.forEach((each) => each.stop()),
    () => oneIn(20) && vcpu.close(),
    () => oneIn(40) && vm.close(),
    () => oneIn(40) && abort(),
    () => {
      if (oneIn(40)) throw new Error('a device of the test');
    },
    () => {
      if (oneIn(40)) for (const end = Date.now() + LONG; Date.now() < end;);
    },
  ];
  return pick(actions)();
}

async function round() {
  const hypervisor = Hypervisor.open({ backend });
  const kernel = backend === 'kvm' && oneIn(2);
  const vm = hypervisor.createVm({ irqchip: kernel ? 'kernel' : 'user' });
  if (backend !== 'null') vm.mapMemory({ gpa: 0, size: '64K' });
  const vcpus = Array.from({ length: 1 + random(4) }, () => vm.createVcpu());
  vcpus.forEach((vcpu, i) => load(vm, vcpu, i));
  const controller = new AbortController();
  const actNow = () => act(vm, vcpus, () => controller.abort(new Error('aborted')));
  let handlers = 0;
  const handle = () => {
    if (handlers++ > 0) overlaps++;
    try {
      const result = oneIn(4) ? actNow() : undefined;
      return result instanceof Promise ? result : 0;
    } finally {
      handlers--;
    }
  };
  vm.ports.add({ at: PORT, length: 1 }, { read: handle, write: () => void handle() });
  const kind = pick([{}, { posted: true }, { doorbells: [{ offset: 0, width: 1, value: 0 }] }]);
  const posted = vm.ports.add({ at: POSTED, length: 1, ...kind }, { read: () => 0, write: () => void handle() });
  if (oneIn(8)) setTimeout(() => posted.remove(), 10);
  const ended = vcpus.map((vcpu) =>
    vcpu.run({ threaded: !oneIn(12), signal: controller.signal }).then(
      ({ reason }) => count(reason),
      ({ code: errorCode, message }) => count(errorCode ?? message),
    ),
  );
  for (const until = Date.now() + 5 + random(60) * (oneIn(10) ? 20 : 1); Date.now() < until; await delay(random(4))) {
    try {
      actNow();
    } catch (error) {
      count(`by a timer: ${error.code ?? error.message}`);
    }
  }
  for (const vcpu of vcpus) oneIn(2) ? vcpu.stop() : vcpu.close();
  const late = delay(TOO_LONG, undefined, { ref: false }).then(() => {
    throw new Error(`seed ${seed}: after ${TOO_LONG} ms still running: ${vcpus.map(({ running }) => running).join(', ')}`);
  });
  await Promise.race([Promise.all(ended), late]);
  hypervisor.close();
}

// A doorbell may be answered when no run is left that its handler's error could end.
process.on('uncaughtException', (error) => {
  if (!error.stack.includes('doorbells.js')) throw error;
  count(`of a late doorbell: ${error.code ?? error.message}`);
});

async function main() {
  let rounds = 0;
  for (const end = performance.now() + limit; rounds < least || (rounds < runs && performance.now() < end); rounds++) await round();
  process.stdout.write(JSON.stringify({ rounds, ends, overlaps }), () => process.exit());
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});

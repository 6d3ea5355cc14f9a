'use strict';

// Two loops over the same device, one in C and one that is vcpu.run(), for all that is measured against raw C.

const { makeDevices } = require('./devices.js');
const { openFloor, openPostedFloor } = require('./floor.js');
const { raw, root } = require('./raw.js');

const firstPort = 0xb0; // eight ports eight apart from here on belong to nobody else
const codeAt = 0x1000;

/** Real mode: eight OUTs of a byte, `ecx` times, then HLT. */
function outLoop(devices) {
  const code = [];
  for (let i = 0; i < 8; i++) code.push(0xe6, firstPort + 8 * (i % devices)); // out port, al
  code.push(0x66, 0x49); // dec ecx
  code.push(0x75, -(code.length + 2) & 0xff); // jnz to the first out
  code.push(0xf4); // hlt
  return Uint8Array.from(code);
}

/** Real mode: counts ecx down, then HLT. */
const spinLoop = Uint8Array.of(0x66, 0x49, 0x75, 0xfc, 0xf4); // next: dec ecx; jnz next; hlt

/** What a call of run() costs more than it should, for a look at whether the gate sees it: the planted regression. */
function plant(addon) {
  const { run } = addon;
  let work = 0;
  addon.run = () => {
    for (let i = 0; i < 20; i++) work = (work * 31 + i) | 0;
    run();
  };
}

/** Counts the thread's CPU time inside slices: what is spent between them is the event loop's. */
function timeSlices(addon, cpu) {
  const { SliceRunner } = addon;
  const spent = { inside: 0 };
  addon.SliceRunner = function (vcpu, slice, cap) {
    const timed = () => {
      const start = cpu();
      try {
        return slice();
      } finally {
        spent.inside += cpu() - start;
      }
    };
    return new SliceRunner(vcpu, timed, cap);
  };
  return spent;
}

/** What the guest of a KVM row executes: its code, ecx, and how many writes that makes. */
function programOf({ devices, exits, spins }) {
  if (spins) return { code: spinLoop, ecx: spins, writes: 0 };
  return { code: outLoop(devices), ecx: exits / 8, writes: exits };
}

/**
 * Opens `backend` twice, for node-hax and for C. `exits` writes to `devices` devices a run, or on KVM `spins` rounds of a loop without an
 * exit. Both sides give nanoseconds of the thread's CPU time for a whole run, and so does, with `floor`, the smallest loop through JavaScript.
 */
function openPair(row) {
  const { backend, devices: deviceCount = 1, entryNs = 0, exits = 0, posted = false } = row;
  const { Hypervisor, guestCpuid, realMode } = require(`${root}/dist/index.js`);
  const addon = require(`${root}/dist/native/addon.js`).addon();
  const c = raw();
  if (row.plant) plant(addon);
  const spent = timeSlices(addon, c.threadCpuNs);
  const hypervisor = Hypervisor.open({ backend });
  const vm = hypervisor.createVm({ irqchip: 'user' });
  const devices = makeDevices(deviceCount);
  devices.forEach((device, i) => vm.ports.add({ at: firstPort + 8 * i, length: 8, posted }, device));
  const program = programOf({ ...row, devices: deviceCount });
  let cpuid;
  let registers = { rcx: exits, rdx: firstPort, rbx: deviceCount, rdi: entryNs, rax: 0x5a };
  let prepareC = () => c.nullSet(exits, firstPort, deviceCount, entryNs);
  let runC = () => c.nullLoop();
  if (backend === 'kvm') {
    vm.mapMemory({ gpa: 0, size: '64K' });
    vm.memory.write(codeAt, program.code);
    registers = { ...realMode({ ip: codeAt }), rcx: program.ecx, rax: 0x5a };
    cpuid = guestCpuid(hypervisor.supportedCpuid(), { apicId: 0, kernelApic: false });
    c.kvmOpen(program.code, Uint32Array.from(cpuid.flatMap((e) => [e.function, e.index, e.flags, e.eax, e.ebx, e.ecx, e.edx])));
    prepareC = () => c.kvmSet(codeAt, program.ecx);
    runC = () => c.kvmLoop();
  }
  if (backend === 'haxm') {
    c.haxmOpen();
    prepareC = () => undefined;
    runC = () => c.haxmLoop(exits, firstPort, deviceCount, entryNs);
  }
  const vcpu = vm.createVcpu(cpuid ? { cpuid } : {});

  const inC = () => {
    prepareC();
    const start = c.threadCpuNs();
    const writes = runC();
    const spentInC = c.threadCpuNs() - start;
    if (writes !== program.writes) throw new Error(`the loop in C saw ${writes} writes, not ${program.writes}`);
    return spentInC;
  };
  // Not on HAXM: its tunnel is C's alone. Devices of its own, so that V8 learns of them as of the others.
  const serveFloor =
    row.floor &&
    (posted ? openPostedFloor(c, firstPort, 8, program.writes) : openFloor(c, backend === 'kvm', makeDevices(deviceCount), firstPort));
  const inFloor = () => {
    prepareC();
    return serveFloor();
  };
  const inJavaScript = async () => {
    vcpu.setState(registers);
    const before = devices.reduce((sum, device) => sum + device.writes, 0);
    spent.inside = 0;
    const start = c.threadCpuNs();
    const end = await vcpu.run();
    const whole = c.threadCpuNs() - start;
    const writes = devices.reduce((sum, device) => sum + device.writes, 0) - before;
    if (end.reason !== 'halted' || writes !== program.writes)
      throw new Error(`the guest ended as ${end.reason} after ${writes} writes of ${program.writes}`);
    return { whole, inside: spent.inside };
  };
  return { inC, inJavaScript, inFloor: row.floor ? inFloor : () => 0, close: () => hypervisor.close() };
}

/** `rounds` rounds of both sides in turns, the order swapped each round, after some that do not count: in those V8 compiles. */
async function inTurns({ inC, inJavaScript, inFloor, close }, rounds, warmUp = 3) {
  const times = { c: [], whole: [], inside: [], floor: [] };
  try {
    for (let i = -warmUp; i < rounds; i++) {
      let c = i % 2 === 0 ? inC() : undefined;
      const js = await inJavaScript();
      c ??= inC();
      const floor = inFloor();
      if (i < 0) continue;
      times.c.push(c);
      times.whole.push(js.whole);
      times.inside.push(js.inside);
      times.floor.push(floor);
    }
  } finally {
    close();
  }
  return times;
}

module.exports = { inTurns, openPair, outLoop };

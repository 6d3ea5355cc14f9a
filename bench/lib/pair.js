'use strict';

// Two loops over the same device, one in C and one that is vcpu.run(), for all that is measured against raw C.

const { makeDevices } = require('./devices.js');
const { openFloor, openPostedFloor } = require('./floor.js');
const { codeAt, firstPort, kvmProgram, lostAt } = require('./programs.js');
const { raw, root } = require('./raw.js');

/** What a call of run() costs more than it should, for a look at whether the gate sees it: the planted regression. */
function plant(addon) {
  const { run } = addon;
  let work = 0;
  addon.run = () => {
    for (let i = 0; i < 20; i++) work = (work * 31 + i) | 0;
    run();
  };
}

/**
 * Opens `backend` twice, for node-hax and for C. `exits` writes to `devices` devices a run, or on KVM a loop without an exit for `ticks` of
 * the time stamp counter. Both sides give nanoseconds of the thread's CPU time for a whole run, and so does, with `floor`, the smallest loop
 * through JavaScript; with `ticks` they give how many of them the guest was not running.
 */
function openPair(row) {
  const { backend, devices: deviceCount = 1, entryNs = 0, exits = 0, posted = false } = row;
  const { Hypervisor, guestCpuid } = require(`${root}/dist/index.js`);
  const addon = require(`${root}/dist/native/addon.js`).addon();
  const c = raw();
  if (row.plant) plant(addon);
  const hypervisor = Hypervisor.open({ backend });
  const vm = hypervisor.createVm({ irqchip: 'user' });
  const devices = makeDevices(deviceCount);
  devices.forEach((device, i) => vm.ports.add({ at: firstPort + 8 * i, length: 8, posted }, device));
  let program = { writes: exits, end: 'halted' };
  let cpuid;
  let registers = { rcx: exits, rdx: firstPort, rbx: deviceCount, rdi: entryNs, rax: 0x5a };
  let prepareC = () => c.nullSet(exits, firstPort, deviceCount, entryNs);
  let runC = () => c.nullLoop();
  if (backend === 'kvm') {
    program = kvmProgram({ ...row, devices: deviceCount });
    vm.mapMemory({ gpa: 0, size: '64K' });
    vm.memory.write(0, program.memory);
    registers = program.state;
    cpuid = guestCpuid(hypervisor.supportedCpuid(), { apicId: 0, kernelApic: false });
    c.kvmOpen(program.memory, Uint32Array.from(cpuid.flatMap((e) => [e.function, e.index, e.flags, e.eax, e.ebx, e.ecx, e.edx])));
    prepareC = () => c.kvmSet(codeAt, program.rcx, program.cr3);
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
    return row.ticks ? c.kvmRead(lostAt) : spentInC;
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
    const start = c.threadCpuNs();
    const end = await vcpu.run();
    const spent = c.threadCpuNs() - start;
    const writes = devices.reduce((sum, device) => sum + device.writes, 0) - before;
    if (end.reason !== program.end || writes !== program.writes)
      throw new Error(`the guest ended as ${end.reason} after ${writes} writes of ${program.writes}`);
    return row.ticks ? Number(vm.memory.readU64(lostAt)) : spent;
  };
  return { inC, inJavaScript, inFloor: row.floor ? inFloor : () => 0, close: () => hypervisor.close() };
}

/** `rounds` rounds of both sides in turns, the order swapped each round, after some that do not count: in those V8 compiles. */
async function inTurns({ inC, inJavaScript, inFloor, close }, rounds, warmUp = 3) {
  const times = { c: [], js: [], floor: [] };
  try {
    for (let i = -warmUp; i < rounds; i++) {
      let c = i % 2 === 0 ? inC() : undefined;
      const js = await inJavaScript();
      c ??= inC();
      const floor = inFloor();
      if (i < 0) continue;
      times.c.push(c);
      times.js.push(js);
      times.floor.push(floor);
    }
  } finally {
    close();
  }
  return times;
}

module.exports = { inTurns, openPair };

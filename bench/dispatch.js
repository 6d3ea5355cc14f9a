'use strict';

// What JavaScript costs on top of an exit: vcpu.run() with devices in JavaScript against a loop in C over the same device, in turns.

const { makeDevices } = require('./devices.js');
const { raw, root } = require('./raw.js');
const { Hypervisor, realMode } = require(`${root}/dist/index.js`);

const firstPort = 0xb0;
const codeAt = 0x1000;

/** Middle of a list of numbers. */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}

/** Real mode: eight OUTs in a row, `count` times, then HLT. 16-bit counters do: what matters is that the guest does little else. */
function outLoop(devices) {
  const code = [];
  for (let i = 0; i < 8; i++) code.push(0xe6, firstPort + 8 * (i % devices)); // out port, al
  code.push(0x66, 0x49); // dec ecx
  code.push(0x75, (-code.length - 2) & 0xff); // jnz to the first out
  code.push(0xf4); // hlt
  return Uint8Array.from(code);
}

/** The two loops over one device; each runs `exits` exits and gives its thread CPU time. */
function loops(backend, deviceCount, entryNs, exits) {
  const c = raw();
  const hypervisor = Hypervisor.open({ backend });
  const vm = hypervisor.createVm({ irqchip: 'user' });
  const devices = makeDevices(deviceCount);
  devices.forEach((device, i) => vm.ports.add({ at: firstPort + 8 * i, length: 8 }, device));
  const timed = (loop) => {
    const start = c.threadCpuNs();
    loop();
    return c.threadCpuNs() - start;
  };
  let prepare;
  let inC;
  if (backend === 'kvm') {
    const code = outLoop(deviceCount);
    vm.mapMemory({ gpa: 0, size: '64K' });
    vm.memory.write(codeAt, code);
    c.kvmOpen(code);
    prepare = () => ({ ...realMode({ ip: codeAt }), rcx: exits / 8, rax: 0x5a });
    inC = () => {
      c.kvmSet(codeAt, exits / 8);
      return timed(() => c.kvmLoop());
    };
  } else {
    prepare = () => ({ rcx: exits, rdx: firstPort, rbx: deviceCount, rdi: entryNs, rax: 0x5a });
    inC = () => timed(() => c.nullLoop(exits, firstPort, deviceCount, entryNs));
  }
  const vcpu = vm.createVcpu();
  const inJavaScript = async () => {
    vcpu.setState(prepare());
    const start = c.threadCpuNs();
    const end = await vcpu.run();
    const spent = c.threadCpuNs() - start;
    if (end.reason !== 'halted') throw new Error(`the guest ended as ${end.reason}`);
    return spent;
  };
  const served = () => devices.reduce((sum, device) => sum + device.writes, 0);
  return { inC, inJavaScript, served, close: () => hypervisor.close() };
}

/**
 * Nanoseconds an exit: in JavaScript, in C, and the median of their paired differences. The order swaps each round; the first rounds, in
 * which V8 compiles, do not count.
 */
async function measure({ backend, devices, entryNs = 0, exits, rounds }) {
  const warmUp = 3;
  const { inC, inJavaScript, served, close } = loops(backend, devices, entryNs, exits);
  const times = { js: [], c: [], difference: [] };
  try {
    for (let round = -warmUp; round < rounds; round++) {
      let js;
      let c;
      if (round % 2 === 0) {
        js = await inJavaScript();
        c = inC();
      } else {
        c = inC();
        js = await inJavaScript();
      }
      if (round < 0) continue;
      times.js.push(js / exits);
      times.c.push(c / exits);
      times.difference.push((js - c) / exits);
    }
    const expected = exits * (rounds + warmUp);
    if (served() !== expected) throw new Error(`the devices saw ${served()} writes, not ${expected}`);
  } finally {
    close();
  }
  const round1 = (value) => Math.round(value * 10) / 10;
  return { ns: round1(median(times.difference)), js: round1(median(times.js)), c: round1(median(times.c)), rounds };
}

module.exports = { measure, median };

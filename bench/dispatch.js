'use strict';

// One row of the dispatch table, in a process of its own: what V8 has learnt from one row must not help or harm the next.
// node bench/dispatch.js '{"backend":"null","devices":1,"entryNs":0,"exits":2000000,"rounds":25}' prints the result as JSON.

const { makeDevices } = require('./lib/devices.js');
const { raw, root } = require('./lib/raw.js');
const { looksBusy, median, paired, round } = require('./lib/statistics.js');

const firstPort = 0xb0; // eight ports eight apart from here on belong to nobody else
const codeAt = 0x1000;
/** Rounds in which V8 compiles; they do not count. */
const warmUp = 3;

/** Real mode: eight OUTs of a byte, `ecx` times, then HLT. */
function outLoop(devices) {
  const code = [];
  for (let i = 0; i < 8; i++) code.push(0xe6, firstPort + 8 * (i % devices)); // out port, al
  code.push(0x66, 0x49); // dec ecx
  code.push(0x75, -(code.length + 2) & 0xff); // jnz to the first out
  code.push(0xf4); // hlt
  return Uint8Array.from(code);
}

/** Counts the thread's CPU time inside slices: what is spent between them is the event loop's. */
function timeSlices(cpu) {
  const addon = require(`${root}/dist/native/addon.js`).addon();
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

/** The two loops over the same device; each runs `exits` exits and gives nanoseconds of thread CPU time an exit. */
function loops({ backend, devices: deviceCount, entryNs = 0, exits, posted = false }) {
  const { Hypervisor, guestCpuid, realMode } = require(`${root}/dist/index.js`);
  const c = raw();
  const spent = timeSlices(c.threadCpuNs);
  const hypervisor = Hypervisor.open({ backend });
  const vm = hypervisor.createVm({ irqchip: 'user' });
  const devices = makeDevices(deviceCount);
  devices.forEach((device, i) => vm.ports.add({ at: firstPort + 8 * i, length: 8, posted }, device));
  let cpuid;
  let registers = { rcx: exits, rdx: firstPort, rbx: deviceCount, rdi: entryNs, rax: 0x5a };
  let prepareC = () => undefined;
  let runC = () => c.nullLoop(exits, firstPort, deviceCount, entryNs);
  if (backend === 'kvm') {
    const code = outLoop(deviceCount);
    vm.mapMemory({ gpa: 0, size: '64K' });
    vm.memory.write(codeAt, code);
    registers = { ...realMode({ ip: codeAt }), rcx: exits / 8, rax: 0x5a };
    cpuid = guestCpuid(hypervisor.supportedCpuid(), { apicId: 0, kernelApic: false });
    c.kvmOpen(code, Uint32Array.from(cpuid.flatMap((e) => [e.function, e.index, e.flags, e.eax, e.ebx, e.ecx, e.edx])));
    prepareC = () => c.kvmSet(codeAt, exits / 8);
    runC = () => c.kvmLoop();
  }
  if (backend === 'haxm') {
    c.haxmOpen();
    runC = () => c.haxmLoop(exits, firstPort, deviceCount, entryNs);
  }
  const vcpu = vm.createVcpu(cpuid ? { cpuid } : {});

  const inC = () => {
    prepareC();
    const start = c.threadCpuNs();
    const writes = runC();
    const spentInC = c.threadCpuNs() - start;
    if (writes !== exits) throw new Error(`the loop in C saw ${writes} writes, not ${exits}`);
    return spentInC / exits;
  };
  const inJavaScript = async () => {
    vcpu.setState(registers);
    const before = devices.reduce((sum, device) => sum + device.writes, 0);
    spent.inside = 0;
    const start = c.threadCpuNs();
    const end = await vcpu.run();
    const whole = c.threadCpuNs() - start;
    const writes = devices.reduce((sum, device) => sum + device.writes, 0) - before;
    if (end.reason !== 'halted' || writes !== exits) throw new Error(`the guest ended as ${end.reason} after ${writes} writes of ${exits}`);
    return { whole: whole / exits, inside: spent.inside / exits };
  };
  return { inC, inJavaScript, close: () => hypervisor.close() };
}

/** A row of the table; nanoseconds an exit. */
async function measure(row) {
  const { inC, inJavaScript, close } = loops(row);
  const times = { c: [], whole: [], inside: [] };
  try {
    for (let i = -warmUp; i < row.rounds; i++) {
      let c = i % 2 === 0 ? inC() : undefined;
      const js = await inJavaScript();
      c ??= inC();
      if (i < 0) continue;
      times.c.push(c);
      times.whole.push(js.whole);
      times.inside.push(js.inside);
    }
  } finally {
    close();
  }
  const over = paired(times.whole, times.c);
  const c = median(times.c);
  return {
    ns: round(over.median),
    percent: round((100 * over.median) / c, 2),
    middleHalf: [round(over.low), round(over.high)],
    inSlices: round(paired(times.inside, times.c).median),
    c: round(c),
    js: round(median(times.whole)),
    exits: row.exits,
    rounds: row.rounds,
    busy: looksBusy(times.c),
  };
}

module.exports = { measure, outLoop };

if (require.main === module) {
  measure(JSON.parse(process.argv[2])).then(
    (result) => process.stdout.write(`${JSON.stringify(result)}\n`),
    (error) => {
      if (error.code === 'ERR_HAX_NO_DEVICE' || error.code === 'ERR_HAX_NO_PERMISSION') {
        process.stdout.write(`${JSON.stringify({ skipped: error.message })}\n`);
        return;
      }
      process.stderr.write(`bench: ${error.stack}\n`);
      process.exitCode = 1;
    },
  );
}

'use strict';

// Run by hosts.ts in a process of its own, because what is tried here may hang or crash: guests come on standard input, the device's
// capabilities and what became of each guest go to standard output.

const { Hypervisor } = require('node-hax');

// Microseconds of processor time for a guest, which on a busy machine it has to wait for: the slowest host needs a twentieth of it, and what is
// found once is believed in all later runs.
const LIMIT = 4e6;

function create(hypervisor, guest) {
  const vm = hypervisor.createVm({ irqchip: 'user' });
  vm.mapMemory({ gpa: 0, size: guest.ramSize });
  const replaced = new Set(guest.cpuid?.map((entry) => entry.function));
  const others = hypervisor.supportedCpuid().filter((entry) => !replaced.has(entry.function));
  const vcpu = vm.createVcpu(guest.cpuid ? { cpuid: [...others, ...guest.cpuid] } : {});
  for (const { gpa, bytes } of guest.memory) vm.memory.write(gpa, Buffer.from(bytes, 'base64'));
  vcpu.setState(guest.state);
  return { vm, vcpu };
}

async function run(hypervisor, guest) {
  let made;
  try {
    made = create(hypervisor, guest);
    const written = [];
    made.vm.ports.add({ at: 0xe9, length: 1 }, { read: () => 0xff, write: (_, value) => written.push(value) });
    const began = process.cpuUsage();
    const timer = setInterval(() => {
      const { user, system } = process.cpuUsage(began);
      if (user + system > LIMIT) made.vcpu.stop();
    }, 100);
    const end = await made.vcpu.run().finally(() => clearInterval(timer));
    return { end: end.reason, written: Buffer.from(written).toString('latin1') };
  } catch (error) {
    return { end: error.code ?? String(error), written: '' };
  } finally {
    made?.vm.close();
  }
}

async function main() {
  const { backend, guests } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
  let hypervisor;
  try {
    hypervisor = Hypervisor.open({ backend });
  } catch (error) {
    return { error: { code: error.code, message: error.message } };
  }
  const outcomes = {};
  for (const [name, guest] of Object.entries(guests)) outcomes[name] = await run(hypervisor, guest);
  const features = Object.fromEntries(Object.entries(hypervisor.capabilities.features).map(([name, { value }]) => [name, value]));
  hypervisor.close();
  return { features, outcomes };
}

main().then((result) => process.stdout.write(JSON.stringify(result)));

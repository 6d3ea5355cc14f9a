#!/usr/bin/env node
'use strict';

// What an exit costs on one backend, from the guest's instruction to the next one, with a handler in JavaScript. Two backends of one machine
// beside each other: scripts/compare-exit-costs.

const { Hypervisor, realMode } = require('node-hax');
const { writeOut } = require('../scripts/lib/write-out.js');

const USAGE = `Usage: bench/exit-cost.js --backend kvm|haxm [--quick]

Prints one line of JSON: nanoseconds an exit, the median of the rounds, for each kind of access.
`;

const AT = 0x1000;
const PORT = 0xe9;
const WINDOW = 0xa0000;
// mov ecx, COUNT; next: ACCESS; dec ecx; jnz next; hlt
const guest = (count, access) => {
  const number = Buffer.alloc(4);
  number.writeUInt32LE(count);
  return Buffer.concat([Buffer.from([0x66, 0xb9]), number, access, Buffer.from([0x66, 0x49, 0x75, 0x100 - access.length - 4, 0xf4])]);
};

const ACCESSES = {
  'port write': Buffer.from([0xe6, PORT]), // out 0xe9, al
  'port read': Buffer.from([0xe4, PORT]), // in al, 0xe9
  'MMIO write': Buffer.from([0x26, 0x88, 0x07]), // mov es:[bx], al
  'MMIO read': Buffer.from([0x26, 0x8a, 0x07]), // mov al, es:[bx]
};

async function round(hypervisor, access, exits) {
  const vm = hypervisor.createVm({ irqchip: 'user' });
  try {
    vm.mapMemory({ gpa: 0, size: 0x10000 });
    vm.memory.write(AT, guest(exits, access));
    let seen = 0;
    const handler = { read: () => (seen++, 0), write: () => void seen++ };
    vm.ports.add({ at: PORT, length: 1 }, handler);
    vm.mmio.add({ at: WINDOW, length: 0x1000 }, handler);
    const vcpu = vm.createVcpu();
    const state = realMode({ ip: AT });
    vcpu.setState({ ...state, es: { ...state.es, selector: WINDOW >> 4, base: WINDOW }, rbx: 0 });
    const began = process.hrtime.bigint();
    const end = await vcpu.run();
    const ns = Number(process.hrtime.bigint() - began) / exits;
    if (end.reason !== 'halted' || seen !== exits) throw new Error(`the guest ended ${end.reason} after ${seen} of ${exits} exits`);
    return ns;
  } finally {
    vm.close();
  }
}

async function main(words) {
  const backend = words[words.indexOf('--backend') + 1];
  if (words.includes('--help') || !words.includes('--backend')) return writeOut(USAGE);
  const [exits, rounds] = words.includes('--quick') ? [500, 3] : [20_000, 15];
  const hypervisor = Hypervisor.open({ backend });
  try {
    const ns = {};
    for (const [name, access] of Object.entries(ACCESSES)) {
      const all = [];
      for (let i = 0; i < rounds; i++) all.push(await round(hypervisor, access, exits));
      ns[name] = Math.round(all.sort((a, b) => a - b)[rounds >> 1]);
    }
    process.stdout.write(`${JSON.stringify({ backend, device: hypervisor.capabilities.device, exits, rounds, ns })}\n`);
  } finally {
    hypervisor.close();
  }
}

void main(process.argv.slice(2));

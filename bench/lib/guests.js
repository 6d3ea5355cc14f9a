'use strict';

// Guests that never end by themselves, on KVM and on the null device.

const { root } = require('./raw.js');

const codeAt = 0x1000;
const port = 0xb0;

const code = {
  spin: Uint8Array.of(0xeb, 0xfe), // jmp to itself
  out: Uint8Array.of(0xe6, port, 0xeb, 0xfc), // out port, al; jmp to it
};

const registers = {
  spin: { rbp: 1 },
  out: { rcx: 2n ** 63n, rdx: port, rbx: 1 },
};

/** A VM of one vCPU whose guest does nothing but `what`: spin or out. */
function makeGuest(what, { backend = 'kvm' } = {}) {
  const { Hypervisor, realMode } = require(`${root}/dist/index.js`);
  const hypervisor = Hypervisor.open({ backend });
  const vm = hypervisor.createVm({ irqchip: 'user' });
  const device = { writes: 0, read: () => 0xff, write: () => void device.writes++ };
  vm.ports.add({ at: port, length: 1 }, device);
  const vcpu = vm.createVcpu();
  if (backend === 'kvm') {
    vm.mapMemory({ gpa: 0, size: '64K' });
    vm.memory.write(codeAt, code[what]);
    vcpu.setState(realMode({ ip: codeAt }));
  } else {
    vcpu.setState(registers[what]);
  }
  return { hypervisor, vm, vcpu, device };
}

/** The backend that guests are to run on: KVM where it is, else the null device. */
function someBackend() {
  const { Hypervisor } = require(`${root}/dist/index.js`);
  try {
    Hypervisor.open({ backend: 'kvm' }).close();
    return 'kvm';
  } catch (error) {
    if (error.code !== 'ERR_HAX_NO_DEVICE' && error.code !== 'ERR_HAX_NO_PERMISSION') throw error;
    return 'null';
  }
}

module.exports = { makeGuest, someBackend };

'use strict';

// For the scripts that child.ts runs: a VM with one vCPU and a program, on either backend.

const { readdirSync, readlinkSync } = require('node:fs');
const { Hypervisor, realMode } = require('node-hax');

const code = JSON.parse(process.env.NODE_HAX_TEST_PROGRAMS ?? '{}');

// What the null device does for each program: see native/backends/null/null.cc.
const registers = {
  spin: { rbp: 1 },
  halt: {},
  out: { rcx: 1 },
  outForEver: { rcx: 2n ** 63n },
};

exports.make = function make(backend, program, options = {}) {
  const hypervisor = options.hypervisor ?? Hypervisor.open({ backend });
  const vm = hypervisor.createVm({ irqchip: options.irqchip ?? 'user' });
  const region = vm.mapMemory({ gpa: 0, size: 0x10000 });
  const vcpu = vm.createVcpu();
  if (backend === 'null') {
    vcpu.setState({ ...registers[program], rdx: options.port ?? 0x10 });
  } else {
    vm.memory.write(0x1000, Buffer.from(code[program], 'base64'));
    vcpu.setState({ ...realMode({ ip: 0x1000, sp: 0x6000 }), rdx: options.port ?? 0x10, rcx: 1 });
  }
  return { hypervisor, vm, region, vcpu };
};

// The file that a sanitizer's runtime opens for its first report, of whatever.
function isReports(fd) {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith(process.env.HAX_SANITIZER_REPORTS ?? ' ');
  } catch {
    return false; // the one with which the list was read
  }
}

// How many descriptors this process has.
exports.descriptors = () => readdirSync('/proc/self/fd').filter((fd) => !isReports(fd)).length;

exports.report = (value) => process.stdout.write(JSON.stringify(value));

'use strict';

// The floor under a run loop in JavaScript: enter, look at the page, call the handler. No counting, no checks, no errors.

const { root } = require('./raw.js');

// struct kvm_run (api.rst, chapter 5)
const exitReasonAt = 8 / 4;
const portAt = 34 / 2;
const dataAt = 4096;
const exitIo = 2;
const exitHlt = 5;

/** A function that serves the device of `c` until it halts, and gives the CPU time that took; `firstPort` and then every eighth is a device's. */
function openFloor(c, kvm, devices, firstPort) {
  const { callsFast } = require(`${root}/dist/native/addon.js`);
  const { threadCpuNs } = c;
  const enterOnce = c.makeEnterOnce(callsFast(process.versions, process.env));
  const pages = c.floorPages(kvm);
  const [u32, u16, u8] = [new Uint32Array(pages), new Uint16Array(pages), new Uint8Array(pages)];
  // Bound: functions of one kind, whatever their classes are.
  const writes = devices.map((device) => device.write.bind(device));
  const serve = () => {
    for (;;) {
      enterOnce();
      const reason = u32[exitReasonAt];
      if (reason !== exitIo) return reason;
      const offset = u16[portAt] - firstPort;
      writes[offset >> 3](offset & 7, u8[dataAt]);
    }
  };
  return () => {
    const start = threadCpuNs();
    const reason = serve();
    const spent = threadCpuNs() - start;
    if (reason !== exitHlt) throw new Error(`the smallest loop ended with exit reason ${reason}`);
    return spent;
  };
}

/** The same for posted writes on KVM: the kernel's ring, drained by a loop in C. */
function openPostedFloor(c, port, length, writes) {
  return () => {
    c.kvmPost(port, length, 1);
    const start = c.threadCpuNs();
    const served = c.kvmPostedLoop();
    const spent = c.threadCpuNs() - start;
    c.kvmPost(port, length, 0);
    if (served !== writes) throw new Error(`the ring had ${served} writes of ${writes}`);
    return spent;
  };
}

module.exports = { openFloor, openPostedFloor };

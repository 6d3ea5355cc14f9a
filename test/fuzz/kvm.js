'use strict';

// Run by test/native/kvm-fuzz.test.ts in a process of its own, which a mistake may crash. Makes KVM's calls in random order with structures,
// lists and numbers that are sound, at an edge, or damaged: each has to return, or to be refused with an error of ours.
// Standard input: { seed, runs, limit }. Prints { calls, methods, outcomes } as JSON.

const fc = require('fast-check');
const path = require('node:path');
const { allocateMemory, EventFd, HaxError, Hypervisor, kvmCalls, kvmCapabilities, kvmConstants } = require('node-hax');
const { structs } = require(path.resolve(__dirname, '../../dist/hypervisor/kvm/generated/uapi.js'));

const CODES = ['ERR_HAX_INVALID_ARGUMENT', 'ERR_HAX_IOCTL', 'ERR_HAX_UNSUPPORTED', 'ERR_HAX_CLOSED'];
const PAGES = 16;

const junk = fc.constantFrom(
  undefined,
  null,
  -1,
  0.5,
  NaN,
  Infinity,
  2 ** 53,
  -1n,
  2n ** 64n,
  'x',
  true,
  {},
  [],
  [null],
  new Uint8Array(3),
  () => 0,
);
const mostly = (usual, odd = junk) => fc.oneof({ weight: 25, arbitrary: usual }, { weight: 1, arbitrary: odd });

const WIDTHS = { u8: 8, u16: 16, u32: 32, u64: 64, s8: 8, s16: 16, s32: 32, s64: 64 };
function scalar(type) {
  const bits = BigInt(WIDTHS[type]);
  const [min, max] = type[0] === 's' ? [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n] : [0n, (1n << bits) - 1n];
  const whole = fc.oneof(
    fc.constantFrom(0n, 1n, min, max),
    fc.constantFrom(2n, 4n, 8n, 0x1000n, max >> 1n).map((n) => (n > max ? 1n : n)),
    fc.bigInt({ min, max }),
  );
  const either = whole.map((value) => (bits < 64n || value <= 0xffffffffn ? Number(value) : value));
  return fc.oneof(
    { weight: 60, arbitrary: either },
    { weight: 1, arbitrary: fc.constantFrom(min - 1n, max + 1n) },
    { weight: 1, arbitrary: junk },
  );
}

// Never so large that a kernel would set gigabytes aside for it: small, or more than any kernel takes.
const sizes = fc.constantFrom(0, 1, 0xfff, 0x1000, 0x2000, 0x10000, 0x11000, 2n ** 62n, 2n ** 64n - 1n, -1);

function struct(name, special = {}) {
  const { fields, union } = structs[name];
  const value = (key, { type, count }) => {
    if (special[key]) return special[key];
    const one = type in structs ? struct(type) : scalar(type);
    if (count === undefined) return one;
    if (type === 'u8') return mostly(fc.uint8Array({ minLength: count, maxLength: count }), fc.uint8Array({ maxLength: count + 1 }));
    return mostly(fc.array(one, { maxLength: count }), fc.array(one, { minLength: count + 1, maxLength: count + 1 }));
  };
  const entries = Object.entries(fields).map(([key, field]) => [key, value(key, field)]);
  if (union) return fc.oneof(...entries.map(([key, arbitrary]) => arbitrary.map((one) => ({ [key]: one }))));
  const whole = fc.record(Object.fromEntries(entries.filter(([key]) => !fields[key].optional)));
  const partial = fc.record(Object.fromEntries(entries), { requiredKeys: [] });
  return fc.oneof(
    { weight: 12, arbitrary: whole },
    { weight: 1, arbitrary: partial },
    { weight: 1, arbitrary: whole.map((one) => ({ ...one, more: 1 })) },
  );
}

const memory = allocateMemory(PAGES * 4096);
const fds = [new EventFd(), new EventFd(), new EventFd()];
const fd = mostly(fc.constantFrom(...fds));
const list = (one, maxLength = 6) => mostly(fc.array(one, { maxLength }));
const bytes = (length) => mostly(fc.uint8Array({ minLength: length, maxLength: length }), fc.uint8Array({ maxLength: 64 }));
const bool = mostly(fc.boolean());
const msr = fc.constantFrom(0x10, 0x1b, 0x174, 0x175, 0x277, 0xc0000080, 0xc0000101, 0x4b564d01, 0x474f4f00);
const region = {
  userspace_addr: mostly(fc.constantFrom(memory, memory.subarray(4096), memory.subarray(8))),
  memory_size: sizes,
  slot: mostly(fc.nat(5)),
};
const capability = mostly(fc.constantFrom(...Object.keys(kvmCapabilities)));
const range = fc.record({ flags: scalar('u32'), base: scalar('u32'), nmsrs: mostly(fc.integer({ min: 1, max: 200 })), bitmap: bytes(25) });
const attribute = [mostly(fc.nat(3)), mostly(fc.nat(3))];

// By scope and method; the others take numbers or nothing.
const ARGUMENTS = {
  'system checkExtension': [capability],
  'vm checkExtension': [capability],
  'vm enableCap': [capability, list(scalar('u64'), 5), scalar('u32')],
  'vcpu enableCap': [capability, list(scalar('u64'), 5), scalar('u32')],
  'system getMsrs': [list(msr)],
  'vcpu getMsrs': [list(msr)],
  'vcpu setMsrs': [list(struct('kvm_msr_entry', { index: msr }))],
  'vcpu setCpuid2': [list(struct('kvm_cpuid_entry2'))],
  'vcpu setRegs': [struct('kvm_regs')],
  'vcpu setSregs': [struct('kvm_sregs')],
  'vcpu setSregs2': [struct('kvm_sregs2')],
  'vcpu setFpu': [struct('kvm_fpu')],
  'vcpu setXcrs': [struct('kvm_xcrs')],
  'vcpu setDebugregs': [struct('kvm_debugregs')],
  'vcpu setVcpuEvents': [struct('kvm_vcpu_events')],
  'vcpu setGuestDebug': [struct('kvm_guest_debug')],
  'vcpu x86SetMce': [struct('kvm_x86_mce')],
  'vcpu setXsave': [bytes(4096)],
  'vcpu setLapic': [bytes(1024)],
  'vcpu setNestedState': [bytes(128)],
  'vcpu setSignalMask': [list(mostly(fc.integer({ min: 1, max: 64 })))],
  'vcpu tprAccessReporting': [bool],
  'vm setUserMemoryRegion': [struct('kvm_userspace_memory_region', region)],
  'vm setUserMemoryRegion2': [struct('kvm_userspace_memory_region2', region)],
  'vm createGuestMemfd': [sizes, scalar('u64')],
  'vm setMemoryAttributes': [struct('kvm_memory_attributes', { size: sizes })],
  'vm getDirtyLog': [mostly(fc.nat(5)), mostly(fc.nat(64))],
  'vm clearDirtyLog': [mostly(fc.nat(5)), mostly(fc.nat(64)), mostly(fc.nat(128)), bytes(16)],
  'vm setIrqchip': [struct('kvm_irqchip')],
  'vm irqLine': [mostly(fc.nat(30)), bool],
  'vm irqLineStatus': [mostly(fc.nat(30)), bool],
  'vm setGsiRouting': [list(struct('kvm_irq_routing_entry'))],
  'vm signalMsi': [struct('kvm_msi')],
  'vm irqfd': [fc.record({ fd, gsi: mostly(fc.nat(30)), resamplefd: fc.option(fd, { nil: undefined }), deassign: bool })],
  'vm ioeventfd': [fc.record({ fd, addr: scalar('u64'), len: mostly(fc.constantFrom(0, 1, 2, 4, 8)), pio: bool, datamatch: fc.option(scalar('u64'), { nil: undefined }), deassign: bool })], // prettier-ignore
  'vm registerCoalescedMmio': [fc.record({ addr: scalar('u64'), size: scalar('u32'), pio: bool })],
  'vm unregisterCoalescedMmio': [fc.record({ addr: scalar('u64'), size: scalar('u32'), pio: bool })],
  'vm setPit2': [struct('kvm_pit_state2')],
  'vm setClock': [struct('kvm_clock_data')],
  'vm x86SetMsrFilter': [list(range, 17), mostly(fc.record({ defaultDeny: bool }))],
  'vm setPmuEventFilter': [fc.record({ action: mostly(fc.nat(2)), fixed_counter_bitmap: scalar('u32'), flags: mostly(fc.nat(2)), events: list(scalar('u64')) })], // prettier-ignore
  'vm xenHvmConfig': [struct('kvm_xen_hvm_config')],
  'vm hypervEventfd': [scalar('u32'), fd, bool],
  'vm createDevice': [mostly(fc.constantFrom(kvmConstants.KVM_DEV_TYPE_VFIO, 0, 1, 99))],
  'vm memoryEncryptOp': [mostly(fc.uint8Array({ maxLength: 64 }))],
  'vm memoryEncryptRegRegion': [struct('kvm_enc_region', { size: sizes })],
  'vm memoryEncryptUnregRegion': [struct('kvm_enc_region', { size: sizes })],
  'device setDeviceAttr': [...attribute, bytes(4)],
  'vcpu setDeviceAttr': [...attribute, bytes(8)],
};
for (const scope of ['system', 'vcpu', 'device']) {
  ARGUMENTS[`${scope} hasDeviceAttr`] = attribute;
  ARGUMENTS[`${scope} getDeviceAttr`] = [...attribute, mostly(fc.nat(16))];
}

const calls = kvmCalls
  .filter(({ method }) => !method.includes('.'))
  .map(({ scope, method, request }) => {
    const known = ARGUMENTS[`${scope} ${method}`] ?? [mostly(scalar('u32')), mostly(scalar('u32'))];
    return fc.tuple(...known).map((args) => ({ scope, method, request, args }));
  });

function main({ seed, runs, limit }) {
  const hypervisor = Hypervisor.open({ backend: 'kvm' });
  const seen = new Set();
  const outcomes = {};
  let count = 0;

  function make({ scope, method, request, args }, objects) {
    const object = objects[scope];
    if (!object) return;
    seen.add(`${scope} ${method}`);
    count++;
    let what = 'done';
    try {
      const made = object[method](...args);
      // Devices, descriptors and statistics.
      if (typeof made?.close === 'function') made.close();
    } catch (error) {
      const told = () => `${scope} ${method}: ${error?.stack ?? error}`;
      if (!(error instanceof HaxError) || !CODES.includes(error.code)) throw new Error(told(), { cause: error });
      if (error.message.length === 0 || /\n/.test(error.message)) throw new Error(`not one sentence: ${told()}`, { cause: error });
      if (error.code === 'ERR_HAX_IOCTL' && (error.operation !== request || !(error.errno > 0))) throw new Error(told(), { cause: error });
      what = error.code;
    }
    outcomes[what] = (outcomes[what] ?? 0) + 1;
  }

  const property = fc.property(fc.boolean(), fc.array(fc.oneof(...calls), { minLength: 1, maxLength: 24 }), (inKernel, sequence) => {
    const vm = hypervisor.createVm({ irqchip: inKernel ? 'kernel' : 'user' });
    vm.mapMemory({ gpa: 0, size: 0x10000 });
    const vcpu = vm.createVcpu();
    const device = vm.kvm.hasDevice(kvmConstants.KVM_DEV_TYPE_VFIO) ? vm.kvm.createDevice(kvmConstants.KVM_DEV_TYPE_VFIO) : undefined;
    try {
      for (const each of sequence) make(each, { system: hypervisor.kvm, vm: vm.kvm, vcpu: vcpu.kvm, device });
    } finally {
      device?.close();
      vm.close();
    }
  });
  fc.assert(property, { seed, numRuns: runs, interruptAfterTimeLimit: limit, markInterruptAsFailure: false });
  // Every call once more and by itself, however few the runs were.
  for (const [i, call] of calls.entries()) {
    const vm = hypervisor.createVm({ irqchip: 'kernel' });
    const vcpu = vm.createVcpu();
    for (const each of fc.sample(call, { seed: seed + i, numRuns: 4 })) make(each, { system: hypervisor.kvm, vm: vm.kvm, vcpu: vcpu.kvm });
    vm.close();
  }
  hypervisor.close();
  process.stdout.write(JSON.stringify({ calls: count, methods: seen.size, outcomes }));
}

main(JSON.parse(require('node:fs').readFileSync(0, 'utf8')));

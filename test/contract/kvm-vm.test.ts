import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { allocateMemory, EventFd, kvmCalls, kvmConstants as C, MemFd, type Vcpu, type VirtualMachine } from 'node-hax';
import { codeOf } from '../support/codes';
import { describeKvm } from '../support/hosts';
import { EBUSY, EEXIST, EINVAL, ENOENT, ENXIO, lacks, recordCalls, refusal } from '../support/kvm-calls';

recordCalls('vm');

const page = 4096;
const invalid = 'ERR_HAX_INVALID_ARGUMENT';
/** The bits that are set. */
const bits = (bitmap: Uint8Array): number[] =>
  [...bitmap].flatMap((byte, i) => [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => byte & (1 << bit)).map((bit) => i * 8 + bit));
const untilHalt = (vcpu: Vcpu): string[] => {
  const kinds: string[] = [];
  do kinds.push(vcpu.enter().kind);
  while (kinds.at(-1) !== 'hlt' && kinds.length < 100);
  return kinds;
};

describeKvm("KVM's calls: the system", (backend) => {
  it('has every call of the table, and each is a method', () => {
    const vm = backend.vm({ irqchip: 'kernel' });
    const vcpu = vm.createVcpu();
    const device = vm.kvm.hasDevice(C.KVM_DEV_TYPE_VFIO) ? vm.kvm.createDevice(C.KVM_DEV_TYPE_VFIO) : undefined;
    const objects = { system: vm.hypervisor.kvm, vm: vm.kvm, vcpu: vcpu.kvm, device };
    const above = { hypervisor: vm.hypervisor, vm, vcpu };
    for (const { scope, method } of kvmCalls) {
      const [owner, name] = method.includes('.') ? method.split('.') : [undefined, method];
      if (scope === 'device' && !device) continue;
      const object = owner ? above[owner as 'vm'] : objects[scope];
      expect([scope, method, typeof (object as never)[name]]).toEqual([scope, method, 'function']);
    }
    expect(kvmCalls.length).toBeGreaterThan(100);
    device?.close();
  });

  it('versions, sizes, capabilities', () => {
    const { kvm } = backend.open();
    expect(kvm.getApiVersion()).toBe(12);
    expect(kvm.getVcpuMmapSize() % page).toBe(0);
    expect([kvm.checkExtension('KVM_CAP_USER_MEMORY'), kvm.checkExtension('KVM_CAP_PPC_SMT')]).toEqual([1, 0]);
    expect(kvm.extensionsPresent()).toMatchObject({ KVM_CAP_USER_MEMORY: 1, KVM_CAP_NR_VCPUS: expect.any(Number) });
    for (const wrong of ['KVM_CAP_ROCKS', 5, null, undefined, '__proto__'])
      expect(codeOf(() => kvm.checkExtension(wrong as never))).toBe(invalid);
  });

  it('CPUID tables and lists of MSRs', () => {
    const hypervisor = backend.open();
    const { kvm } = hypervisor;
    // Leaves 1, 0xb, 0x1f and 0x8000001e name the processor that answered, which may be another each time.
    const entry = ({ function: f, index, eax, ebx, ecx }: Record<'function' | 'index' | 'eax' | 'ebx' | 'ecx', number>): unknown =>
      [1, 0xb, 0x1f, 0x8000001e].includes(f) ? [f, index] : [f, index, eax, ebx, ecx];
    expect(kvm.getSupportedCpuid().map(entry)).toEqual(hypervisor.supportedCpuid().map(entry));
    if (!lacks(kvm, 'KVM_CAP_EXT_EMUL_CPUID', () => kvm.getEmulatedCpuid())) {
      expect(kvm.getEmulatedCpuid().find((e) => e.function === 1)!.ecx & (1 << 22)).not.toBe(0); // MOVBE
    }
    if (!lacks(kvm, 'KVM_CAP_SYS_HYPERV_CPUID', () => kvm.getSupportedHvCpuid())) {
      expect(kvm.getSupportedHvCpuid()[0].function).toBe(0x40000000);
    }
    expect(kvm.getMsrIndexList()).toEqual(expect.arrayContaining([0x10, 0x174, 0xc0000081]));
    const features = kvm.getMsrFeatureIndexList();
    expect(kvm.getMsrs(features).map(({ index }) => index)).toEqual(features);
    expect(kvm.getMsrs([])).toEqual([]);
    expect(kvm.x86GetMceCapSupported() & 0x100n).toBe(0x100n); // MCG_CTL_P
  });

  it('KVM_CREATE_VM while signals interrupt the thread, as those of a profiler do', () => {
    const profiles = mkdtempSync(path.join(tmpdir(), 'node-hax-profile-'));
    const script = `const hypervisor = require('node-hax').Hypervisor.open({ backend: 'kvm' });
      for (let i = 0; i < 5; i++) hypervisor.createVm().close();
      hypervisor.close();`;
    const flags = ['--cpu-prof', '--cpu-prof-interval=200', `--cpu-prof-dir=${profiles}`];
    const { status, stderr } = spawnSync(process.execPath, [...flags, '-e', script], { encoding: 'utf8' });
    rmSync(profiles, { recursive: true });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  it('attributes of the system', () => {
    const { kvm } = backend.open();
    if (lacks(kvm, 'KVM_CAP_SYS_ATTRIBUTES', () => kvm.hasDeviceAttr(0, 0))) return;
    expect([kvm.hasDeviceAttr(0, C.KVM_X86_XCOMP_GUEST_SUPP), kvm.hasDeviceAttr(9, 9)]).toEqual([true, false]);
    expect(kvm.getDeviceAttr(0, C.KVM_X86_XCOMP_GUEST_SUPP, 8)[0] & 1).toBe(1); // x87
  });

  it('types of machines', () => {
    const hypervisor = backend.open();
    const types = hypervisor.kvm.checkExtension('KVM_CAP_VM_TYPES');
    expect(hypervisor.createVm({ type: C.KVM_X86_DEFAULT_VM, irqchip: 'user' }).closed).toBe(false);
    const protectedVm = (): VirtualMachine => hypervisor.createVm({ type: C.KVM_X86_SW_PROTECTED_VM, irqchip: 'user' });
    if (types & 2) expect(protectedVm().kvm.checkExtension('KVM_CAP_MEMORY_ATTRIBUTES')).not.toBe(0);
    else expect(refusal(protectedVm)).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(codeOf(() => hypervisor.createVm({ type: -1 }))).toBe(invalid);
  });

  it('are not there on other backends and after close()', () => {
    const hypervisor = backend.open();
    const { kvm } = hypervisor;
    const vm = hypervisor.createVm({ irqchip: 'user' });
    const calls = vm.kvm;
    hypervisor.close();
    for (const call of [() => kvm.getApiVersion(), () => calls.getClock(), () => calls.hasDevice(C.KVM_DEV_TYPE_VFIO)])
      expect(codeOf(call)).toBe('ERR_HAX_CLOSED');
  });
});

describeKvm("KVM's calls: memory", (backend) => {
  it('slots come, change and go, and stay where they are refused', () => {
    const { vm, vcpu } = backend.guest('real', 'mov ax, 0x2000; mov ds, ax; mov byte ptr [0], 0x42; hlt');
    const bytes = allocateMemory(2 * page);
    const slot = { slot: 100, flags: 0, guest_phys_addr: 0x20000, memory_size: 2 * page, userspace_addr: bytes };
    vm.kvm.setUserMemoryRegion(slot);
    expect(vcpu.enter().kind).toBe('hlt');
    expect(bytes[0]).toBe(0x42);
    expect(refusal(() => vm.kvm.setUserMemoryRegion({ ...slot, slot: 101 }))).toBe(`ERR_HAX_IOCTL ${EEXIST}`);
    expect(refusal(() => vm.kvm.setUserMemoryRegion({ ...slot, slot: 101, guest_phys_addr: 0x30001 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(refusal(() => vm.kvm.setUserMemoryRegion({ ...slot, flags: 1 << 30 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(codeOf(() => vm.kvm.setUserMemoryRegion({ ...slot, memory_size: 3 * page }))).toBe(invalid);
    expect(codeOf(() => vm.kvm.setUserMemoryRegion({ ...slot, userspace_addr: 'x' as never }))).toBe(invalid);
    vm.kvm.setUserMemoryRegion({ ...slot, memory_size: 0, userspace_addr: 0 });
    vcpu.setState({ rip: 0x1000 });
    expect(vcpu.enter()).toMatchObject({ kind: 'mmio', address: 0x20000 });
  });

  it('a memfd is guest memory', () => {
    const { vm, vcpu } = backend.guest('real', 'mov ax, 0x2000; mov ds, ax; inc byte ptr [5]; hlt');
    const memory = new MemFd(page);
    memory.bytes[5] = 7;
    vm.kvm.setUserMemoryRegion({ slot: 9, flags: 0, guest_phys_addr: 0x20000, memory_size: page, userspace_addr: memory.bytes });
    expect(vcpu.enter().kind).toBe('hlt');
    expect(memory.bytes[5]).toBe(8);
    memory.close();
    expect(codeOf(() => memory.fd)).toBe('ERR_HAX_CLOSED');
    for (const wrong of [5, 0, -1, 2 ** 44, 'x', 4096n]) {
      expect([wrong, codeOf(() => new MemFd(wrong as never)), codeOf(() => allocateMemory(wrong as never))]).toEqual([
        wrong,
        invalid,
        invalid,
      ]);
    }
  });

  it('a large memfd takes no memory before it is written to', () => {
    const before = process.memoryUsage().rss;
    const large = new MemFd(2 ** 29);
    large.bytes[2 ** 29 - 1] = 1;
    expect([large.map(0, page)[0], codeOf(() => large.map(2 ** 29, page)), codeOf(() => large.map(0, 2 ** 29 + page))]).toEqual([
      0,
      invalid,
      invalid,
    ]);
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 28);
    large.close();
  });

  it('KVM_SET_USER_MEMORY_REGION2, KVM_CREATE_GUEST_MEMFD, KVM_SET_MEMORY_ATTRIBUTES', () => {
    const { vm, vcpu } = backend.guest('real', 'mov ax, 0x2000; mov ds, ax; mov byte ptr [0], 0x42; hlt');
    const { kvm } = vm;
    const bytes = allocateMemory(2 * page);
    const shared = {
      slot: 50,
      flags: 0,
      guest_phys_addr: 0x20000,
      memory_size: 2 * page,
      userspace_addr: bytes,
      guest_memfd_offset: 0,
      guest_memfd: 0,
    };
    if (!lacks(kvm, 'KVM_CAP_USER_MEMORY2', () => kvm.setUserMemoryRegion2(shared))) {
      kvm.setUserMemoryRegion2(shared);
      expect(vcpu.enter().kind).toBe('hlt');
      expect(bytes[0]).toBe(0x42);
    }
    if (!lacks(kvm, 'KVM_CAP_GUEST_MEMFD', () => kvm.createGuestMemfd(page))) {
      const memfd = kvm.createGuestMemfd(4 * page);
      expect(memfd.fd).toBeGreaterThan(2);
      expect(refusal(() => kvm.createGuestMemfd(5))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
      expect(refusal(() => kvm.createGuestMemfd(page, 1n << 63n))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
      const outside = { ...shared, slot: 51, guest_phys_addr: 0x30000, flags: C.KVM_MEM_GUEST_MEMFD, guest_memfd: memfd.fd };
      expect(refusal(() => kvm.setUserMemoryRegion2({ ...outside, guest_memfd_offset: 3 * page }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
      memfd.close();
    }
    const attributes = { address: 0x20000, size: page, attributes: C.KVM_MEMORY_ATTRIBUTE_PRIVATE, flags: 0 };
    if (!lacks(kvm, 'KVM_CAP_MEMORY_ATTRIBUTES', () => kvm.setMemoryAttributes(attributes))) kvm.setMemoryAttributes(attributes);
  });

  const writer = 'mov ax, 0x2000; mov ds, ax; mov byte ptr [0], 1; mov byte ptr [0x3000], 1; hlt';
  function logging(vm: VirtualMachine): void {
    const flags = C.KVM_MEM_LOG_DIRTY_PAGES;
    vm.kvm.setUserMemoryRegion({
      slot: 3,
      flags,
      guest_phys_addr: 0x20000,
      memory_size: 70 * page,
      userspace_addr: allocateMemory(70 * page),
    });
  }

  it('KVM_GET_DIRTY_LOG tells what was written since the last call', () => {
    const { vm, vcpu } = backend.guest('real', writer);
    logging(vm);
    expect(vm.kvm.getDirtyLog(3, 70).length).toBe(16);
    expect(vcpu.enter().kind).toBe('hlt');
    expect(bits(vm.kvm.getDirtyLog(3, 70))).toEqual([0, 3]);
    expect(bits(vm.kvm.getDirtyLog(3, 70))).toEqual([]);
    expect(refusal(() => vm.kvm.getDirtyLog(0, 16))).toBe(`ERR_HAX_IOCTL ${ENOENT}`);
    expect(refusal(() => vm.kvm.getDirtyLog(0xffff, 16))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    // Too small for the slot: nothing is written past it.
    expect(vm.kvm.getDirtyLog(3, 1).length).toBe(8);
    expect(codeOf(() => vm.kvm.getDirtyLog(3, 0))).toBe(invalid);
  });

  it('KVM_CLEAR_DIRTY_LOG forgets only what it is told to', () => {
    const { vm, vcpu } = backend.guest('real', writer);
    const { kvm } = vm;
    if (lacks(kvm, 'KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2', () => kvm.clearDirtyLog(3, 0, 64, new Uint8Array(8)))) return;
    kvm.enableCap('KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2', [1]);
    logging(vm);
    expect(vcpu.enter().kind).toBe('hlt');
    expect(bits(kvm.getDirtyLog(3, 70))).toEqual([0, 3]);
    kvm.clearDirtyLog(3, 0, 64, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
    expect(bits(kvm.getDirtyLog(3, 70))).toEqual([3]);
    kvm.clearDirtyLog(3, 64, 6, new Uint8Array(1).fill(0xff));
    expect(bits(kvm.getDirtyLog(3, 70))).toEqual([3]);
    expect(refusal(() => kvm.clearDirtyLog(3, 1, 64, new Uint8Array(8)))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(codeOf(() => kvm.clearDirtyLog(3, 0, 64, new Uint8Array(7)))).toBe(invalid);
  });

  it('dirty rings: harvested, reset, and an exit when full', () => {
    const vm = backend.vm();
    const { kvm } = vm;
    if (lacks(kvm, 'KVM_CAP_DIRTY_LOG_RING', () => kvm.resetDirtyRings())) return;
    kvm.enableCap('KVM_CAP_DIRTY_LOG_RING', [4096 * 16]);
    const ram = vm.mapMemory({ gpa: 0, size: 0x10000 });
    ram.write(0x1000, Uint8Array.of(0xb8, 0, 0x20, 0x8e, 0xd8, 0xc6, 0x06, 0, 0, 1, 0xc6, 0x06, 0, 0x30, 1, 0xf4)); // as `writer`
    const vcpu = vm.createVcpu();
    vcpu.setState({ rip: 0x1000, cs: { base: 0, selector: 0 } });
    const ring = vcpu.kvm.mapDirtyRing(4096);
    logging(vm);
    expect(untilHalt(vcpu).at(-1)).toBe('hlt');
    const pages = ring.harvest();
    expect(pages.filter(({ slot }) => slot === 3).map(({ offset }) => Number(offset)).sort()).toEqual([0, 3]); // prettier-ignore
    expect(kvm.resetDirtyRings()).toBe(pages.length);
    expect([ring.harvest(), kvm.resetDirtyRings()]).toEqual([[], 0]);
    expect(codeOf(() => vcpu.kvm.mapDirtyRing(65536))).toBe(invalid); // more than was enabled
    expect(codeOf(() => vcpu.kvm.mapDirtyRing(5))).toBe(invalid);
  });

  it('addresses that Intel needs, and the shadow page tables', () => {
    const vm = backend.vm({ irqchip: 'kernel' });
    vm.kvm.setTssAddr(0xfffbd000);
    vm.kvm.setIdentityMapAddr(0xfffbc000);
    vm.kvm.setNrMmuPages(128);
    expect(refusal(() => vm.kvm.setNrMmuPages(1))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    for (const wrong of [-1, 2 ** 32, 'x', null]) expect(codeOf(() => vm.kvm.setTssAddr(wrong as never))).toBe(invalid);
    vm.kvm.setBootCpuId(1);
    const [first, second] = [vm.createVcpu(), vm.createVcpu()];
    expect([first.id, second.id]).toEqual([0, 1]);
    expect(refusal(() => vm.kvm.setBootCpuId(0))).toBe(`ERR_HAX_IOCTL ${EBUSY}`);
    expect(refusal(() => vm.kvm.setIdentityMapAddr(0))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    // The boot processor is the one whose APIC base says so.
    expect([first, second].map((vcpu) => vcpu.getState().apicBase & 0x100n)).toEqual([0n, 0x100n]);
  });
});

describeKvm("KVM's calls: interrupts and eventfds", (backend) => {
  it('KVM_CREATE_IRQCHIP, KVM_GET_IRQCHIP, KVM_SET_IRQCHIP', () => {
    const vm = backend.vm();
    expect(refusal(() => vm.kvm.getIrqchip(0))).toBe(`ERR_HAX_IOCTL ${ENXIO}`);
    vm.kvm.createIrqchip();
    expect(refusal(() => vm.kvm.createIrqchip())).toBe(`ERR_HAX_IOCTL ${EEXIST}`);
    const names = 'last_irr irr imr isr priority_add irq_base read_reg_select poll special_mask init_state auto_eoi rotate_on_auto_eoi'
      .concat(' special_fully_nested_mode init4 elcr elcr_mask')
      .split(' ');
    const pic = Object.fromEntries(names.map((name, i) => [name, 0x10 + i])) as never;
    vm.kvm.setIrqchip({ chip_id: 1, chip: { pic } });
    expect(vm.kvm.getIrqchip(1)).toEqual({ chip_id: 1, chip: { pic } });
    expect(vm.kvm.getIrqchip(0)).not.toEqual({ chip_id: 0, chip: { pic } });
    const chip = vm.kvm.getIrqchip(2);
    if (!('ioapic' in chip.chip)) throw new Error('no IOAPIC');
    expect(chip.chip.ioapic).toMatchObject({ base_address: 0xfec00000n, irr: 0 });
    const redirtbl = chip.chip.ioapic.redirtbl.map((_, i) => ({ bits: 0x10020n + BigInt(i) }));
    vm.kvm.setIrqchip({ chip_id: 2, chip: { ioapic: { ...chip.chip.ioapic, ioregsel: 0x11, id: 5, redirtbl } } });
    expect(vm.kvm.getIrqchip(2).chip).toEqual({ ioapic: { ...chip.chip.ioapic, ioregsel: 0x11, id: 5, redirtbl } });
    expect(codeOf(() => vm.kvm.getIrqchip(3 as never))).toBe(invalid);
  });

  /** A guest whose IRQ 5 (vector 0x25 by the PIC) writes to port 0xe9. */
  function withPic(): { vm: VirtualMachine; vcpu: Vcpu } {
    const setup = 'mov al, 0x11; out 0x20, al; mov al, 0x20; out 0x21, al; mov al, 4; out 0x21, al; mov al, 1; out 0x21, al';
    const guest = backend.guest(
      'real',
      `mov sp, 0x7000; ${setup}; mov al, 0xdf; out 0x21, al; sti; out 0x10, al; 1: jmp 1b
       .org 0x100; mov al, 0x20; out 0x20, al; mov al, 0x59; out 0xe9, al; iret`,
      { irqchip: 'kernel', pit: false },
    );
    guest.vm.memory.write(0x25 * 4, Uint8Array.of(0, 0x11, 0, 0));
    expect(guest.vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
    return guest;
  }
  const arrives = (vcpu: Vcpu): void => expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0xe9 });

  it('KVM_IRQ_LINE, KVM_IRQ_LINE_STATUS reach the guest', () => {
    const { vm, vcpu } = withPic();
    vm.kvm.irqLine(5, true);
    arrives(vcpu);
    vm.kvm.irqLine(5, false);
    expect(vm.kvm.irqLineStatus(5, true)).toBeGreaterThan(0);
    vm.kvm.irqLine(5, false);
    expect(vm.kvm.irqLineStatus(5, true)).toBe(0); // coalesced with the edge that waits
    arrives(vcpu);
    expect(codeOf(() => vm.kvm.irqLine(-1, true))).toBe(invalid);
    expect(refusal(() => backend.vm().kvm.irqLine(5, true))).toBe(`ERR_HAX_IOCTL ${ENXIO}`);
  });

  it('KVM_IRQFD injects at each signal, until it is taken away', () => {
    const { vm, vcpu } = withPic();
    const [fd, other] = [new EventFd(), new EventFd()];
    vm.kvm.irqfd({ fd, gsi: 5 });
    expect(refusal(() => vm.kvm.irqfd({ fd, gsi: 6 }))).toBe(`ERR_HAX_IOCTL ${EBUSY}`);
    fd.signal();
    arrives(vcpu);
    fd.signal();
    arrives(vcpu);
    vm.kvm.irqfd({ fd, gsi: 5, deassign: true });
    fd.signal(3);
    expect(fd.read()).toBe(3n); // nobody else takes it
    const resamplefd = new EventFd();
    vm.kvm.irqfd({ fd: other, gsi: 5, resamplefd });
    other.signal();
    arrives(vcpu);
    vcpu.complete();
    // The guest has ended the interrupt, so the line is free and its device is asked.
    expect(resamplefd.read()).toBe(1n);
    vm.kvm.irqfd({ fd: other, gsi: 5, resamplefd, deassign: true });
    other.close();
    expect(codeOf(() => vm.kvm.irqfd({ fd: other, gsi: 5 }))).toBe('ERR_HAX_CLOSED');
  });

  it('KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI', () => {
    const vm = backend.vm({ irqchip: 'kernel', pit: false });
    const vcpu = vm.createVcpu();
    vcpu.setMsrs([[0x1b, 0xfee00900]]);
    const lapic = vcpu.kvm.getLapic();
    lapic[0xf1] |= 1; // spurious vector register: enabled
    vcpu.kvm.setLapic(lapic);
    const requested = (): number[] => {
      const now = vcpu.kvm.getLapic();
      return bits(Uint8Array.from({ length: 32 }, (_, i) => now[0x200 + (i >> 2) * 16 + (i & 3)]));
    };
    expect(vm.kvm.signalMsi({ address_lo: 0xfee00000, address_hi: 0, data: 0x51 })).toBe(1);
    expect(requested()).toEqual([0x51]);
    const msi = { address_lo: 0xfee00000, address_hi: 0, data: 0x63 };
    const entry = { gsi: 30, type: C.KVM_IRQ_ROUTING_MSI, flags: 0, u: { msi } };
    const pin = { gsi: 4, type: C.KVM_IRQ_ROUTING_IRQCHIP, flags: 0, u: { irqchip: { irqchip: C.KVM_IRQCHIP_PIC_MASTER, pin: 6 } } };
    vm.kvm.setGsiRouting([pin, entry]);
    vm.kvm.irqLine(30, true);
    expect(requested()).toEqual([0x51, 0x63]);
    vm.kvm.irqLine(4, true);
    const master = vm.kvm.getIrqchip(0).chip;
    expect('pic' in master && master.pic.irr & 0x50).toBe(0x40);
    vm.kvm.irqLine(5, true); // leads nowhere now
    expect(requested()).toEqual([0x51, 0x63]);
    const wrong = { ...pin, u: { irqchip: { irqchip: 9, pin: 0 } } };
    expect(refusal(() => vm.kvm.setGsiRouting([wrong]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(refusal(() => vm.kvm.setGsiRouting([{ ...entry, flags: 1 << 31 >>> 0 }]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`); // prettier-ignore
    expect(codeOf(() => vm.kvm.setGsiRouting(5 as never))).toBe(invalid);
  });

  it('KVM_IOEVENTFD takes writes without an exit', () => {
    const { vm, vcpu } = backend.guest(
      'real',
      'mov al, 5; out 0x40, al; mov al, 6; out 0x40, al; mov ax, 0x3000; mov ds, ax; mov [0x10], ax; hlt',
    );
    const [port, memory] = [new EventFd(), new EventFd()];
    vm.kvm.ioeventfd({ fd: port, addr: 0x40, len: 1, pio: true, datamatch: 6 });
    vm.kvm.ioeventfd({ fd: memory, addr: 0x30010, len: 2 });
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x40 }); // 5 does not match
    expect(vcpu.enter().kind).toBe('hlt');
    expect([port.read(), memory.read(), port.read()]).toEqual([1n, 1n, 0n]);
    expect(refusal(() => vm.kvm.ioeventfd({ fd: memory, addr: 0x30010, len: 2 }))).toBe(`ERR_HAX_IOCTL ${EEXIST}`);
    vm.kvm.ioeventfd({ fd: memory, addr: 0x30010, len: 2, deassign: true });
    expect(refusal(() => vm.kvm.ioeventfd({ fd: memory, addr: 0x30010, len: 2, deassign: true }))).toBe(`ERR_HAX_IOCTL ${ENOENT}`);
    expect(refusal(() => vm.kvm.ioeventfd({ fd: port, addr: 0, len: 3 as never }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    vm.kvm.ioeventfd({ fd: port, addr: 0x1000_0000, len: 0 });
  });

  it('coalesced zones: writes wait in the ring', () => {
    const { vm, vcpu } = backend.guest(
      'real',
      'mov ax, 0x3000; mov ds, ax; mov byte ptr [0x10], 0x77; mov word ptr [0x12], 0x1234; mov al, 9; out 0x44, al; hlt',
    );
    const ring = vcpu.kvm.mapCoalescedRing();
    vm.kvm.registerCoalescedMmio({ addr: 0x30000, size: 0x100 });
    vm.kvm.registerCoalescedMmio({ addr: 0x44, size: 1, pio: true });
    expect(vcpu.enter().kind).toBe('hlt');
    const writes = ring.drain().map(({ phys_addr, len, pio, data }) => [Number(phys_addr), pio, [...data.subarray(0, len)]]);
    expect(writes).toEqual([[0x30010, 0, [0x77]], [0x30012, 0, [0x34, 0x12]], [0x44, 1, [9]]]); // prettier-ignore
    expect(ring.drain()).toEqual([]);
    vm.kvm.unregisterCoalescedMmio({ addr: 0x30000, size: 0x100 });
    vcpu.setState({ rip: 0x1000 });
    expect(vcpu.enter().kind).toBe('mmio');
    expect(codeOf(() => vm.kvm.registerCoalescedMmio({ addr: -1, size: 1 }))).toBe(invalid);
  });

  it('eventfds add, read and close', () => {
    const fd = new EventFd(5);
    fd.signal(2n);
    expect([fd.read(), fd.read(), fd.fd > 2]).toEqual([7n, 0n, true]);
    fd.signal(2n ** 64n - 2n);
    expect(codeOf(() => fd.signal())).toBe('ERR_HAX_IOCTL');
    for (const wrong of [-1, 2n ** 64n, 0.5, 'x']) expect(codeOf(() => fd.signal(wrong as never))).toBe(invalid);
    expect(codeOf(() => new EventFd(2 ** 32))).toBe(invalid);
    fd.close();
    fd.close();
    expect([fd.closed, codeOf(() => fd.read()), codeOf(() => fd.fd)]).toEqual([true, 'ERR_HAX_CLOSED', 'ERR_HAX_CLOSED']);
  });

  it('KVM_CREATE_PIT2, KVM_GET_PIT2, KVM_SET_PIT2, KVM_REINJECT_CONTROL', () => {
    const vm = backend.vm();
    vm.kvm.createIrqchip();
    expect(refusal(() => vm.kvm.getPit2())).toBe(`ERR_HAX_IOCTL ${ENXIO}`);
    expect(refusal(() => vm.kvm.reinjectControl(true))).toBe(`ERR_HAX_IOCTL ${ENXIO}`);
    vm.kvm.createPit2(C.KVM_PIT_SPEAKER_DUMMY);
    vm.kvm.reinjectControl(false);
    const channel = { count: 0x1234, latched_count: 0x567, count_latched: 1, status_latched: 2, status: 3, read_state: 4, write_state: 5 };
    const rest = { write_latch: 6, rw_mode: 7, mode: 8, bcd: 9, gate: 10, count_load_time: 0x1122_3344_5566n };
    const state = vm.kvm.getPit2();
    // Channel 0 starts a timer when it is set; 1 and 2 are kept as they are.
    const channels = [state.channels[0], { ...channel, ...rest }, { ...channel, ...rest, count: 0x4321 }];
    vm.kvm.setPit2({ channels, flags: state.flags });
    const after = vm.kvm.getPit2();
    expect(after.channels.slice(1).map((each) => ({ ...each, count_load_time: 0 }))).toEqual(
      channels.slice(1).map((each) => ({ ...each, count_load_time: 0 })),
    );
    expect(after.flags).toBe(state.flags);
  });

  it('split interrupt controllers: the end of a level-triggered interrupt is an exit', () => {
    const vm = backend.vm();
    if (lacks(vm.kvm, 'KVM_CAP_SPLIT_IRQCHIP', () => vm.kvm.enableCap('KVM_CAP_SPLIT_IRQCHIP', [24]))) return;
    vm.kvm.enableCap('KVM_CAP_SPLIT_IRQCHIP', [24]);
    expect(refusal(() => vm.kvm.enableCap('KVM_CAP_SPLIT_IRQCHIP', [24]))).toBe(`ERR_HAX_IOCTL ${EEXIST}`);
  });
});

describeKvm("KVM's calls: what else a VM has", (backend) => {
  it('KVM_GET_CLOCK, KVM_SET_CLOCK', () => {
    const { kvm } = backend.vm();
    const second = 1_000_000_000n;
    kvm.setClock({ clock: 5000n * second });
    const { clock } = kvm.getClock();
    expect(clock).toBeGreaterThanOrEqual(5000n * second);
    expect(clock).toBeLessThan(5060n * second);
    expect(refusal(() => kvm.setClock({ clock: 0, flags: 1 << 30 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    for (const wrong of [-1, 2n ** 64n, 'x', undefined]) expect(codeOf(() => kvm.setClock({ clock: wrong as never }))).toBe(invalid);
  });

  it('KVM_X86_SET_MSR_FILTER gives MSRs to user space', () => {
    const source = 'mov ecx, 0x175; rdmsr; mov ebx, eax; mov ecx, 0x176; mov eax, 0x55; xor edx, edx; wrmsr; hlt';
    const { vm, vcpu } = backend.guest('flat32', source);
    const { kvm } = vm;
    if (lacks(kvm, 'KVM_CAP_X86_MSR_FILTER', () => kvm.x86SetMsrFilter([]))) return;
    kvm.enableCap('KVM_CAP_X86_USER_SPACE_MSR', [C.KVM_MSR_EXIT_REASON_FILTER]);
    const nothing = { flags: C.KVM_MSR_FILTER_READ | C.KVM_MSR_FILTER_WRITE, base: 0x4000, nmsrs: 64, bitmap: new Uint8Array(8) };
    // Of 0x174 to 0x17b only 0x175 is denied, and only reading it.
    kvm.x86SetMsrFilter([nothing, { flags: C.KVM_MSR_FILTER_READ, base: 0x174, nmsrs: 8, bitmap: Uint8Array.of(0xfd) }]);
    const exit = vcpu.enter();
    if (exit.kind !== 'msr') throw new Error(`an exit of kind ${exit.kind}`);
    expect([exit.index, exit.direction]).toEqual([0x175, 'in']);
    exit.value = 0x1234n;
    exit.fault = false;
    expect(vcpu.enter().kind).toBe('hlt');
    expect(vcpu.getState().rbx).toBe(0x1234n);
    expect(vcpu.getMsrs([0x176])).toEqual([0x55n]);
    const [bad] = [{ ...nothing, flags: 0x80 }];
    expect(refusal(() => kvm.x86SetMsrFilter([bad]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(codeOf(() => kvm.x86SetMsrFilter(new Array(17).fill(nothing)))).toBe(invalid);
    expect(codeOf(() => kvm.x86SetMsrFilter([{ ...nothing, nmsrs: 65 }]))).toBe(invalid);
    kvm.x86SetMsrFilter([{ ...nothing, base: 0x174 }], { defaultDeny: true });
    kvm.x86SetMsrFilter([]);
  });

  it('KVM_SET_PMU_EVENT_FILTER', () => {
    const { kvm } = backend.vm();
    const filter = { action: C.KVM_PMU_EVENT_ALLOW, fixed_counter_bitmap: 1, flags: 0, events: [0xc0, 0x3cn] };
    if (lacks(kvm, 'KVM_CAP_PMU_EVENT_FILTER', () => kvm.setPmuEventFilter(filter))) return;
    kvm.setPmuEventFilter(filter);
    kvm.setPmuEventFilter({ ...filter, action: C.KVM_PMU_EVENT_DENY, events: [] });
    expect(refusal(() => kvm.setPmuEventFilter({ ...filter, flags: 0x80000000 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(refusal(() => kvm.setPmuEventFilter({ ...filter, action: 7 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(refusal(() => kvm.setPmuEventFilter({ ...filter, events: 'x' as never }))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(codeOf(() => kvm.setPmuEventFilter({ ...filter, events: new Array(301).fill(1) }))).toBe(invalid);
  });

  it('KVM_ENABLE_CAP', () => {
    const { kvm } = backend.vm();
    expect(refusal(() => kvm.enableCap('KVM_CAP_USER_MEMORY', [1]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    expect(() => kvm.enableCap('KVM_CAP_PPC_SMT')).toThrow('KVM_CAP_PPC_SMT');
    expect(codeOf(() => kvm.enableCap('KVM_CAP_ROCKS' as never))).toBe(invalid);
    expect(codeOf(() => kvm.enableCap('KVM_CAP_SPLIT_IRQCHIP', [1, 2, 3, 4, 5]))).toBe(invalid);
    expect(refusal(() => kvm.enableCap('KVM_CAP_X86_DISABLE_EXITS', [1n << 63n]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('KVM_CREATE_DEVICE and its attributes', () => {
    const { kvm } = backend.vm();
    // KVM_CAP_DEVICE_CTRL does not tell: kernels before 6.4 or so have the call on x86 without it.
    expect([codeOf(() => kvm.createDevice(0x7fffffff)), kvm.hasDevice(0x7fffffff)]).toEqual(['ERR_HAX_IOCTL', false]);
    if (!kvm.hasDevice(C.KVM_DEV_TYPE_VFIO)) return; // a kernel without VFIO
    const device = kvm.createDevice(C.KVM_DEV_TYPE_VFIO);
    expect([device.hasDeviceAttr(1, 1), device.hasDeviceAttr(1, 99)]).toEqual([true, false]);
    expect(refusal(() => device.setDeviceAttr(1, 1, Uint8Array.of(255, 255, 255, 255)))).toBe('ERR_HAX_IOCTL 9'); // EBADF: no such file
    expect(codeOf(() => device.getDeviceAttr(1, 99, 4))).toMatch(/^ERR_HAX_(IOCTL|UNSUPPORTED)$/);
    expect(codeOf(() => device.setDeviceAttr(1, 1, 5 as never))).toBe(invalid);
    device.close();
    expect(codeOf(() => device.hasDeviceAttr(1, 1))).toBe('ERR_HAX_CLOSED');
    expect([codeOf(() => kvm.createDevice(-1)), codeOf(() => kvm.hasDevice('x' as never))]).toEqual([invalid, invalid]);
    expect(refusal(() => [kvm.createDevice(C.KVM_DEV_TYPE_VFIO), kvm.createDevice(C.KVM_DEV_TYPE_VFIO)])).toBe(`ERR_HAX_IOCTL ${EBUSY}`);
  });

  it('statistics', () => {
    const { kvm } = backend.vm();
    if (lacks(kvm, 'KVM_CAP_BINARY_STATS_FD', () => kvm.getStatsFd())) return;
    const stats = kvm.getStatsFd();
    expect(stats.id).toMatch(/^kvm-\d+$/);
    expect(stats.statistics.length).toBe(stats.header.num_desc);
    expect(Object.keys(stats.read())).toContain('remote_tlb_flush');
    stats.close();
  });

  it('the rate of the TSC', () => {
    const vm = backend.vm();
    const calls = [() => vm.kvm.setTscKhz(1_000_000), () => vm.kvm.getTscKhz()];
    if (vm.kvm.checkExtension('KVM_CAP_VM_TSC_CONTROL') === 0) {
      for (const call of calls) lacks(vm.kvm, 'KVM_CAP_VM_TSC_CONTROL', call);
      return;
    }
    const rate = vm.createVcpu().kvm.getTscKhz();
    vm.kvm.setTscKhz(rate);
    expect(vm.kvm.getTscKhz()).toBe(rate);
  });

  it('what another hypervisor or an encrypting processor would need', () => {
    const { kvm } = backend.vm({ irqchip: 'kernel' });
    const xen = { flags: 0, msr: 0x40000200, blob_addr_32: 0, blob_addr_64: 0, blob_size_32: 0, blob_size_64: 0 };
    if (!lacks(kvm, 'KVM_CAP_XEN_HVM', () => kvm.xenHvmConfig(xen))) {
      kvm.xenHvmConfig(xen);
      expect(refusal(() => kvm.xenHvmConfig({ ...xen, flags: 0x80000000 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    }
    const fd = new EventFd();
    if (!lacks(kvm, 'KVM_CAP_HYPERV_EVENTFD', () => kvm.hypervEventfd(1, fd))) {
      kvm.hypervEventfd(0x00abcdef, fd);
      expect(refusal(() => kvm.hypervEventfd(0x00abcdef, fd))).toBe(`ERR_HAX_IOCTL ${EEXIST}`);
      kvm.hypervEventfd(0x00abcdef, fd, true);
      expect(refusal(() => kvm.hypervEventfd(0x01000000, fd))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    }
    const region = { addr: 0, size: page };
    const refused = [
      () => kvm.memoryEncryptOp(new Uint8Array(16)),
      () => kvm.memoryEncryptRegRegion(region),
      () => kvm.memoryEncryptUnregRegion(region),
    ];
    for (const call of refused) expect(codeOf(call)).toMatch(/^ERR_HAX_(UNSUPPORTED|IOCTL)$/);
    expect(codeOf(() => kvm.memoryEncryptOp(new Uint8Array(7)))).toBe(invalid);
  });
});

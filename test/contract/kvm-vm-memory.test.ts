/** The calls for a VM's memory, each with its effect and its refusals; kvm-memory.test.ts has the kernel's scenarios. */
import { allocateMemory, kvmConstants as C, MemFd, type Vcpu, type VirtualMachine } from 'node-hax';
import { codeOf } from '../support/codes';
import { describeKvm } from '../support/hosts';
import { bits, EBUSY, EEXIST, EINVAL, ENOENT, lacks, recordCalls, refusal } from '../support/kvm-calls';

recordCalls('vm-memory');

const page = 4096;
const invalid = 'ERR_HAX_INVALID_ARGUMENT';
const untilHalt = (vcpu: Vcpu): string[] => {
  const kinds: string[] = [];
  do kinds.push(vcpu.enter().kind);
  while (kinds.at(-1) !== 'hlt' && kinds.length < 100);
  return kinds;
};

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

/** Memory slots and the tracking of writes, in the scenarios of the kernel's own tests of dirty logs, dirty rings and memory regions. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { allocateMemory, kvmConstants as C, MemFd, type Vcpu, type VirtualMachine } from 'node-hax';
import { codeOf } from '../support/codes';
import { at, guestImage, loadGuest, userMode } from '../support/guests';
import { describeKvm, type Backend } from '../support/hosts';
import { bits, EINVAL, ENOENT, ENXIO, lacks, recordCalls, refusal } from '../support/kvm-calls';

recordCalls('memory');

const page = 4096;
const slot = 3;
const gpa = 0x200000;
const listAt = 0x3000;

/** Writes EBX to each address of a list that ends in 0, and then to port 0x10; again and again. */
const writer = `2: mov esi, ${listAt}; 1: lodsd; test eax, eax; jz 3f; mov [eax], ebx; jmp 1b; 3: out 0x10, al; jmp 2b`;

/** A slot of `pages` pages at `gpa`, and its bytes. */
function addSlot(vm: VirtualMachine, pages: number, flags: number = C.KVM_MEM_LOG_DIRTY_PAGES): Uint8Array {
  const bytes = allocateMemory(pages * page);
  vm.kvm.setUserMemoryRegion({ slot, flags, guest_phys_addr: gpa, memory_size: pages * page, userspace_addr: bytes });
  return bytes;
}

/** One round of the writer over the pages named. */
function write(vcpu: Vcpu, value: number, pages: readonly number[]): void {
  const list = new Uint32Array([...pages.map((each) => gpa + each * page), 0]);
  vcpu.vm.memory.write(listAt, new Uint8Array(list.buffer));
  vcpu.complete();
  vcpu.setState({ rbx: value });
  expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
}

/** The pages whose first word is `value`. */
const holding = (bytes: Uint8Array, value: number): number[] => {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  return Array.from({ length: bytes.length / page }, (_, i) => i).filter((i) => words[(i * page) / 4] === value);
};
/** Some of `pages` pages, others in each round, always with the first and the last. */
const choose = (round: number, pages: number): number[] =>
  Array.from({ length: pages }, (_, i) => i).filter((i) => i === 0 || i === pages - 1 || (i * 2654435761 + round * 40503) % 7 < 2);

const pages = 200;

describeKvm('memory: the dirty log', (backend) => {
  it('has in each round what that round wrote, as the bytes of the pages say too', () => {
    const { vm, vcpu } = backend.guest('flat32', writer);
    const bytes = addSlot(vm, pages);
    for (let round = 1; round <= 8; round++) {
      const chosen = choose(round, pages);
      write(vcpu, round, chosen);
      expect(holding(bytes, round)).toEqual(chosen);
      expect(bits(vm.kvm.getDirtyLog(slot, pages))).toEqual(chosen);
    }
    write(vcpu, 9, []);
    expect(bits(vm.kvm.getDirtyLog(slot, pages))).toEqual([]);
  });

  it('is of a slot by its number, with room for as much as the kernel fills', () => {
    const { vm } = backend.guest('flat32', writer);
    const size = 1 << 26;
    const region = { flags: C.KVM_MEM_LOG_DIRTY_PAGES, guest_phys_addr: 1 << 30, memory_size: size, userspace_addr: allocateMemory(size) };
    vm.kvm.setUserMemoryRegion({ ...region, slot: 77n as never });
    // 2 KiB, of which one word was asked for.
    expect(vm.kvm.getDirtyLog(77, 64).buffer.byteLength).toBe(size / 4096 / 8);
    expect(codeOf(() => vm.kvm.getDirtyLog(77n as never, 64))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  /** Reads the log and forgets it, 64 pages at a time, which is what a migration does. */
  function readAndClear(vm: VirtualMachine): number[] {
    const log = vm.kvm.getDirtyLog(slot, pages);
    for (let first = 0; first < pages; first += 64) {
      vm.kvm.clearDirtyLog(slot, first, Math.min(64, pages - first), log.subarray(first / 8, first / 8 + 8));
    }
    return bits(log);
  }

  it('with manual protection is forgotten only by KVM_CLEAR_DIRTY_LOG', () => {
    const { vm, vcpu } = backend.guest('flat32', writer);
    if (lacks(vm.kvm, 'KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2', () => vm.kvm.clearDirtyLog(slot, 0, 64, new Uint8Array(8)))) return;
    vm.kvm.enableCap('KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2', [C.KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE]);
    const bytes = addSlot(vm, pages);
    for (let round = 1; round <= 4; round++) {
      const chosen = choose(round, pages);
      write(vcpu, round, chosen);
      expect(bits(vm.kvm.getDirtyLog(slot, pages))).toEqual(chosen);
      expect(readAndClear(vm)).toEqual(chosen);
      expect(holding(bytes, round)).toEqual(chosen);
    }
    expect(readAndClear(vm)).toEqual([]);
    // What is written between reading and clearing is not lost: it was not in the bitmap that is cleared.
    write(vcpu, 5, [1]);
    const log = vm.kvm.getDirtyLog(slot, pages);
    write(vcpu, 6, [2]);
    vm.kvm.clearDirtyLog(slot, 0, 64, log);
    expect(bits(vm.kvm.getDirtyLog(slot, pages))).toEqual([2]);
  });

  it('can start with all pages, which is what the first copy needs', () => {
    const { vm, vcpu } = backend.guest('flat32', writer);
    const { kvm } = vm;
    const both = C.KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | C.KVM_DIRTY_LOG_INITIALLY_SET;
    if ((kvm.checkExtension('KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2') & both) !== both) {
      expect(refusal(() => kvm.enableCap('KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2', [both]))).toMatch(/^ERR_HAX_/);
      return;
    }
    kvm.enableCap('KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2', [both]);
    addSlot(vm, pages);
    expect(readAndClear(vm)).toEqual(Array.from({ length: pages }, (_, i) => i));
    for (let round = 1; round <= 3; round++) {
      write(vcpu, round, choose(round, pages));
      expect(readAndClear(vm)).toEqual(choose(round, pages));
    }
    expect(refusal(() => kvm.enableCap('KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2', [4]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });

  it('is switched on and off for a slot that is in use', () => {
    const { vm, vcpu } = backend.guest('flat32', writer);
    const bytes = addSlot(vm, pages, 0);
    const change = (flags: number): void =>
      vm.kvm.setUserMemoryRegion({ slot, flags, guest_phys_addr: gpa, memory_size: pages * page, userspace_addr: bytes });
    write(vcpu, 1, [5]);
    expect(refusal(() => vm.kvm.getDirtyLog(slot, pages))).toBe(`ERR_HAX_IOCTL ${ENOENT}`);
    change(C.KVM_MEM_LOG_DIRTY_PAGES);
    expect(bits(vm.kvm.getDirtyLog(slot, pages))).toEqual([]);
    write(vcpu, 2, [5, 6]);
    expect(bits(vm.kvm.getDirtyLog(slot, pages))).toEqual([5, 6]);
    change(0);
    write(vcpu, 3, [7]);
    expect(refusal(() => vm.kvm.getDirtyLog(slot, pages))).toBe(`ERR_HAX_IOCTL ${ENOENT}`);
    change(C.KVM_MEM_LOG_DIRTY_PAGES);
    expect([bits(vm.kvm.getDirtyLog(slot, pages)), holding(bytes, 3)]).toEqual([[], [7]]);
  });

  it('loses nothing while the guest writes on another thread', async () => {
    // Every page in turn, with the number of the round.
    const source = `mov ebx, 1; 2: mov edi, ${gpa}; mov ecx, ${pages}; 1: mov [edi], ebx; add edi, ${page}; loop 1b; inc ebx; jmp 2b`;
    const { vm, vcpu } = backend.guest('flat32', source);
    const bytes = addSlot(vm, pages);
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    // What a migration's copy would hold: pages are copied after the log named them.
    const copy = new Uint32Array(pages);
    const harvest = (): number => {
      const dirty = bits(vm.kvm.getDirtyLog(slot, pages));
      for (const each of dirty) copy[each] = words[(each * page) / 4];
      return dirty.length;
    };
    const run = vcpu.run({ threaded: true });
    let harvested = 0;
    while (harvested < 3 * pages) {
      harvested += harvest();
      await delay(1);
    }
    vcpu.stop();
    expect(await run).toEqual({ reason: 'killed' });
    harvest();
    expect([...copy]).toEqual(Array.from({ length: pages }, (_, i) => words[(i * page) / 4]));
  });
});

describeKvm('memory: dirty rings', (backend) => {
  const entries = 4096;
  function withRing(count: number, source = writer): { vm: VirtualMachine; vcpu: Vcpu; bytes: Uint8Array } | undefined {
    const probe = backend.vm();
    if (lacks(probe.kvm, 'KVM_CAP_DIRTY_LOG_RING', () => probe.kvm.resetDirtyRings())) return undefined;
    return guestWithRing(backend, source, count, entries);
  }
  const named = (harvested: readonly { slot: number; offset: bigint }[]): number[] =>
    harvested.filter((each) => each.slot === slot).map(({ offset }) => Number(offset)).sort((a, b) => a - b); // prettier-ignore
  const written = (harvested: readonly { slot: number; offset: bigint }[]): number[] => [...new Set(named(harvested))];

  it('wrap around: rounds of more pages in all than there are entries', () => {
    const count = 1500;
    const made = withRing(count);
    if (!made) return;
    const { vm, vcpu, bytes } = made;
    const ring = vcpu.kvm.mapDirtyRing(entries);
    let total = 0;
    for (let round = 1; total <= entries; round++) {
      const all = Array.from({ length: count }, (_, i) => i).filter((i) => (i + round) % 10 !== 0);
      write(vcpu, round, all.slice(0, 700));
      write(vcpu, round, all.slice(700));
      const harvested = ring.harvest();
      expect(written(harvested)).toEqual(all);
      expect(holding(bytes, round)).toEqual(all);
      expect(vm.kvm.resetDirtyRings()).toBe(harvested.length);
      total += harvested.length;
    }
    expect(ring.harvest()).toEqual([]);
  });

  it('name a page again only after it was harvested and reset', () => {
    const made = withRing(16);
    if (!made) return;
    const { vm, vcpu } = made;
    const ring = vcpu.kvm.mapDirtyRing(entries);
    write(vcpu, 1, [3, 9]);
    write(vcpu, 2, [3, 9, 10]);
    const first = ring.harvest();
    expect(written(first)).toEqual([3, 9, 10]);
    // A software KVM that emulates the guest's instructions puts each write there.
    const once = named(first).length === 3;
    write(vcpu, 3, [9, 11]); // harvested, but not reset: 9 is still writable
    const second = ring.harvest();
    expect(written(second)).toEqual(once ? [11] : [9, 11]);
    expect(vm.kvm.resetDirtyRings()).toBe(first.length + second.length);
    write(vcpu, 4, [9]);
    expect(written(ring.harvest())).toEqual([9]);
    // A slot is logged in one way only.
    expect(refusal(() => vm.kvm.getDirtyLog(slot, 16))).toBe(`ERR_HAX_IOCTL ${ENXIO}`);
  });

  it('are enabled before there is a vCPU, with a size that is a power of two', () => {
    const vm = backend.vm();
    if (lacks(vm.kvm, 'KVM_CAP_DIRTY_LOG_RING', () => vm.kvm.enableCap('KVM_CAP_DIRTY_LOG_RING', [entries * 16]))) return;
    const most = vm.kvm.checkExtension('KVM_CAP_DIRTY_LOG_RING');
    for (const bytes of [0, 8, 3 * 4096, 2 * most]) {
      expect(refusal(() => vm.kvm.enableCap('KVM_CAP_DIRTY_LOG_RING', [bytes]))).toMatch(/^ERR_HAX_IOCTL (22|7)$/); // EINVAL, E2BIG
    }
    expect(refusal(() => vm.kvm.resetDirtyRings())).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    vm.createVcpu();
    expect(refusal(() => vm.kvm.enableCap('KVM_CAP_DIRTY_LOG_RING', [entries * 16]))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
  });
});

/** A guest as `backend.guest()`, in a VM whose dirty rings were enabled before there was a vCPU, with a slot that is logged. */
function guestWithRing(
  backend: Backend,
  source: string,
  count: number,
  entries: number,
): { vm: VirtualMachine; vcpu: Vcpu; bytes: Uint8Array } {
  const vm = backend.vm();
  vm.kvm.enableCap('KVM_CAP_DIRTY_LOG_RING', [entries * 16]);
  vm.mapMemory({ gpa: 0, size: 0x10000 });
  const vcpu = vm.createVcpu();
  loadGuest(vm, vcpu, guestImage('flat32', source));
  return { vm, vcpu, bytes: addSlot(vm, count) };
}

describeKvm('memory: regions', (backend) => {
  /** Reads [gpa] into EAX and writes it to port 0x10, for ever. */
  const reader = `1: mov eax, [${gpa}]; out 0x10, eax; jmp 1b`;
  const readOnce = (vcpu: Vcpu): string => {
    const exit = vcpu.enter();
    if (exit.kind === 'io') return `memory ${exit.data[0]}`;
    if (exit.kind !== 'mmio') return exit.kind;
    exit.data.fill(0xee);
    expect(vcpu.enter().kind).toBe('io');
    return `device ${exit.address.toString(16)}`;
  };

  it('of a memfd, whose size cannot be mapped: no descriptor stays', () => {
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    for (let i = 0; i < 100; i++)
      expect([0, 5000].map((size) => codeOf(() => new MemFd(size)))).toEqual(['ERR_HAX_INVALID_ARGUMENT', 'ERR_HAX_INVALID_ARGUMENT']);
    expect(open()).toBeLessThan(before + 100);
  });

  it('are read once: an object that changes meanwhile has no more memory than it shows', () => {
    const vm = backend.vm({ irqchip: 'user' });
    let reads = 0;
    const region = {
      slot: 9,
      flags: C.KVM_MEM_LOG_DIRTY_PAGES,
      guest_phys_addr: 0x100000,
      userspace_addr: allocateMemory(page),
      get memory_size() {
        return reads++ === 0 ? page : 16 * page;
      },
    };
    vm.kvm.setUserMemoryRegion(region);
    expect(reads).toBe(1);
  });

  it('move, come and go between two accesses', () => {
    const { vm, vcpu } = backend.guest('flat32', reader);
    const bytes = addSlot(vm, 2, 0);
    bytes.fill(0x11, 0, page).fill(0x22, page);
    const place = (guest_phys_addr: number, memory_size = 2 * page): void =>
      vm.kvm.setUserMemoryRegion({ slot, flags: 0, guest_phys_addr, memory_size, userspace_addr: bytes });
    expect(readOnce(vcpu)).toBe('memory 17');
    place(gpa - page); // the second page lies there now
    expect(readOnce(vcpu)).toBe('memory 34');
    place(gpa + page);
    expect(readOnce(vcpu)).toBe('device 200000');
    place(gpa);
    expect(readOnce(vcpu)).toBe('memory 17');
    place(gpa, 0);
    expect(readOnce(vcpu)).toBe('device 200000');
    expect(refusal(() => place(gpa, 0))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    place(gpa);
    expect(readOnce(vcpu)).toBe('memory 17');
  });

  it.each(['moved away and back', 'deleted and made again'])('a slot is %s while the guest reads it on another thread', async (how) => {
    // Memory has 0x11 and the device 0xee: anything else ends the run.
    const source = `1: mov eax, [${gpa}]; cmp al, 0x11; je 1b; cmp al, 0xee; je 1b; out 0x10, al; hlt`;
    const { vm, vcpu } = backend.guest('flat32', source);
    const bytes = addSlot(vm, 1, 0);
    bytes.fill(0x11);
    const place = (guest_phys_addr: number, memory_size = page): void =>
      vm.kvm.setUserMemoryRegion({ slot, flags: 0, guest_phys_addr, memory_size, userspace_addr: bytes });
    let reads = 0;
    vm.mmio.add({ at: gpa, length: page }, { read: () => (reads++, 0xeeeeeeee), write: () => undefined });
    vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0xff, write: () => vcpu.stop({ reason: 'exit-code', status: 1 }) });
    const run = vcpu.run({ threaded: true });
    for (let i = 0; i < 5; i++) {
      const before = reads;
      if (how.startsWith('moved')) place(gpa + 16 * page);
      else place(gpa, 0);
      while (reads === before && vcpu.running) await delay(1);
      place(gpa);
      await delay(2);
    }
    vcpu.stop();
    expect(await run).toEqual({ reason: 'killed' });
  });

  it('a read-only slot is a ROM: the guest runs and reads it, and a write is an exit that changes nothing', () => {
    const { vm, vcpu } = backend.guest('flat32', `mov eax, ${gpa}; jmp eax`);
    const bytes = allocateMemory(page);
    // mov eax, [0x200100]; mov dword ptr [0x200100], 7; mov ebx, [0x200100]; out 0x10, al; hlt
    bytes.set([0xa1, 0, 1, 0x20, 0, 0xc7, 0x05, 0, 1, 0x20, 0, 7, 0, 0, 0, 0x8b, 0x1d, 0, 1, 0x20, 0, 0xe6, 0x10, 0xf4]);
    bytes.set([0x78, 0x56, 0x34, 0x12], 0x100);
    const region = { slot, guest_phys_addr: gpa, memory_size: page, userspace_addr: bytes };
    vm.kvm.setUserMemoryRegion({ ...region, flags: C.KVM_MEM_READONLY });
    const exit = vcpu.enter();
    expect({ ...(exit as { toJSON?: () => object }).toJSON?.() }).toEqual({ kind: 'mmio', address: gpa + 0x100, size: 4, direction: 'out', data: [7, 0, 0, 0] }); // prettier-ignore
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
    expect([vcpu.getState().rax, vcpu.getState().rbx, bytes[0x100]]).toEqual([0x12345678n, 0x12345678n, 0x78]);
    // It stays what it is as long as it is there.
    expect(refusal(() => vm.kvm.setUserMemoryRegion({ ...region, flags: 0 }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    vm.kvm.setUserMemoryRegion({ ...region, flags: 0, memory_size: 0 });
    vm.kvm.setUserMemoryRegion({ ...region, flags: 0 });
    vcpu.setState({ rip: at.code });
    expect(vcpu.enter()).toMatchObject({ kind: 'io', port: 0x10 });
    expect(bytes[0x100]).toBe(7);
  });

  it('cannot be resized, moved in the process, or be more than there is room for', () => {
    const { kvm } = backend.vm();
    const bytes = allocateMemory(8 * page);
    const region = { slot: 0, flags: 0, guest_phys_addr: gpa, memory_size: 2 * page, userspace_addr: bytes };
    kvm.setUserMemoryRegion(region);
    for (const change of [{ memory_size: page }, { memory_size: 3 * page }, { userspace_addr: bytes.subarray(page) }]) {
      expect(refusal(() => kvm.setUserMemoryRegion({ ...region, ...change }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    }
    const last = kvm.checkExtension('KVM_CAP_NR_MEMSLOTS') - 1;
    kvm.setUserMemoryRegion({ ...region, slot: last, guest_phys_addr: 2 * gpa });
    expect(refusal(() => kvm.setUserMemoryRegion({ ...region, slot: last + 1, guest_phys_addr: 3 * gpa }))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    const top = { ...region, slot: 5, guest_phys_addr: (1n << 64n) - BigInt(page) };
    expect(refusal(() => kvm.setUserMemoryRegion(top))).toBe(`ERR_HAX_IOCTL ${EINVAL}`); // wraps around
    for (let i = 1; i <= 100; i++) {
      kvm.setUserMemoryRegion({ ...region, slot: i, guest_phys_addr: 0x1000_0000 + i * 8 * page, memory_size: page });
    }
    expect(codeOf(() => kvm.setUserMemoryRegion({ ...region, slot: -1 }))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it('of a guest_memfd that the host maps: both see the same bytes, from the offset on', () => {
    const { vm, vcpu } = backend.guest('long64', `mov dword ptr [${gpa + 0x20}], 0x55; mov byte ptr [0x400000], 1; hlt`);
    const { kvm } = vm;
    const flags = C.GUEST_MEMFD_FLAG_MMAP | C.GUEST_MEMFD_FLAG_INIT_SHARED;
    if ((kvm.checkExtension('KVM_CAP_GUEST_MEMFD_FLAGS') & flags) !== flags) {
      expect(refusal(() => kvm.createGuestMemfd(4 * page, flags))).toMatch(/^ERR_HAX_(UNSUPPORTED|IOCTL 22)$/);
      return;
    }
    // For users, whose code no KVM emulates: the access itself reaches the guest_memfd, an emulated one the address in this process.
    userMode(vcpu);
    const memfd = kvm.createGuestMemfd(4 * page, flags);
    const bytes = memfd.map(0, 4 * page);
    // O_CLOEXEC: a child that had it would keep the VM.
    expect(parseInt(/^flags:\t(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${memfd.fd}`, 'utf8'))![1], 8) & 0o2000000).not.toBe(0);
    const region = {
      slot,
      flags: C.KVM_MEM_GUEST_MEMFD,
      guest_phys_addr: gpa,
      memory_size: 2 * page,
      userspace_addr: bytes.subarray(page),
    };
    kvm.setUserMemoryRegion2({ ...region, guest_memfd: memfd.fd, guest_memfd_offset: page });
    expect(vcpu.enter()).toMatchObject({ kind: 'mmio', address: 0x400000 });
    expect([bytes[0x20], bytes[page + 0x20], bytes[2 * page + 0x20]]).toEqual([0, 0x55, 0]);
    kvm.setUserMemoryRegion2({ ...region, memory_size: 0, guest_memfd: memfd.fd, guest_memfd_offset: page });
    const outside = { ...region, guest_memfd: memfd.fd, guest_memfd_offset: 3 * page };
    expect(refusal(() => kvm.setUserMemoryRegion2(outside))).toBe(`ERR_HAX_IOCTL ${EINVAL}`);
    memfd.close();
  });
});

import fc from 'fast-check';
import { createSharedMemory, Region, type MapMemoryOptions, type VirtualMachine } from 'node-hax';
import { codeOf } from '../support/codes';
import { describeEachBackend } from '../support/hosts';

const page = 4096;
const limit = 2 ** 52;

describeEachBackend('memory map', (backend) => {
  it('refuses empty, unaligned, wrapping and absurd ranges, and maps nothing then', () => {
    const vm = backend.vm();
    const refused = (options: unknown): string | undefined => codeOf(() => vm.mapMemory(options as MapMemoryOptions));
    const cases: [unknown, string][] = [
      [{ gpa: 0, size: 0 }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 0, size: -page }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 0, size: 1 }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 0, size: page + 1 }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 0, size: 0.5 }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 0, size: NaN }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 0, size: Infinity }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 0, size: 'lots' }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 0, size: -1n }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 0 }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ size: page }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 1, size: page }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: page / 2, size: page }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: -page, size: page }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 0.5, size: page }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: NaN, size: page }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: '0', size: page }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 0n, size: page }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: limit, size: page }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: limit - page, size: 2 * page }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: Number.MAX_SAFE_INTEGER - 4095, size: page }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 2 ** 53, size: page }, 'ERR_HAX_INVALID_ARGUMENT'],
      [{ gpa: 0, size: 2 ** 51 }, 'ERR_HAX_NO_MEMORY'],
      [{ gpa: 0, size: page, readOnly: 1 }, 'ERR_HAX_INVALID_ARGUMENT'],
      [undefined, 'ERR_HAX_INVALID_ARGUMENT'],
      [null, 'ERR_HAX_INVALID_ARGUMENT'],
    ];
    expect(cases.map(([options]) => refused(options))).toEqual(cases.map(([, code]) => code));
    expect(vm.memory.regions).toEqual([]);
    expect(codeOf(() => vm.memory.readU8(0))).toBe('ERR_HAX_MEMORY');
  });

  it('takes sizes as text and tells what was mapped', () => {
    const vm = backend.vm();
    const region = vm.mapMemory({ gpa: 0x100000, size: '2M' });
    expect(region).toBeInstanceOf(Region);
    expect([region.gpa, region.size, region.last, region.readOnly]).toEqual([0x100000, 0x200000, 0x2fffff, false]);
    expect(region.bytes.every((byte) => byte === 0)).toBe(true);
    expect(vm.memory.regionAt(0x2fffff)).toBe(region);
    expect(vm.memory.regionAt(0x300000)).toBeUndefined();
  });

  it('lets ranges touch and refuses those that overlap', () => {
    const vm = backend.vm();
    vm.mapMemory({ gpa: 4 * page, size: 4 * page });
    const below = vm.mapMemory({ gpa: 2 * page, size: 2 * page });
    const above = vm.mapMemory({ gpa: 8 * page, size: 2 * page });
    const overlapping: [number, number][] = [
      [4, 4],
      [5, 1],
      [3, 2],
      [7, 2],
      [0, 3],
      [9, 5],
      [0, 32],
      [2, 1],
    ];
    for (const [gpa, size] of overlapping)
      expect(codeOf(() => vm.mapMemory({ gpa: gpa * page, size: size * page }))).toBe('ERR_HAX_OVERLAP');
    expect(() => vm.mapMemory({ gpa: 5 * page, size: page })).toThrow(/0x5000\+0x1000 overlaps the memory mapped at 0x4000\+0x4000/);
    expect(vm.memory.regions.map(({ gpa }) => gpa / page)).toEqual([2, 4, 8]);
    expect(vm.memory.regions).toContain(below);
    expect(vm.memory.regions).toContain(above);
  });

  it('maps memory high in the address space', () => {
    const vm = backend.vm();
    const gpa = 2 ** 36 - 2 * page;
    vm.mapMemory({ gpa, size: 2 * page });
    vm.memory.writeU64(gpa + page - 4, 0x1122334455667788n);
    expect(vm.memory.readU64(gpa + page - 4)).toBe(0x1122334455667788n);
  });

  it('leaves no device inside memory, where nothing would come to it', () => {
    const vm = backend.vm();
    const region = vm.mapMemory({ gpa: page, size: 2 * page });
    const add = (at: number, length: number): string | undefined =>
      codeOf(() => vm.mmio.add({ at, length }, { read: () => 0, write: () => undefined }));
    expect([add(0, page), add(3 * page, page)]).toEqual([undefined, undefined]);
    const wrong = [add(page, 1), add(3 * page - 1, 1), add(page + 4, 2 * page)];
    expect(wrong).toEqual(['ERR_HAX_OVERLAP', 'ERR_HAX_OVERLAP', 'ERR_HAX_OVERLAP']);
    expect(vm.mmio.ownerOf(page)).toBeUndefined();
    vm.unmapMemory(region);
    expect(add(page, 2 * page)).toBeUndefined();
    // Memory may come and go over a device.
    vm.mapMemory({ gpa: page, size: page });
  });

  it('takes a region away, and another in its place is zero', () => {
    const vm = backend.vm();
    const region = vm.mapMemory({ gpa: 0, size: page });
    const other = vm.mapMemory({ gpa: page, size: page });
    const view = region.bytes;
    view.fill(0xaa);
    vm.unmapMemory(region);
    expect([view.length, view.byteLength, view[0]]).toEqual([0, 0, undefined]);
    expect(codeOf(() => region.bytes)).toBe('ERR_HAX_CLOSED');
    expect(codeOf(() => vm.unmapMemory(region))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(codeOf(() => vm.memory.readU8(0))).toBe('ERR_HAX_MEMORY');
    expect(vm.memory.regions).toEqual([other]);
    const again = vm.mapMemory({ gpa: 0, size: page });
    expect(again.bytes.every((byte) => byte === 0)).toBe(true);
  });

  it("does not take another VM's region", () => {
    const [vm, stranger] = [backend.vm(), backend.vm()];
    const mine = vm.mapMemory({ gpa: 0, size: page });
    const theirs = stranger.mapMemory({ gpa: 0, size: page });
    expect(codeOf(() => vm.unmapMemory(theirs))).toBe('ERR_HAX_INVALID_ARGUMENT');
    mine.bytes[0] = 1;
    theirs.bytes[0] = 2;
    expect([vm.memory.readU8(0), stranger.memory.readU8(0)]).toEqual([1, 2]);
    expect(codeOf(() => vm.mapMemory({ gpa: 0, size: page }))).toBe('ERR_HAX_OVERLAP');
  });

  it('uses slots again, and says when there are no more', () => {
    const vm = backend.vm();
    const slots = vm.hypervisor.capabilities.features.memorySlots.value;
    const count = Math.min(slots, 200);
    const map = (i: number): Region => vm.mapMemory({ gpa: i * 2 * page, size: page });
    const regions = Array.from({ length: count }, (_, i) => map(i));
    if (slots === count) expect(codeOf(() => map(count))).toBe('ERR_HAX_UNSUPPORTED');
    for (const index of [0, 5, count - 1]) {
      vm.unmapMemory(regions[index]);
      regions[index] = map(index);
    }
    regions.forEach((region, i) => vm.memory.writeU32(region.gpa, i));
    expect(regions.map((region) => vm.memory.readU32(region.gpa))).toEqual(regions.map((_, i) => i));
  });

  it('agrees with a model, whatever is mapped and unmapped', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('map' as const), first: fc.nat(15), pages: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ do: fc.constant('unmap' as const), index: fc.nat(15) }),
      fc.record({ do: fc.constant('write' as const), at: fc.nat(16 * page), length: fc.nat(3 * page), value: fc.nat(255) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const vm = backend.vm();
        // What each page holds; undefined: nothing is mapped.
        const model: (Uint8Array | undefined)[] = new Array<undefined>(24).fill(undefined);
        const regions: Region[] = [];
        const covered = (at: number, length: number): boolean => {
          for (let p = Math.floor(at / page); p * page < at + length; p++) if (length > 0 && !model[p]) return false;
          return true;
        };
        for (const each of steps) {
          if (each.do === 'map') {
            const { first, pages } = each;
            const free = model.slice(first, first + pages).every((content) => !content);
            const code = codeOf(() => regions.push(vm.mapMemory({ gpa: first * page, size: pages * page })));
            expect(code).toBe(free ? undefined : 'ERR_HAX_OVERLAP');
            if (free) for (let p = first; p < first + pages; p++) model[p] = new Uint8Array(page);
          } else if (each.do === 'unmap' && regions.length > 0) {
            const [region] = regions.splice(each.index % regions.length, 1);
            vm.unmapMemory(region);
            for (let p = region.gpa / page; p * page <= region.last; p++) model[p] = undefined;
          } else if (each.do === 'write') {
            const bytes = new Uint8Array(each.length).fill(each.value);
            expect(codeOf(() => vm.memory.write(each.at, bytes))).toBe(covered(each.at, each.length) ? undefined : 'ERR_HAX_MEMORY');
            if (covered(each.at, each.length)) {
              for (let i = each.at; i < each.at + each.length; i++) model[Math.floor(i / page)]![i % page] = each.value;
            }
          }
        }
        model.forEach((content, p) => {
          if (content) expect(Buffer.compare(vm.memory.read(p * page, page), content)).toBe(0);
          else expect(codeOf(() => vm.memory.read(p * page, 1))).toBe('ERR_HAX_MEMORY');
        });
        vm.close();
      }),
      { numRuns: 30 },
    );
  });
});

describeEachBackend('guest memory', (backend) => {
  /** Two regions that touch, and a third behind a hole. */
  function three(): VirtualMachine {
    const vm = backend.vm();
    vm.mapMemory({ gpa: 0x1000, size: 0x1000 });
    vm.mapMemory({ gpa: 0x2000, size: 0x2000 });
    vm.mapMemory({ gpa: 0x5000, size: 0x1000 });
    return vm;
  }

  it('is read and written across regions', () => {
    const { memory } = three();
    const bytes = Uint8Array.from({ length: 0x3000 }, (_, i) => i * 7);
    memory.write(0x1000, bytes);
    expect(Buffer.compare(memory.read(0x1000, 0x3000), bytes)).toBe(0);
    expect(memory.readU64(0x1ffc)).toBe(Buffer.from(bytes).readBigUInt64LE(0xffc));
    memory.writeU32(0x1ffe, 0xddccbbaa);
    expect([memory.readU8(0x1ffe), memory.readU16(0x1fff), memory.readU8(0x2001)]).toEqual([0xaa, 0xccbb, 0xdd]);
    memory.writeU64(0x1ffd, 0xffffffffffffffffn);
    memory.writeU16(0x1fff, 0x1234);
    memory.writeU8(0x2000, 0x99);
    expect(memory.readU64(0x1ffd)).toBe(0xffffffff_9934ffffn);
    const into = new Uint8Array(4);
    memory.readInto(0x1ffe, into);
    expect([...into]).toEqual([0xff, 0x34, 0x99, 0xff]);
  });

  it('writes nothing when part of the range is not there', () => {
    const { memory } = three();
    const ones = new Uint8Array(0x2000).fill(1);
    for (const gpa of [0, 0xfff, 0x3000, 0x3fff, 0x4000, 0x4fff, 0x5000, 0x5fff, 0x6000, 2 ** 52, Number.MAX_SAFE_INTEGER]) {
      expect([gpa, codeOf(() => memory.write(gpa, ones))]).toEqual([gpa, 'ERR_HAX_MEMORY']);
      expect([gpa, codeOf(() => memory.read(gpa, 0x2000))]).toEqual([gpa, 'ERR_HAX_MEMORY']);
      expect([gpa, codeOf(() => memory.view(gpa, 0x2000))]).toEqual([gpa, 'ERR_HAX_MEMORY']);
    }
    expect(memory.read(0x1000, 0x3000).every((byte) => byte === 0)).toBe(true);
    expect(memory.read(0x5000, 0x1000).every((byte) => byte === 0)).toBe(true);
    expect(memory.read(0x4000, 0).length).toBe(0);
  });

  it('refuses what is no address, length or bytes', () => {
    const { memory } = three();
    const code = 'ERR_HAX_INVALID_ARGUMENT';
    for (const gpa of [-1, 0.5, NaN, Infinity, 2 ** 53, '4096', 4096n, null, undefined, {}] as never[]) {
      expect([gpa, codeOf(() => memory.read(gpa, 1))]).toEqual([gpa, code]);
      expect([gpa, codeOf(() => memory.write(gpa, new Uint8Array(1)))]).toEqual([gpa, code]);
      expect([gpa, codeOf(() => memory.readU32(gpa))]).toEqual([gpa, code]);
      expect([gpa, codeOf(() => memory.writeU32(gpa, 1))]).toEqual([gpa, code]);
      expect([gpa, codeOf(() => memory.view(gpa, 1))]).toEqual([gpa, code]);
      expect([gpa, codeOf(() => memory.readCString(gpa))]).toEqual([gpa, code]);
    }
    for (const length of [-1, 0.5, NaN, Infinity, '1', undefined] as never[]) {
      expect([length, codeOf(() => memory.read(0x1000, length))]).toEqual([length, code]);
      expect([length, codeOf(() => memory.view(0x1000, length))]).toEqual([length, code]);
    }
    for (const bytes of ['text', [1, 2], null, undefined, 5, new Uint16Array(2), new DataView(new ArrayBuffer(2))] as never[]) {
      expect(codeOf(() => memory.write(0x1000, bytes))).toBe(code);
      expect(codeOf(() => memory.readInto(0x1000, bytes))).toBe(code);
    }
    expect(codeOf(() => memory.readCString(0x1000, -1))).toBe(code);
    expect(memory.read(0x1000, 0x1000).every((byte) => byte === 0)).toBe(true);
  });

  it('shows the memory itself in views', () => {
    const { memory } = three();
    const view = memory.view(0x1100, 0x10);
    view[0] = 0x42;
    memory.writeU8(0x110f, 0x43);
    expect([memory.readU8(0x1100), view[15], view.length]).toEqual([0x42, 0x43, 16]);
    const region = memory.regionAt(0x1000)!;
    expect([region.bytes[0x100], region.view(0x100, 1)[0]]).toEqual([0x42, 0x42]);
    expect(region.bytes.buffer).toBe(view.buffer);
    expect(codeOf(() => memory.view(0x1ff8, 0x10))).toBe('ERR_HAX_MEMORY');
    expect(codeOf(() => region.view(0, 0x1001))).toBe('ERR_HAX_MEMORY');
    expect(codeOf(() => region.view(-1, 1))).toBe('ERR_HAX_MEMORY');
  });

  it('empties views on close', () => {
    const vm = three();
    const views = [vm.memory.view(0x1000, 4), vm.memory.regionAt(0x2000)!.bytes, vm.memory.view(0x5ff0, 0x10)];
    expect(views.map((view) => view.length)).toEqual([4, 0x2000, 0x10]);
    vm.close();
    expect(views.map((view) => [view.length, view.byteOffset, view.buffer.byteLength])).toEqual([
      [0, 0, 0],
      [0, 0, 0],
      [0, 0, 0],
    ]);
  });

  it('reads and writes through a region at offsets', () => {
    const vm = three();
    const region = vm.memory.regionAt(0x2000)!;
    region.write(0x1ffe, Uint8Array.of(1, 2));
    const target = new Uint8Array(3);
    region.read(0x1ffd, target);
    expect([...target]).toEqual([0, 1, 2]);
    for (const [offset, length] of [
      [0x1fff, 2],
      [0x2000, 1],
      [-1, 1],
      [0.5, 1],
      [NaN, 1],
    ] as const) {
      expect(codeOf(() => region.read(offset, new Uint8Array(length)))).toBe('ERR_HAX_MEMORY');
      expect(codeOf(() => region.write(offset, new Uint8Array(length)))).toBe('ERR_HAX_MEMORY');
    }
  });

  it('reads text up to its end', () => {
    const { memory } = three();
    const write = (gpa: number, text: string): void => memory.write(gpa, Buffer.from(text));
    write(0x1000, 'kernel\0rest');
    write(0x1ffc, 'across\0');
    write(0x2100, 'h\u00e9');
    memory.write(0x2200, new Uint8Array(600).fill(0x41));
    memory.write(0x3f00, new Uint8Array(0x100).fill(0x42));
    memory.write(0x2300 + 0x200, Uint8Array.of(0xff, 0x41, 0));
    expect(memory.readCString(0x1000)).toBe('kernel');
    expect(memory.readCString(0x1006)).toBe('');
    expect(memory.readCString(0x1ffc)).toBe('across');
    expect(memory.readCString(0x2100)).toBe('h\u00e9');
    expect(memory.readCString(0x2200)).toBe('A'.repeat(600));
    expect(memory.readCString(0x2200, 300)).toBe('A'.repeat(300));
    expect(memory.readCString(0x2200, 0)).toBe('');
    expect(memory.readCString(0x2500)).toBe('\ufffdA');
    expect(memory.readCString(0x3f00, 0x100)).toBe('B'.repeat(0x100));
    expect(codeOf(() => memory.readCString(0x3f00))).toBe('ERR_HAX_MEMORY');
    expect(codeOf(() => memory.readCString(0x4000))).toBe('ERR_HAX_MEMORY');
  });
});

describeEachBackend('memory that is shared with other threads', (backend) => {
  it('is the guest memory itself, from an offset on, and outlives it', () => {
    const vm = backend.vm();
    const shared = createSharedMemory(3 * 65536 - 1);
    const bytes = new Uint8Array(shared.buffer);
    expect(bytes.length).toBe(3 * 65536);
    bytes[page + 5] = 7;
    const region = vm.mapMemory({ gpa: 0x10000, size: 2 * page, shared, offset: page });
    expect([vm.memory.readU8(0x10005), region.bytes[5], region.size]).toEqual([7, 7, 2 * page]);
    vm.memory.writeU32(0x10000, 0x01020304);
    vm.memory.write(0x11ffe, Uint8Array.of(8, 9));
    expect([...bytes.subarray(page, page + 4), ...bytes.subarray(3 * page - 2, 3 * page + 1)]).toEqual([4, 3, 2, 1, 8, 9, 0]);
    const view = vm.memory.view(0x11000, 16);
    bytes[2 * page + 1] = 3;
    expect(view[1]).toBe(3);
    vm.unmapMemory(region);
    expect(codeOf(() => vm.memory.readU8(0x10000))).toBe('ERR_HAX_MEMORY');
    expect([bytes[page], view[1]]).toEqual([4, 3]);
    // The same memory again, and at two places.
    vm.mapMemory({ gpa: 0, size: page, shared });
    vm.mapMemory({ gpa: 0x20000, size: page, shared });
    vm.memory.writeU8(0, 0x5a);
    expect(vm.memory.readU8(0x20000)).toBe(0x5a);
  });

  it('is refused when it is none, or too small', () => {
    const vm = backend.vm();
    const shared = createSharedMemory(65536);
    const invalid: unknown[] = [
      { shared: {} },
      { shared: null },
      { shared: { buffer: new SharedArrayBuffer(65536) } },
      { shared: { buffer: new ArrayBuffer(65536) } },
      { offset: page },
      { shared, offset: 1 },
      { shared, offset: -page },
      { shared, offset: 65536 },
      { shared, size: 2 * 65536 },
    ];
    for (const options of invalid) {
      const all = { gpa: 0, size: page, ...(options as object) } as MapMemoryOptions;
      expect(codeOf(() => vm.mapMemory(all))).toBe('ERR_HAX_INVALID_ARGUMENT');
    }
    expect(codeOf(() => createSharedMemory(2 ** 33))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(vm.memory.regions).toEqual([]);
  });
});

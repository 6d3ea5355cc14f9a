import fc from 'fast-check';
import { GuestMemory, Region, type RegionBacking } from '../../../lib/memory/guest-memory';
import { codeOf } from '../../support/codes';

const GiB = 2 ** 30;

/** Host memory that is only as large as what is written to it; buffers are of the length asked for, up to a few bytes. */
class FakeBacking implements RegionBacking {
  readonly bytes = new Map<number, number>();
  readonly buffers: { offset: number; length: number; buffer: ArrayBuffer }[] = [];
  closed = 0;

  read(offset: number, target: Uint8Array): void {
    for (let i = 0; i < target.length; i++) target[i] = this.bytes.get(offset + i) ?? 0;
  }
  write(offset: number, source: Uint8Array): void {
    for (let i = 0; i < source.length; i++) this.bytes.set(offset + i, source[i]);
  }
  buffer(offset: number, length: number): ArrayBuffer {
    // Large enough for what the tests look at.
    const buffer = new ArrayBuffer(Math.min(length, 64 * 1024));
    this.buffers.push({ offset, length, buffer });
    return buffer;
  }
  close(): void {
    this.closed++;
  }
}

function region(gpa: number, size: number): { region: Region; backing: FakeBacking; detached: ArrayBuffer[] } {
  const backing = new FakeBacking();
  const detached: ArrayBuffer[] = [];
  return { region: new Region(gpa, size, false, backing, (buffer) => detached.push(buffer)), backing, detached };
}

describe('Region', () => {
  it('makes one buffer for each 4 GiB and views into it', () => {
    const { region: large, backing } = region(0, 9 * GiB);
    expect(large.view(0x1000, 16).byteOffset).toBe(0x1000);
    expect(large.view(0x2000, 16).buffer).toBe(large.view(0, 0).buffer);
    expect(large.view(4 * GiB, 16).byteOffset).toBe(0);
    expect(large.view(8 * GiB + 0x500, 8).byteOffset).toBe(0x500);
    expect(backing.buffers.map(({ offset, length }) => [offset / GiB, length / GiB])).toEqual([
      [0, 4],
      [4, 4],
      [8, 1],
    ]);
  });

  it('refuses views across 4 GiB and says what to do', () => {
    const { region: large, backing } = region(0, 5 * GiB);
    expect(codeOf(() => large.view(4 * GiB - 8, 16))).toBe('ERR_HAX_UNSUPPORTED');
    expect(codeOf(() => large.bytes)).toBe('ERR_HAX_UNSUPPORTED');
    expect(backing.buffers).toEqual([]);
    try {
      large.view(4 * GiB - 1, 2);
    } catch (error) {
      expect((error as { hint: string }).hint).toMatch(/read\(\) and write\(\)/);
    }
  });

  it('closes once: buffers detached, memory let go, everything refused', () => {
    const { region: made, backing, detached } = region(0x1000, 0x2000);
    const view = made.bytes;
    made.close();
    made.close();
    expect([detached, backing.closed]).toEqual([[view.buffer], 1]);
    for (const use of [
      () => made.bytes,
      () => made.view(0, 1),
      () => made.read(0, new Uint8Array(1)),
      () => made.write(0, new Uint8Array(1)),
    ]) {
      expect(codeOf(use)).toBe('ERR_HAX_CLOSED');
    }
  });

  it('tells its ends', () => {
    const { region: made } = region(0xf0000, 0x10000);
    expect([made.gpa, made.last, made.size]).toEqual([0xf0000, 0xfffff, 0x10000]);
  });
});

function memory(...ranges: readonly (readonly [gpa: number, size: number])[]): {
  memory: GuestMemory;
  regions: ReturnType<typeof region>[];
} {
  const made = new GuestMemory();
  const regions = ranges.map(([gpa, size]) => region(gpa, size));
  for (const each of regions) made.insert(each.region);
  return { memory: made, regions };
}

describe('GuestMemory', () => {
  it('keeps regions in order, however they come', () => {
    const { memory: made, regions } = memory([0x5000, 0x1000], [0x1000, 0x1000], [0x3000, 0x2000]);
    expect(made.regions.map(({ gpa }) => gpa)).toEqual([0x1000, 0x3000, 0x5000]);
    expect([0x0fff, 0x1000, 0x1fff, 0x2000, 0x3000, 0x4fff, 0x5000, 0x6000].map((gpa) => made.regionAt(gpa)?.gpa)).toEqual([
      undefined,
      0x1000,
      0x1000,
      undefined,
      0x3000,
      0x3000,
      0x5000,
      undefined,
    ]);
    made.remove(regions[2].region);
    made.remove(regions[2].region);
    expect(made.regions.map(({ gpa }) => gpa)).toEqual([0x1000, 0x5000]);
    expect(made.regionAt(0x3000)).toBeUndefined();
    for (const each of made.regions) made.remove(each);
    expect(made.regions).toEqual([]);
  });

  it('has no region at what is no address', () => {
    const { memory: made } = memory([0, 0x1000]);
    expect([NaN, Infinity, -1].map((gpa) => made.regionAt(gpa))).toEqual([undefined, undefined, undefined]);
  });

  it('copies no more than an array holds', () => {
    const { memory: made } = memory([0, 2 ** 45]);
    expect(codeOf(() => made.read(0, 2 ** 44))).toBe('ERR_HAX_UNSUPPORTED');
  });

  it('looks everything up before it moves anything', () => {
    const { memory: made, regions } = memory([0, 0x1000], [0x1000, 0x1000], [0x3000, 0x1000]);
    expect(codeOf(() => made.write(0xf00, new Uint8Array(0x2200).fill(1)))).toBe('ERR_HAX_MEMORY');
    expect(regions.map(({ backing }) => backing.bytes.size)).toEqual([0, 0, 0]);
    expect(() => made.read(0xf00, 2 ** 40)).toThrow(/does not cover 0xf00\+0x10000000000/);
    expect(codeOf(() => made.read(0, Number.MAX_SAFE_INTEGER))).toBe('ERR_HAX_MEMORY');
  });

  it('splits an access among regions and offsets into them', () => {
    const { memory: made, regions } = memory([0x1000, 0x1000], [0x2000, 0x1000]);
    made.write(0x1ffd, Uint8Array.of(1, 2, 3, 4, 5));
    expect([...regions[0].backing.bytes]).toEqual([
      [0xffd, 1],
      [0xffe, 2],
      [0xfff, 3],
    ]);
    expect([...regions[1].backing.bytes]).toEqual([
      [0, 4],
      [1, 5],
    ]);
    expect([made.readU16(0x1fff), made.readU32(0x1ffd), made.readU64(0x1ffa)]).toEqual([0x0403, 0x04030201, 0x0504030201000000n]);
  });

  it('wraps numbers like registers and refuses what is none', () => {
    const { memory: made } = memory([0, 0x1000]);
    made.writeU8(0, -1);
    made.writeU16(2, 0x12345);
    made.writeU32(4, 2 ** 32 + 5);
    made.writeU64(8, -1n);
    expect([made.readU8(0), made.readU16(2), made.readU32(4), made.readU64(8)]).toEqual([0xff, 0x2345, 5, 2n ** 64n - 1n]);
    const wrong: (() => void)[] = [
      () => made.writeU8(0, '1' as never),
      () => made.writeU16(0, 1n as never),
      () => made.writeU32(0, undefined as never),
      () => made.writeU64(0, 1 as never),
    ];
    expect(wrong.map(codeOf)).toEqual(wrong.map(() => 'ERR_HAX_INVALID_ARGUMENT'));
  });

  it('agrees with one array, whatever is read and written', () => {
    const size = 0x6000;
    const access = fc.record({ gpa: fc.nat(size), length: fc.nat(0x2800), value: fc.nat(255), write: fc.boolean() });
    const ranges = fc.constantFrom(
      [[0, 0x6000] as const],
      [
        [0, 0x1000],
        [0x1000, 0x3000],
        [0x5000, 0x1000],
      ] as const,
      [
        [0x2000, 0x1000],
        [0x3000, 0x1000],
        [0x4000, 0x1000],
      ] as const,
    );
    fc.assert(
      fc.property(ranges, fc.array(access, { maxLength: 12 }), (chosen, accesses) => {
        const { memory: made } = memory(...chosen);
        const model = new Uint8Array(size);
        const there = new Uint8Array(size);
        for (const [gpa, length] of chosen) there.fill(1, gpa, gpa + length);
        for (const { gpa, length, value, write } of accesses) {
          const covered = length === 0 || (gpa + length <= size && there.subarray(gpa, gpa + length).every((each) => each === 1));
          if (write) {
            expect(codeOf(() => made.write(gpa, new Uint8Array(length).fill(value)))).toBe(covered ? undefined : 'ERR_HAX_MEMORY');
            if (covered) model.fill(value, gpa, gpa + length);
          } else if (covered) {
            expect(Buffer.compare(made.read(gpa, length), model.subarray(gpa, gpa + length))).toBe(0);
          } else {
            expect(codeOf(() => made.read(gpa, length))).toBe('ERR_HAX_MEMORY');
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('reads text over the end of a region, to a zero byte or a limit', () => {
    const { memory: made } = memory([0, 0x1000], [0x1000, 0x1000]);
    made.write(0xffd, Buffer.from('abcdef\0'));
    expect([made.readCString(0xffd), made.readCString(0xffd, 4), made.readCString(0xffd, 0)]).toEqual(['abcdef', 'abcd', '']);
    made.write(0x1ffc, Buffer.from('wxyz'));
    expect(made.readCString(0x1ffc, 4)).toBe('wxyz');
    expect(codeOf(() => made.readCString(0x1ffc))).toBe('ERR_HAX_MEMORY');
    expect(codeOf(() => made.readCString(0, 2 ** 21))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(codeOf(() => made.readCString(-1))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });
});

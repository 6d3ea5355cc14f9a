import fc from 'fast-check';
import type { IoHandler } from '../../../lib/bus/device';
import { MmioBus } from '../../../lib/bus/mmio-bus';
import { maxUnclaimedReports, type UnclaimedAccess } from '../../../lib/bus/unclaimed';
import { codeOf } from '../../support/codes';
import { byteAt, placed, Probe } from './model';

function recorder(extra: Partial<IoHandler> = {}): IoHandler & { log: string[] } {
  const log: string[] = [];
  return {
    log,
    read: (offset, width) => (log.push(`r${width}@${offset}`), 0x01010101 * (offset + 1)),
    write: (offset, value, width) => void log.push(`w${width}@${offset}=${value.toString(16)}`),
    ...extra,
  };
}

const ioapic = 0xfec00000;

describe('MmioBus', () => {
  it('hands accesses to the owner with offsets of its range', () => {
    const bus = new MmioBus();
    const handler = recorder();
    bus.add({ at: ioapic, length: 0x20 }, handler);
    expect(bus.read(ioapic + 0x10, 4)).toBe(0x11111111);
    bus.write(ioapic, 0x1ff, 1);
    expect(handler.log).toEqual(['r4@16', 'w1@0=ff']);
  });

  it('finds owners among many, above 4 GiB too', () => {
    const bus = new MmioBus();
    for (let i = 63; i >= 0; i--) bus.add({ at: 2 ** 40 + i * 0x2000, length: 0x1000, name: `device ${i}` }, recorder());
    for (let i = 0; i < 64; i++) {
      expect(bus.ownerOf(2 ** 40 + i * 0x2000)).toBe(`device ${i}`);
      expect(bus.ownerOf(2 ** 40 + i * 0x2000 + 0xfff)).toBe(`device ${i}`);
      expect(bus.ownerOf(2 ** 40 + i * 0x2000 + 0x1000)).toBeUndefined();
    }
  });

  it('gives pieces of a chip the offsets asked for', () => {
    const bus = new MmioBus();
    const handler = recorder();
    bus.add({ at: 0x1000, length: 4, offset: 0x800 }, handler);
    bus.read(0x1002, 2);
    bus.read(0x1003, 2);
    expect(handler.log).toEqual(['r2@2050', 'r1@2051']);
  });

  it('splits 8 bytes into two of 4, low first', () => {
    const bus = new MmioBus();
    const handler = recorder();
    bus.add({ at: 0x1000, length: 0x100 }, handler);
    const bytes = new Uint8Array(16);
    bus.readBytes(0x1008, bytes, 8);
    expect([...bytes]).toEqual([9, 9, 9, 9, 13, 13, 13, 13, 0, 0, 0, 0, 0, 0, 0, 0]);
    bus.writeBytes(0x1001, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), 8);
    expect(handler.log).toEqual(['r4@8', 'r4@12', 'w4@1=4030201', 'w4@5=8070605']);
  });

  it('gives 8 bytes whole to read64 and write64', async () => {
    const bus = new MmioBus();
    const log: string[] = [];
    const handler = recorder({
      read64: () => 0x8877665544332211n,
      write64: (offset, value) => void log.push(`${offset}=${value.toString(16)}`),
    });
    bus.add({ at: 0x1000, length: 16 }, handler);
    bus.add(
      { at: 0x2000, length: 8 },
      recorder({ read64: async () => -2n, write64: async (offset, value) => void log.push(`${offset}=${value.toString(16)}`) }),
    );
    const bytes = new Uint8Array(8);
    expect(bus.readBytes(0x1008, bytes, 8)).toBeUndefined();
    expect([...bytes]).toEqual([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
    expect(bus.writeBytes(0x1000, bytes, 8)).toBeUndefined();
    await bus.readBytes(0x2000, bytes, 8);
    expect([...bytes]).toEqual([0xfe, 255, 255, 255, 255, 255, 255, 255]);
    await bus.writeBytes(0x2000, bytes, 8);
    expect(log).toEqual(['0=8877665544332211', '0=fffffffffffffffe']);
    // Not all of it is the device's: two halves, the second of which leaves the range.
    bus.readBytes(0x100c, bytes, 8);
    expect(handler.log).toEqual(['r4@12']);
    expect([...bytes.subarray(4)]).toEqual([255, 255, 255, 255]);
  });

  it('names the device whose read64 gives no bigint, and takes no read64 or write64 that is no function', async () => {
    const bus = new MmioBus();
    const bytes = new Uint8Array(8);
    bus.add({ at: 0x1000, length: 8, name: 'number' }, recorder({ read64: () => 5 as never }));
    bus.add({ at: 0x2000, length: 8, name: 'later' }, recorder({ read64: () => Promise.resolve(undefined as never) }));
    const failed = { code: 'ERR_HAX_DEVICE_FAILED', message: 'number gave number instead of a bigint from read64(0x0)' };
    expect(() => bus.readBytes(0x1000, bytes, 8)).toThrow(expect.objectContaining(failed));
    await expect(bus.readBytes(0x2000, bytes, 8)).rejects.toMatchObject({ message: expect.stringMatching(/^later gave undefined /) });
    for (const wrong of [{ read64: 5 }, { write64: {} }])
      expect(codeOf(() => bus.add({ at: 0x3000, length: 8 }, recorder(wrong as never)))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });

  it.each([
    [0x1ffd, 3, ['r1@4093', 'r2@4094']],
    [0x1000, 3, ['r2@0', 'r1@2']],
    [0x1000, 5, ['r4@0', 'r1@4']],
    [0x1003, 5, ['r1@3', 'r4@4']],
    [0x1000, 6, ['r4@0', 'r2@4']],
    [0x1002, 6, ['r2@2', 'r4@4']],
    [0x1001, 7, ['r1@1', 'r2@2', 'r4@4']],
    [0x1001, 4, ['r4@1']],
    [0x1003, 2, ['r2@3']],
  ])('splits %p with %p bytes by alignment', (gpa, length, expected) => {
    const bus = new MmioBus();
    const handler = recorder();
    bus.add({ at: 0x1000, length: 0x1000 }, handler);
    bus.readBytes(gpa, new Uint8Array(8), length);
    expect(handler.log).toEqual(expected);
  });

  it('agrees with a bus of bytes, for any ranges, lengths and promises', async () => {
    const access = fc.record({
      at: fc.nat(52),
      length: fc.integer({ min: 1, max: 8 }),
      data: fc.uint8Array({ minLength: 8, maxLength: 8 }),
    });
    await fc.assert(
      fc.asyncProperty(
        placed(48),
        fc.constantFrom(0, 0xfffffff0, 2 ** 44 - 16),
        fc.array(access, { maxLength: 12 }),
        async (places, base, accesses) => {
          const bus = new MmioBus();
          const written = new Map<number, number>();
          const owned = new Set<number>();
          for (const place of places) {
            bus.add({ at: base + place.at, length: place.length }, new Probe(place, base + place.at, written));
            for (let i = 0; i < place.length; i++) owned.add(base + place.at + i);
          }
          for (const { at, length, data } of accesses) {
            const gpa = base + at;
            const target = new Uint8Array(10).fill(0x5a);
            await bus.readBytes(gpa, target, length);
            const expected = Array.from({ length: 10 }, (_, i) => (i >= length ? 0x5a : owned.has(gpa + i) ? byteAt(gpa + i) : 0xff));
            expect([...target]).toEqual(expected);
            written.clear();
            await bus.writeBytes(gpa, data, length);
            const stored = Array.from({ length }, (_, i) => gpa + i).filter((each) => owned.has(each));
            expect([...written].sort(([a], [b]) => a - b)).toEqual(stored.map((each) => [each, data[each - gpa]]));
          }
        },
      ),
    );
  });

  it('refuses lengths that no processor has', () => {
    const bus = new MmioBus();
    for (const length of [0, 9, NaN]) {
      expect(() => bus.readBytes(0, new Uint8Array(16), length)).toThrow(expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT' }));
    }
    expect(() => bus.writeBytes(0, new Uint8Array(4), 8)).toThrow(expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT' }));
  });

  it('refuses overlaps, naming both owners', () => {
    const bus = new MmioBus();
    bus.add({ at: 0x1000, length: 0x1000, name: 'low' }, recorder());
    bus.add({ at: 0x3000, length: 0x1000, name: 'high' }, recorder());
    for (const [at, length, owner] of [
      [0x0fff, 2, 'low'],
      [0x1fff, 1, 'low'],
      [0x2000, 0x1001, 'high'],
      [0, 0x10000, 'low'],
    ] as const) {
      expect(() => bus.add({ at, length, name: 'new' }, recorder())).toThrow(
        expect.objectContaining({ code: 'ERR_HAX_OVERLAP', message: expect.stringMatching(`for new would overlap .* of ${owner}$`) }),
      );
    }
    bus.add({ at: 0x2000, length: 0x1000 }, recorder());
  });

  it.each([
    [-1, 1],
    [2 ** 53, 1],
    [2 ** 53 - 1, 2],
    [0, 0],
  ])('refuses a range at %p of length %p', (at, length) => {
    expect(() => new MmioBus().add({ at, length }, recorder())).toThrow(expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT' }));
  });

  it('may change while the guest runs', () => {
    const bus = new MmioBus();
    const moved = recorder();
    const move = (): void => {
      claim.remove();
      bus.add({ at: 0x1004, length: 8 }, moved);
    };
    const claim = bus.add({ at: 0x1000, length: 8 }, recorder({ write: move }));
    bus.write(0x1000, 0, 4);
    claim[Symbol.dispose]();
    expect(bus.read(0x1000, 4)).toBe(0xffffffff);
    expect(bus.read(0x1004, 4)).toBe(0x01010101);
  });

  it('reports unclaimed addresses once per direction, up to a cap', () => {
    const bus = new MmioBus();
    const seen: UnclaimedAccess[] = [];
    bus.onUnclaimed((access) => seen.push(access));
    bus.add({ at: 0x1004, length: 4 }, recorder());
    const bytes = new Uint8Array(8);
    bus.readBytes(2 ** 45, bytes, 8);
    bus.readBytes(2 ** 45, bytes, 8);
    bus.writeBytes(0x1002, Uint8Array.of(1, 2, 3, 4), 4);
    expect(seen).toEqual([
      { bus: 'mmio', address: 2 ** 45, width: 4, direction: 'in' },
      { bus: 'mmio', address: 2 ** 45 + 4, width: 4, direction: 'in' },
      { bus: 'mmio', address: 0x1002, width: 1, direction: 'out', value: 1 },
      { bus: 'mmio', address: 0x1003, width: 1, direction: 'out', value: 2 },
    ]);
    for (let i = 0; i < 10_000; i++) bus.write(0x100000 + i * 4, i, 4);
    expect(seen).toHaveLength(2 + maxUnclaimedReports);
  });
});

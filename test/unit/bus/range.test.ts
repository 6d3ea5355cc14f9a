import fc from 'fast-check';
import { AddressRange } from '../../../lib/bus/range';

const small = fc.record({ at: fc.nat(60), length: fc.integer({ min: 1, max: 20 }) }).map(({ at, length }) => AddressRange.of(at, length));
const addresses = (range: AddressRange): number[] => Array.from({ length: range.length }, (_, i) => range.first + i);

describe('AddressRange', () => {
  it('has an inclusive end', () => {
    const range = AddressRange.of(0x3f8, 8);
    expect([range.first, range.last, range.length, String(range)]).toEqual([0x3f8, 0x3ff, 8, '0x3f8-0x3ff']);
  });

  it('can hold the highest address', () => {
    expect(AddressRange.of(0xfffe, 2, 0xffff).last).toBe(0xffff);
    expect(AddressRange.of(Number.MAX_SAFE_INTEGER, 1).last).toBe(Number.MAX_SAFE_INTEGER);
    expect(AddressRange.of(1, Number.MAX_SAFE_INTEGER).last).toBe(Number.MAX_SAFE_INTEGER);
  });

  it.each([
    [-1, 1],
    [0.5, 1],
    [NaN, 1],
    [0x10000, 1],
    [0, 0],
    [0, -1],
    [0, 1.5],
    [0, Infinity],
    [0xffff, 2],
    [1, Number.MAX_SAFE_INTEGER],
    ['0' as unknown as number, 1],
  ])('refuses %p with length %p', (at, length) => {
    expect(() => AddressRange.of(at, length, 0xffff, 'a port range')).toThrow(
      expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT', message: expect.stringContaining('a port range') }),
    );
  });

  it('overlaps and encloses what sets of addresses would', () => {
    fc.assert(
      fc.property(small, small, (a, b) => {
        const of = new Set(addresses(a));
        expect(a.overlaps(b)).toBe(addresses(b).some((each) => of.has(each)));
        expect(b.overlaps(a)).toBe(a.overlaps(b));
        expect(a.encloses(b)).toBe(addresses(b).every((each) => of.has(each)));
        for (let address = 0; address < 90; address++) expect(a.contains(address)).toBe(of.has(address));
      }),
    );
  });

  it('does not overlap its neighbours', () => {
    fc.assert(
      fc.property(small, fc.integer({ min: 1, max: 20 }), (a, length) => {
        expect(a.overlaps(AddressRange.of(a.last + 1, length))).toBe(false);
        expect(a.overlaps(AddressRange.of(a.last, length))).toBe(true);
      }),
    );
  });
});

import { Placement, alignDown, alignUp } from '../../../lib/boot/placement';
import { MiB, pcMap } from './images';

test('a claim takes exactly its range, once', () => {
  const placement = new Placement(pcMap(4 * MiB));
  expect(placement.claim('kernel', MiB, 0x1000)).toBe(true);
  expect(placement.claim('other', MiB + 0xfff, 1)).toBe(false);
  expect(placement.conflict(MiB + 0xfff, 1)).toEqual({ what: 'kernel', start: MiB, size: 0x1000 });
  expect(placement.claim('other', MiB + 0x1000, 1)).toBe(true);
  expect(placement.claim('hole', 0xa0000, 1)).toBe(false);
  expect(placement.conflict(0xa0000, 1)).toBeUndefined();
  expect(placement.claim('across', 0x9ffff, 2)).toBe(false);
  expect(placement.placed.map((range) => range.what)).toEqual(['kernel', 'other']);
});

test('lowest and highest respect bounds, alignment and earlier claims', () => {
  const placement = new Placement(pcMap(4 * MiB));
  const request = { size: 0x1800, align: 0x1000, from: 0x800, to: 2 ** 32 };
  expect(placement.claimLowest('a', request)).toBe(0x1000);
  expect(placement.claimLowest('b', request)).toBe(0x3000);
  expect(placement.claimLowest('c', { ...request, size: MiB })).toBe(MiB);
  expect(placement.claimLowest('d', { ...request, to: 0x4000 })).toBeUndefined();
  expect(placement.claimHighest('e', request)).toBe(4 * MiB - 0x2000);
  expect(placement.claimHighest('f', request)).toBe(4 * MiB - 0x4000);
  expect(placement.claimHighest('g', { ...request, to: MiB })).toBe(0x9e000);
  expect(placement.claimHighest('h', { ...request, size: 4 * MiB })).toBeUndefined();
  expect(placement.claimHighest('i', { ...request, from: 4 * MiB })).toBeUndefined();
});

test('the top of memory, with and without RAM beyond 4 GiB', () => {
  expect(new Placement(pcMap(4 * MiB))).toMatchObject({ top: 4 * MiB, lowTop: 4 * MiB });
  const high = [...pcMap(4 * MiB), { start: 2 ** 32, size: MiB, type: 1 as const }];
  expect(new Placement(high)).toMatchObject({ top: 2 ** 32 + MiB, lowTop: 4 * MiB });
  expect(new Placement([{ start: 0, size: 2 ** 33, type: 1 }])).toMatchObject({ top: 2 ** 33, lowTop: 2 ** 32 });
  expect(new Placement([])).toMatchObject({ top: 0, lowTop: 0 });
});

test('alignment beyond 32 bits', () => {
  expect(alignUp(2 ** 40 + 1, 4096)).toBe(2 ** 40 + 4096);
  expect(alignDown(2 ** 40 + 4095, 4096)).toBe(2 ** 40);
});

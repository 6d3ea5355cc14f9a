import fc from 'fast-check';
import { buildE820, e820Type, isRam, kibibytesFrom } from '../../../lib/boot/e820';
import { refusal } from './images';

const { ram, reserved, acpi } = e820Type;

test('reserved ranges are cut out of RAM, touching RAM is merged, order is ascending', () => {
  const map = buildE820({
    ram: [
      { start: 0x100000, size: 0x100000 },
      { start: 0, size: 0x80000 },
      { start: 0x80000, size: 0x20000 },
      { start: 2 ** 32, size: 0x1000 },
    ],
    reserved: [
      { start: 0xe0000, size: 0x20000 },
      { start: 0x9f000, size: 0x1000, type: acpi },
      { start: 0x150000, size: 0x1000 },
    ],
  });
  expect(map).toEqual([
    { start: 0, size: 0x9f000, type: ram },
    { start: 0x9f000, size: 0x1000, type: acpi },
    { start: 0xe0000, size: 0x20000, type: reserved },
    { start: 0x100000, size: 0x50000, type: ram },
    { start: 0x150000, size: 0x1000, type: reserved },
    { start: 0x151000, size: 0xaf000, type: ram },
    { start: 2 ** 32, size: 0x1000, type: ram },
  ]);
});

test('a reserved range may cover all of a RAM range, or its edges', () => {
  const map = buildE820({ ram: [{ start: 0x1000, size: 0x1000 }], reserved: [{ start: 0, size: 0x3000 }] });
  expect(map).toEqual([{ start: 0, size: 0x3000, type: reserved }]);
  const edges = buildE820({
    ram: [{ start: 0x1000, size: 0x3000 }],
    reserved: [
      { start: 0, size: 0x2000 },
      { start: 0x3000, size: 0x2000 },
    ],
  });
  expect(edges.filter((entry) => entry.type === ram)).toEqual([{ start: 0x2000, size: 0x1000, type: ram }]);
});

test('isRam asks for the whole range', () => {
  const map = buildE820({ ram: [{ start: 0, size: 0x2000 }], reserved: [{ start: 0x1000, size: 0x100 }] });
  expect(isRam(map, 0, 0x1000)).toBe(true);
  expect(isRam(map, 0xfff, 2)).toBe(false);
  expect(isRam(map, 0x1100, 0xf00)).toBe(true);
  expect(isRam(map, 0x1100, 0xf01)).toBe(false);
});

test('kibibytesFrom counts up to the first hole', () => {
  const map = buildE820({
    ram: [
      { start: 0, size: 0x9fc00 },
      { start: 0x100000, size: 0x300400 },
    ],
  });
  expect(kibibytesFrom(map, 0, 640)).toBe(639);
  expect(kibibytesFrom(map, 0, 512)).toBe(512);
  expect(kibibytesFrom(map, 0x100000, 0xffffffff)).toBe(3073);
  expect(kibibytesFrom(map, 0xa0000, 640)).toBe(0);
});

test.each([
  ['an empty range', { ram: [{ start: 0, size: 0 }] }, 'ERR_HAX_INVALID_ARGUMENT', 'size of a RAM range'],
  ['a negative start', { ram: [{ start: -1, size: 1 }] }, 'ERR_HAX_INVALID_ARGUMENT', 'start of a RAM range'],
  ['a range beyond 2^53', { ram: [{ start: Number.MAX_SAFE_INTEGER, size: 5 }] }, 'ERR_HAX_INVALID_ARGUMENT', '2^53'],
  [
    'overlapping RAM',
    {
      ram: [
        { start: 0, size: 5 },
        { start: 4, size: 5 },
      ],
    },
    'ERR_HAX_OVERLAP',
    'RAM range at 0x4',
  ],
  [
    'overlapping reservations',
    {
      ram: [],
      reserved: [
        { start: 0, size: 5 },
        { start: 4, size: 5 },
      ],
    },
    'ERR_HAX_OVERLAP',
    'reserved range at 0x4',
  ],
] as const)('refuses %s', (_, options, code, text) => {
  const error = refusal(() => buildE820(options));
  expect(error.code).toBe(code);
  expect(error.message).toContain(text);
});

test('a byte is RAM in the map exactly when it is RAM and not reserved', () => {
  /** Ranges in the first 64 units, without overlap. */
  const ranges = fc
    .uniqueArray(fc.nat(64), { minLength: 2, maxLength: 12 })
    .map((cuts) => cuts.sort((a, b) => a - b))
    .map((cuts) => cuts.slice(1).flatMap((cut, index) => (index % 2 ? [] : [{ start: cuts[index], size: cut - cuts[index] }])));
  fc.assert(
    fc.property(ranges, ranges, (ramRanges, holes) => {
      const map = buildE820({ ram: ramRanges, reserved: holes });
      const within = (list: { start: number; size: number }[], at: number) =>
        list.some(({ start, size }) => at >= start && at < start + size);
      for (let at = 0; at < 64; at++) expect(isRam(map, at, 1)).toBe(within(ramRanges, at) && !within(holes, at));
      map.slice(1).forEach((entry, index) => expect(entry.start).toBeGreaterThanOrEqual(map[index].start + map[index].size));
    }),
  );
});

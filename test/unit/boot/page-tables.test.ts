import { identityMap, identityMapSize } from '../../../lib/boot/page-tables';

const base = 0x5000;

/** What the processor does: PML4, page-directory pointer, page directory, 2 MiB page. */
function translate(tables: Uint8Array, address: number): number {
  const read = (table: bigint, index: number) => Buffer.from(tables).readBigUInt64LE(Number(table) - base + index * 8);
  const next = (entry: bigint) => {
    expect(entry & 0x83n).toBe(3n);
    return entry & ~0xfffn;
  };
  const pdpt = next(read(BigInt(base), Math.floor(address / 2 ** 39)));
  const directory = next(read(pdpt, Math.floor(address / 2 ** 30)));
  const page = read(directory, Math.floor(address / 2 ** 21) % 512);
  expect(page & 0x83n).toBe(0x83n);
  return Number(page & ~0x1fffffn) + (address % 2 ** 21);
}

test('the first 4 GiB are mapped to themselves', () => {
  const tables = identityMap(base);
  expect(tables.length).toBe(identityMapSize);
  for (const address of [0, 0x1000, 0x200000, 0x3fffffff, 0x40000000, 0x87654321, 0xffffffff])
    expect(translate(tables, address)).toBe(address);
});

test('nothing else is', () => {
  const tables = Buffer.from(identityMap(base));
  expect(tables.readBigUInt64LE(8)).toBe(0n);
  expect(tables.readBigUInt64LE(4096 + 4 * 8)).toBe(0n);
});

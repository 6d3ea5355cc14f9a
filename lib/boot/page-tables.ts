/** Page tables that map the first 4 GiB to themselves with 2 MiB pages (Intel SDM vol. 3, 4.5, "4-level paging"). */

const pageSize = 4096;
const entriesPerTable = 512;
const gibibytes = 4;

const present = 1n;
const writable = 2n;
/** In a page directory: the entry maps a 2 MiB page. */
const largePage = 0x80n;

/** PML4, one page-directory-pointer table, one page directory for each GiB. */
export const identityMapSize = (2 + gibibytes) * pageSize;

/** The tables as they must stand at guest-physical `base`, which is page aligned and goes into CR3. */
export function identityMap(base: number): Uint8Array {
  const tables = Buffer.alloc(identityMapSize);
  const setEntry = (table: number, index: number, value: bigint) => tables.writeBigUInt64LE(value, table * pageSize + index * 8);
  const tableAt = (table: number) => BigInt(base + table * pageSize) | present | writable;
  setEntry(0, 0, tableAt(1));
  for (let gib = 0; gib < gibibytes; gib++) setEntry(1, gib, tableAt(2 + gib));
  for (let page = 0; page < gibibytes * entriesPerTable; page++) {
    const table = 2 + Math.floor(page / entriesPerTable);
    setEntry(table, page % entriesPerTable, (BigInt(page) << 21n) | present | writable | largePage);
  }
  return tables;
}

/** Page tables that map the first 4 GiB to themselves with 2 MiB pages (Intel SDM vol. 3, 4.5, "4-level paging"). */

const pageSize = 4096;
const entriesPerTable = 512;
const gibibytes = 4;

/** Bits of the low half of an entry. */
const present = 1;
const writable = 2;
/** In a page directory: the entry maps a 2 MiB page. */
const largePage = 0x80;

/** PML4, one page-directory-pointer table, one page directory for each GiB. */
export const identityMapSize = (2 + gibibytes) * pageSize;

/** The tables as they must stand at guest-physical `base`, which is page aligned and goes into CR3. */
export function identityMap(base: number): Uint8Array {
  // All addresses are below 4 GiB: the high halves of the entries stay 0. A bigint for each of 2,048 entries would cost a millisecond.
  const halves = new Uint32Array(identityMapSize / 4);
  const setEntry = (table: number, index: number, low: number) => (halves[(table * pageSize) / 4 + index * 2] = low);
  const tableAt = (table: number) => base + table * pageSize + present + writable;
  setEntry(0, 0, tableAt(1));
  for (let gib = 0; gib < gibibytes; gib++) setEntry(1, gib, tableAt(2 + gib));
  for (let page = 0; page < gibibytes * entriesPerTable; page++) {
    // The page directories follow one another: one array of entries.
    setEntry(2, page, page * 2 ** 21 + present + writable + largePage);
  }
  return new Uint8Array(halves.buffer);
}

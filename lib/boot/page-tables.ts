/** Page tables that map the first 4 GiB to themselves with 2 MiB pages (Intel SDM vol. 3, 4.5, "4-level paging"). */

const pageSize = 4096;
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
  // All addresses are below 4 GiB: the high halves of the entries stay 0. No bigint and no call for each of 2,048 entries: this runs once, before
  // V8 has compiled it.
  const halves = new Uint32Array(identityMapSize / 4);
  const wordsPerTable = pageSize / 4;
  const tableAt = (table: number) => base + table * pageSize + present + writable;
  halves[0] = tableAt(1);
  for (let gib = 0; gib < gibibytes; gib++) halves[wordsPerTable + 2 * gib] = tableAt(2 + gib);
  // The page directories follow one another: one array of entries.
  let entry = present + writable + largePage;
  for (let word = 2 * wordsPerTable; word < halves.length; word += 2, entry += 2 ** 21) halves[word] = entry;
  return new Uint8Array(halves.buffer);
}

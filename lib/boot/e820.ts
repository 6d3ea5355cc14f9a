import { HaxError, invalidArgument } from '../util/errors';
import { checkInteger, hex } from '../util/numbers';

/** A piece of guest-physical address space; `size` is in bytes and at least 1. */
export interface PhysicalRange {
  readonly start: number;
  readonly size: number;
}

/** RAM below 4 GiB ends here at the latest; from here to 4 GiB are the interrupt controllers and whatever is mapped later. */
export const lowRamLimit = 3 * 2 ** 30;

/** Address range types of the system address map (ACPI 6.3, section 15). */
export const e820Type = {
  /** Memory that the guest may use freely. */
  ram: 1,
  reserved: 2,
  /** ACPI tables: RAM again once the guest has read them. */
  acpi: 3,
  /** ACPI non-volatile storage: to be kept across sleep. */
  nvs: 4,
} as const;

export type E820Type = (typeof e820Type)[keyof typeof e820Type];

/** One line of the map that a BIOS returns for int 15h, ax=e820h (ACPI 6.3, section 15.1). */
export interface E820Entry extends PhysicalRange {
  readonly type: E820Type;
}

export interface E820Options {
  /** Where RAM is mapped; ranges may touch but not overlap. */
  readonly ram: readonly PhysicalRange[];
  /** What the guest must leave alone, inside or outside RAM; ranges must not overlap each other. */
  readonly reserved?: readonly (PhysicalRange & { readonly type?: Exclude<E820Type, 1> })[];
}

/**
 * The address map of a machine: RAM with the reserved ranges cut out of it, in ascending order, touching RAM merged.
 * Throws ERR_HAX_INVALID_ARGUMENT for an empty or unsafe range and ERR_HAX_OVERLAP when two ranges of one kind overlap.
 */
export function buildE820({ ram, reserved = [] }: E820Options): E820Entry[] {
  const holes = sorted(
    reserved.map(({ start, size, type }) => ({ start, size, type: type ?? e820Type.reserved })),
    'reserved range',
  );
  const map: E820Entry[] = [...holes];
  for (const { start, end } of mergedRanges(sorted(ram, 'RAM range'))) {
    let from = start;
    for (const hole of holes) {
      const holeEnd = hole.start + hole.size;
      if (holeEnd <= from || hole.start >= end) continue;
      if (hole.start > from) map.push({ start: from, size: hole.start - from, type: e820Type.ram });
      from = Math.min(holeEnd, end);
    }
    if (from < end) map.push({ start: from, size: end - from, type: e820Type.ram });
  }
  return map.sort((a, b) => a.start - b.start);
}

/** RAM of a map as ascending spans with exclusive ends, touching ones merged. */
export function ramSpans(map: readonly E820Entry[]): { start: number; end: number }[] {
  return mergedRanges(map.filter((entry) => entry.type === e820Type.ram).sort((a, b) => a.start - b.start));
}

/** Whether the whole of a range is RAM according to the map. */
export function isRam(map: readonly E820Entry[], start: number, size: number): boolean {
  return ramSpans(map).some((span) => start >= span.start && start + size <= span.end);
}

/** RAM from `address` up to the first hole, in whole KiB but at most `maximum`; 0 when there is none at `address`. */
export function kibibytesFrom(map: readonly E820Entry[], address: number, maximum: number): number {
  const span = ramSpans(map).find(({ start, end }) => start <= address && address < end);
  return span ? Math.min(maximum, Math.floor((span.end - address) / 1024)) : 0;
}

function mergedRanges(ranges: readonly PhysicalRange[]): { start: number; end: number }[] {
  const spans: { start: number; end: number }[] = [];
  for (const { start, size } of ranges) {
    const last = spans.at(-1);
    if (last?.end === start) last.end = start + size;
    else spans.push({ start, end: start + size });
  }
  return spans;
}

function sorted<Range extends PhysicalRange>(ranges: readonly Range[], what: string): Range[] {
  for (const { start, size } of ranges) {
    checkInteger(start, `the start of a ${what}`, 0, Number.MAX_SAFE_INTEGER);
    checkInteger(size, `the size of a ${what}`, 1, Number.MAX_SAFE_INTEGER);
    if (!Number.isSafeInteger(start + size)) throw invalidArgument(`the ${what} at ${hex(start)} must end below 2^53`);
  }
  const ascending = [...ranges].sort((a, b) => a.start - b.start);
  ascending.forEach((range, index) => {
    const before = ascending[index - 1];
    if (before && before.start + before.size > range.start) {
      throw new HaxError('ERR_HAX_OVERLAP', `the ${what} at ${hex(range.start)} overlaps the one at ${hex(before.start)}`);
    }
  });
  return ascending;
}

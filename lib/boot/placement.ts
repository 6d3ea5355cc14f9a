import { ramSpans } from './e820';
import type { E820Entry, PhysicalRange } from './e820';

/** What a loader put where; shown by --print-layout. */
export interface PlacedRange extends PhysicalRange {
  /** Such as `kernel`, `initrd`, `boot_params`. */
  readonly what: string;
}

/** Where a range may go: `from` inclusive, `to` exclusive, `align` a power of two. */
export interface PlacementRequest {
  readonly size: number;
  readonly align: number;
  readonly from: number;
  readonly to: number;
}

/** Hands out RAM so that nothing a loader writes overlaps anything else it wrote. */
export class Placement {
  readonly placed: PlacedRange[] = [];
  /** End of the highest RAM, exclusive; 0 when there is none. */
  readonly top: number;
  /** End of the highest RAM below 4 GiB, exclusive: the memory that 32-bit addresses reach. */
  readonly lowTop: number;
  #free: { start: number; end: number }[];

  constructor(map: readonly E820Entry[]) {
    this.#free = ramSpans(map);
    this.top = this.#free.at(-1)?.end ?? 0;
    this.lowTop = Math.min(2 ** 32, this.#free.findLast((span) => span.start < 2 ** 32)?.end ?? 0);
  }

  /** Takes exactly this range; false, and nothing taken, unless all of it is free RAM. */
  claim(what: string, start: number, size: number): boolean {
    const end = start + size;
    const span = this.#free.find((free) => start >= free.start && end <= free.end);
    if (!span) return false;
    this.#free = this.#free.flatMap((free) => {
      if (free !== span) return [free];
      return [
        { start: span.start, end: start },
        { start: end, end: span.end },
      ].filter((rest) => rest.end > rest.start);
    });
    this.placed.push({ what, start, size });
    return true;
  }

  /** Takes the lowest range that fits and returns its address; undefined when there is none. */
  claimLowest(what: string, { size, align, from, to }: PlacementRequest): number | undefined {
    for (const span of this.#free) {
      const start = alignUp(Math.max(span.start, from), align);
      if (start + size <= Math.min(span.end, to) && this.claim(what, start, size)) return start;
    }
    return undefined;
  }

  /** Takes the highest range that fits and returns its address; undefined when there is none. */
  claimHighest(what: string, { size, align, from, to }: PlacementRequest): number | undefined {
    for (const span of this.#free.toReversed()) {
      const start = alignDown(Math.min(span.end, to) - size, align);
      if (start >= Math.max(span.start, from) && this.claim(what, start, size)) return start;
    }
    return undefined;
  }

  /** The earlier claim that a range runs into, if any. */
  conflict(start: number, size: number): PlacedRange | undefined {
    return this.placed.find((other) => start < other.start + other.size && other.start < start + size);
  }
}

/** The next multiple of `align`; arithmetic, because the operators & and | stop at 32 bits. */
export function alignUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}

export function alignDown(value: number, align: number): number {
  return Math.floor(value / align) * align;
}

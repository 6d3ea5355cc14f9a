/** Host memory for the raw memory calls, and what of it the driver has been told. */
import { addon, type NativeMemory } from '../../native/addon';

/** Zero-filled, page-aligned, not copied by fork. It stays until the VM is closed: the driver cannot forget a block. */
export class HaxmMemory {
  /** Its address in this process, for `va`. */
  readonly va: bigint;
  /** The memory itself. */
  readonly bytes: Uint8Array;

  constructor(
    /** Bytes. */
    readonly size: number,
    native: NativeMemory,
  ) {
    this.bytes = new Uint8Array(native.buffer(0, size));
    this.va = addon().addressOf(this.bytes);
  }
}

/** Guest-physical addresses, `end` excluded. */
export interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

export interface Block {
  readonly va: bigint;
  readonly size: bigint;
  /** What is left of its mapping, for a block that goes with it. */
  readonly mappedAt?: readonly Range[];
}

/** The ranges without what lies in `start` to `end`. */
export function without(ranges: readonly Range[], start: bigint, end: bigint): Range[] {
  return ranges.flatMap((range) => {
    const before = { start: range.start, end: range.end < start ? range.end : start };
    const behind = { start: range.start > end ? range.start : end, end: range.end };
    return [before, behind].filter((part) => part.start < part.end);
  });
}

export function contains(block: { va: bigint; size: bigint }, va: bigint, size: bigint): boolean {
  return va >= block.va && va + size <= block.va + block.size;
}

export function overlaps(block: { va: bigint; size: bigint }, va: bigint, size: bigint): boolean {
  return va < block.va + block.size && block.va < va + size;
}

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

export interface Block {
  readonly va: bigint;
  readonly size: bigint;
  /** For a block that goes with its mapping. */
  readonly standaloneAt?: bigint;
}

export function contains(block: { va: bigint; size: bigint }, va: bigint, size: bigint): boolean {
  return va >= block.va && va + size <= block.va + block.size;
}

export function overlaps(block: { va: bigint; size: bigint }, va: bigint, size: bigint): boolean {
  return va < block.va + block.size && block.va < va + size;
}

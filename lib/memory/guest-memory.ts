import { checkBytes, shown } from '../util/check';
import { HaxError, invalidArgument } from '../util/errors';
import { checkInteger, hex } from '../util/numbers';

/** Guest-physical memory as boot loaders see it: addresses are guest-physical, safe-integer numbers. */
export interface GuestMemoryAccess {
  /** Copies `bytes` to guest-physical `gpa`; throws ERR_HAX_MEMORY and writes nothing when the range is not all mapped. */
  write(gpa: number, bytes: Uint8Array): void;
  /** A copy of `length` bytes at `gpa`; throws ERR_HAX_MEMORY when the range is not all mapped. */
  read(gpa: number, length: number): Uint8Array;
}

/** The host memory behind a region; the addon's, or any object of this shape in tests. */
export interface RegionBacking {
  /** Fills `target` from `offset` on. */
  read(offset: number, target: Uint8Array): void;
  /** Copies `source` to `offset` and what follows. */
  write(offset: number, source: Uint8Array): void;
  /** The memory itself, at most 4 GiB of it. */
  buffer(offset: number, length: number): ArrayBuffer;
  /** A window onto memory that is JavaScript's own; where there is none, views are made of buffer(). */
  view?(offset: number, length: number): Uint8Array;
  close(): void;
}

/** V8 refuses external buffers above 4 GiB. */
const maxBuffer = 2 ** 32;

/** Guest RAM or ROM at one guest-physical range. The region owns its host memory, which lives until close(). */
export class Region {
  #buffers = new Map<number, ArrayBuffer>();
  #closed = false;

  constructor(
    /** Guest-physical address of the first byte. */
    readonly gpa: number,
    /** Bytes. */
    readonly size: number,
    /** Guest writes become MMIO exits. */
    readonly readOnly: boolean,
    private readonly backing: RegionBacking,
    private readonly detach: (buffer: ArrayBuffer) => void,
  ) {}

  /** Guest-physical address of the last byte. */
  get last(): number {
    return this.gpa + this.size - 1;
  }

  /**
   * The whole region without a copy. Throws ERR_HAX_UNSUPPORTED above 4 GiB: use view() on parts of it. Empty once the region is closed, when this throws
   * ERR_HAX_CLOSED.
   */
  get bytes(): Uint8Array {
    return this.view(0, this.size);
  }

  /** A window of `length` bytes at `offset` into the region. It must not cross a multiple of 4 GiB. */
  view(offset: number, length: number): Uint8Array {
    this.#check(offset, length);
    if (this.backing.view) return this.backing.view(offset, length);
    const start = Math.floor(offset / maxBuffer) * maxBuffer;
    const end = Math.min(start + maxBuffer, this.size);
    if (offset + length > end) {
      throw new HaxError(
        'ERR_HAX_UNSUPPORTED',
        `a view of guest memory cannot cross a multiple of 4 GiB of its region: ${hex(offset)}+${hex(length)}`,
        {
          hint: 'Use read() and write(), or several views.',
        },
      );
    }
    let buffer = this.#buffers.get(start);
    if (!buffer) {
      buffer = this.backing.buffer(start, end - start);
      this.#buffers.set(start, buffer);
    }
    return new Uint8Array(buffer, offset - start, length);
  }

  /** Fills `target` from `offset` on, bytes from the region's start. Throws ERR_HAX_MEMORY for what is not inside. */
  read(offset: number, target: Uint8Array): void {
    checkBytes(target, 'what guest memory is read into');
    this.#check(offset, target.length);
    this.backing.read(offset, target);
  }

  /** Copies `source` to `offset` and what follows. Throws ERR_HAX_MEMORY for what is not inside. */
  write(offset: number, source: Uint8Array): void {
    checkBytes(source, 'what guest memory is written from');
    this.#check(offset, source.length);
    this.backing.write(offset, source);
  }

  /** Views become empty; the host memory goes with the VM's own hold on it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const buffer of this.#buffers.values()) this.detach(buffer);
    this.#buffers.clear();
    this.backing.close();
  }

  #check(offset: number, length: number): void {
    if (typeof offset !== 'number' || typeof length !== 'number') {
      throw invalidArgument(`offset and length are numbers, not ${shown(offset)} and ${shown(length)}`);
    }
    if (this.#closed) throw new HaxError('ERR_HAX_CLOSED', `the memory region at ${hex(this.gpa)} has been closed`);
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0 || offset + length > this.size) {
      throw new HaxError(
        'ERR_HAX_MEMORY',
        `${hex(offset)}+${hex(length)} is not inside the region of ${hex(this.size)} bytes at ${hex(this.gpa)}`,
      );
    }
  }
}

/**
 * The guest-physical memory of a VM. The guest runs while the host looks: read a value once, check it, then use it.
 * Addresses are safe-integer numbers; ranges may cross from one region into the next. Once the VM is closed there is none: ERR_HAX_CLOSED.
 */
export class GuestMemory implements GuestMemoryAccess {
  readonly #regions: Region[] = [];
  #closed = false;
  readonly #scratch = new DataView(new ArrayBuffer(8));
  readonly #scratchBytes = new Uint8Array(this.#scratch.buffer);

  /** In order of their addresses: a list of its own each time, which stays what it is when regions come and go. */
  get regions(): readonly Region[] {
    return [...this.#regions];
  }

  /** For VirtualMachine.mapMemory(), which has checked the range. */
  insert(region: Region): void {
    const index = this.#regions.findIndex((each) => each.gpa > region.gpa);
    this.#regions.splice(index < 0 ? this.#regions.length : index, 0, region);
  }

  /** For VirtualMachine, which has unmapped it. */
  remove(region: Region): void {
    const index = this.#regions.indexOf(region);
    if (index >= 0) this.#regions.splice(index, 1);
  }

  /** For a VirtualMachine that closes: closes all regions and takes them away for good. */
  clear(): void {
    this.#closed = true;
    for (const region of this.#regions.splice(0)) region.close();
  }

  /** The region that holds `gpa`, if any. */
  regionAt(gpa: number): Region | undefined {
    if (typeof gpa !== 'number') throw invalidArgument(`a guest-physical address is a number, not ${shown(gpa)}`);
    let low = 0;
    let high = this.#regions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const region = this.#regions[middle];
      if (gpa >= region.gpa && gpa <= region.last) return region;
      if (gpa > region.last) low = middle + 1;
      else high = middle;
    }
    return undefined;
  }

  /** A copy of `length` bytes. Throws ERR_HAX_MEMORY where some of them are not mapped, ERR_HAX_UNSUPPORTED where no array is that large. */
  read(gpa: number, length: number): Uint8Array {
    this.#checkRange(gpa, length);
    let bytes: Uint8Array;
    try {
      bytes = new Uint8Array(length);
    } catch (cause) {
      throw new HaxError('ERR_HAX_UNSUPPORTED', `this runtime has no array of ${hex(length)} bytes for a copy of guest memory`, {
        hint: 'Use readInto() or views, piece by piece.',
        cause,
      });
    }
    this.readInto(gpa, bytes);
    return bytes;
  }

  /** As read(), into an array of the caller's. */
  readInto(gpa: number, target: Uint8Array): void {
    checkBytes(target, 'what guest memory is read into');
    this.#each(gpa, target.length, (region, offset, from, to) => region.read(offset, target.subarray(from, to)));
  }

  /** Copies `bytes` to `gpa` and what follows. Throws ERR_HAX_MEMORY where some of it is not mapped. */
  write(gpa: number, bytes: Uint8Array): void {
    checkBytes(bytes, 'what guest memory is written from');
    this.#each(gpa, bytes.length, (region, offset, from, to) => region.write(offset, bytes.subarray(from, to)));
  }

  /** A window onto guest memory, not a copy, inside one region. The guest may change what it shows at any time. */
  view(gpa: number, length: number): Uint8Array {
    this.#checkRange(gpa, length);
    const region = this.regionAt(gpa);
    if (!region) throw this.#unmapped(gpa, length);
    return region.view(gpa - region.gpa, length);
  }

  /** One byte. This and its likes are little-endian, unsigned, need no alignment and throw ERR_HAX_MEMORY where nothing is mapped. */
  readU8(gpa: number): number {
    return this.#load(gpa, 1).getUint8(0);
  }
  /** Two bytes, unsigned and little-endian. */
  readU16(gpa: number): number {
    return this.#load(gpa, 2).getUint16(0, true);
  }
  /** Four bytes, unsigned and little-endian. */
  readU32(gpa: number): number {
    return this.#load(gpa, 4).getUint32(0, true);
  }
  /** Eight bytes, unsigned and little-endian. */
  readU64(gpa: number): bigint {
    return this.#load(gpa, 8).getBigUint64(0, true);
  }
  /** Stores the low 8 bits of `value`. */
  writeU8(gpa: number, value: number): void {
    this.#scratch.setUint8(0, number(value));
    this.#store(gpa, 1);
  }
  /** Stores the low 16 bits of `value`, little-endian. */
  writeU16(gpa: number, value: number): void {
    this.#scratch.setUint16(0, number(value), true);
    this.#store(gpa, 2);
  }
  /** Stores the low 32 bits of `value`, little-endian. */
  writeU32(gpa: number, value: number): void {
    this.#scratch.setUint32(0, number(value), true);
    this.#store(gpa, 4);
  }
  /** Stores the low 64 bits of `value`, little-endian. */
  writeU64(gpa: number, value: bigint): void {
    if (typeof value !== 'bigint') throw invalidArgument(`a value of 64 bits is a bigint, not ${shown(value)}`);
    this.#scratch.setBigUint64(0, value, true);
    this.#store(gpa, 8);
  }

  /** Text up to a zero byte, or up to `limit` bytes where there is none; bytes that are not UTF-8 become U+FFFD. */
  readCString(gpa: number, limit = 4096): string {
    checkAddress(gpa);
    checkInteger(limit, 'limit', 0, 2 ** 20);
    const found: Uint8Array[] = [];
    for (let at = gpa, left = limit; left > 0;) {
      const region = this.regionAt(at);
      if (!region) throw this.#unmapped(at, 1);
      const length = Math.min(left, 256, region.last - at + 1);
      const piece = new Uint8Array(length);
      region.read(at - region.gpa, piece);
      const end = piece.indexOf(0);
      if (end >= 0) {
        found.push(piece.subarray(0, end));
        break;
      }
      found.push(piece);
      at += length;
      left -= length;
    }
    return Buffer.concat(found).toString('utf8');
  }

  #load(gpa: number, width: number): DataView {
    this.readInto(gpa, this.#scratchBytes.subarray(0, width));
    return this.#scratch;
  }

  #store(gpa: number, width: number): void {
    this.write(gpa, this.#scratchBytes.subarray(0, width));
  }

  #unmapped(gpa: number, length: number): HaxError {
    if (this.#closed) return new HaxError('ERR_HAX_CLOSED', 'the virtual machine of this guest memory has been closed');
    return new HaxError('ERR_HAX_MEMORY', `guest memory does not cover ${hex(gpa)}+${hex(length)}`);
  }

  #checkRange(gpa: number, length: number): void {
    checkAddress(gpa);
    if (!Number.isSafeInteger(length) || length < 0) throw invalidArgument(`a length is a whole number of bytes, not ${shown(length)}`);
    // Everything is looked up before anything is allocated or moved.
    for (let at = gpa, left = length; left > 0;) {
      const region = this.regionAt(at);
      if (!region) throw this.#unmapped(gpa, length);
      const step = Math.min(left, region.last - at + 1);
      at += step;
      left -= step;
    }
  }

  #each(gpa: number, length: number, move: (region: Region, offset: number, from: number, to: number) => void): void {
    checkAddress(gpa);
    if (length === 0) return;
    const only = this.regionAt(gpa);
    if (only && gpa + length - 1 <= only.last) {
      move(only, gpa - only.gpa, 0, length);
      return;
    }
    this.#checkRange(gpa, length);
    for (let from = 0; from < length;) {
      const region = this.regionAt(gpa + from)!;
      const to = Math.min(length, region.last - gpa + 1);
      move(region, gpa + from - region.gpa, from, to);
      from = to;
    }
  }
}

function checkAddress(gpa: unknown): void {
  if (!Number.isSafeInteger(gpa) || (gpa as number) < 0) {
    throw invalidArgument(`a guest-physical address is a whole number from 0 to 2^53 - 1, not ${shown(gpa)}`);
  }
}

/** Wraps like a register, but only numbers. */
function number(value: number): number {
  if (typeof value !== 'number') throw invalidArgument(`a value of up to 32 bits is a number, not ${shown(value)}`);
  return value;
}

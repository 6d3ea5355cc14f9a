import { checkObject } from '../util/check';
import { invalidArgument } from '../util/errors';
import {
  checkDoorbells,
  type Claim,
  closedBus,
  isPromiseLike,
  makeClaim,
  overlap,
  removable,
  settleRead,
  settleRead64,
  together,
  truncate,
  type ConnectDoorbells,
  type PostRange,
  type RangeRequest,
  type Removable,
} from './claim';
import type { IoHandler, Width } from './device';
import { AddressRange } from './range';
import { readParts, writeParts } from './split';
import { UnclaimedReports, type UnclaimedListener } from './unclaimed';

/**
 * Guest-physical addresses that are not memory: where memory is mapped over a range later, guests reach that and no handler (of read-only memory,
 * writes come here). Guests access them with 1 to 8 bytes; 3, 5, 6 and 7 arise where an access crosses a page.
 * Handlers see 1, 2 and 4, or 8 where they declare read64 and write64; the parts come low first. An access that reaches beyond the end
 * of its range is split into bytes that are looked up one by one. Unclaimed reads give all-ones, unclaimed writes vanish.
 * What a handler throws passes through.
 */
export class MmioBus {
  /** In order of their addresses. */
  readonly #claims: Claim[] = [];
  /** The claim of the last access: drivers touch one device many times over. */
  #last: Claim | undefined;
  #closed = false;
  readonly #unclaimed = new UnclaimedReports('mmio');
  /** For the VM: how writes become posted. */
  onPost: PostRange | undefined;
  /** For the VM: how doorbells are connected. */
  onDoorbells: ConnectDoorbells | undefined;
  /** For the VM: throws where no access would come to the bus. */
  onAdd: ((range: AddressRange, name: string) => void) | undefined;

  /**
   * Gives `length` bytes from guest-physical address `at` on to a handler. Throws ERR_HAX_OVERLAP when one of them has an owner already, or is
   * memory that the guest can write, ERR_HAX_INVALID_ARGUMENT when the range is empty or goes beyond 2^53 - 1, ERR_HAX_CLOSED once the VM is
   * closed. Legal while the guest runs, as is remove().
   * The handler's methods are looked up now, once.
   */
  add(request: RangeRequest, handler: IoHandler): Removable {
    const claim = makeClaim(request, handler, Number.MAX_SAFE_INTEGER, 'an MMIO range');
    const { range } = claim;
    if (this.#closed) throw closedBus(claim);
    const index = this.#lowerBound(range.first);
    const next = this.#claims[index];
    if (next && next.range.overlaps(range)) throw overlap('MMIO', claim, next);
    this.onAdd?.(range, claim.name);
    const extras = this.#extras(request, range);
    this.#claims.splice(index, 0, claim);
    return removable(() => {
      extras.remove();
      if (this.#closed) return;
      this.#claims.splice(this.#claims.indexOf(claim), 1);
      this.#last = undefined;
    });
  }

  /** Makes writes to addresses that have a handler posted, until removed; as `posted` in {@link add}. */
  post(range: { readonly at: number; readonly length: number } | AddressRange): Removable {
    checkObject(range, 'what post() takes');
    const addresses =
      range instanceof AddressRange ? range : AddressRange.of(range.at, range.length, Number.MAX_SAFE_INTEGER, 'an MMIO range');
    return this.onPost?.(addresses) ?? removable(() => undefined);
  }

  /** Takes all handlers and listeners away for good; for a VM that closes. A promise may still go on with its access. */
  clear(): void {
    this.#closed = true;
    this.#claims.length = 0;
    this.#last = undefined;
    this.#unclaimed.close();
  }

  /** Calls back for every address that nobody owns, once per address and direction, up to a cap. Throws ERR_HAX_CLOSED once the VM is closed. */
  onUnclaimed(listener: UnclaimedListener): Removable {
    return this.#unclaimed.add(listener);
  }

  /** The owner's name of an address, if it has one. */
  ownerOf(gpa: number): string | undefined {
    return typeof gpa === 'number' ? this.#find(gpa)?.name : undefined;
  }

  /** A load of 1, 2 or 4 bytes; unsigned. A promise when the handler gave one. */
  read(gpa: number, width: Width): number | PromiseLike<number> {
    const claim = this.#find(gpa);
    if (claim !== undefined) {
      const offset = gpa - claim.base;
      if (width <= claim.maxWidth && offset + width <= claim.end) {
        const value = claim.read(offset, width);
        return typeof value === 'number' ? (value & (-1 >>> (32 - (width << 3)))) >>> 0 : settleRead(claim, value, offset, width);
      }
    }
    return this.#readSlow(claim, gpa, width);
  }

  /** A store of the low 1, 2 or 4 bytes of `value`. A promise when the handler gave one. */
  write(gpa: number, value: number, width: Width): void | PromiseLike<void> {
    const claim = this.#find(gpa);
    if (claim !== undefined) {
      const offset = gpa - claim.base;
      if (width <= claim.maxWidth && offset + width <= claim.end) {
        const pending = claim.write(offset, (value & (-1 >>> (32 - (width << 3)))) >>> 0, width);
        return pending !== undefined && isPromiseLike(pending) ? pending : undefined;
      }
    }
    return this.#writeSlow(claim, gpa, value, width);
  }

  /**
   * A load of `length` bytes, 1 to 8, into the start of `target` (little-endian, as memory has them). When a promise comes back, `target`
   * is complete once it has settled.
   */
  readBytes(gpa: number, target: Uint8Array, length: number): void | PromiseLike<void> {
    checkLength(target, length);
    if (length === 8) {
      const claim = this.#find(gpa);
      if (claim?.read64 && gpa + 7 <= claim.last) {
        const offset = gpa - claim.base;
        const value = claim.read64(offset);
        if (typeof value === 'bigint') return store64(target, value);
        return settleRead64(claim, value, offset).then((settled) => store64(target, settled));
      }
    }
    for (let done = 0; done < length;) {
      const width = partWidth(gpa + done, length, done);
      const value = this.read(gpa + done, width);
      if (typeof value !== 'number') return this.#readBytesRest(gpa, target, length, done, value);
      store(target, done, value, width);
      done += width;
    }
  }

  /** A store of `length` bytes, 1 to 8, from the start of `source`, which must stay as it is until a promise that came back has settled. */
  writeBytes(gpa: number, source: Uint8Array, length: number): void | PromiseLike<void> {
    checkLength(source, length);
    if (length === 8) {
      const claim = this.#find(gpa);
      if (claim?.write64 && gpa + 7 <= claim.last) {
        const pending = claim.write64(gpa - claim.base, (BigInt(load(source, 4, 4)) << 32n) | BigInt(load(source, 0, 4)));
        return pending !== undefined && isPromiseLike(pending) ? pending : undefined;
      }
    }
    for (let done = 0; done < length;) {
      const width = partWidth(gpa + done, length, done);
      const pending = this.write(gpa + done, load(source, done, width), width);
      done += width;
      if (pending) return this.#writeBytesRest(gpa, source, length, done, pending);
    }
  }

  async #readBytesRest(gpa: number, target: Uint8Array, length: number, done: number, pending: PromiseLike<number>): Promise<void> {
    let value: number | PromiseLike<number> = pending;
    for (;;) {
      const width = partWidth(gpa + done, length, done);
      store(target, done, await value, width);
      done += width;
      if (done >= length) return;
      value = this.read(gpa + done, partWidth(gpa + done, length, done));
    }
  }

  async #writeBytesRest(gpa: number, source: Uint8Array, length: number, done: number, pending: PromiseLike<void>): Promise<void> {
    await pending;
    while (done < length) {
      const width = partWidth(gpa + done, length, done);
      await this.write(gpa + done, load(source, done, width), width);
      done += width;
    }
  }

  /** What a range has besides its handler. */
  #extras(request: RangeRequest, range: AddressRange): Removable {
    checkDoorbells(request.doorbells, range);
    return together([
      () => (request.posted ? this.post(range) : undefined),
      () => request.doorbells && this.onDoorbells?.(range, request.doorbells),
    ]);
  }

  #readSlow(claim: Claim | undefined, gpa: number, width: Width): number | PromiseLike<number> {
    const step = this.#step(claim, gpa, width);
    if (step !== 0) return readParts(this, gpa, width, step);
    this.#unclaimed.report(gpa, width, 'in');
    return truncate(-1, width);
  }

  #writeSlow(claim: Claim | undefined, gpa: number, value: number, width: Width): void | PromiseLike<void> {
    const step = this.#step(claim, gpa, width);
    if (step !== 0) return writeParts(this, gpa, value, width, step);
    this.#unclaimed.report(gpa, width, 'out', truncate(value, width));
  }

  /** Into what parts an access falls that one call cannot serve: the handler's width, bytes, or 0 for none because nobody is there. */
  #step(claim: Claim | undefined, gpa: number, width: Width): Width | 0 {
    if (claim !== undefined) return gpa + width - 1 <= claim.last ? claim.maxWidth : 1;
    const next = this.#claims[this.#lowerBound(gpa)];
    return next !== undefined && next.first < gpa + width ? 1 : 0;
  }

  #find(gpa: number): Claim | undefined {
    const last = this.#last;
    if (last !== undefined && gpa >= last.first && gpa <= last.last) return last;
    const claim = this.#claims[this.#lowerBound(gpa)];
    if (claim === undefined || gpa < claim.first) return undefined;
    this.#last = claim;
    return claim;
  }

  /** The index of the first claim that ends at or above `gpa`. */
  #lowerBound(gpa: number): number {
    let low = 0;
    let high = this.#claims.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#claims[middle].last < gpa) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The width of the part at `address`, `done` bytes into an access: 1, 2 and 4 stay whole, 8 is two of 4, odd sizes split by alignment. */
function partWidth(address: number, length: number, done: number): Width {
  if (length === 8) return 4;
  const left = length - done;
  if (done === 0 && (left === 1 || left === 2 || left === 4)) return left;
  if (left >= 4 && address % 4 === 0) return 4;
  return left >= 2 && address % 2 === 0 ? 2 : 1;
}

function load(bytes: Uint8Array, at: number, width: Width): number {
  let value = bytes[at];
  for (let i = 1; i < width; i++) value |= bytes[at + i] << (i << 3);
  return value >>> 0;
}

function store(bytes: Uint8Array, at: number, value: number, width: Width): void {
  for (let i = 0; i < width; i++) bytes[at + i] = value >>> (i << 3);
}

function store64(bytes: Uint8Array, value: bigint): void {
  store(bytes, 0, Number(value & 0xffffffffn), 4);
  store(bytes, 4, Number((value >> 32n) & 0xffffffffn), 4);
}

function checkLength(bytes: Uint8Array, length: number): void {
  if (!(length >= 1 && length <= 8 && length <= bytes.length)) {
    throw invalidArgument(`an MMIO access has 1 to 8 bytes inside its buffer of ${bytes.length}, not ${String(length)}`);
  }
}

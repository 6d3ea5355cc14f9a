import { HaxError, invalidArgument } from '../util/errors';
import { checkObject } from '../util/check';
import { checkInteger, hex } from '../util/numbers';
import { TablePool } from '../util/table-pool';
import {
  checkDoorbells,
  Claim,
  closedBus,
  isPromiseLike,
  makeClaim,
  overlap,
  removable,
  settleRead,
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

/** The I/O address space of an x86 processor. */
const portCount = 0x10000;
/** An access of 4 bytes to the last port reaches 3 further; nobody is there. */
const beyond = 3;

const indexBits = 16;
const indexMask = 0xffff;

const tables = new TablePool(portCount + beyond);
/** Of buses that were cleared: nobody anywhere. Never written to but with zeros. */
const empty = new Uint32Array(portCount + beyond);

/**
 * The 64 Ki I/O ports. An access wider than its handler takes is split, low part first; one that reaches beyond the end of its range
 * is split into bytes that are looked up one by one, as the ISA bus does. Unclaimed reads give all-ones, unclaimed writes vanish.
 * What a handler throws passes through.
 */
export class PortBus {
  /**
   * The claim of every port, as an index in bits 15:0, and the widths of an access there that one call serves in bits 18:16; 0 is nobody. Flat,
   * because a table is faster than a search or a Map.
   */
  #table = tables.take();
  readonly #claims: Claim[] = [nobody];
  readonly #free: number[] = [];
  readonly #unclaimed = new UnclaimedReports('port');
  /** For the VM: how writes become posted. */
  onPost: PostRange | undefined;
  /** For the VM: how doorbells are connected. */
  onDoorbells: ConnectDoorbells | undefined;
  /** For the VM: how an answer stands, and is taken away (undefined). */
  onAnswer: ((port: number, value: number | undefined) => void) | undefined;
  /** Ports with a standing answer. */
  readonly #answered = new Set<number>();

  /**
   * Gives `length` ports from `at` on to a handler. Throws ERR_HAX_OVERLAP when one of them has an owner already,
   * ERR_HAX_INVALID_ARGUMENT when the range is empty or goes beyond port 0xffff, ERR_HAX_CLOSED once the VM is closed. Legal while the guest
   * runs, as is remove().
   * The handler's methods are looked up now, once. Ports that the kernel serves itself never come to it: with `irqchip: 'kernel'` those of
   * the interrupt controllers, 0x20, 0x21, 0xa0, 0xa1, 0x4d0 and 0x4d1, and of the timer unless `pit: false`, 0x40 to 0x43 and 0x61. A range
   * may cover them.
   */
  add(request: RangeRequest, handler: IoHandler): Removable {
    const claim = makeClaim(request, handler, portCount - 1, 'a port range');
    if (this.#table === empty) throw closedBus(claim);
    const { range } = claim;
    for (let port = range.first; port <= range.last; port++) {
      const owner = this.#table[port];
      if (owner !== 0) throw overlap('ports', claim, this.#claims[owner & indexMask]);
    }
    if (this.#free.length === 0 && this.#claims.length >= portCount)
      throw new HaxError('ERR_HAX_OVERLAP', `the port bus holds at most ${portCount - 1} handlers`);
    const extras = this.#extras(request, range);
    const index = this.#free.pop() ?? this.#claims.length;
    this.#claims[index] = claim;
    const entry = (left: number): number => index | (widthsThatFit(claim.maxWidth, left) << indexBits);
    this.#table.fill(entry(4), range.first, range.last + 1);
    for (let left = 1; left < Math.min(4, range.length + 1); left++) this.#table[range.last + 1 - left] = entry(left);
    return removable(() => {
      extras.remove();
      if (this.#claims[index] !== claim) return; // cleared meanwhile
      for (const port of this.#answered) if (port >= range.first && port <= range.last) this.answer(port, undefined);
      this.#table.fill(0, range.first, range.last + 1);
      this.#claims[index] = nobody;
      this.#free.push(index);
    });
  }

  /** Makes writes to ports that have a handler posted, until removed; as `posted` in {@link add}. */
  post(range: { readonly at: number; readonly length: number } | AddressRange): Removable {
    checkObject(range, 'what post() takes');
    const ports = range instanceof AddressRange ? range : AddressRange.of(range.at, range.length, portCount - 1, 'a port range');
    return this.onPost?.(ports) ?? removable(() => undefined);
  }

  /**
   * A standing answer: reads of one byte from `port` give `value` without asking its handler, until that is changed or undefined, or the
   * handler is removed; nothing once the VM is closed. The exit remains, but not the way to JavaScript. Only for a value that the handler
   * would give, and a read without effects: it is not told, and posted writes before it may wait on. Takes hold at the next slice, and ends
   * at once. In threaded mode handlers are asked all the same.
   */
  answer(port: number, value: number | undefined): void {
    checkInteger(port, 'port', 0, portCount - 1);
    if (this.#table === empty) return; // a device of a VM that is closed
    if (value === undefined) {
      if (!this.#answered.delete(port)) return;
    } else {
      checkInteger(value, 'a standing answer', 0, 0xff);
      if (this.#table[port] === 0) throw invalidArgument(`port ${hex(port)} has no handler whose answer could stand`);
      this.#answered.add(port);
    }
    this.onAnswer?.(port, value);
  }

  /** Takes all handlers and listeners away for good; for a VM that closes. A promise may still go on with its access. */
  clear(): void {
    if (this.#table === empty) return;
    // Not the whole table, of which most pages were never touched.
    for (const claim of this.#claims) if (claim !== nobody) this.#table.fill(0, claim.first, claim.last + 1);
    tables.give(this.#table);
    this.#table = empty;
    this.#claims.length = 1;
    this.#free.length = 0;
    this.#answered.clear();
    this.#unclaimed.close();
  }

  /** Calls back for every port that nobody owns, once per port and direction, up to a cap. Throws ERR_HAX_CLOSED once the VM is closed. */
  onUnclaimed(listener: UnclaimedListener): Removable {
    return this.#unclaimed.add(listener);
  }

  /** The owner's name of a port, if it has one. */
  ownerOf(port: number): string | undefined {
    const index = typeof port === 'number' ? this.#table[port] : undefined;
    return index === undefined || index === 0 ? undefined : this.#claims[index & indexMask].name;
  }

  /** An IN of `width` bytes from port 0 to 0xffff; unsigned. A promise when the handler gave one. */
  read(port: number, width: Width): number | PromiseLike<number> {
    const entry = this.#table[port];
    const claim = this.#claims[entry & indexMask];
    if ((entry >>> indexBits) & width) {
      const offset = port - claim.base;
      const value = claim.read(offset, width);
      return typeof value === 'number' ? (value & (-1 >>> (32 - (width << 3)))) >>> 0 : settleRead(claim, value, offset, width);
    }
    return this.#readSlow(claim, port, width);
  }

  /** An OUT of the low `width` bytes of `value` to port 0 to 0xffff. A promise when the handler gave one. */
  write(port: number, value: number, width: Width): void | PromiseLike<void> {
    const entry = this.#table[port];
    const claim = this.#claims[entry & indexMask];
    if ((entry >>> indexBits) & width) {
      const pending = claim.write(port - claim.base, (value & (-1 >>> (32 - (width << 3)))) >>> 0, width);
      // A handler written as an arrow function may give back anything.
      return pending !== undefined && isPromiseLike(pending) ? pending : undefined;
    }
    return this.#writeSlow(claim, port, value, width);
  }

  /** What a range has besides its handler. */
  #extras(request: RangeRequest, range: AddressRange): Removable {
    checkDoorbells(request.doorbells, range);
    return together([
      () => (request.posted ? this.post(range) : undefined),
      () => request.doorbells && this.onDoorbells?.(range, request.doorbells),
    ]);
  }

  #readSlow(claim: Claim, port: number, width: Width): number | PromiseLike<number> {
    const step = this.#step(claim, port, width);
    if (step !== 0) return readParts(this, port, width, step);
    if (port < portCount) this.#unclaimed.report(port, width, 'in');
    return truncate(-1, width);
  }

  #writeSlow(claim: Claim, port: number, value: number, width: Width): void | PromiseLike<void> {
    const step = this.#step(claim, port, width);
    if (step !== 0) return writeParts(this, port, value, width, step);
    if (port < portCount) this.#unclaimed.report(port, width, 'out', truncate(value, width));
  }

  /** Into what parts an access falls that one call cannot serve: the handler's width, bytes, or 0 for none because nobody is there. */
  #step(claim: Claim, port: number, width: Width): Width | 0 {
    if (claim !== nobody && port + width - 1 <= claim.last) return claim.maxWidth;
    for (let each = port; each < port + width; each++) {
      if (this.#table[each] !== 0) return 1;
    }
    return 0;
  }
}

/** The widths of an access, each a bit, that a handler takes whole with `left` ports to its end. */
function widthsThatFit(maxWidth: number, left: number): number {
  const widest = Math.min(maxWidth, left);
  return widest >= 4 ? 7 : widest >= 2 ? 3 : 1;
}

/** Owner of the ports without one: their entry of the table, 0, has no width. */
const nobody = new Claim(AddressRange.of(0, portCount), 'nobody', { read: () => 0xffffffff, write: () => undefined });

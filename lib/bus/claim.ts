import { checkBoolean, checkListener, checkNames, checkObject, shown } from '../util/check';
import { HaxError, invalidArgument } from '../util/errors';
import { checkInteger, hex } from '../util/numbers';
import type { IoHandler, Width } from './device';
import { AddressRange } from './range';

/** Where a handler is wanted on a bus. */
export interface RangeRequest {
  /** The first port or guest-physical address. */
  readonly at: number;
  /** How many ports or bytes, at least 1. */
  readonly length: number;
  /** The handler's offset of that first one, 0 when absent: chips with scattered ports, such as the 8042 with 0x60 and 0x64, are added in pieces. */
  readonly offset?: number | undefined;
  /** Who owns the range, for messages such as that of ERR_HAX_DEVICE_FAILED; the handler's own `name` when absent. */
  readonly name?: string | undefined;
  /**
   * Writes are posted: the guest does not wait for them, the handler sees them in their order, before the next exit of the vCPU is handled
   * and when a slice ends (10 ms at most). For registers that nothing but later accesses of the guest depends on: it must not return a promise.
   */
  readonly posted?: boolean | undefined;
  /**
   * Writes that need no answer and may be seen late, once for several: on KVM they cost no exit, and the handler's write() is called from the
   * event loop. What it throws there ends all runs of the VM, and is an uncaught exception where none is left. Posted writes before them have
   * been seen. Elsewhere they are ordinary writes.
   */
  readonly doorbells?: readonly Doorbell[] | undefined;
}

/** How a bus connects doorbells; the VM gives it. */
export type ConnectDoorbells = (range: AddressRange, bells: readonly Doorbell[]) => Removable;

/** A write that only tells a device to look: of `width` bytes at `offset` with this value, and no other. */
export interface Doorbell {
  /** From the start of the range. */
  readonly offset: number;
  /** Bytes of the write. */
  readonly width: 1 | 2 | 4;
  /** What must be written, unsigned. */
  readonly value: number;
}

const requestNames: Record<keyof RangeRequest, true> = { at: true, length: true, offset: true, name: true, posted: true, doorbells: true };
const doorbellNames: Record<keyof Doorbell, true> = { offset: true, width: true, value: true };

/** How a bus makes writes to a range posted; the VM gives it. */
export type PostRange = (range: AddressRange) => Removable;

/** Something that was added and can be taken away again. */
export interface Removable extends Disposable {
  /** Idempotent. */
  remove(): void;
}

/** `Removable` around a function that is called at most once. */
export function removable(undo: () => void): Removable {
  let done = false;
  const remove = (): void => {
    if (done) return;
    done = true;
    undo();
  };
  return { remove, [Symbol.dispose]: remove };
}

/** What several steps make, removed as one; when a step throws, what those before it made is removed. */
export function together(steps: readonly (() => Removable | undefined)[]): Removable {
  const made: (Removable | undefined)[] = [];
  const remove = (): void => made.forEach((each) => each?.remove());
  try {
    for (const step of steps) made.push(step());
  } catch (error) {
    remove();
    throw error;
  }
  return removable(remove);
}

type Read = (offset: number, width: Width) => number | PromiseLike<number>;
type Write = (offset: number, value: number, width: Width) => void | PromiseLike<void>;
type Read64 = (offset: number) => bigint | PromiseLike<bigint>;
type Write64 = (offset: number, value: bigint) => void | PromiseLike<void>;

/**
 * A handler on a bus. Every claim has the same hidden class whatever the handler's is, so that the buses' call sites stay
 * monomorphic with many device classes (measured: 19 ns against 37 ns an access).
 */
export class Claim {
  readonly first: number;
  readonly last: number;
  /** The address of offset 0, which need not be in the range. */
  readonly base: number;
  /** The first offset beyond the range. */
  readonly end: number;
  readonly maxWidth: Width;
  readonly read: Read;
  readonly write: Write;
  readonly read64: Read64 | undefined;
  readonly write64: Write64 | undefined;

  constructor(
    readonly range: AddressRange,
    readonly name: string,
    handler: IoHandler,
    offset = 0,
  ) {
    this.first = range.first;
    this.last = range.last;
    this.base = range.first - offset;
    this.end = offset + range.length;
    this.maxWidth = handler.maxWidth ?? 4;
    this.read = handler.read.bind(handler);
    this.write = handler.write.bind(handler);
    this.read64 = handler.read64?.bind(handler);
    this.write64 = handler.write64?.bind(handler);
  }
}

/** The owner's name in messages where nobody has given one. */
export const nameless = 'a handler';

/** Checks what a caller of add() gave, in plain words. */
export function makeClaim(request: RangeRequest, handler: IoHandler, limit: number, what: string): Claim {
  checkObject(request, 'a range request');
  checkNames(request, requestNames, 'a range request');
  checkBoolean(request.posted ?? false, 'posted');
  const range = AddressRange.of(request.at, request.length, limit, what);
  if (typeof handler !== 'object' || handler === null || typeof handler.read !== 'function' || typeof handler.write !== 'function') {
    throw invalidArgument('a handler is an object with read(offset, width) and write(offset, value, width)');
  }
  if (![undefined, 1, 2, 4].includes(handler.maxWidth)) {
    throw invalidArgument(`maxWidth of a handler must be 1, 2 or 4, not ${shown(handler.maxWidth)}`);
  }
  for (const name of ['read64', 'write64'])
    checkListener((handler as unknown as Record<string, unknown>)[name] ?? undefined, `${name} of a handler`);
  const offset = checkInteger(request.offset ?? 0, 'offset', 0, 2 ** 48);
  if (request.name !== undefined && typeof request.name !== 'string') {
    throw invalidArgument(`name of a range must be text, not ${shown(request.name)}`);
  }
  const own: unknown = (handler as { name?: unknown }).name;
  return new Claim(range, request.name ?? (typeof own === 'string' && own !== '' ? own : nameless), handler, offset);
}

/** Throws ERR_HAX_INVALID_ARGUMENT unless every doorbell lies in the range, is another than those before it, and its value fits its width. */
export function checkDoorbells(bells: readonly Doorbell[] | undefined, range: AddressRange): void {
  if (bells === undefined) return;
  if (!Array.isArray(bells)) throw invalidArgument('doorbells are a list of offset, width and value');
  const seen = new Set<string>();
  for (const bell of bells as readonly Doorbell[]) {
    checkObject(bell, 'a doorbell');
    checkNames(bell, doorbellNames, 'a doorbell');
    if (![1, 2, 4].includes(bell.width)) throw invalidArgument(`width of a doorbell must be 1, 2 or 4, not ${shown(bell.width)}`);
    checkInteger(bell.offset, 'offset of a doorbell', 0, range.length - bell.width);
    checkInteger(bell.value, 'value of a doorbell', 0, 2 ** (8 * bell.width) - 1);
    const what = `${bell.width} bytes at offset ${hex(bell.offset)}, value ${hex(bell.value)}`;
    if (seen.has(what)) throw invalidArgument(`two doorbells of a range are the same: ${what}`);
    seen.add(what);
  }
}

export function overlap(what: string, wanted: Claim, owner: Claim): HaxError {
  return new HaxError(
    'ERR_HAX_OVERLAP',
    `${what} ${wanted.range.toString()} for ${wanted.name} would overlap ${owner.range.toString()} of ${owner.name}`,
  );
}

/** A device that is added to the VM of before a reset, for example, would never be called. */
export function closedBus({ name, range }: Claim): HaxError {
  return new HaxError('ERR_HAX_CLOSED', `${name} cannot be added at ${range.toString()}: the virtual machine of this bus has been closed`);
}

/** Keeps the low `width` bytes of a value, unsigned. */
export function truncate(value: number, width: number): number {
  return (value & (-1 >>> (32 - (width << 3)))) >>> 0;
}

/**
 * For the result of a handler that is not a number: a promise of one becomes the promise of the truncated value.
 * Anything else is a mistake in the device, ERR_HAX_DEVICE_FAILED.
 */
export function settleRead(claim: Claim, result: unknown, offset: number, width: number): PromiseLike<number> {
  if (isPromiseLike(result)) {
    // The then() of a foreign promise may give back anything.
    return Promise.resolve(result).then((value) => {
      if (typeof value !== 'number') throw notANumber(claim, value, offset);
      return truncate(value, width);
    });
  }
  throw notANumber(claim, result, offset);
}

/** The same for read64(), whose values are bigints. */
export function settleRead64(claim: Claim, result: unknown, offset: number): PromiseLike<bigint> {
  if (isPromiseLike(result)) {
    return Promise.resolve(result).then((value) => {
      if (typeof value !== 'bigint') throw notABigint(claim, value, offset);
      return value;
    });
  }
  throw notABigint(claim, result, offset);
}

export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

function notANumber(claim: Claim, value: unknown, offset: number): HaxError {
  return new HaxError('ERR_HAX_DEVICE_FAILED', `${claim.name} gave ${typeof value} instead of a number from read(${hex(offset)})`);
}

function notABigint(claim: Claim, value: unknown, offset: number): HaxError {
  return new HaxError('ERR_HAX_DEVICE_FAILED', `${claim.name} gave ${typeof value} instead of a bigint from read64(${hex(offset)})`);
}

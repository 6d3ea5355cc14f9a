import fc from 'fast-check';
import type { IoHandler, Width } from '../../../lib/bus/device';

/** The byte that a handler of the tests has at an absolute address: a split access gives the same bytes as a whole one. */
export const byteAt = (address: number): number => (Math.imul(address, 0x9e3779b1) >>> 13) & 0xff;

export interface Placed {
  at: number;
  length: number;
  maxWidth: Width;
  asynchronous: boolean;
}

/** Handlers at random places that do not overlap. */
export const placed = (span: number): fc.Arbitrary<Placed[]> =>
  fc
    .array(
      fc.record({
        at: fc.nat(span - 1),
        length: fc.integer({ min: 1, max: 12 }),
        maxWidth: fc.constantFrom<Width>(1, 2, 4),
        asynchronous: fc.boolean(),
      }),
      { maxLength: 8 },
    )
    .map((all) => {
      const kept: Placed[] = [];
      for (const each of all) {
        if (each.at + each.length > span) each.length = span - each.at;
        if (kept.every((other) => each.at + each.length <= other.at || other.at + other.length <= each.at)) kept.push(each);
      }
      return kept;
    });

/** A handler that knows its absolute address, checks what the bus promises it and stores what it is given. */
export class Probe implements IoHandler {
  readonly maxWidth: Width;
  /** Set between the start and the end of an asynchronous access: parts must not run side by side. */
  #busy = false;

  constructor(
    readonly place: Placed,
    readonly base: number,
    readonly written: Map<number, number>,
  ) {
    this.maxWidth = place.maxWidth;
  }

  read(offset: number, width: Width): number | PromiseLike<number> {
    this.#check(offset, width);
    let value = 0;
    for (let i = 0; i < width; i++) value |= byteAt(this.base + offset + i) << (8 * i);
    // Garbage above the width, and a sign, are the bus's to remove.
    const dirty = width === 4 ? value : value | (-1 << (8 * width));
    return this.#later(() => dirty);
  }

  write(offset: number, value: number, width: Width): void | PromiseLike<void> {
    this.#check(offset, width);
    expect(value).toBe(width === 4 ? value >>> 0 : value & ((1 << (8 * width)) - 1));
    return this.#later(() => {
      for (let i = 0; i < width; i++) this.written.set(this.base + offset + i, (value >>> (8 * i)) & 0xff);
    });
  }

  #check(offset: number, width: number): void {
    expect(this.#busy).toBe(false);
    expect(width).toBeLessThanOrEqual(this.maxWidth);
    expect(offset).toBeGreaterThanOrEqual(0);
    expect(offset + width).toBeLessThanOrEqual(this.place.length);
  }

  #later<T>(result: () => T): T | Promise<T> {
    if (!this.place.asynchronous) return result();
    this.#busy = true;
    return new Promise((resolve) =>
      setImmediate(() => {
        this.#busy = false;
        resolve(result());
      }),
    );
  }
}

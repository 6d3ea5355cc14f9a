import { shown } from '../util/check';
import { invalidArgument } from '../util/errors';
import { hex } from '../util/numbers';

/** A range of guest addresses or ports: never empty, never wrapping, both ends inside it. */
export class AddressRange {
  private constructor(
    /** The lowest address of the range. */
    readonly first: number,
    /** The highest address of the range, itself part of it. */
    readonly last: number,
  ) {}

  /**
   * The range of `length` addresses from `at` on. Throws ERR_HAX_INVALID_ARGUMENT when it would be empty or reach beyond `limit`,
   * the highest address there is; `name` says in the message what kind of range it is.
   */
  static of(at: number, length: number, limit: number = Number.MAX_SAFE_INTEGER, name = 'a range'): AddressRange {
    if (!Number.isSafeInteger(at) || at < 0 || at > limit) {
      throw invalidArgument(`${name} must start at a whole number from 0 to ${hex(limit)}, not ${shown(at)}`);
    }
    if (!Number.isSafeInteger(length) || length < 1) {
      throw invalidArgument(`${name} must have a length that is a whole number from 1 on, not ${shown(length)}`);
    }
    // Not `at + length - 1 > limit`: the sum may not be a safe integer.
    if (length - 1 > limit - at) {
      throw invalidArgument(`${name} of ${hex(length)} at ${hex(at)} reaches beyond ${hex(limit)}`);
    }
    return new AddressRange(at, at + (length - 1));
  }

  get length(): number {
    return this.last - this.first + 1;
  }

  contains(address: number): boolean {
    return address >= this.first && address <= this.last;
  }

  /** Whether the other range lies wholly inside this one. */
  encloses(other: AddressRange): boolean {
    return other.first >= this.first && other.last <= this.last;
  }

  /** Whether the two share an address. Ranges that only touch do not. */
  overlaps(other: AddressRange): boolean {
    return other.first <= this.last && other.last >= this.first;
  }

  /** `0x3f8-0x3ff`. */
  toString(): string {
    return `${hex(this.first)}-${hex(this.last)}`;
  }
}

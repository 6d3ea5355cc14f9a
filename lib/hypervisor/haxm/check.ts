/** What the driver does not check, or answers with nothing but EINVAL: here each refusal names its field, before any call is made. */
import { HaxError } from '../../util/errors';
import { shown } from '../../util/check';
import { hex } from '../../util/numbers';
import type { Request } from './requests';

export const pageSize = 4096;
/** Where guest-physical addresses end: the driver counts pages in 31 bits, and that of Linux has no memory for their bits above 128 GiB. */
export const maxGpa = process.platform === 'linux' ? (1n << 37n) - (1n << 18n) : (1n << 43n) - 4096n;

/** An unsigned number of a structure. */
export type Unsigned = number | bigint;

export class Checker {
  constructor(private readonly request: Request) {}

  refuse(message: string): never {
    throw new HaxError('ERR_HAX_INVALID_ARGUMENT', message, { operation: this.request.name, backend: 'haxm' });
  }

  unsigned(value: unknown, field: string, bits: number): bigint {
    if (typeof value === 'number' ? Number.isSafeInteger(value) : typeof value === 'bigint') {
      const wide = BigInt(value as Unsigned);
      if (wide >= 0n && wide < 1n << BigInt(bits)) return wide;
    }
    return this.refuse(`${field} must be an unsigned ${bits}-bit number or bigint, not ${shown(value)}`);
  }

  object<T extends object>(value: T, name: string): T {
    if (typeof value !== 'object' || value === null) this.refuse(`${name} must be an object, not ${shown(value)}`);
    return value;
  }

  list<T>(value: readonly T[], name: string): readonly T[] {
    const isList: boolean = Array.isArray(value); // narrowing would make it any[]
    if (!isList) this.refuse(`${name} must be an array, not ${shown(value)}`);
    return value;
  }

  /** The driver rounds down without a word. */
  aligned(value: unknown, field: string, bits = 64): bigint {
    const wide = this.unsigned(value, field, bits);
    if (wide % BigInt(pageSize) !== 0n) this.refuse(`${field} must be a multiple of ${pageSize}, not ${hex(wide)}`);
    return wide;
  }

  size(value: unknown, field: string, bits = 64): bigint {
    const wide = this.aligned(value, field, bits);
    if (wide === 0n) this.refuse(`${field} must not be 0`);
    return wide;
  }

  /** A guest-physical range that the driver can map. */
  guestRange(start: bigint, size: bigint, fields: string): void {
    if (start + size > maxGpa) this.refuse(`${fields} must end at or below ${hex(maxGpa)}, not at ${hex(start + size)}`);
  }

  zero(value: unknown, field: string): void {
    if (value !== undefined && this.unsigned(value, field, 64) !== 0n) this.refuse(`${field} must be 0, not ${shown(value)}`);
  }
}

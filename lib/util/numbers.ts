import { shown } from './check';
import { invalidArgument } from './errors';

/** `0x…`, lower case, no padding. */
export function hex(value: number | bigint): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}

const unit: Record<string, number> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/**
 * A size in bytes from a number or from text such as `'256M'`, `'1G'`, `'0x1000'`.
 * Throws ERR_HAX_INVALID_ARGUMENT for anything that is not a positive safe integer of bytes; `name` goes into the message.
 */
export function parseSize(value: number | string, name: string): number {
  let bytes: number;
  if (typeof value === 'number') {
    bytes = value;
  } else {
    const match = typeof value === 'string' ? /^(0x[0-9a-f]+|\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(value.trim()) : null;
    bytes = match ? Number(match[1]) * (unit[match[2].toUpperCase()] ?? NaN) : NaN;
  }
  if (bytes > Number.MAX_SAFE_INTEGER && bytes < Infinity) {
    throw invalidArgument(`${name} is more than any processor can address: ${shown(value)}`);
  }
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw invalidArgument(`${name} must be a positive whole number of bytes such as 65536, '256M' or '1G', not ${shown(value)}`);
  }
  return bytes;
}

/** Throws ERR_HAX_INVALID_ARGUMENT unless `value` is an integer in [min, max]. */
export function checkInteger(value: unknown, name: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw invalidArgument(`${name} must be a whole number from ${min} to ${max > 0xffff ? hex(max) : max}, not ${shown(value)}`);
  }
  return value;
}

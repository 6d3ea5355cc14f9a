import { inspect, types } from 'node:util';
import { invalidArgument } from './errors';

/** A value in a message: never throws, never long. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === 'number' || value === null || value === undefined || typeof value === 'boolean') return String(value);
  return typeof value === 'bigint' ? `${value}n` : `a value of type ${typeof value}`;
}

/** What was thrown, which may be anything, in the words of a message. */
export function reasonOf(thrown: unknown): string {
  const message: unknown = thrown instanceof Error || types.isNativeError(thrown) ? thrown.message : thrown;
  return typeof message === 'string' ? message : inspect(message, { customInspect: false, breakLength: Infinity });
}

/** Throws ERR_HAX_INVALID_ARGUMENT unless `value` is an object; `name` goes into the message. */
export function checkObject(value: unknown, name: string): void {
  if (typeof value !== 'object' || value === null) throw invalidArgument(`${name} must be an object, not ${shown(value)}`);
}

/** Throws ERR_HAX_INVALID_ARGUMENT unless `value` is an array; `name` goes into the message. */
export function checkList(value: unknown, name: string): void {
  if (!Array.isArray(value)) throw invalidArgument(`${name} must be a list, not ${shown(value)}`);
}

/** Throws ERR_HAX_INVALID_ARGUMENT unless `value` is a Uint8Array, of whatever realm; a Buffer is one. */
export function checkBytes(value: unknown, name: string): void {
  if (!types.isUint8Array(value)) throw invalidArgument(`${name} must be a Uint8Array, not ${shown(value)}`);
}

/** Throws ERR_HAX_INVALID_ARGUMENT unless `value` is a function or undefined. */
export function checkListener(value: unknown, name: string): void {
  if (value !== undefined && typeof value !== 'function') throw invalidArgument(`${name} must be a function, not ${shown(value)}`);
}

/** Throws ERR_HAX_INVALID_ARGUMENT unless `value` is an AbortSignal, of whatever realm, or undefined. */
export function checkSignal(value: unknown): void {
  const { addEventListener, removeEventListener } = (value ?? {}) as Partial<AbortSignal>;
  if (value === undefined || (typeof addEventListener === 'function' && typeof removeEventListener === 'function')) return;
  throw invalidArgument(`signal must be an AbortSignal, not ${shown(value)}`);
}

/** Throws ERR_HAX_INVALID_ARGUMENT unless `value` is true or false. */
export function checkBoolean(value: unknown, name: string): void {
  if (typeof value !== 'boolean') throw invalidArgument(`${name} must be true or false, not ${shown(value)}`);
}

/** Throws ERR_HAX_INVALID_ARGUMENT where `options` has a name that `known` has not; `owner` goes into the message. */
export function checkNames(options: object, known: object, owner: string): void {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(known, name));
  if (unknown === undefined) return;
  throw invalidArgument(`${owner} has no option ${shown(unknown)}; it has ${Object.keys(known).sort().join(', ')}`);
}

import type { DeviceState } from '../bus/device';
import { shown } from '../util/check';
import { HaxError } from '../util/errors';

/**
 * Reads a saved state member by member and believes nothing: whatever is missing, superfluous, of the wrong type or out of range is
 * ERR_HAX_DEVICE_STATE with a message that names the device and the member. Read everything, call end(), and only then change the device.
 */
export class StateReader {
  readonly #members: Map<string, unknown>;

  constructor(
    state: unknown,
    private readonly device: string,
    version: number,
  ) {
    if (typeof state !== 'object' || state === null) throw this.#damaged('is not an object');
    this.#members = new Map(Object.entries(state));
    const own = state as Partial<DeviceState>;
    if (this.#take('device') !== device) throw this.#damaged(`is of ${shown(own.device)}`);
    if (this.#take('version') !== version) throw this.#damaged(`has version ${shown(own.version)}, not ${version}`);
  }

  /** A whole number in [min, max]. */
  integer(name: string, min: number, max: number): number {
    return this.#integer(name, this.#take(name), min, max);
  }

  boolean(name: string): boolean {
    const value = this.#take(name);
    if (typeof value !== 'boolean') throw this.#damaged(`has a ${name} that is not a boolean`);
    return value;
  }

  /** An array of at most `maxLength` whole numbers in [0, max]. */
  integers(name: string, maxLength: number, max: number): number[] {
    const value = this.#take(name);
    if (!Array.isArray(value) || value.length > maxLength) throw this.#damaged(`has a ${name} that is not an array of up to ${maxLength}`);
    return Array.from(value, (each) => this.#integer(name, each, 0, max));
  }

  /** For what the members mean together. */
  check(sound: boolean, complaint: string): void {
    if (!sound) throw this.#damaged(complaint);
  }

  /** Refuses members that nobody asked for. */
  end(): void {
    for (const name of this.#members.keys()) throw this.#damaged(`has a ${name}, which is unknown`);
  }

  #take(name: string): unknown {
    const value = this.#members.get(name);
    this.#members.delete(name);
    return value;
  }

  #integer(name: string, value: unknown, min: number, max: number): number {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      throw this.#damaged(`has a ${name} that is not a whole number from ${min} to ${max}`);
    }
    return value;
  }

  #damaged(complaint: string): HaxError {
    return new HaxError('ERR_HAX_DEVICE_STATE', `the saved state for ${this.device} ${complaint}`);
  }
}

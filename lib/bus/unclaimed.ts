import { HaxError, invalidArgument } from '../util/errors';
import { removable, type Removable } from './claim';

/** A guest access that no handler owns. */
export interface UnclaimedAccess {
  /** Port I/O or memory-mapped. */
  readonly bus: 'port' | 'mmio';
  /** The port or guest-physical address. */
  readonly address: number;
  /** 1, 2 or 4 bytes: the access, or the part of it that nobody owns. */
  readonly width: number;
  /** `in`: the guest reads; `out`: it writes. */
  readonly direction: 'in' | 'out';
  /** What the guest wrote; absent for reads. */
  readonly value?: number | undefined;
}

/** What `onUnclaimed()` calls. */
export type UnclaimedListener = (access: UnclaimedAccess) => void;

/**
 * Addresses remembered per direction. A guest that probes its hardware touches a few hundred; one that walks the address space must
 * neither fill the host's memory nor its terminal, so that later addresses go unreported.
 */
export const maxUnclaimedReports = 4096;

/** Tells listeners of every unclaimed address once per direction. Without a listener nothing is remembered. */
export class UnclaimedReports {
  readonly #listeners = new Set<UnclaimedListener>();
  #closed = false;
  readonly #seen = { in: new Set<number>(), out: new Set<number>() };

  constructor(private readonly bus: 'port' | 'mmio') {}

  add(listener: UnclaimedListener): Removable {
    if (typeof listener !== 'function') throw invalidArgument('onUnclaimed takes a function');
    if (this.#closed) {
      throw new HaxError('ERR_HAX_CLOSED', 'onUnclaimed() would never be called back: the virtual machine of this bus has been closed');
    }
    const entry: UnclaimedListener = (access) => listener(access);
    this.#listeners.add(entry);
    return removable(() => void this.#listeners.delete(entry));
  }

  /** Takes all listeners away for good. */
  close(): void {
    this.#closed = true;
    this.#listeners.clear();
  }

  report(address: number, width: number, direction: 'in' | 'out', value?: number): void {
    if (this.#listeners.size === 0) return;
    const seen = this.#seen[direction];
    if (seen.size >= maxUnclaimedReports || seen.has(address)) return;
    seen.add(address);
    const access: UnclaimedAccess = { bus: this.bus, address, width, direction, value };
    for (const listener of this.#listeners) listener(access);
  }
}

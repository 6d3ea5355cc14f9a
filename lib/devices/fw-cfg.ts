/**
 * fw_cfg: what a virtual machine tells its firmware, item by item.
 *
 * Reference: QEMU, docs/specs/fw_cfg.rst and hw/nvram/fw_cfg.c.
 * Emulated: the selector, of 16 bits, and the data port beside it, of 8: each read gives the next byte of the item, and 0 beyond its end. The items
 * are those of numbers: signature, revision, size of memory, number of vCPUs.
 * Not emulated: DMA, files, writes to items; the revision tells so.
 */
import type { Device, DeviceState, Width } from '../bus/device';
import { StateReader } from './state';

export interface FwCfgOptions {
  /** RAM in bytes. */
  readonly memory: number;
  readonly cpus: number;
}

export interface FwCfgState extends DeviceState {
  readonly device: 'fw_cfg';
  readonly version: 1;
  readonly selected: number;
  /** How many bytes of the item have been read, up to its length. */
  readonly position: number;
}

/** The selector has 16 bits; the data port is the byte after its first, so that an access of one byte never selects. */
const dataPort = 1;

const littleEndian = (value: number, length: number): number[] => Array.from({ length }, (_, i) => Math.floor(value / 256 ** i) % 256);

export class FwCfg implements Device<FwCfgState> {
  readonly name = 'fw_cfg';
  readonly maxWidth = 2;
  readonly #items: ReadonlyMap<number, readonly number[]>;
  #selected = 0;
  #position = 0;

  constructor({ memory, cpus }: FwCfgOptions) {
    this.#items = new Map([
      [0x00, Array.from(Buffer.from('QEMU'))],
      [0x01, littleEndian(1, 4)],
      [0x03, littleEndian(memory, 8)],
      [0x05, littleEndian(cpus, 2)],
      [0x0f, littleEndian(cpus, 2)],
    ]);
  }

  read(offset: number, width: Width): number {
    if (offset !== dataPort || width !== 1) return 0xffffffff;
    const item = this.#item;
    return this.#position < item.length ? item[this.#position++] : 0;
  }

  write(offset: number, value: number, width: Width): void {
    if (offset !== 0 || width !== 2) return;
    this.#selected = value;
    this.#position = 0;
  }

  reset(): void {
    this.#selected = 0;
    this.#position = 0;
  }

  save(): FwCfgState {
    return { device: 'fw_cfg', version: 1, selected: this.#selected, position: this.#position };
  }

  restore(state: FwCfgState): void {
    const reader = new StateReader(state, this.name, 1);
    const selected = reader.integer('selected', 0, 0xffff);
    const position = reader.integer('position', 0, (this.#items.get(selected) ?? []).length);
    reader.end();
    this.#selected = selected;
    this.#position = position;
  }

  get #item(): readonly number[] {
    return this.#items.get(this.#selected) ?? [];
  }
}

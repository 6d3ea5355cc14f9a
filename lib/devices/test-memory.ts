/**
 * The data port and the memory of pc-testdev: the guest of a test finds there what it has written, by way of an exit each time.
 *
 * Reference: QEMU, hw/misc/pc-testdev.c ("pc-testdev-ioport", "pc-testdev-iomem").
 * Emulated: bytes that keep what is written, in any width.
 * Not emulated: "pc-testdev-ioport-byte" and "pc-testdev-flush-page"; no test needs an answer of theirs.
 */
import type { Device, DeviceState, Width } from '../bus/device';
import { StateReader } from './state';

export interface TestMemoryState extends DeviceState {
  readonly device: 'pc-testdev-memory';
  readonly version: 1;
  /** Up to the last byte that is not 0. */
  readonly bytes: readonly number[];
}

export class TestMemory implements Device<TestMemoryState> {
  readonly name = 'pc-testdev-memory';
  readonly #bytes: Uint8Array;

  /** Of `length` bytes, all 0. */
  constructor(length: number) {
    this.#bytes = new Uint8Array(length);
  }

  read(offset: number, width: Width): number {
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + (this.#bytes[offset + i] ?? 0xff);
    return value;
  }

  write(offset: number, value: number, width: Width): void {
    // A write to an element beyond the end of a typed array has no effect.
    for (let i = 0; i < width; i++) this.#bytes[offset + i] = value >>> (8 * i);
  }

  reset(): void {
    this.#bytes.fill(0);
  }

  save(): TestMemoryState {
    const length = this.#bytes.findLastIndex((byte) => byte !== 0) + 1;
    return { device: 'pc-testdev-memory', version: 1, bytes: Array.from(this.#bytes.subarray(0, length)) };
  }

  restore(state: TestMemoryState): void {
    const reader = new StateReader(state, this.name, 1);
    const bytes = reader.integers('bytes', this.#bytes.length, 0xff);
    reader.end();
    this.#bytes.fill(0);
    this.#bytes.set(bytes);
  }
}

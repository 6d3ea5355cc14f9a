/**
 * The interrupt ports of pc-testdev: the guest of a test raises interrupts itself.
 *
 * Reference: QEMU, hw/misc/pc-testdev.c ("pc-testdev-irq-line").
 * Emulated: a write to port n sets interrupt line n, to asserted unless the value is 0; the ports are bytes wide, wider writes go on to
 * the next ones.
 * Not emulated: the device's other ports and its memory; reads give all-ones.
 */
import type { Device, DeviceState } from '../bus/device';
import type { IrqLine } from '../bus/irq-line';
import { StateReader } from './state';

export interface TestInterruptsState extends DeviceState {
  readonly device: 'pc-testdev-irq-line';
  readonly version: 1;
  /** Bit n: line n is asserted. */
  readonly levels: number;
}

export class TestInterrupts implements Device<TestInterruptsState> {
  readonly name = 'pc-testdev-irq-line';
  readonly maxWidth = 1;
  #levels = 0;

  /** Line n is that of port n; at most 16. */
  constructor(private readonly lines: readonly IrqLine[]) {}

  read(): number {
    return 0xffffffff;
  }

  write(offset: number, value: number): void {
    if (offset < this.lines.length) this.#set(value === 0 ? this.#levels & ~(1 << offset) : this.#levels | (1 << offset));
  }

  reset(): void {
    this.#set(0);
  }

  save(): TestInterruptsState {
    return { device: 'pc-testdev-irq-line', version: 1, levels: this.#levels };
  }

  restore(state: TestInterruptsState): void {
    const reader = new StateReader(state, this.name, 1);
    const levels = reader.integer('levels', 0, 2 ** this.lines.length - 1);
    reader.end();
    this.#set(levels);
  }

  /** Only lines that change are touched: they are other devices' too. */
  #set(levels: number): void {
    const changed = levels ^ this.#levels;
    this.#levels = levels;
    this.lines.forEach((line, n) => {
      if (changed & (1 << n)) line.set((levels & (1 << n)) !== 0);
    });
  }
}

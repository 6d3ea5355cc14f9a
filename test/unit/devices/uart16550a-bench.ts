/** What the tests of the 16550A have in common: its registers, and a bench with a recorded interrupt line. */
import { Uart16550, type Uart16550Options } from '../../../lib/devices/uart16550a';
import { ManualClock } from '../../../lib/time/clock';
import { RecordedLine } from '../../support/device-laws';

export const rbr = 0;
export const thr = 0;
export const dll = 0;
export const ier = 1;
export const dlm = 1;
export const iir = 2;
export const fcr = 2;
export const lcr = 3;
export const mcr = 4;
export const lsr = 5;
export const msr = 6;
export const scr = 7;

export const noInterrupt = 0x01;
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export interface Bench {
  uart: Uart16550;
  irq: RecordedLine;
  clock: ManualClock;
}

/** OUT2 is on, so that the line shows what INTR does. */
export function bench(options: Uart16550Options = {}): Bench {
  const irq = new RecordedLine();
  const clock = new ManualClock();
  const uart = new Uart16550({ irq, clock, ...options });
  uart.write(mcr, 0x08);
  return { uart, irq, clock };
}

/** A sink that takes only what it is asked to. */
export class SlowSink {
  readonly taken: number[] = [];
  largest = 0;
  #onDrain: (() => void) | undefined;

  readonly write = (chunk: Uint8Array, onDrain: () => void): boolean => {
    this.taken.push(...chunk);
    this.largest = Math.max(this.largest, chunk.length);
    this.#onDrain = onDrain;
    return false;
  };

  drain(): void {
    const onDrain = this.#onDrain;
    this.#onDrain = undefined;
    onDrain?.();
  }
}

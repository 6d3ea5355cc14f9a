/**
 * Debug console: a port that prints what is written to it, and tells a guest that it is there.
 *
 * Reference: Bochs, port 0xe9 ("port_e9_hack"); QEMU, hw/char/debugcon.c, which OVMF and SeaBIOS use at port 0x402.
 * Emulated: a write prints its low byte; a read gives 0xe9.
 * Not emulated: nothing else. Wider accesses are those of a one-byte port: the rest of them goes to the neighbours.
 */
import type { Device, DeviceState } from '../bus/device';
import { BatchedOutput, type ByteOutput } from '../host/byte-sink';
import { StateReader } from './state';

/** By this value guests find out that the port exists; QEMU's `readback`. */
const defaultReadback = 0xe9;

/** Where its bytes go, and what it reads as. */
export interface DebugConsoleOptions {
  /** Where the bytes go; they vanish when absent. */
  output?: ByteOutput | undefined;
  /** What reads give, 0xe9 when absent. */
  readback?: number | undefined;
}

/** What save() gives. */
export interface DebugConsoleState extends DeviceState {
  readonly device: 'debugcon';
  readonly version: 1;
}

export class DebugConsole implements Device<DebugConsoleState> {
  readonly name = 'debugcon';
  readonly maxWidth = 1;
  readonly #output: BatchedOutput;
  readonly #readback: number;
  #parked: { room: Promise<void>; resolve: () => void } | undefined;

  constructor(options: DebugConsoleOptions = {}) {
    this.#readback = (options.readback ?? defaultReadback) & 0xff;
    this.#output = new BatchedOutput(options.output, () => {
      this.#parked?.resolve();
      this.#parked = undefined;
    });
  }

  /** Whether the output has asked to hold back. */
  get held(): boolean {
    return this.#output.held;
  }

  /** Called when the output takes more after it has held back. */
  set onRoom(callback: (() => void) | undefined) {
    this.#output.onHeld = callback && (() => this.held || callback());
  }

  /** Hands all that the guest has printed to the output at once, even if the output holds back: for the end of the machine. */
  flush(): void {
    this.#output.flush();
  }

  read(offset: number): number {
    return offset === 0 ? this.#readback : 0xffffffff;
  }

  /** The port has no "busy": a promise, which parks the vCPU, when the output holds back and no more can be kept for it. */
  write(offset: number, value: number): void | Promise<void> {
    if (offset !== 0) return;
    if (this.#output.ready) return this.#output.put(value & 0xff);
    return this.#printLater(value & 0xff);
  }

  reset(): void {
    // Nothing is kept.
  }

  save(): DebugConsoleState {
    return { device: 'debugcon', version: 1 };
  }

  restore(state: DebugConsoleState): void {
    new StateReader(state, this.name, 1).end();
  }

  async #printLater(byte: number): Promise<void> {
    while (!this.#output.ready) {
      if (!this.#parked) {
        let resolve!: () => void;
        const room = new Promise<void>((settle) => (resolve = settle));
        this.#parked = { room, resolve };
      }
      await this.#parked.room;
    }
    this.#output.put(byte);
  }
}

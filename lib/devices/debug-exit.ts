/**
 * isa-debug-exit: the guest ends the run with a status.
 *
 * Reference: QEMU, hw/misc/debugexit.c.
 * Emulated: a write of V, of any width, to any of the 4 ports ends the run with status (V << 1) | 1; it is never 0.
 * Not emulated: nothing else; reads give all-ones.
 */
import type { Device, DeviceState } from '../bus/device';
import { StateReader } from './state';

/** QEMU's `iosize`. */
const length = 4;

/** What save() gives. */
export interface DebugExitState extends DeviceState {
  readonly device: 'isa-debug-exit';
  readonly version: 1;
}

export class DebugExit implements Device<DebugExitState> {
  readonly name = 'isa-debug-exit';

  /** `onExit` is given the status, an odd number up to 2^33 - 1: an operating system keeps its low 8 bits. */
  constructor(private readonly onExit: (status: number) => void) {}

  read(): number {
    return 0xffffffff;
  }

  write(offset: number, value: number): void {
    // Not `<<`, which would lose bit 31.
    if (offset < length) this.onExit(value * 2 + 1);
  }

  reset(): void {
    // Nothing is kept.
  }

  save(): DebugExitState {
    return { device: 'isa-debug-exit', version: 1 };
  }

  restore(state: DebugExitState): void {
    new StateReader(state, this.name, 1).end();
  }
}

/** Access width in bytes. */
export type Width = 1 | 2 | 4;

/**
 * What a bus range needs from the hardware behind it. Offsets are relative to the range; values are unsigned.
 * A handler may return a promise: the vCPU parks until it settles while the event loop and other vCPUs go on.
 */
export interface IoHandler {
  /** Value of `width` bytes at `offset`; bits above the width are ignored. */
  read(offset: number, width: Width): number | PromiseLike<number>;
  /** Takes `value`, unsigned and of `width` bytes, at `offset`. What it throws ends the run with ERR_HAX_DEVICE_FAILED. */
  write(offset: number, value: number, width: Width): void | PromiseLike<void>;
  /** Widest access the chip's bus takes (4 when absent); wider ones arrive split, low part first, as a real bus would do it. */
  readonly maxWidth?: Width | undefined;
  /** Present on devices with 64-bit registers; otherwise an 8-byte access arrives as two of 4, low first. */
  read64?(offset: number): bigint | PromiseLike<bigint>;
  /** Takes 8 bytes at `offset`; unsigned. */
  write64?(offset: number, value: bigint): void | PromiseLike<void>;
}

/** Saved state of a device: named and versioned, plain data that survives JSON. */
export interface DeviceState {
  /** Name of the device that it is of. */
  readonly device: string;
  /** Of the layout; it changes when the members do. */
  readonly version: number;
}

/**
 * A device model: one file, one test. It knows register offsets, never addresses, and never sees a vCPU or a machine.
 * Laws (a shared test holds every device to them): reset equals fresh; restore(save()) is the identity, interrupt level included;
 * any access at any width is bounded and never throws; unknown offsets read all-ones.
 */
export interface Device<State extends DeviceState = DeviceState> extends IoHandler {
  /** Chip name, used in messages and states. */
  readonly name: string;
  /** The state after power-on; interrupt lines fall. Host-side attachments (sinks, sources) stay. */
  reset(): void;
  /** All that restore() needs: plain data, taken while no access is under way. */
  save(): State;
  /** Validates everything first; throws ERR_HAX_DEVICE_STATE and changes nothing when the state is not sound. */
  restore(state: State): void;
}

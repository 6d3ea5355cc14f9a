/** An interrupt line. Lines are levels: true is asserted, false is not; setting the same level twice has no effect. */
export interface IrqLine {
  /** Asserts or deasserts it, before it returns. */
  set(level: boolean): void;
}

/** A line connected to nothing, for devices that are used without interrupts. */
export const disconnected: IrqLine = { set() {} };

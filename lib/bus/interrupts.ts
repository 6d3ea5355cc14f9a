import type { IrqLine } from './irq-line';

/** The INTR pin of a processor and its acknowledge cycle: what an interrupt controller in user space offers the run loop. */
export interface InterruptSource {
  /** INTR: an interrupt waits for the processor. */
  readonly pending: boolean;
  /** The acknowledge cycle: the vector to take. Only while `pending`; it may change `pending`. */
  acknowledge(): number;
  /** Called when `pending` becomes true; a halted processor is woken by it. */
  onPending: (() => void) | undefined;
}

/** Interrupt controllers of a VM whose hypervisor or options leave them to us. */
export interface UserIrqchip {
  /** The INTR pin that the run loop watches for the processor. */
  readonly source: InterruptSource;
  /** Called when the guest has ended its service of a line: what a timer that makes up for lost ticks waits for. */
  onServed: ((line: number) => void) | undefined;
  /** Interrupt line `number`; throws ERR_HAX_INVALID_ARGUMENT for one that the controllers do not have. The same object each time. */
  line(number: number): IrqLine;
}

/**
 * The interrupt controllers of a PC: two 8259A, and the edge/level control registers of its chipset.
 *
 * Reference: Intel 8259A data sheet (as in i8259.ts), "Cascade Mode"; IBM PC AT Technical Reference, "System Interrupts"; Intel 82371SB
 * (PIIX3) data sheet, "ELCR1 and ELCR2 - Edge/Level Control Registers".
 * Emulated: the acknowledge cycle over both chips as their ICW3 tells them, ELCR.
 * Not emulated: INTA cycles one by one; both happen at once.
 */
import type { IoHandler } from '../bus/device';
import type { InterruptSource, UserIrqchip } from '../bus/interrupts';
import type { IrqLine } from '../bus/irq-line';
import { invalidArgument } from '../util/errors';
import { checkInteger } from '../util/numbers';
import { Pic8259 } from './i8259';

/** The line of the master that the slave's INT drives. */
const cascadeLine = 2;
/** The slave's first line. */
const slaveLines = 8;
/** Nobody drives the data bus. */
const floatingBus = 0xff;

/** A class, not an object with a getter: V8 makes a hidden class of its own for each of those and keeps it long. */
class Intr implements InterruptSource {
  onPending: (() => void) | undefined;

  constructor(
    private readonly master: Pic8259,
    readonly acknowledge: () => number,
  ) {}

  get pending(): boolean {
    return this.master.pending;
  }
}

/**
 * The two controllers of a PC: lines 0 to 7 are the master's, 8 to 15 the slave's, whose INT is the master's line 2.
 * That line has no pin of its own; what a PC's bus calls IRQ 2 is line 9.
 */
export class PicPair implements UserIrqchip {
  /** Ports 0x20 and 0xa0 of a PC, two each. Saved and restored one by one, in any order. */
  readonly master: Pic8259;
  /** Lines 8 to 15; its output is the master's line 2. */
  readonly slave: Pic8259;
  /** Edge/level control, ports 0x4d0 and 0x4d1: "IRQ 0, 1, 2, 8 and 13 must be edge-triggered". Part of the chips' states. */
  readonly elcr: IoHandler;
  /** The master's output, INTR; an acknowledge gives the vector of either chip. */
  readonly source: InterruptSource;
  onServed: ((line: number) => void) | undefined;
  readonly #lines: readonly IrqLine[];

  constructor() {
    let int = false;
    const output: IrqLine = {
      set: (level) => {
        const risen = level && !int;
        int = level;
        if (risen) this.source.onPending?.();
      },
    };
    const master = new Pic8259({ output, elcrMask: 0xf8, onServed: (level) => this.onServed?.(level) });
    const onServed = (level: number): void => this.onServed?.(slaveLines + level);
    const slave = new Pic8259({ output: master.inputs[cascadeLine], slave: true, elcrMask: 0xde, onServed });
    this.master = master;
    this.slave = slave;
    this.elcr = {
      maxWidth: 1,
      read: (offset) => (offset > 1 ? 0xffffffff : offset === 0 ? master.elcr : slave.elcr),
      write(offset, value) {
        if (offset === 0) master.elcr = value;
        else if (offset === 1) slave.elcr = value;
      },
    };
    this.source = new Intr(master, () => this.#acknowledge());
    this.#lines = [...master.inputs, ...slave.inputs];
  }

  line(number: number): IrqLine {
    checkInteger(number, 'interrupt line', 0, this.#lines.length - 1);
    if (number === cascadeLine) throw invalidArgument('interrupt line 2 joins the two controllers; IRQ 2 of a PC is line 9');
    return this.#lines[number];
  }

  /** Both as after power-on; the lines stay as they are. */
  reset(): void {
    this.slave.reset();
    this.master.reset();
  }

  /** "The master enables the corresponding slave to release the vector"; with an ICW3 that names no slave that is there, nobody does. */
  #acknowledge(): number {
    const level = this.master.acknowledge();
    if (!this.master.cascades(level)) return this.master.vector(level);
    return level === cascadeLine && this.slave.answersTo(level) ? this.slave.vector(this.slave.acknowledge()) : floatingBus;
  }
}

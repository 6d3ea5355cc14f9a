/**
 * 8259A interrupt controller. A PC has a pair of them: pic-pair.ts.
 *
 * Reference: Intel 8259A, "Programmable Interrupt Controller" (order number 231468-003, December 1988): Initialization Command Words,
 * Operation Command Words, and the sections on modes from Fully Nested to Special Fully Nested; ELCR: Intel 82371SB (PIIX3).
 * Emulated: ICW1 to ICW4, OCW1 to OCW3 with every form of EOI and rotation, fixed, rotating and specific priority, automatic EOI, special
 * mask, special fully nested mode, polling, IRR, ISR and IMR, edge and level triggering by LTIM or by ELCR, the cascade.
 * An edge is a request until it is acknowledged, as in KVM's and QEMU's chips, for which guests and devices are written; the datasheet wants
 * its line to stay high until then. A level is one while it lasts. INT follows in the same instant; who acknowledges all the same gets level
 * 7, which is not in service then (the spurious interrupts 7 and 15).
 * Not emulated: the CALL instruction of MCS-80/85 mode, whose bit in ICW4 is taken and ignored, and buffered mode, which is about pins.
 * The datasheet leaves the state after power-on open. Here it is that of KVM's and QEMU's chips: nothing is masked, vectors begin at 0, and
 * the slave is at IR2.
 */
import type { Device, DeviceState } from '../bus/device';
import { disconnected, type IrqLine } from '../bus/irq-line';
import { checkBoolean } from '../util/check';
import { StateReader } from './state';

/** Address line A0. */
const commandPort = 0;
const dataPort = 1;

/** ICW1, A0 = 0: bit 4 set makes it one; "ICW4 needed", "single", "level triggered mode". */
const icw1 = 0x10;
const ic4 = 0x01;
const sngl = 0x02;
const ltim = 0x08;
/** ICW2: T7 to T3 of the vector. */
const vectorBits = 0xf8;
/** ICW4: "auto EOI", "special fully nested mode". */
const aeoi = 0x02;
const sfnm = 0x10;

/** OCW3, A0 = 0: bit 3 set makes it one; "enable special mask mode" and the mode, "poll command", "read register command" and which. */
const ocw3 = 0x08;
const esmm = 0x40;
const smm = 0x20;
const poll = 0x04;
const rr = 0x02;
const ris = 0x01;

/** OCW2, A0 = 0 and neither of the others: rotate, specific level, end of interrupt; the level in bits 2 to 0. */
const rotate = 0x80;
const specific = 0x40;
const eoi = 0x20;

/** What a write with A0 = 1 is: OCW1, or the next word of the initialization sequence. */
const ocw1 = 0;
const icw2 = 2;
const icw3 = 3;
const icw4 = 4;

const none = -1;
/** What is acknowledged when nothing asks: "a default IR7". */
const defaultLevel = 7;

interface Registers {
  /** The levels of IR7 to IR0. */
  inputs: number;
  /** The edge sense latches: inputs that have risen and not been acknowledged. */
  edges: number;
  /** In-service register. */
  isr: number;
  /** Interrupt mask register. */
  imr: number;
  /** ICW2. */
  vectorBase: number;
  /** ICW3: of a master its lines with slaves, of a slave its own number. */
  cascade: number;
  /** What a write with A0 = 1 is: 0 for OCW1, or the number of the ICW that comes next. */
  expected: number;
  /** ICW1 bit 0: an ICW4 comes. */
  needsIcw4: boolean;
  /** ICW1 bit 1: no ICW3 comes. */
  single: boolean;
  /** ICW1 bit 3, LTIM. */
  levelTriggered: boolean;
  /** ICW4 bit 1, AEOI. */
  autoEoi: boolean;
  /** ICW4 bit 4, SFNM. */
  specialFullyNested: boolean;
  /** OCW3: special mask mode. */
  specialMask: boolean;
  /** OCW2: rotation with automatic EOI. */
  rotateInAutoEoi: boolean;
  /** The level of the lowest priority; the next one has the highest. */
  lowest: number;
  /** A read with A0 = 0 gives ISR, not IRR. */
  readIsr: boolean;
  /** The next read is an acknowledgement. */
  poll: boolean;
  /** Edge/level control register: the lines that are level-triggered whatever LTIM says. */
  elcr: number;
}

/** ICW3 of a PC's two chips, which are wired like this whether or not they have been told. */
const masterCascade = 0x04;
const slaveCascade = 2;

const initialRegisters: Readonly<Registers> = {
  inputs: 0,
  edges: 0,
  isr: 0,
  imr: 0,
  vectorBase: 0,
  cascade: masterCascade,
  expected: ocw1,
  needsIcw4: false,
  single: false,
  levelTriggered: false,
  autoEoi: false,
  specialFullyNested: false,
  specialMask: false,
  rotateInAutoEoi: false,
  lowest: 7,
  readIsr: false,
  poll: false,
  elcr: 0,
};

/** What save() gives. */
export interface Pic8259State extends DeviceState, Readonly<Registers> {
  readonly device: '8259A';
  readonly version: 1;
}

/** How a chip is wired. */
export interface Pic8259Options {
  /** INT; to nowhere when absent. */
  output?: IrqLine | undefined;
  /** The SP/EN pin is low: a slave. */
  slave?: boolean | undefined;
  /** The bits of ELCR that exist; all when absent. */
  elcrMask?: number | undefined;
  /** Called when the service of an input has ended: at its EOI, or at once with automatic EOI. */
  onServed?: ((level: number) => void) | undefined;
}

/** One chip. Offsets 0 and 1 are its two ports. */
export class Pic8259 implements Device<Pic8259State> {
  readonly name = '8259A';
  readonly maxWidth = 1;
  /** IR0 to IR7. */
  readonly inputs: readonly IrqLine[];

  readonly #output: IrqLine;
  readonly #slave: boolean;
  readonly #elcrMask: number;
  readonly #onServed: (level: number) => void;
  #r: Registers;
  #level = false;

  constructor(options: Pic8259Options = {}) {
    this.#output = options.output ?? disconnected;
    this.#slave = options.slave ?? false;
    this.#elcrMask = options.elcrMask ?? 0xff;
    this.#onServed = options.onServed ?? (() => undefined);
    this.#r = this.#powerOn();
    this.inputs = Array.from({ length: 8 }, (_, level) => ({ set: (on: boolean) => this.#setInput(1 << level, on) }));
  }

  /** INT. */
  get pending(): boolean {
    return this.#level;
  }

  /** ELCR: a set bit makes that input level-triggered. Bits that do not exist stay clear. */
  get elcr(): number {
    return this.#r.elcr;
  }

  set elcr(value: number) {
    this.#r.elcr = value & this.#elcrMask;
    this.#update();
  }

  /**
   * INTA: the level that is served, 0 to 7. INT falls and, when there is more, rises again, so that a master sees an edge for each
   * interrupt of its slave. With nothing to serve it is 7 and nothing changes.
   */
  acknowledge(): number {
    const level = this.#next();
    if (level === none) return defaultLevel;
    const r = this.#r;
    r.edges &= ~(1 << level);
    if (!r.autoEoi) r.isr |= 1 << level;
    else if (r.rotateInAutoEoi) r.lowest = level;
    this.#drive(false);
    this.#update();
    if (r.autoEoi) this.#onServed(level);
    return level;
  }

  /** What the chip puts on the data bus for a level in 8086 mode. */
  vector(level: number): number {
    return this.#r.vectorBase | level;
  }

  /** Of a master: the vector of this level is for a slave to give. */
  cascades(level: number): boolean {
    return !this.#slave && !this.#r.single && (this.#r.cascade & (1 << level)) !== 0;
  }

  /** Of a slave: it is the one at this level of its master. */
  answersTo(level: number): boolean {
    return this.#r.single || this.#r.cascade === level;
  }

  read(offset: number): number {
    const r = this.#r;
    if (offset !== commandPort && offset !== dataPort) return 0xffffffff;
    if (r.poll) return this.#readPoll();
    if (offset === dataPort) return r.imr;
    return r.readIsr ? r.isr : this.#irr;
  }

  write(offset: number, value: number): void {
    const byte = value & 0xff;
    if (offset === dataPort) this.#writeData(byte);
    else if (offset !== commandPort) return;
    else if (byte & icw1) this.#initialize(byte);
    else if (byte & ocw3) this.#writeOcw3(byte);
    else this.#writeOcw2(byte);
    this.#update();
  }

  /** As after power-on; what others drive the inputs to stays. */
  reset(): void {
    this.#r = { ...this.#powerOn(), inputs: this.#r.inputs };
    this.#update();
  }

  save(): Pic8259State {
    return { device: '8259A', version: 1, ...this.#r };
  }

  /** INT follows from the state. The levels of the inputs are part of it: restoring who drives them makes no edges then. */
  restore(state: Pic8259State): void {
    const from = new StateReader(state, this.name, 1);
    const registers: Registers = {
      inputs: from.integer('inputs', 0, 0xff),
      edges: from.integer('edges', 0, 0xff),
      isr: from.integer('isr', 0, 0xff),
      imr: from.integer('imr', 0, 0xff),
      vectorBase: from.integer('vectorBase', 0, vectorBits),
      cascade: from.integer('cascade', 0, this.#slave ? 7 : 0xff),
      expected: from.integer('expected', ocw1, icw4),
      needsIcw4: from.boolean('needsIcw4'),
      single: from.boolean('single'),
      levelTriggered: from.boolean('levelTriggered'),
      autoEoi: from.boolean('autoEoi'),
      specialFullyNested: from.boolean('specialFullyNested'),
      specialMask: from.boolean('specialMask'),
      rotateInAutoEoi: from.boolean('rotateInAutoEoi'),
      lowest: from.integer('lowest', 0, 7),
      readIsr: from.boolean('readIsr'),
      poll: from.boolean('poll'),
      elcr: from.integer('elcr', 0, this.#elcrMask),
    };
    from.check((registers.vectorBase & ~vectorBits) === 0, 'has a vectorBase that is not a multiple of 8');
    from.check((registers.elcr & ~this.#elcrMask) === 0, 'has level-triggered lines that cannot be');
    from.check(registers.expected !== 1, 'expects an ICW1 as if it were another');
    from.end();
    this.#r = registers;
    this.#level = this.#next() !== none;
    this.#output.set(this.#level);
  }

  #powerOn(): Registers {
    return { ...initialRegisters, cascade: this.#slave ? slaveCascade : masterCascade };
  }

  /** Interrupt Request Register. */
  get #irr(): number {
    const levels = this.#levels;
    return (this.#r.inputs & levels) | (this.#r.edges & ~levels);
  }

  /** Level-triggered inputs. */
  get #levels(): number {
    return this.#r.levelTriggered ? 0xff : this.#r.elcr;
  }

  /** "In-service" levels that hold back those below them; in special mask mode only where they are not masked. */
  get #blocking(): number {
    return this.#r.specialMask ? this.#r.isr & ~this.#r.imr : this.#r.isr;
  }

  #setInput(bit: number, on: boolean): void {
    checkBoolean(on, 'level');
    const r = this.#r;
    if (((r.inputs & bit) !== 0) === on) return;
    r.inputs ^= bit;
    if (on) r.edges |= bit;
    // A slave takes back only what was a level.
    else if (bit & (this.#levels | (this.#slave ? 0 : r.cascade))) r.edges &= ~bit;
    this.#update();
  }

  /** The priority resolver: the level to interrupt with, if any. */
  #next(): number {
    const r = this.#r;
    const requests = this.#irr & ~r.imr;
    if (requests === 0 || r.expected !== ocw1) return none;
    const blocking = this.#blocking;
    const level = this.#highest(requests | blocking);
    if ((blocking & (1 << level)) === 0) return level;
    // "When an interrupt request from a certain slave is in service this slave is not locked out."
    return r.specialFullyNested && requests & (1 << level) && this.cascades(level) ? level : none;
  }

  /** The set bit of the highest priority. */
  #highest(bits: number): number {
    if (bits === 0) return none;
    let level = this.#r.lowest;
    do level = (level + 1) & 7;
    while ((bits & (1 << level)) === 0);
    return level;
  }

  #update(): void {
    this.#drive(this.#next() !== none);
  }

  #drive(level: boolean): void {
    if (level === this.#level) return;
    this.#level = level;
    this.#output.set(level);
  }

  /** "The 8259A treats the next RD pulse as an interrupt acknowledge": bit 7 tells whether there was one, bits 2 to 0 its level. */
  #readPoll(): number {
    this.#r.poll = false;
    return this.#next() === none ? 0 : 0x80 | this.acknowledge();
  }

  /** ICW1. The list of what it does is the datasheet's, but for the ISR. */
  #initialize(byte: number): void {
    this.#r = {
      ...this.#r,
      edges: 0,
      isr: 0,
      imr: 0,
      lowest: 7,
      cascade: this.#slave ? 7 : 0,
      specialMask: false,
      rotateInAutoEoi: false,
      readIsr: false,
      poll: false,
      autoEoi: false,
      specialFullyNested: false,
      needsIcw4: (byte & ic4) !== 0,
      single: (byte & sngl) !== 0,
      levelTriggered: (byte & ltim) !== 0,
      expected: icw2,
    };
  }

  #writeData(byte: number): void {
    const r = this.#r;
    const last = r.needsIcw4 ? icw4 : ocw1;
    switch (r.expected) {
      case ocw1:
        r.imr = byte;
        break;
      case icw2:
        r.vectorBase = byte & vectorBits;
        r.expected = r.single ? last : icw3;
        break;
      case icw3:
        r.cascade = this.#slave ? byte & 7 : byte;
        r.expected = last;
        break;
      case icw4:
        r.autoEoi = (byte & aeoi) !== 0;
        r.specialFullyNested = (byte & sfnm) !== 0;
        r.expected = ocw1;
        break;
    }
  }

  #writeOcw2(byte: number): void {
    const r = this.#r;
    const level = byte & 7;
    if (byte & eoi) {
      // "An IS bit that is masked by an IMR bit will not be cleared by a non-specific EOI" in special mask mode.
      const served = byte & specific ? level : this.#highest(this.#blocking);
      if (served === none) return;
      r.isr &= ~(1 << served);
      if (byte & rotate) r.lowest = served;
      this.#onServed(served);
    } else if (byte & specific) {
      // Set priority; without R it is "no operation".
      if (byte & rotate) r.lowest = level;
    } else {
      r.rotateInAutoEoi = (byte & rotate) !== 0;
    }
  }

  #writeOcw3(byte: number): void {
    const r = this.#r;
    if (byte & esmm) r.specialMask = (byte & smm) !== 0;
    if (byte & rr) r.readIsr = (byte & ris) !== 0;
    // Polling goes before reading.
    if (byte & poll) r.poll = true;
  }
}

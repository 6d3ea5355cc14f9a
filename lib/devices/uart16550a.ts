/**
 * 16550A serial port.
 *
 * Reference: National Semiconductor PC16550D, "Universal Asynchronous Receiver/Transmitter with FIFOs" (June 1995), section 8.0 Registers;
 * the interrupt line as the IBM PC wires it, gated by OUT2.
 * Emulated: all registers, both FIFOs with trigger levels, interrupt priorities, character time-out, loopback, modem lines, breaks received,
 * errors that travel with their character.
 * Not emulated: time on the wire, except for the character time-out. A character is sent as soon as it is written, unless the output holds
 * back, and arrives as soon as there is room: input never overruns the receiver, only loopback does. Word length (but in loopback), parity,
 * stop bits and baud rate do not change what goes out or comes in. Breaks sent, DMA mode (RXRDY, TXRDY) and LSR writes, a factory test, have
 * no effect. A byte written while the transmitter is full is lost, as on the chip.
 * Posted: a console that polls (Linux before its first tty is opened) costs two exits a byte, the LSR read and the THR write. After 256 such
 * bytes both are saved: the writes are posted, and while nothing has been received and the output takes all it gets, what LSR reads as is
 * known before. Bytes arrive in order, late in host time by 10 ms at most. Both are ordinary again once nothing was sent for 100 ms, so that
 * nobody has to look after them while the guest is idle.
 */
import type { Device, DeviceState } from '../bus/device';
import { disconnected, type IrqLine } from '../bus/irq-line';
import { BatchedOutput, type ByteOutput } from '../host/byte-sink';
import type { Clock } from '../time/clock';
import { checkBytes } from '../util/check';
import { Ring } from './ring';
import { StateReader } from './state';
import { PolledOutput } from './uart16550a-polled';
import { Receiver, type ReceiverState } from './uart16550a-receiver';

/** Registers by address lines A2 to A0 (table II). */
const rbrThrDll = 0;
const ierDlm = 1;
const iirFcr = 2;
const lcr = 3;
const mcr = 4;
const lsr = 5;
const msr = 6;
const scr = 7;

/** 8.7 Interrupt Enable Register: "Received Data Available", "Transmitter Holding Register Empty", "Receiver Line Status", "MODEM Status". */
const erbfi = 0x01;
const etbei = 0x02;
const elsi = 0x04;
const edssi = 0x08;

/** 8.6 Interrupt Identification Register, table IV; the codes of received data are the receiver's. */
const receiverLineStatus = 0x06;
const thrEmpty = 0x02;
const modemStatus = 0x00;
const noInterrupt = 0x01;
/** Bits 7 and 6 "are set when FCR0 = 1". */
const fifosEnabled = 0xc0;

/** 8.5 FIFO Control Register. */
const fifoEnable = 0x01;
const receiverReset = 0x02;
const transmitterReset = 0x04;
const fifoDepth = 16;

/** 8.1 Line Control Register: word length, stop bits, "Parity Enable", "Divisor Latch Access Bit". */
const wordLengthSelect = 0x03;
const stopBits = 0x04;
const parityEnable = 0x08;
const dlab = 0x80;

/** 8.8 MODEM Control Register. */
const dtr = 0x01;
const rts = 0x02;
const out1 = 0x04;
const out2 = 0x08;
const loop = 0x10;
const modemControl = 0x1f;

/** 8.4 Line Status Register: "Transmitter Holding Register Empty" and "Transmitter Empty", which instant transmission makes one. */
const transmitterEmpty = 0x60;

/** 8.9 MODEM Status Register: the lines as a nibble, in bits 7 to 4; in bits 3 to 0 what has changed, for RI its trailing edge. */
const cts = 0x1;
const dsr = 0x2;
const ri = 0x4;
const dcd = 0x8;

/** The crystal of a PC; a bit takes 16 × divisor of its periods. */
const crystalHz = 1_843_200;
/** 9600 baud, as firmware leaves it; the datasheet leaves it undefined. */
const initialDivisor = 12;

/** What the chip remembers besides receiver and transmitter. */
interface Registers {
  /** Interrupt enable register. */
  ier: number;
  /** Line control register. */
  lcr: number;
  /** Modem control register. */
  mcr: number;
  /** Scratch register. */
  scr: number;
  /** Divisor latch, both bytes. */
  divisor: number;
  /** CTS, DSR, RI and DCD as the host drives them. */
  modemInputs: number;
  /** MSR bits 3 to 0. */
  modemDeltas: number;
  /** The transmitter's interrupt has been raised and neither been read in IIR nor ended by a byte. */
  thrEmptyPending: boolean;
}

/** After master reset (table I), with a modem that is on. */
const initialRegisters: Readonly<Registers> = {
  ier: 0,
  lcr: 0,
  mcr: 0,
  scr: 0,
  divisor: initialDivisor,
  modemInputs: cts | dsr | dcd,
  modemDeltas: 0,
  thrEmptyPending: false,
};

/** What save() gives. */
export interface Uart16550State extends DeviceState, Readonly<Registers>, ReceiverState {
  readonly device: '16550A';
  readonly version: 1;
  /** Bytes in the transmitter that the output has not taken. */
  readonly transmitter: readonly number[];
}

/** What a Uart16550 is connected to. */
export interface Uart16550Options {
  /** INTR behind OUT2; to nowhere when absent. */
  irq?: IrqLine | undefined;
  /** Where the guest's bytes go; they vanish when absent. */
  output?: ByteOutput | undefined;
  /** For the character time-out. Without it characters below the trigger level time out at once. */
  clock?: Clock | undefined;
}

/** True is asserted (the pin is low). */
export interface ModemLines {
  /** Clear to send; MSR bit 4. */
  cts: boolean;
  /** Data set ready; MSR bit 5. */
  dsr: boolean;
  /** Ring indicator; MSR bit 6. */
  ri: boolean;
  /** Data carrier detect; MSR bit 7. */
  dcd: boolean;
}

export class Uart16550 implements Device<Uart16550State> {
  readonly name = '16550A';
  readonly maxWidth = 1;

  readonly #irq: IrqLine;
  readonly #output: BatchedOutput;
  readonly #receiver: Receiver;
  readonly #transmitter = new Ring(fifoDepth);
  #r: Registers = { ...initialRegisters };
  /** The modem lines that the chip sees: the inputs, or its own outputs in loopback. */
  #modemLines = initialRegisters.modemInputs;
  #level = false;
  readonly #polled: PolledOutput;

  /**
   * Called with true when writes to offset 0 may be posted from now on: nothing but the byte's way out depends on them. With false as soon as
   * that is over: nothing came for a while, or, before the write that ended it has an effect, the divisor latch or loopback is selected or
   * the transmitter's interrupt is enabled. The latter is for good, until a reset: a driver with interrupts enables and disables it at each
   * piece of output.
   */
  set onPostable(callback: ((postable: boolean) => void) | undefined) {
    this.#polled.onPostable = callback;
  }

  /**
   * While the writes are posted: called with what LSR reads as, when each read gives that and has no effect; with undefined when that is
   * over, since a character came or the output holds back.
   */
  set onLineStatus(callback: ((value: number | undefined) => void) | undefined) {
    this.#polled.onLineStatus = callback && ((steady) => callback(steady ? transmitterEmpty : undefined));
  }

  constructor(options: Uart16550Options = {}) {
    this.#irq = options.irq ?? disconnected;
    this.#output = new BatchedOutput(options.output, () => this.#transmit());
    this.#output.onHeld = () => this.#polled.update();
    this.#polled = new PolledOutput(options.clock, () => this.#receiver.empty && this.#transmitter.length === 0 && !this.#output.held);
    this.#receiver = new Receiver(options.clock, () => this.#updateIrq());
    this.#updateCharacterTime();
  }

  /**
   * Input from the host; returns how many of the bytes were taken, the first ones. The rest has to be given again after `onReadyToReceive`.
   * Nothing taken is lost, except to FIFO resets and the reset of the machine. In loopback input waits.
   */
  receive(bytes: Uint8Array): number {
    checkBytes(bytes, 'input of a serial port');
    const taken = this.#receiver.offer(bytes);
    this.#updateIrq();
    return taken;
  }

  /** A break from the host; false when there was no room for it. */
  receiveBreak(): boolean {
    const taken = this.#receiver.offerBreak();
    this.#updateIrq();
    return taken;
  }

  /** Called when receive() took less than it was given and there is room again. */
  set onReadyToReceive(callback: (() => void) | undefined) {
    this.#receiver.onReady = callback;
  }

  /** Drives modem lines; those not named stay. At the start CTS, DSR and DCD are asserted. */
  setModemLines(lines: Partial<ModemLines>): void {
    const drive = (bit: number, on: boolean | undefined): void => {
      if (on !== undefined) this.#r.modemInputs = on ? this.#r.modemInputs | bit : this.#r.modemInputs & ~bit;
    };
    drive(cts, lines.cts);
    drive(dsr, lines.dsr);
    drive(ri, lines.ri);
    drive(dcd, lines.dcd);
    this.#sampleModemLines();
    this.#updateIrq();
  }

  /** Hands all that the guest has sent to the output at once, even if the output holds back: for the end of the machine. */
  flush(): void {
    this.#output.flush();
    // What waited for room.
    this.#transmit();
    this.#output.flush();
  }

  read(offset: number): number {
    const r = this.#r;
    switch (offset) {
      case rbrThrDll:
        return r.lcr & dlab ? r.divisor & 0xff : this.#readRbr();
      case ierDlm:
        return r.lcr & dlab ? r.divisor >> 8 : r.ier;
      case iirFcr:
        return this.#readIir();
      case lcr:
        return r.lcr;
      case mcr:
        return r.mcr;
      case lsr:
        return this.#readLsr();
      case msr:
        return this.#readMsr();
      case scr:
        return r.scr;
      default:
        return 0xffffffff;
    }
  }

  write(offset: number, value: number): void {
    const r = this.#r;
    const byte = value & 0xff;
    switch (offset) {
      case rbrThrDll:
        if (r.lcr & dlab) this.#writeDivisor((r.divisor & 0xff00) | byte);
        else this.#writeThr(byte);
        break;
      case ierDlm:
        if (r.lcr & dlab) this.#writeDivisor((r.divisor & 0x00ff) | (byte << 8));
        else this.#writeIer(byte);
        break;
      case iirFcr:
        this.#writeFcr(byte);
        break;
      case lcr:
        r.lcr = byte;
        this.#updateCharacterTime();
        if (byte & dlab) this.#polled.end();
        break;
      case mcr:
        if (byte & loop) this.#polled.end();
        this.#writeMcr(byte);
        break;
      case scr:
        r.scr = byte;
        break;
      // LSR is "intended for read operations only"; MSR has nothing to write.
    }
  }

  reset(): void {
    this.#r = { ...initialRegisters, modemInputs: this.#r.modemInputs };
    this.#receiver.reset();
    this.#transmitter.clear();
    this.#polled.allow(true);
    this.#updateCharacterTime();
    this.#sampleModemLines();
    this.#r.modemDeltas = 0;
    this.#updateIrq();
    this.#receiver.callSender();
  }

  save(): Uart16550State {
    return { device: '16550A', version: 1, ...this.#r, ...this.#receiver.save(), transmitter: this.#transmitter.toArray() };
  }

  /** The interrupt line follows from the state. Input and output that wait move on if they can. */
  restore(state: Uart16550State): void {
    const from = new StateReader(state, this.name, 1);
    const registers = {
      ier: from.integer('ier', 0, erbfi | etbei | elsi | edssi),
      lcr: from.integer('lcr', 0, 0xff),
      mcr: from.integer('mcr', 0, modemControl),
      scr: from.integer('scr', 0, 0xff),
      divisor: from.integer('divisor', 0, 0xffff),
      modemInputs: from.integer('modemInputs', 0, cts | dsr | ri | dcd),
      modemDeltas: from.integer('modemDeltas', 0, cts | dsr | ri | dcd),
      thrEmptyPending: from.boolean('thrEmptyPending'),
    };
    const receiver = Receiver.read(from);
    const transmitter = from.integers('transmitter', receiver.fifoEnabled ? fifoDepth : 1, 0xff);
    from.end();

    this.#polled.allow((registers.ier & etbei) === 0);
    this.#r = registers;
    this.#updateCharacterTime();
    const { modemDeltas } = registers;
    this.#sampleModemLines();
    registers.modemDeltas = modemDeltas;
    this.#receiver.restore(receiver);
    this.#receiver.disconnected = (registers.mcr & loop) !== 0;
    this.#receiver.enableTimeOut((registers.ier & erbfi) !== 0);
    this.#transmitter.load(transmitter);
    this.#level = this.#interruptLevel;
    this.#irq.set(this.#level);
    this.#transmit();
    this.#feed();
  }

  #readRbr(): number {
    const byte = this.#receiver.read();
    // The line falls before the next character arrives: an edge for interrupt controllers that want one.
    this.#updateIrq();
    this.#feed();
    return byte;
  }

  #readIir(): number {
    const id = this.#interruptId;
    if (id === thrEmpty) {
      this.#r.thrEmptyPending = false;
      this.#updateIrq();
    }
    return this.#receiver.fifoEnabled ? id | fifosEnabled : id;
  }

  #readLsr(): number {
    const hadErrors = this.#receiver.hasLineErrors;
    const value = this.#receiver.readLineStatus();
    if (hadErrors) this.#updateIrq();
    return this.#transmitter.length === 0 ? value | transmitterEmpty : value;
  }

  #readMsr(): number {
    const value = (this.#modemLines << 4) | this.#r.modemDeltas;
    this.#r.modemDeltas = 0;
    this.#updateIrq();
    return value;
  }

  #writeThr(byte: number): void {
    this.#r.thrEmptyPending = false;
    // The line falls even if it rises again at once: see #readRbr.
    this.#updateIrq();
    if (this.#transmitter.length < this.#receiver.depth) this.#transmitter.push(byte);
    this.#transmit();
    if (!(this.#r.mcr & loop)) this.#polled.sent();
  }

  #writeIer(byte: number): void {
    const risen = byte & ~this.#r.ier;
    if (byte & etbei) this.#polled.allow(false);
    this.#r.ier = byte & (erbfi | etbei | elsi | edssi);
    // Drivers start sending by enabling the interrupt while THR is empty.
    if (risen & etbei && this.#transmitter.length === 0) this.#r.thrEmptyPending = true;
    this.#receiver.enableTimeOut((byte & erbfi) !== 0);
    this.#updateIrq();
  }

  /** "This bit [0] must be a 1 when other FCR bits are written to or they will not be programmed." */
  #writeFcr(byte: number): void {
    const enable = (byte & fifoEnable) !== 0;
    const changed = enable !== this.#receiver.fifoEnabled;
    if (enable && byte & receiverReset) this.#receiver.clear();
    this.#receiver.configure(enable, enable ? byte >> 6 : this.#receiver.trigger);
    if (changed || (enable && byte & transmitterReset)) {
      // "The first transmitter interrupt after changing FCR0 will be immediate, if it is enabled" (8.11).
      if (changed || this.#transmitter.length > 0) this.#r.thrEmptyPending = true;
      this.#transmitter.clear();
    }
    this.#updateIrq();
    this.#feed();
  }

  #writeMcr(byte: number): void {
    this.#r.mcr = byte & modemControl;
    this.#receiver.disconnected = (byte & loop) !== 0;
    this.#sampleModemLines();
    this.#updateIrq();
    this.#transmit();
    this.#feed();
  }

  #writeDivisor(divisor: number): void {
    this.#r.divisor = divisor;
    this.#updateCharacterTime();
  }

  /** A start bit, 5 to 8 bits, parity, and 1, 1½ or 2 stop bits. A divisor of 0 counts as 1. */
  #updateCharacterTime(): void {
    const control = this.#r.lcr;
    const word = 5 + (control & wordLengthSelect);
    const stop = control & stopBits ? (word === 5 ? 1.5 : 2) : 1;
    const bits = 1 + word + (control & parityEnable ? 1 : 0) + stop;
    this.#receiver.characterTime = Math.round((bits * Math.max(this.#r.divisor, 1) * 16 * 1e9) / crystalHz);
  }

  /** Sends what the transmitter holds, as far as the output takes it. */
  #transmit(): void {
    if (this.#transmitter.length === 0) return;
    while (this.#transmitter.length > 0) {
      if (this.#r.mcr & loop) this.#receiver.arrive(this.#transmitter.shift()! & (0xff >> (3 - (this.#r.lcr & wordLengthSelect))));
      else if (this.#output.ready) this.#output.put(this.#transmitter.shift()!);
      else return;
    }
    this.#r.thrEmptyPending = true;
    this.#updateIrq();
  }

  #feed(): void {
    this.#receiver.feed();
    this.#updateIrq();
    this.#receiver.callSender();
  }

  /** In loopback "the four MODEM Control outputs are internally connected to the four MODEM Control inputs". */
  #sampleModemLines(): void {
    let lines = this.#r.modemInputs;
    const control = this.#r.mcr;
    if (control & loop) {
      lines = (control & rts ? cts : 0) | (control & dtr ? dsr : 0) | (control & out1 ? ri : 0) | (control & out2 ? dcd : 0);
    }
    const changed = lines ^ this.#modemLines;
    this.#r.modemDeltas |= changed & (cts | dsr | dcd);
    if (changed & ri && !(lines & ri)) this.#r.modemDeltas |= ri;
    this.#modemLines = lines;
  }

  /** The pending interrupt of the highest priority. */
  get #interruptId(): number {
    const { ier, thrEmptyPending, modemDeltas } = this.#r;
    if (ier & elsi && this.#receiver.hasLineErrors) return receiverLineStatus;
    if (ier & erbfi) {
      const received = this.#receiver.interrupt;
      if (received !== 0) return received;
    }
    if (ier & etbei && thrEmptyPending) return thrEmpty;
    if (ier & edssi && modemDeltas !== 0) return modemStatus;
    return noInterrupt;
  }

  /** A PC's interrupt line is INTR behind OUT2; loopback forces that pin inactive. */
  get #interruptLevel(): boolean {
    return (this.#r.mcr & (out2 | loop)) === out2 && this.#interruptId !== noInterrupt;
  }

  #updateIrq(): void {
    this.#polled.update();
    const level = this.#interruptLevel;
    if (level === this.#level) return;
    this.#level = level;
    this.#irq.set(level);
  }
}

/**
 * MC146818: the clock and the RAM of a PC that a battery keeps.
 *
 * Reference: Motorola MC146818A data sheet; IBM PC AT Technical Reference, "Real-Time Clock/CMOS RAM Information" (index at port 0x70, data
 * at port 0x71, the century in byte 0x32, interrupt 8).
 * Emulated: date and time as BCD or binary, with 12 or 24 hours (register B: DM, 24/12), that can be set (SET); the periodic, alarm and
 * update-ended interrupts with their flags in register C, which reading it clears; the divider's reset (DV), half a second before the next
 * update when it ends; and 128 bytes of which those without another meaning are RAM. "Update in progress" (register A) is set for the last
 * 244 µs of each second, and clear while no update comes: the guest sets the time or holds the divider. Bit 7 of the index, which masks NMI
 * on a PC, is taken and ignored; the index reads all-ones.
 * Not emulated: the duration of an update (the time changes at once, when it ends), other crystals than that of 32.768 kHz, whatever DV says,
 * the square wave (SQWE) and daylight saving (DSE), whose bits are kept as written.
 *
 * A flag says that something has happened since register C was read, not how often. So nothing is done for a tick that finds its flag set:
 * there is one timer, for the first of what the guest waits for, and none while the interrupt is asserted or all are disabled. What comes late
 * comes once, as on the chip.
 */
import type { Device, DeviceState } from '../bus/device';
import { disconnected, type IrqLine } from '../bus/irq-line';
import type { Clock, Timer } from '../time/clock';
import { checkInteger } from '../util/numbers';
import { decode, encode, hours24, secondOf, secondsToAlarm, timeBytes, timeOf, yearZero } from './mc146818-time';
import { StateReader } from './state';

const indexPort = 0;
const dataPort = 1;

/** Indices of the alarm's bytes: seconds, minutes, hours. */
const alarmBytes: readonly number[] = [0x01, 0x03, 0x05];

const registerA = 0x0a;
const registerB = 0x0b;
const registerC = 0x0c;
const registerD = 0x0d;
/** Register A: "update in progress", read only; the divider's reset, when both bits are set; the rate of the periodic interrupt. */
const updateInProgress = 0x80;
const dividerReset = 0x60;
const rateSelect = 0x0f;
/** Register B: SET; PIE, AIE and UIE, which enable the flags of register C in the same bits. */
const set = 0x80;
const periodic = 0x40;
const alarm = 0x20;
const updateEnded = 0x10;
const interrupts = periodic | alarm | updateEnded;
/** Register C: IRQF. */
const interruptRequest = 0x80;
/** Register D: "valid RAM and time". */
const valid = 0x80;

const ramSize = 128;
const second = 1e9;
const millisecond = 1e6;
/** "When the divider reset is removed, the first update cycle begins one-half second later." */
const whileReset = second / 2;
/** t_BUC, nanoseconds: for so long before it changes the time may still be read. It is 8 periods of the crystal. */
const beforeUpdate = 244_000;
const periodsBeforeUpdate = 8;
const crystalHz = 32_768;
/** Longer than the ten thousand years that the bytes can say, in milliseconds. */
const maxTime = 4e14;

/** What a Mc146818 is connected to. */
export interface Mc146818Options {
  /** The time by which it counts. */
  clock: Clock;
  /** The time at power-on and after a reset, UTC, milliseconds since 1970; from there on the clock counts. */
  now: () => number;
  /** Bytes of the RAM as the battery has kept them: index and value of each. The others are 0. */
  ram?: Iterable<readonly [index: number, value: number]> | undefined;
  /** The interrupt, a level until register C is read; to nowhere when absent. */
  irq?: IrqLine | undefined;
}

/** The index of the first byte behind the registers. */
const firstOfRam = 0x0e;

export interface Mc146818State extends DeviceState {
  readonly device: 'mc146818';
  readonly version: 1;
  /** The byte that the data port is. */
  readonly index: number;
  /** All bytes, with the flags in register C; those of the time are without meaning. */
  readonly ram: readonly number[];
  /** The time that the clock is at: whole milliseconds since the year 0. */
  readonly time: number;
  /** And nanoseconds, 0 to 999,999. */
  readonly fraction: number;
  /** While the guest sets it: the time as the guest has written it, second to century. Empty otherwise. */
  readonly held: readonly number[];
}

export class Mc146818 implements Device<Mc146818State> {
  readonly name = 'mc146818';
  readonly maxWidth = 1;
  readonly #clock: Clock;
  readonly #now: () => number;
  readonly #irq: IrqLine;
  /** The time, seconds since 1970, at which the clock stood at #origin. */
  #second = 0;
  #origin = 0;
  #index = 0;
  /** As a BIOS leaves it: a 32 kHz crystal and the usual rate; 24 hours, BCD. */
  readonly #freshRam = new Uint8Array(ramSize);
  #ram: Uint8Array;
  #held: number[] = [];
  /** Up to here, on the divider's scale, register C has its flags. */
  #noted = 0;
  #level = false;
  #timer: Timer | undefined;
  /** When it comes, by the clock. */
  #due = Infinity;

  constructor({ clock, now, ram = [], irq = disconnected }: Mc146818Options) {
    this.#clock = clock;
    this.#now = now;
    this.#irq = irq;
    this.#freshRam[registerA] = 0x26;
    this.#freshRam[registerB] = hours24;
    for (const [index, value] of ram) {
      this.#freshRam[checkInteger(index, 'index of CMOS RAM', firstOfRam, ramSize - 1)] = checkInteger(value, 'byte of CMOS RAM', 0, 0xff);
    }
    this.#ram = this.#freshRam.slice();
    this.#startAt(now());
  }

  read(offset: number): number {
    if (offset !== dataPort) return 0xffffffff;
    const field = timeBytes.indexOf(this.#index);
    if (field >= 0) return encode(this.#time()[field], field, this.#ram[registerB]);
    switch (this.#index) {
      case registerA:
        return this.#ram[registerA] | (this.#isUpdating() ? updateInProgress : 0);
      case registerC:
        return this.#takeFlags();
      case registerD:
        return valid;
      default:
        return this.#ram[this.#index];
    }
  }

  write(offset: number, value: number): void {
    if (offset === indexPort) this.#index = value & 0x7f;
    else if (offset === dataPort) this.#writeByte(value & 0xff);
  }

  reset(): void {
    this.#index = 0;
    this.#ram = this.#freshRam.slice();
    this.#held = [];
    this.#startAt(this.#now());
    this.#update();
  }

  save(): Mc146818State {
    this.#note();
    this.#update();
    const elapsed = this.#elapsed;
    return {
      device: 'mc146818',
      version: 1,
      index: this.#index,
      ram: [...this.#ram],
      time: (this.#second - yearZero) * 1000 + Math.floor(elapsed / millisecond),
      fraction: elapsed % millisecond,
      held: [...this.#held],
    };
  }

  restore(state: Mc146818State): void {
    const from = new StateReader(state, this.name, 1);
    const index = from.integer('index', 0, ramSize - 1);
    const ram = from.integers('ram', ramSize, 0xff);
    const time = from.integer('time', 0, maxTime);
    const fraction = from.integer('fraction', 0, millisecond - 1);
    const held = from.integers('held', timeBytes.length, 0xff);
    from.check(ram.length === ramSize && [0, timeBytes.length].includes(held.length), 'lacks bytes');
    from.check(((ram[registerB] & set) !== 0) === held.length > 0, 'has a time that is set and runs');
    from.check((ram[registerC] & ~interrupts) === 0, 'has flags that the chip has not');
    from.end();
    this.#index = index;
    this.#ram = Uint8Array.from(ram);
    this.#startAt(time + yearZero * 1000, fraction);
    this.#held = held;
    this.#level = (ram[registerB] & ram[registerC]) !== 0;
    this.#irq.set(this.#level);
    this.#update();
  }

  #writeByte(value: number): void {
    const index = this.#index;
    if (index === registerC || index === registerD) return;
    const field = timeBytes.indexOf(index);
    if (field < 0 && index >= firstOfRam) {
      this.#ram[index] = value;
      return;
    }
    this.#note();
    if (field >= 0) this.#writeTime(field, value);
    else if (index === registerA) this.#writeRegisterA(value);
    else if (index === registerB) this.#writeRegisterB(value);
    else this.#ram[index] = value;
    this.#update();
  }

  #writeTime(field: number, value: number): void {
    const time = this.#time();
    time[field] = decode(value, field, this.#ram[registerB]);
    if (this.#held.length > 0) this.#held = time;
    else this.#setTime(time);
  }

  #writeRegisterA(value: number): void {
    const time = (this.#second + Math.floor(this.#elapsed / second)) * 1000;
    const ran = this.#runs;
    this.#ram[registerA] = value & ~updateInProgress;
    if (this.#runs !== ran) this.#startAt(time, whileReset);
  }

  /** "When the SET bit is a 1, the update cycle is inhibited"; going high it clears UIE. The divider goes on: updates come when they would have. */
  #writeRegisterB(value: number): void {
    const hold = (value & set) !== 0;
    this.#ram[registerB] = hold ? value & ~updateEnded : value;
    if (hold === this.#held.length > 0) return;
    if (hold) {
      this.#held = this.#time();
    } else {
      this.#setTime(this.#held);
      this.#held = [];
    }
  }

  /** Register C. */
  #takeFlags(): number {
    this.#note();
    this.#update();
    const flags = this.#ram[registerC];
    const value = this.#level ? flags | interruptRequest : flags;
    this.#ram[registerC] = 0;
    this.#update();
    return value;
  }

  /** Milliseconds since 1970, and nanoseconds. */
  #startAt(time: number, fraction = 0): void {
    this.#second = Math.floor(time / 1000);
    const elapsed = this.#runs ? (Math.floor(time) - this.#second * 1000) * millisecond + fraction : whileReset;
    this.#origin = this.#clock.now() - elapsed;
    this.#noted = elapsed;
  }

  /** The divider counts; not while its reset holds it. */
  get #runs(): boolean {
    return (this.#ram[registerA] & dividerReset) !== dividerReset;
  }

  /** Nanoseconds since #second has begun: where the divider stands. */
  get #elapsed(): number {
    return this.#runs ? this.#clock.now() - this.#origin : whileReset;
  }

  #isUpdating(): boolean {
    return this.#held.length === 0 && this.#elapsed % second >= second - beforeUpdate;
  }

  #time(): number[] {
    return this.#held.length > 0 ? [...this.#held] : timeOf(this.#second + Math.floor(this.#elapsed / second));
  }

  #setTime(time: readonly number[]): void {
    this.#second = secondOf(time) - Math.floor(this.#elapsed / second);
  }

  /** Sets the flags of what has happened since this was called last, up to now or, where a timer has come, to when it was due. */
  #note(due = -Infinity): void {
    if (!this.#runs) return;
    const from = this.#noted;
    const to = Math.max(from, this.#elapsed, due - this.#origin);
    this.#noted = to;
    const period = this.#period;
    if (period > 0 && ticksIn(from, period) !== ticksIn(to, period)) this.#ram[registerC] |= periodic;
    const updates = Math.floor(to / second) - Math.floor(from / second);
    if (updates === 0 || this.#held.length > 0) return;
    this.#ram[registerC] |= updates >= this.#updatesToAlarm(from) ? updateEnded | alarm : updateEnded;
  }

  /** Of the periodic interrupt, in periods of the crystal; 0 for none. Rates 1 and 2 are those of 8 and 9. */
  get #period(): number {
    const rate = this.#ram[registerA] & rateSelect;
    if (rate === 0) return 0;
    return 2 ** (rate < 3 ? rate + 6 : rate - 1);
  }

  #updatesToAlarm(elapsed: number): number {
    const bytes = alarmBytes.map((index) => this.#ram[index]);
    return secondsToAlarm(this.#second + Math.floor(elapsed / second), bytes, this.#ram[registerB]);
  }

  /** The line follows from the registers, and so does what there is to wait for. */
  #update(): void {
    const level = (this.#ram[registerB] & this.#ram[registerC] & interrupts) !== 0;
    if (level !== this.#level) {
      this.#level = level;
      this.#irq.set(level);
    }
    this.#setTimer(level || !this.#runs ? Infinity : this.#origin + this.#nextInterrupt());
  }

  /** On the divider's scale; none of the flags that are enabled is set. */
  #nextInterrupt(): number {
    const enabled = this.#ram[registerB];
    const from = this.#noted;
    const begun = Math.floor(from / second);
    let next = Infinity;
    if (enabled & periodic && this.#period > 0) next = nextTick(from, this.#period);
    if (this.#held.length > 0) return next;
    if (enabled & updateEnded) next = Math.min(next, (begun + 1) * second);
    if (enabled & alarm) next = Math.min(next, (begun + this.#updatesToAlarm(from)) * second);
    return next;
  }

  #setTimer(due: number): void {
    if (due === this.#due) return;
    this.#timer?.cancel();
    this.#due = due;
    this.#timer =
      due === Infinity
        ? undefined
        : this.#clock.at(due, () => {
            this.#due = Infinity;
            this.#note(due);
            this.#update();
          });
  }
}

/**
 * Ticks of a period in so many nanoseconds of the divider. "The reads should be completed within (T_PI / 2) + t_BUC": so long before an update
 * comes a tick.
 */
function ticksIn(elapsed: number, period: number): number {
  return Math.floor((periodsIn(elapsed) + period / 2 + periodsBeforeUpdate) / period);
}

/** When the next of them comes. */
function nextTick(elapsed: number, period: number): number {
  const periods = (ticksIn(elapsed, period) + 1) * period - period / 2 - periodsBeforeUpdate;
  const seconds = Math.floor(periods / crystalHz);
  return seconds * second + Math.ceil(((periods - seconds * crystalHz) * second) / crystalHz);
}

/** Periods of the crystal; exact for any safe integer. */
function periodsIn(elapsed: number): number {
  const seconds = Math.floor(elapsed / second);
  return seconds * crystalHz + Math.floor(((elapsed - seconds * second) * crystalHz) / second);
}

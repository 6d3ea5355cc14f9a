/**
 * MC146818: the clock and the RAM of a PC that a battery keeps.
 *
 * Reference: Motorola MC146818A data sheet; IBM PC AT Technical Reference, "Real-Time Clock/CMOS RAM Information" (index at port 0x70, data
 * at port 0x71, the century in byte 0x32).
 * Emulated: date and time as BCD or binary, with 12 or 24 hours (register B: DM, 24/12), that can be set (SET), and 128 bytes of which those
 * without another meaning are RAM. Bit 7 of the index, which masks NMI on a PC, is taken and ignored; the index reads all-ones.
 * "Update in progress" (register A) is set for the last 244 µs of each second, and clear while the guest sets the time.
 * Not emulated: interrupts. Alarms and the rates of register A are kept as written and nothing comes of them, register C reads 0. The time
 * changes at once, when the update ends, and goes on whatever register A says of the divider. The ACPI tables should tell guests that there is no
 * CMOS RTC to drive: those that just want to know the time read it all the same.
 */
import type { Device, DeviceState } from '../bus/device';
import type { Clock } from '../time/clock';
import { checkInteger } from '../util/numbers';
import { StateReader } from './state';

const indexPort = 0;
const dataPort = 1;

/** Bytes of the time, in the order of a state's `held`. */
const fields = [0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x32] as const;
const [seconds, minutes, hours, , day, month, year, century] = fields.map((_, i) => i);
const hoursByte = 0x04;

const registerA = 0x0a;
const registerB = 0x0b;
const registerC = 0x0c;
const registerD = 0x0d;
/** Register A: "update in progress", read only. */
const updateInProgress = 0x80;
/** t_BUC, nanoseconds: for so long before it changes the time may still be read. */
const beforeUpdate = 244_000;
/** Register B: SET, data mode (1 binary, 0 BCD), 24 hours. */
const set = 0x80;
const binary = 0x04;
const hours24 = 0x02;
/** Register D: "valid RAM and time". */
const valid = 0x80;
/** In the mode of 12 hours: afternoon. */
const afternoon = 0x80;

const ramSize = 128;
const second = 1e9;
const millisecond = 1e6;
/** 1 January of the year 0, milliseconds since 1970: before it no byte says the year. */
const yearZero = -62_167_219_200_000;
/** Longer than the ten thousand years that the bytes can say. */
const maxTime = 4e14;

/** What a Mc146818 is connected to. */
export interface Mc146818Options {
  /** The time by which it counts. */
  clock: Clock;
  /** The time at power-on and after a reset, UTC, milliseconds since 1970; from there on the clock counts. */
  now: () => number;
  /** Bytes of the RAM as the battery has kept them: index and value of each. The others are 0. */
  ram?: Iterable<readonly [index: number, value: number]> | undefined;
}

/** The index of the first byte behind the registers. */
const firstOfRam = 0x0e;

export interface Mc146818State extends DeviceState {
  readonly device: 'mc146818';
  readonly version: 1;
  /** The byte that the data port is. */
  readonly index: number;
  /** All bytes; those of the time are without meaning. */
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
  /** The time, milliseconds since 1970, at which the clock stood at #origin. */
  #base = 0;
  #origin = 0;
  #index = 0;
  /** As a BIOS leaves it: a 32 kHz crystal and the usual rate; 24 hours, BCD. */
  readonly #freshRam = new Uint8Array(ramSize);
  #ram: Uint8Array;
  #held: number[] = [];

  constructor({ clock, now, ram = [] }: Mc146818Options) {
    this.#clock = clock;
    this.#now = now;
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
    const field = (fields as readonly number[]).indexOf(this.#index);
    if (field >= 0) return this.#encode(this.#held.length > 0 ? this.#held[field] : this.#time()[field]);
    if (this.#index === registerC) return 0;
    if (this.#index === registerA && this.#isUpdating()) return this.#ram[registerA] | updateInProgress;
    return this.#index === registerD ? valid : this.#ram[this.#index];
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
  }

  save(): Mc146818State {
    return {
      device: 'mc146818',
      version: 1,
      index: this.#index,
      ram: [...this.#ram],
      time: this.#milliseconds() - yearZero,
      fraction: (this.#clock.now() - this.#origin) % millisecond,
      held: [...this.#held],
    };
  }

  restore(state: Mc146818State): void {
    const from = new StateReader(state, this.name, 1);
    const index = from.integer('index', 0, ramSize - 1);
    const ram = from.integers('ram', ramSize, 0xff);
    const time = from.integer('time', 0, maxTime);
    const fraction = from.integer('fraction', 0, millisecond - 1);
    const held = from.integers('held', fields.length, 0xff);
    from.check(ram.length === ramSize && [0, fields.length].includes(held.length), 'lacks bytes');
    from.check(((ram[registerB] & set) !== 0) === held.length > 0, 'has a time that is set and runs');
    from.end();
    this.#index = index;
    this.#ram = Uint8Array.from(ram);
    this.#startAt(time + yearZero, fraction);
    this.#held = held;
  }

  #writeByte(value: number): void {
    const field = (fields as readonly number[]).indexOf(this.#index);
    if (field >= 0) {
      const held = this.#held.length > 0 ? this.#held : this.#time();
      held[field] = this.#decode(value);
      if (this.#held.length === 0) this.#setTime(held);
      return;
    }
    if (this.#index === registerC || this.#index === registerD) return;
    this.#ram[this.#index] = this.#index === registerA ? value & ~updateInProgress : value;
    if (this.#index === registerB) this.#holdOrGo((value & set) !== 0);
  }

  #holdOrGo(hold: boolean): void {
    if (hold === this.#held.length > 0) return;
    if (hold) {
      this.#held = this.#time();
    } else {
      this.#setTime(this.#held);
      this.#held = [];
    }
  }

  #startAt(time: number, fraction = 0): void {
    this.#base = Math.floor(time);
    this.#origin = this.#clock.now() - fraction;
  }

  #milliseconds(): number {
    return this.#base + Math.floor((this.#clock.now() - this.#origin) / millisecond);
  }

  #isUpdating(): boolean {
    const sinceSecond = ((this.#milliseconds() - yearZero) % 1000) * millisecond + ((this.#clock.now() - this.#origin) % millisecond);
    return this.#held.length === 0 && sinceSecond >= second - beforeUpdate;
  }

  #time(): number[] {
    const now = new Date(this.#milliseconds());
    const fullYear = now.getUTCFullYear();
    return [
      now.getUTCSeconds(),
      now.getUTCMinutes(),
      now.getUTCHours(),
      now.getUTCDay() + 1,
      now.getUTCDate(),
      now.getUTCMonth() + 1,
      fullYear % 100,
      Math.floor(fullYear / 100),
    ];
  }

  /** Bytes that are no date, such as 31 February, are the date so many days on; the day of the week follows from it. */
  #setTime(time: readonly number[]): void {
    const date = new Date(0);
    date.setUTCFullYear((time[century] % 100) * 100 + (time[year] % 100), time[month] - 1, time[day]);
    date.setUTCHours(time[hours], time[minutes], time[seconds]);
    this.#startAt(Math.max(date.getTime(), yearZero));
  }

  #mode(bit: number): boolean {
    return (this.#ram[registerB] & bit) !== 0;
  }

  #encode(value: number): number {
    const code = (number: number): number => (this.#mode(binary) ? number : (Math.floor(number / 10) << 4) | (number % 10)) & 0xff;
    if (this.#index !== hoursByte || this.#mode(hours24)) return code(value);
    return code(value % 12 === 0 ? 12 : value % 12) | (value >= 12 ? afternoon : 0);
  }

  #decode(byte: number): number {
    const number = (code: number): number => (this.#mode(binary) ? code : (code >> 4) * 10 + (code & 0x0f));
    if (this.#index !== hoursByte || this.#mode(hours24)) return number(byte);
    return (number(byte & ~afternoon) % 12) + (byte & afternoon ? 12 : 0);
  }
}

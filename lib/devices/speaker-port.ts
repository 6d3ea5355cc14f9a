/**
 * Port 0x61 of a PC: system control port B, with the gate of timer 2 and the speaker.
 *
 * Reference: IBM PC AT Technical Reference, "System Board I/O, Port B"; Intel 82371SB (PIIX3) data sheet, "NMI Status and Control Register".
 * Emulated: bit 0 the gate of timer 2, bit 1 the speaker's, bits 2 and 3 kept as written, bit 4 the toggle of memory refresh, bit 5 the
 * output of timer 2.
 * Not emulated: sound, and parity and channel check errors: bits 6 and 7 read 0.
 */
import type { Device, DeviceState } from '../bus/device';
import { StateReader } from './state';

/** "Timer 2 gate", "speaker data enable", "enable RAM parity check", "enable I/O channel check": what can be written. */
const timerGate = 0x01;
const writable = 0x0f;
/** "Refresh detect", "timer 2 output": what can only be read. */
const refreshDetect = 0x10;
const timerOutput = 0x20;

/** The timer behind the port: a Pit8254. */
export interface SpeakerTimer {
  /** Drives GATE 2. */
  setGate(counter: 2, level: boolean): void;
  /** The level of OUT 2. */
  out(counter: 2): boolean;
  /** Changes with each refresh of the memory, about every 15 µs. */
  readonly refreshToggle: boolean;
}

/** What save() gives. */
export interface SpeakerPortState extends DeviceState {
  readonly device: 'speaker-port';
  readonly version: 1;
  /** Bits 3 to 0. */
  readonly control: number;
}

export class SpeakerPort implements Device<SpeakerPortState> {
  readonly name = 'speaker-port';
  readonly maxWidth = 1;
  readonly #timer: SpeakerTimer;
  #control = 0;

  constructor(timer: SpeakerTimer) {
    this.#timer = timer;
    this.#set(0);
  }

  read(offset: number): number {
    if (offset !== 0) return 0xffffffff;
    return this.#control | (this.#timer.refreshToggle ? refreshDetect : 0) | (this.#timer.out(2) ? timerOutput : 0);
  }

  write(offset: number, value: number): void {
    if (offset === 0) this.#set(value & writable);
  }

  reset(): void {
    this.#set(0);
  }

  save(): SpeakerPortState {
    return { device: 'speaker-port', version: 1, control: this.#control };
  }

  /** The timer's state has the gate too: which of them is restored first does not matter. */
  restore(state: SpeakerPortState): void {
    const from = new StateReader(state, this.name, 1);
    const control = from.integer('control', 0, writable);
    from.end();
    this.#set(control);
  }

  #set(control: number): void {
    this.#control = control;
    this.#timer.setGate(2, (control & timerGate) !== 0);
  }
}

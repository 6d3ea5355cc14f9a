/**
 * 8254 programmable interval timer.
 *
 * Reference: Intel 8254, "Programmable Interval Timer" (order number 231164-005, September 1993): Control Word Format, Counter Latch
 * Command, Read-Back Command, Mode Definitions, Operation Common to All Modes.
 * Emulated: three counters in modes 0 to 5, binary and BCD, both bytes or one, counter latch, read-back of count and status, null count,
 * gates, counts written while counting, tick by tick as the datasheet's wave forms show it. CLK is a PC's, 105/88 MHz, reckoned from the
 * clock in whole numbers, so that nothing drifts.
 * Not emulated: what comes of counts that the datasheet calls illegal (1 in modes 2 and 3, where OUT stays high here), and BCD digits above 9.
 *
 * OUT of counter 0 drives the interrupt line: it falls where the guest's programming makes OUT fall, and each rise of OUT makes it fall, if
 * it is high, and rise. It does not follow OUT down in between, in mode 3 for half of the time: that would cost a timer, and take interrupts
 * that the guest has not got to yet. A rise needs a timer of the clock; there is none while counter 0 is not counting, and counters 1 and 2
 * have none at all.
 *
 * Ticks of modes 2 and 3 that could not be given in time are made up for: not at once, since the guest would see only one, but one each
 * half period, and never more often than every 200 µs. What is more than a second behind is dropped: a guest that was stopped for long
 * does not make up for all of it, and one that asks for more than 5000 interrupts a second gets 5000.
 */
import type { Device, DeviceState } from '../bus/device';
import { disconnected, type IrqLine } from '../bus/irq-line';
import type { Clock, Timer } from '../time/clock';
import { Counter, type CounterState } from './i8254-counter';
import { StateReader } from './state';

/** A1 and A0: the three counters, and this. */
const controlPort = 3;

/** Control word, bits 7 and 6: the counter, or the read-back command; bits 5 and 4 clear: counter latch. */
const selectShift = 6;
const readBack = 3;
const accessBits = 0x30;
/** Read-back command: these bits are 0 for what is to be latched; bits 3 to 1 are 1 for the counters. */
const doNotLatchCount = 0x20;
const doNotLatchStatus = 0x10;
const counter0Bit = 1;

/** 21 ticks of 105/88 MHz take 17,600 ns. */
const ticksPerCycle = 21;
const nsPerCycle = 17_600;
const ticksPerSecond = 1_193_181;

/** A PC's counter 1 asks for a refresh each 18 ticks, and each request toggles a bit of port 0x61. */
const ticksPerRefresh = 18;
/** 252 ticks: after them both that bit and the nanoseconds are where they were. */
const nsPerPhase = 12 * nsPerCycle;

/** Two interrupts of a periodic mode are at least 200 µs apart: KVM's own limit for timers of its guests. */
const minSpacing = 239;
/** No spacing is longer than half of the longest period. */
const maxSpacing = 0x8000;

type Numbered<N extends number> = { readonly [K in keyof CounterState as `${K}${N}`]: CounterState[K] };

/** What save() gives. */
export interface Pit8254State extends DeviceState, Numbered<0>, Numbered<1>, Numbered<2> {
  readonly device: '8254';
  readonly version: 1;
  /** Nanoseconds into the current 252 ticks. */
  readonly phase: number;
  /** The level of the interrupt line. */
  readonly line: boolean;
  /** Rises of OUT 0 that the interrupt line has not shown yet. */
  readonly owed: number;
  /** Ticks since the last one that it has shown, or since that was served, up to 32768. */
  readonly sinceRise: number;
  /** The last one has not been served; only where `tellsServed` is set. */
  readonly unserved: boolean;
  /** Ticks from the last one that was served to the end of its service, up to 32768. */
  readonly took: number;
}

/** What a Pit8254 is connected to. */
export interface Pit8254Options {
  /** The time by which the counters count. */
  clock: Clock;
  /** OUT 0; to nowhere when absent. */
  irq?: IrqLine | undefined;
  /**
   * The interrupt controller will call served(). Rises then leave the guest time after each service, half a period and as long as the service
   * took: without that a guest whose handler takes longer than a period would do nothing else. False when absent.
   */
  tellsServed?: boolean | undefined;
}

/** Offsets 0 to 2 are the counters, 3 is the control word. */
export class Pit8254 implements Device<Pit8254State> {
  readonly name = '8254';
  readonly maxWidth = 1;

  readonly #clock: Clock;
  readonly #irq: IrqLine;
  readonly #tellsServed: boolean;
  /** The gates of counters 0 and 1 are high on a PC, that of counter 2 is bit 0 of port 0x61. */
  #counters: readonly Counter[] = [new Counter(true), new Counter(true), new Counter(false)];
  /** The clock's time of tick 0. */
  #epoch: number;
  #line = false;
  #owed = 0;
  #lastRise = -maxSpacing;
  #unserved = false;
  #took = 0;
  #timer: Timer | undefined;
  /** The tick for which the timer is set. */
  #due = Infinity;

  constructor(options: Pit8254Options) {
    this.#clock = options.clock;
    this.#irq = options.irq ?? disconnected;
    this.#tellsServed = options.tellsServed ?? false;
    this.#epoch = this.#clock.now();
  }

  /** Drives a GATE input. */
  setGate(counter: 0 | 1 | 2, level: boolean): void {
    this.#change(counter, this.#begin(), (it) => it.setGate(level));
  }

  /** An OUT pin. */
  out(counter: 0 | 1 | 2): boolean {
    this.#advance(counter, this.#begin());
    return this.#counters[counter].out;
  }

  /** Toggles with each refresh of memory, about every 15 µs; from the same clock, whatever counter 1 does. */
  get refreshToggle(): boolean {
    return Math.floor(this.#tick() / ticksPerRefresh) % 2 === 1;
  }

  read(offset: number): number {
    if (offset >= controlPort) return 0xffffffff;
    this.#advance(offset, this.#begin());
    return this.#counters[offset].read();
  }

  write(offset: number, value: number): void {
    const byte = value & 0xff;
    if (offset < controlPort) this.#change(offset, this.#begin(), (it) => it.write(byte));
    else if (offset === controlPort) this.#writeControl(byte, this.#begin());
  }

  /** The guest has ended its service of the last rise of OUT 0. */
  served(): void {
    if (!this.#unserved) return;
    const tick = this.#tick();
    this.#unserved = false;
    this.#took = Math.min(tick - this.#lastRise, maxSpacing);
    this.#lastRise = tick;
    this.#arm();
  }

  /** As after power-on; gates stay as they are driven. */
  reset(): void {
    this.#counters = this.#counters.map(({ gate }) => new Counter(gate));
    this.#epoch = this.#clock.now();
    this.#owed = 0;
    this.#lastRise = -maxSpacing;
    this.#unserved = false;
    this.#took = 0;
    this.#setTimer(Infinity);
    this.#drive(false);
  }

  save(): Pit8254State {
    const elapsed = this.#clock.now() - this.#epoch;
    const tick = tickOfNs(elapsed);
    const counters = this.#counters.map((counter, n) => {
      this.#advance(n, tick);
      return Object.fromEntries(Object.entries(counter.save()).map(([name, value]) => [`${name}${n}`, value]));
    }) as unknown as [Numbered<0>, Numbered<1>, Numbered<2>];
    this.#arm();
    return {
      device: '8254',
      version: 1,
      phase: elapsed % nsPerPhase,
      line: this.#line,
      owed: this.#owed,
      sinceRise: Math.min(tick - this.#lastRise, maxSpacing),
      unserved: this.#unserved,
      took: this.#took,
      ...counters[0],
      ...counters[1],
      ...counters[2],
    };
  }

  restore(state: Pit8254State): void {
    const from = new StateReader(state, this.name, 1);
    const phase = from.integer('phase', 0, nsPerPhase - 1);
    const line = from.boolean('line');
    const owed = from.integer('owed', 0, ticksPerSecond);
    const sinceRise = from.integer('sinceRise', 0, maxSpacing);
    const unserved = from.boolean('unserved');
    const took = from.integer('took', 0, maxSpacing);
    const counters = this.#counters.map((_, n) => Counter.read(from, n));
    from.end();

    // Ticks count from another time now: a timer for the same one would come at the time of the old.
    this.#setTimer(Infinity);
    this.#epoch = this.#clock.now() - phase;
    const tick = this.#tick();
    this.#counters.forEach((counter, n) => counter.restore(counters[n], tick));
    this.#owed = owed;
    this.#lastRise = tick - sinceRise;
    this.#unserved = unserved;
    this.#took = took;
    this.#line = line;
    this.#irq.set(line);
    this.#arm();
  }

  /** Before anything is done: the tick that it is, with the line as it ought to be by now. */
  #begin(): number {
    const tick = this.#tick();
    this.#serve(tick);
    return tick;
  }

  #writeControl(byte: number, tick: number): void {
    const select = byte >> selectShift;
    if (select === readBack) {
      this.#counters.forEach((counter, n) => {
        if ((byte & (1 << (n + counter0Bit))) === 0) return;
        this.#advance(n, tick);
        if ((byte & doNotLatchCount) === 0) counter.latchCount();
        if ((byte & doNotLatchStatus) === 0) counter.latchStatus();
      });
    } else if ((byte & accessBits) === 0) {
      this.#advance(select, tick);
      this.#counters[select].latchCount();
    } else {
      this.#change(select, tick, (it) => it.setControl(byte), true);
    }
  }

  /** Does something to a counter that its output may follow at once. */
  #change(n: number, tick: number, change: (counter: Counter) => void, control = false): void {
    const counter = this.#counters[n];
    this.#advance(n, tick);
    const before = counter.out;
    change(counter);
    if (n !== 0) return;
    const after = counter.out;
    if (control || (before && !after)) this.#owed = 0;
    if (!after && (control || before)) this.#drive(false);
    if (after && !before) this.#rise(tick);
    this.#serve(tick);
  }

  /** Takes a counter to a tick; the rises of OUT 0 on the way are owed from now on, one in one-shot modes, up to a second's in others. */
  #advance(n: number, tick: number): void {
    const counter = this.#counters[n];
    const rises = counter.advance(tick);
    if (n !== 0 || rises === 0) return;
    const cap = counter.period === 0 ? 1 : Math.max(Math.floor(ticksPerSecond / counter.period), 1);
    this.#owed = Math.min(this.#owed + rises, cap);
  }

  /** The first tick at which the line may rise again. One that nobody serves, because it is masked, does not hold up the rest for ever. */
  get #earliest(): number {
    const { period } = this.#counters[0];
    if (period === 0) return 0;
    return this.#lastRise + (this.#unserved ? maxSpacing : Math.max(period >> 1, minSpacing, this.#took));
  }

  /** Lets the line rise if it is time. */
  #serve(tick: number): void {
    this.#advance(0, tick);
    if (this.#owed > 0 && tick >= this.#earliest) {
      this.#owed--;
      this.#rise(tick);
    }
    this.#arm();
  }

  #rise(tick: number): void {
    this.#lastRise = tick;
    this.#unserved = this.#tellsServed;
    this.#drive(false);
    this.#drive(true);
  }

  #drive(level: boolean): void {
    if (level === this.#line) return;
    this.#line = level;
    this.#irq.set(level);
  }

  #arm(): void {
    const earliest = this.#earliest;
    this.#setTimer(this.#owed > 0 ? earliest : Math.max(this.#counters[0].nextRise, earliest));
  }

  #setTimer(due: number): void {
    if (due === this.#due) return;
    this.#timer?.cancel();
    this.#due = due;
    this.#timer =
      due === Infinity
        ? undefined
        : this.#clock.at(this.#epoch + nsOfTick(due), () => {
            this.#due = Infinity;
            // A clock that calls early must not be asked for the same time again, for ever.
            this.#serve(Math.max(this.#tick(), due));
          });
  }

  #tick(): number {
    return tickOfNs(this.#clock.now() - this.#epoch);
  }
}

/** The ticks in `ns` nanoseconds; exact for any safe integer. */
function tickOfNs(ns: number): number {
  const cycles = Math.floor(ns / nsPerCycle);
  return cycles * ticksPerCycle + Math.floor(((ns - cycles * nsPerCycle) * ticksPerCycle) / nsPerCycle);
}

/** The first nanosecond of a tick. */
function nsOfTick(tick: number): number {
  const cycles = Math.floor(tick / ticksPerCycle);
  return cycles * nsPerCycle + Math.ceil(((tick - cycles * ticksPerCycle) * nsPerCycle) / ticksPerCycle);
}

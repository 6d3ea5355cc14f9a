/** What the tests of the 8254 have in common: clocks that are watched, and a PIT whose interrupts are recorded. */
import type { IrqLine } from '../../../lib/bus/irq-line';
import { Pit8254 } from '../../../lib/devices/i8254';
import { type Clock, type Timer } from '../../../lib/time/clock';

export const control = 3;
/** Ticks take 88000/105 ns: the first nanosecond of one. */
export const nsOf = (tick: number): number => Number((BigInt(tick) * 88000n + 104n) / 105n);
export const ticksIn = (ns: number): number => Number((BigInt(ns) * 105n) / 88000n);
export const ms = 1e6;
export const second = 1e9;

/** A clock that counts what is asked of it, and whose timers can be late: time passes, and only then they fire. */
export class WatchedClock implements Clock {
  readonly timers = new Set<{ deadline: number; callback: () => void }>();
  calls = 0;
  #now: number;

  constructor(start = 0) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  at(deadline: number, callback: () => void): Timer {
    this.calls++;
    const timer = { deadline, callback };
    this.timers.add(timer);
    return { cancel: () => void this.timers.delete(timer) };
  }

  /** Time passes with nobody there to fire timers. */
  stall(ns: number): void {
    this.#now += ns;
  }

  /** Fires what is due, once each. */
  fire(): void {
    for (const timer of [...this.timers]) {
      if (timer.deadline > this.#now || !this.timers.delete(timer)) continue;
      timer.callback();
    }
  }

  /** As a ManualClock does, each timer `lateness` after its deadline. */
  advance(ns: number, lateness: () => number = () => 0): void {
    const end = this.#now + ns;
    for (;;) {
      const next = Math.min(...[...this.timers].map(({ deadline }) => deadline)) + lateness();
      if (next > end) break;
      this.#now = Math.max(this.#now, next);
      this.fire();
    }
    this.#now = end;
  }
}

/** Notes when the line rose, in ticks. */
export class Edges implements IrqLine {
  readonly at: number[] = [];
  level = false;

  constructor(private readonly clock: Clock) {}

  set(level: boolean): void {
    if (level && !this.level) this.at.push(ticksIn(this.clock.now()));
    this.level = level;
  }
}

export function bench() {
  const clock = new WatchedClock();
  const edges = new Edges(clock);
  const pit = new Pit8254({ clock, irq: edges });
  return { clock, edges, pit };
}

/** Control word and count, both bytes. */
export function program(pit: Pit8254, counter: number, mode: number, count: number): void {
  pit.write(control, (counter << 6) | 0x30 | (mode << 1));
  setCount(pit, counter, count);
}

export function setCount(pit: Pit8254, counter: number, count: number): void {
  pit.write(counter, count & 0xff);
  pit.write(counter, count >> 8);
}

export function latched(pit: Pit8254, counter: number): number {
  pit.write(control, counter << 6);
  return pit.read(counter) | (pit.read(counter) << 8);
}

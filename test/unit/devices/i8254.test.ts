import fc from 'fast-check';
import type { IrqLine } from '../../../lib/bus/irq-line';
import { Pit8254 } from '../../../lib/devices/i8254';
import { PicPair } from '../../../lib/devices/pic-pair';
import { ManualClock, type Clock, type Timer } from '../../../lib/time/clock';
import { RecordedLine } from '../../support/device-laws';

const control = 3;
/** Ticks take 88000/105 ns: the first nanosecond of one. */
const nsOf = (tick: number): number => Number((BigInt(tick) * 88000n + 104n) / 105n);
const ticksIn = (ns: number): number => Number((BigInt(ns) * 105n) / 88000n);
const ms = 1e6;
const second = 1e9;

/** A clock that counts what is asked of it, and whose timers can be late: time passes, and only then they fire. */
class WatchedClock implements Clock {
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
class Edges implements IrqLine {
  readonly at: number[] = [];
  level = false;

  constructor(private readonly clock: Clock) {}

  set(level: boolean): void {
    if (level && !this.level) this.at.push(ticksIn(this.clock.now()));
    this.level = level;
  }
}

function bench() {
  const clock = new WatchedClock();
  const edges = new Edges(clock);
  const pit = new Pit8254({ clock, irq: edges });
  return { clock, edges, pit };
}

/** Control word and count, both bytes. */
function program(pit: Pit8254, counter: number, mode: number, count: number): void {
  pit.write(control, (counter << 6) | 0x30 | (mode << 1));
  setCount(pit, counter, count);
}

function setCount(pit: Pit8254, counter: number, count: number): void {
  pit.write(counter, count & 0xff);
  pit.write(counter, count >> 8);
}

function latched(pit: Pit8254, counter: number): number {
  pit.write(control, counter << 6);
  return pit.read(counter) | (pit.read(counter) << 8);
}

describe('control word', () => {
  it('is for the counter that it names', () => {
    const { pit, clock } = bench();
    for (const [counter, count] of [
      [0, 0x1111],
      [1, 0x2222],
      [2, 0x3333],
    ]) {
      program(pit, counter, 2, count);
    }
    pit.setGate(2, true);
    clock.advance(nsOf(1));
    expect([0, 1, 2].map((counter) => latched(pit, counter))).toEqual([0x1111, 0x2222, 0x3333]);
    expect(pit.read(control)).toBe(0xffffffff);
    pit.write(7, 0xff);
  });

  // Read-back: D5 and D4 are 0 for what is latched (datasheet, figure 12); bits 3 to 1 choose the counters.
  it.each([
    [0xc0, true, true],
    [0xd0, true, false],
    [0xe0, false, true],
    [0xf0, false, false],
  ])('read-back %p latches: count %p, status %p', (command, count, status) => {
    for (let counters = 0; counters < 8; counters++) {
      const { pit } = bench();
      for (const counter of [0, 1, 2]) program(pit, counter, 3, 0x1234);
      pit.write(control, command | (counters << 1));
      const state = pit.save();
      const chosen = [1, 2, 4].map((bit) => (counters & bit) !== 0);
      expect([state.latchedBytes0, state.latchedBytes1, state.latchedBytes2]).toEqual(chosen.map((yes) => (yes && count ? 2 : 0)));
      expect([state.statusLatched0, state.statusLatched1, state.statusLatched2]).toEqual(chosen.map((yes) => yes && status));
    }
  });

  // The datasheet's "Read-Back Command Example" (figure 14). The last row says counter 1 but names counter 0; both were latched before.
  it('the example of the datasheet', () => {
    const { pit, clock } = bench();
    for (const counter of [0, 1, 2]) program(pit, counter, 2, 0x4000);
    pit.setGate(2, true);
    const seen: unknown[] = [];
    const latches = (): unknown => {
      const {
        statusLatched0: s0,
        statusLatched1: s1,
        statusLatched2: s2,
        latchedBytes0: c0,
        latchedBytes1: c1,
        latchedBytes2: c2,
      } = pit.save();
      return `${[s0, s1, s2].map(Number).join('')} ${[c0, c1, c2].join('')}`;
    };
    for (const command of [0b11000010, 0b11100100, 0b11101100, 0b11011000, 0b11000100, 0b11100010]) {
      clock.advance(nsOf(0x100));
      pit.write(control, command);
      seen.push(latches());
    }
    // Status of counters 0, 1, 2 latched; bytes of their counts.
    expect(seen).toEqual(['100 200', '110 200', '111 200', '111 202', '111 222', '111 222']);
    // Status first. What was latched first is what is read.
    expect([pit.read(1), pit.read(1) | (pit.read(1) << 8)]).toEqual([0xb4, 0x4000 - 5 * 0x100 + 1]);
    expect([pit.read(0), pit.read(0) | (pit.read(0) << 8)]).toEqual([0xb4, 0x4000 - 0x100 + 1]);
  });

  it('status tells OUT, null count, access, mode and BCD', () => {
    const { pit, clock } = bench();
    const status = (counter: number): number => {
      pit.write(control, 0xe0 | (2 << counter));
      return pit.read(counter);
    };
    expect(status(0)).toBe(0x30);
    for (let word = 0x10; word < 0x40; word++) {
      pit.write(control, 0x40 | word);
      expect(status(1)).toBe(0x40 | word | ((word >> 1) & 7 ? 0x80 : 0));
    }
    program(pit, 0, 0, 5);
    clock.advance(nsOf(1));
    expect(status(0)).toBe(0x30);
    clock.advance(nsOf(5));
    expect(status(0)).toBe(0xb0);
  });
});

describe('time', () => {
  it('ticks at 105/88 MHz: 1,193,181 or 1,193,182 in each second, and nothing is lost in a hundred days', () => {
    const clock = new ManualClock();
    const pit = new Pit8254({ clock });
    clock.advance(nsOf(1) - 1);
    program(pit, 1, 2, 0);
    for (let i = 0; i < 100; i++) {
      clock.advance(86_400 * second + i);
      const since = ticksIn(clock.now()) - 1;
      expect(latched(pit, 1)).toBe((0x10000 - (since % 0x10000)) & 0xffff);
    }
  });

  it('begins with the device, whatever time it is on the clock', () => {
    for (const start of [0, 1, 12345, 10 ** 15 + 7]) {
      const clock = new WatchedClock(start);
      const irq = new RecordedLine();
      const pit = new Pit8254({ clock, irq });
      program(pit, 0, 0, 9);
      clock.advance(nsOf(10) - 1);
      expect(irq.level).toBe(false);
      clock.advance(1);
      expect(irq.level).toBe(true);
    }
  });

  it('is not asked for again and again by a clock that calls early', () => {
    const inner = new ManualClock();
    let calls = 0;
    const clock: Clock = {
      now: () => inner.now(),
      at: (deadline, callback) => {
        if (++calls > 100) throw new Error('asked too often');
        return inner.at(deadline - 1, callback);
      },
    };
    const irq = new RecordedLine();
    program(new Pit8254({ clock, irq }), 0, 2, 1000);
    inner.advance(nsOf(10_500));
    // OUT rises with the control word, too.
    expect([irq.edges, calls < 30]).toEqual([11, true]);
  });

  it('may go in steps that are no whole nanoseconds, from any time on', () => {
    const frame = second / 60;
    for (let n = 1; n <= 400; n++) {
      const clock = new ManualClock();
      clock.advance(n * frame);
      const irq = new RecordedLine();
      const pit = new Pit8254({ clock, irq });
      program(pit, 0, 2, 0);
      for (let i = 0; i < 60; i++) clock.advance(frame);
      expect(irq.edges).toBe(19);
      pit.restore(pit.save());
    }
  });

  it('is only asked for while counter 0 has an edge to come', () => {
    const { pit, clock } = bench();
    program(pit, 1, 2, 18);
    program(pit, 2, 3, 1000);
    pit.setGate(2, true);
    pit.write(control, 0x30);
    pit.write(0, 10);
    expect(clock.timers.size).toBe(0);
    pit.write(0, 0);
    expect(clock.timers.size).toBe(1);
    clock.advance(second);
    expect([clock.timers.size, clock.calls]).toEqual([0, 1]);
    // Reading does not set it anew.
    program(pit, 0, 2, 1000);
    const { calls } = clock;
    for (let i = 0; i < 10; i++) latched(pit, 0);
    expect([clock.timers.size, clock.calls]).toEqual([1, calls]);
    pit.write(control, 0x34);
    expect(clock.timers.size).toBe(0);
    program(pit, 0, 2, 1000);
    pit.reset();
    expect(clock.timers.size).toBe(0);
    // Hardware-triggered modes wait for a gate that a PC does not move.
    for (const mode of [1, 5]) program(pit, 0, mode, 1000);
    expect(clock.timers.size).toBe(0);
  });
});

describe('one shot', () => {
  it('mode 0: N + 1 ticks after the count was written OUT rises and stays', () => {
    for (const count of [1, 2, 100, 0xffff]) {
      const { pit, clock, edges } = bench();
      program(pit, 0, 0, count);
      clock.advance(second);
      expect([edges.at, edges.level]).toEqual([[count + 1], true]);
      setCount(pit, 0, count);
      expect(edges.level).toBe(false);
    }
  });

  it("mode 4: Linux's clock event; N + 2 ticks after it was asked for OUT has been low and rises", () => {
    const { pit, clock, edges } = bench();
    pit.write(control, 0x38);
    // The control word raised OUT.
    expect(edges.at.splice(0)).toEqual([0]);
    let calls = 0;
    for (const delta of [100, 1, 0x7fff, 250]) {
      const start = ticksIn(clock.now());
      setCount(pit, 0, delta);
      clock.advance(0.1 * second);
      expect(edges.at.splice(0)).toEqual([start + delta + 2]);
      expect([clock.timers.size, clock.calls]).toEqual([0, ++calls]);
    }
  });

  it('mode 4: asked anew before it was time, only the last counts', () => {
    const { pit, clock, edges } = bench();
    pit.write(control, 0x38);
    setCount(pit, 0, 1000);
    clock.advance(nsOf(500));
    setCount(pit, 0, 2000);
    clock.advance(second);
    expect(edges.at).toEqual([0, 500 + 2000 + 2]);
  });

  it('mode 4: a late timer still gives its interrupt, at the latest when the guest comes back to the timer', () => {
    const { pit, clock, edges } = bench();
    pit.write(control, 0x38);
    setCount(pit, 0, 1000);
    clock.stall(nsOf(5000));
    expect(edges.at).toEqual([0]);
    setCount(pit, 0, 1000);
    expect(edges.at).toEqual([0, 5000]);
    clock.advance(second);
    expect(edges.at).toEqual([0, 5000, 5000 + 1002]);
  });

  it('mode 0 without a count is how Linux switches it off', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 2, 4772);
    clock.advance(10 * ms);
    program(pit, 0, 0, 0);
    pit.write(control, 0x30);
    expect([edges.level, clock.timers.size]).toEqual([false, 0]);
    const { length } = edges.at;
    clock.advance(10 * second);
    expect(edges.at).toHaveLength(length);
  });
});

describe('periodic', () => {
  it.each([2, 3])('mode %p: one rise each N ticks, without drift', (mode) => {
    const { pit, clock, edges } = bench();
    program(pit, 0, mode, 4772);
    edges.at.length = 0;
    clock.advance(100 * second);
    expect(edges.at).toHaveLength(Math.floor((ticksIn(100 * second) - 1) / 4772));
    expect(edges.at.every((tick, i) => tick === 1 + (i + 1) * 4772)).toBe(true);
    expect(clock.timers.size).toBe(1);
  });

  it('mode 3 with a count of 0: 18.2 Hz, for three hours', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 3, 0);
    edges.at.length = 0;
    const hours = 3 * 3600 * second;
    clock.advance(hours);
    expect(edges.at).toHaveLength(Math.floor((ticksIn(hours) - 1) / 65_536));
  });

  it('a new count begins when the period ends, in mode 3 the half period', () => {
    for (const [mode, changed] of [
      [2, 10_001],
      [3, 5_001],
    ]) {
      const { pit, clock, edges } = bench();
      program(pit, 0, mode, 10_000);
      clock.advance(nsOf(1000));
      setCount(pit, 0, 4000);
      clock.advance(nsOf(20_000));
      // Mode 3 goes on with the low half of the new count.
      const first = mode === 3 ? changed + 2000 : changed;
      expect(edges.at.slice(0, 4)).toEqual([0, first, first + 4000, first + 8000]);
    }
  });

  it('programming that makes OUT rise is an edge, one that leaves it high is not', () => {
    const { pit, edges } = bench();
    program(pit, 0, 2, 1000);
    expect(edges.at).toEqual([0]);
    program(pit, 0, 3, 1000);
    program(pit, 0, 4, 1000);
    expect(edges.at).toEqual([0]);
    program(pit, 0, 0, 1000);
    expect(edges.level).toBe(false);
    program(pit, 0, 4, 1000);
    expect(edges.at).toEqual([0, 0]);
  });

  it('the gate of counter 0 stops it', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 2, 1000);
    clock.advance(nsOf(500));
    pit.setGate(0, false);
    expect(clock.timers.size).toBe(0);
    clock.advance(nsOf(5000));
    expect(pit.out(0)).toBe(true);
    pit.setGate(0, true);
    clock.advance(nsOf(1500));
    expect(edges.at).toEqual([0, 500 + 5000 + 1 + 1000]);
  });

  it('a gate that falls while OUT is low is an edge', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 3, 1000);
    clock.advance(nsOf(600));
    expect(pit.out(0)).toBe(false);
    pit.setGate(0, false);
    expect(edges.at).toEqual([0, 600]);
  });

  it('mode 3: the line stays high in the low half, when nobody has served it yet', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 3, 10_000);
    clock.advance(nsOf(9000));
    expect([pit.out(0), edges.level]).toEqual([false, true]);
  });
});

describe('ticks that could not be given in time', () => {
  const hz250 = 4772;

  it.each([2, 3, 5, 18])('a count of %p: 5000 interrupts and timers a second', (count) => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 2, count);
    const { calls } = clock;
    clock.advance(second);
    for (const many of [edges.at.length, clock.calls - calls]) {
      expect(many).toBeGreaterThan(4900);
      expect(many).toBeLessThanOrEqual(5000);
    }
    // Whatever the guest does meanwhile.
    edges.at.length = 0;
    for (let i = 0; i < 100_000; i++) {
      clock.stall(1000);
      pit.read(0);
    }
    expect(edges.at.length).toBeLessThanOrEqual(500);
  });

  it('are made up for one each half period', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 2, hz250);
    clock.advance(nsOf(10 * hz250));
    edges.at.length = 0;
    clock.stall(nsOf(20 * hz250));
    clock.advance(nsOf(30 * hz250));
    // All that were due by now, one after the other.
    expect(edges.at).toHaveLength(50);
    const gaps = edges.at.slice(1).map((tick, i) => tick - edges.at[i]);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(hz250 / 2);
    expect(gaps.slice(0, 19).every((gap) => gap <= hz250 / 2 + 1)).toBe(true);
    expect(gaps.at(-1)).toBeGreaterThanOrEqual(hz250 - 1);
  });

  it('leave a guest that takes longer than a period for each as long for itself, where it is told when', () => {
    const clock = new WatchedClock();
    const rises: number[] = [];
    const service = 7 * ms;
    let served = 0;
    const pit = new Pit8254({
      clock,
      tellsServed: true,
      irq: {
        set: (level) => {
          if (!level) return;
          rises.push(clock.now());
          clock.at(clock.now() + service, () => {
            served++;
            pit.served();
          });
        },
      },
    });
    program(pit, 0, 2, hz250);
    clock.advance(second);
    const gaps = rises.slice(1).map((at, i) => at - rises[i]);
    expect(served).toBeGreaterThan(60);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(2 * service - 1000);
    expect(Math.max(...gaps)).toBeLessThan(2 * service + 5000);
    // One that nobody serves, masked perhaps, does not hold up the rest for ever.
    const deaf = new Pit8254({ clock, tellsServed: true, irq: { set: (level) => level && rises.push(clock.now()) } });
    program(deaf, 0, 2, hz250);
    const before = rises.length;
    clock.advance(second);
    expect(rises.length - before).toBeGreaterThan(30);
  });

  it('of more than a second are dropped', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 2, hz250);
    clock.stall(3600 * second);
    edges.at.length = 0;
    clock.advance(10 * second);
    expect(edges.at.length).toBe(250 + 2500);
  });

  it('are forgotten when the counter is programmed anew', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 2, hz250);
    clock.stall(second);
    pit.write(control, 0x38);
    edges.at.length = 0;
    clock.advance(second);
    expect(edges.at).toEqual([]);
  });

  it('come when the guest looks at the timer, if the host has not called', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 2, hz250);
    clock.stall(nsOf(hz250 + 1));
    pit.read(2);
    expect(edges.at).toEqual([0, hz250 + 1]);
    clock.fire();
    expect(edges.at).toHaveLength(2);
  });

  it('a guest behind a PIC counts all its jiffies, without bursts, whatever the host is late by', () => {
    const lateness = fc.array(fc.oneof(fc.integer({ min: 0, max: 1.5 * ms }), fc.integer({ min: 0, max: 40 * ms })), {
      maxLength: 20,
      size: 'max',
    });
    fc.assert(
      fc.property(lateness, fc.constantFrom(100, 250), (late, hz) => {
        const clock = new WatchedClock();
        const pic = new PicPair();
        for (const byte of [0x11, 0x30, 0x04, 0x01, 0xfe]) pic.master.write(byte === 0x11 ? 0 : 1, byte);
        const pit = new Pit8254({ clock, irq: pic.line(0) });
        const count = Math.floor(1_193_182 / hz);
        program(pit, 0, 2, count);
        const jiffies: number[] = [];
        const serve = (): void => {
          while (pic.source.pending) {
            expect(pic.source.acknowledge()).toBe(0x30);
            jiffies.push(clock.now());
            pic.master.write(0, 0x60);
          }
        };
        serve();
        jiffies.length = 0;
        pic.source.onPending = () => queue.push(serve);
        const queue: (() => void)[] = [];
        let i = 0;
        clock.advance(2 * second, () => {
          queue.splice(0).forEach((each) => each());
          return late[i++] ?? 0;
        });
        // A quiet second to catch up in.
        clock.advance(second, () => {
          queue.splice(0).forEach((each) => each());
          return 0;
        });
        queue.splice(0).forEach((each) => each());
        const due = Math.floor((ticksIn(3 * second) - 1) / count);
        expect(jiffies.length).toBeGreaterThanOrEqual(due - 1);
        expect(jiffies.length).toBeLessThanOrEqual(due);
        const gaps = jiffies.slice(1).map((at, n) => at - jiffies[n]);
        expect(Math.min(...gaps)).toBeGreaterThan(0.49 * (second / hz));
      }),
      { numRuns: 30 },
    );
  });
});

describe('restore', () => {
  it('goes on where it was, on another clock', () => {
    const first = bench();
    program(first.pit, 0, 2, 4772);
    first.clock.advance(10 * second + 12_345);
    const clock = new WatchedClock(77);
    const irq = new RecordedLine();
    const other = new Pit8254({ clock, irq });
    other.restore(first.pit.save());
    expect([irq.level, clock.timers.size]).toEqual([true, 1]);
    for (const each of [first.clock, clock]) each.advance(987_654);
    expect(latched(other, 0)).toBe(latched(first.pit, 0));
    expect(other.refreshToggle).toBe(first.pit.refreshToggle);
  });

  it('goes back to where it was, as often as wanted', () => {
    const { pit, clock, edges } = bench();
    program(pit, 0, 0, 4772);
    const saved = pit.save();
    for (let i = 0; i < 3; i++) {
      clock.advance(1_000_000);
      pit.restore(saved);
      const start = clock.now();
      clock.advance(3_000_000);
      expect(edges.at).toEqual([]);
      pit.restore(saved);
      clock.advance(10_000_000);
      expect(edges.at.splice(0)).toEqual([ticksIn(start + 3_000_000) + 4773]);
    }
  });

  it.each([
    [{ loadIn1: 5 }, /load no count/],
    [{ counting2: true }, /counts without a count/],
    [{ control0: 0x0f }, /control0/],
  ])('refuses %p', (members, message) => {
    const { pit } = bench();
    const attempt = (): void => pit.restore({ ...pit.save(), ...members });
    expect(attempt).toThrow(expect.objectContaining({ code: 'ERR_HAX_DEVICE_STATE' }));
    expect(attempt).toThrow(message);
  });
});

it('needs no interrupt line', () => {
  const clock = new ManualClock();
  const pit = new Pit8254({ clock });
  program(pit, 0, 2, 1000);
  clock.advance(second);
  expect(pit.out(0)).toBe(true);
});

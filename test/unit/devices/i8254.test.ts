import { Pit8254 } from '../../../lib/devices/i8254';
import { ManualClock, type Clock } from '../../../lib/time/clock';
import { RecordedLine } from '../../support/device-laws';
import { control, nsOf, ticksIn, ms, second, WatchedClock, bench, program, setCount, latched } from './i8254-bench';

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

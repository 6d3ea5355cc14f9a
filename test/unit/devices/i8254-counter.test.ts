import fc from 'fast-check';
import { Counter } from '../../../lib/devices/i8254-counter';
import { ClockedCounter } from './i8254-clocked';

const hex = (value: number): string => value.toString(16);

/** A counter with a tick of its own that moves on by one each step. */
class Bench {
  readonly counter: Counter;
  tick = 0;

  constructor(gate = true) {
    this.counter = new Counter(gate);
  }

  /** CLK pulses; after each OUT, as `_` or `-`, and CE. */
  pulses(count: number): string {
    return Array.from({ length: count }, () => {
      this.counter.advance(++this.tick);
      return this.seen;
    }).join(' ');
  }

  get seen(): string {
    return `${this.counter.out ? '-' : '_'}${hex(this.#ce)}`;
  }

  /** Reads CE without leaving a trace: counters here have two-byte counts or are read by a copy. */
  get #ce(): number {
    const copy = new Counter(true);
    const state = this.counter.save();
    copy.restore({ ...state, control: state.control | 0x30, readHigh: false, latchedBytes: 0, statusLatched: false }, this.tick);
    return copy.read() | (copy.read() << 8);
  }
}

describe('wave forms of the datasheet', () => {
  const bench = (control: number, gate = true): Bench => {
    const it = new Bench(gate);
    it.counter.setControl(control);
    return it;
  };

  it('mode 0: LSB = 4', () => {
    const it = bench(0x10);
    expect(it.pulses(1)).toBe('_0');
    it.counter.write(4);
    expect(it.pulses(7)).toBe('_4 _3 _2 _1 -0 -ffff -fffe');
  });

  it('mode 0: LSB = 3, GATE stops it', () => {
    const it = bench(0x10);
    it.counter.write(3);
    expect(it.pulses(2)).toBe('_3 _2');
    it.counter.setGate(false);
    expect(it.pulses(2)).toBe('_2 _2');
    it.counter.setGate(true);
    expect(it.pulses(3)).toBe('_1 -0 -ffff');
  });

  it('mode 0: LSB = 3, then LSB = 2', () => {
    const it = bench(0x10);
    it.counter.write(3);
    expect(it.pulses(3)).toBe('_3 _2 _1');
    it.counter.write(2);
    expect(it.pulses(4)).toBe('_2 _1 -0 -ffff');
    it.counter.write(1);
    expect([it.seen, it.pulses(2)]).toEqual(['_ffff', '_1 -0']);
  });

  it('mode 0: the first of two bytes stops it', () => {
    const it = bench(0x30);
    it.counter.write(3);
    it.counter.write(0);
    expect(it.pulses(5)).toBe('_3 _2 _1 -0 -ffff');
    it.counter.write(2);
    expect(it.pulses(2)).toBe('_ffff _ffff');
    it.counter.write(1);
    expect(it.pulses(2)).toBe('_102 _101');
  });

  it('mode 1: LSB = 3, triggered, and again', () => {
    const it = bench(0x12, false);
    it.counter.write(3);
    expect(it.pulses(2)).toBe('-0 -0');
    it.counter.setGate(true);
    expect(it.pulses(3)).toBe('_3 _2 _1');
    it.counter.setGate(false);
    expect(it.pulses(2)).toBe('-0 -ffff');
    it.counter.setGate(true);
    expect(it.pulses(2)).toBe('_3 _2');
  });

  it('mode 1: LSB = 3, retriggered', () => {
    const it = bench(0x12, false);
    it.counter.write(3);
    it.counter.setGate(true);
    expect(it.pulses(2)).toBe('_3 _2');
    it.counter.setGate(false);
    it.counter.setGate(true);
    expect(it.pulses(4)).toBe('_3 _2 _1 -0');
  });

  it('mode 1: LSB = 2, then LSB = 4, which waits for the trigger', () => {
    const it = bench(0x12, false);
    it.counter.write(2);
    it.counter.setGate(true);
    expect(it.pulses(1)).toBe('_2');
    it.counter.write(4);
    it.counter.setGate(false);
    expect(it.pulses(4)).toBe('_1 -0 -ffff -fffe');
    it.counter.setGate(true);
    expect(it.pulses(2)).toBe('_4 _3');
  });

  it('mode 2: LSB = 3', () => {
    const it = bench(0x14);
    it.counter.write(3);
    expect(it.pulses(7)).toBe('-3 -2 _1 -3 -2 _1 -3');
  });

  it('mode 2: LSB = 3, GATE stops it, raises OUT and starts it anew', () => {
    const it = bench(0x14);
    it.counter.write(3);
    expect(it.pulses(3)).toBe('-3 -2 _1');
    it.counter.setGate(false);
    expect([it.seen, it.pulses(2)]).toEqual(['-1', '-1 -1']);
    it.counter.setGate(true);
    expect(it.pulses(4)).toBe('-3 -2 _1 -3');
  });

  it('mode 2: LSB = 4, then LSB = 5 from the next cycle on', () => {
    const it = bench(0x14);
    it.counter.write(4);
    expect(it.pulses(2)).toBe('-4 -3');
    it.counter.write(5);
    expect(it.pulses(7)).toBe('-2 _1 -5 -4 -3 -2 _1');
  });

  it('mode 3: LSB = 4', () => {
    const it = bench(0x16);
    it.counter.write(4);
    expect(it.pulses(9)).toBe('-4 -2 _4 _2 -4 -2 _4 _2 -4');
  });

  it('mode 3: LSB = 5', () => {
    const it = bench(0x16);
    it.counter.write(5);
    expect(it.pulses(11)).toBe('-4 -2 -0 _4 _2 -4 -2 -0 _4 _2 -4');
  });

  it('mode 3: LSB = 4, GATE raises OUT and starts it anew', () => {
    const it = bench(0x16);
    it.counter.write(4);
    expect(it.pulses(3)).toBe('-4 -2 _4');
    it.counter.setGate(false);
    expect([it.seen, it.pulses(1)]).toEqual(['-4', '-4']);
    it.counter.setGate(true);
    expect(it.pulses(4)).toBe('-4 -2 _4 _2');
  });

  it('mode 3: a new count from the next half-cycle on', () => {
    const it = bench(0x16);
    it.counter.write(4);
    expect(it.pulses(1)).toBe('-4');
    it.counter.write(6);
    expect(it.pulses(7)).toBe('-2 _6 _4 _2 -6 -4 -2');
  });

  it('mode 4: LSB = 3', () => {
    const it = bench(0x18);
    it.counter.write(3);
    expect(it.pulses(7)).toBe('-3 -2 -1 _0 -ffff -fffe -fffd');
  });

  it('mode 4: LSB = 3, GATE low holds it', () => {
    const it = bench(0x18, false);
    it.counter.write(3);
    expect(it.pulses(3)).toBe('-3 -3 -3');
    it.counter.setGate(true);
    expect(it.pulses(4)).toBe('-2 -1 _0 -ffff');
  });

  it('mode 4: LSB = 3, then LSB = 2', () => {
    const it = bench(0x18);
    it.counter.write(3);
    expect(it.pulses(3)).toBe('-3 -2 -1');
    it.counter.write(2);
    expect(it.pulses(4)).toBe('-2 -1 _0 -ffff');
  });

  it('mode 5: LSB = 3, triggered and retriggered', () => {
    const it = bench(0x1a, false);
    it.counter.write(3);
    expect(it.pulses(1)).toBe('-0');
    it.counter.setGate(true);
    expect(it.pulses(2)).toBe('-3 -2');
    it.counter.setGate(false);
    it.counter.setGate(true);
    expect(it.pulses(5)).toBe('-3 -2 -1 _0 -ffff');
  });

  it.each([
    ['mode 0', 0x31, '_10 _9 _8 _7 _6 _5 _4 _3 _2 _1 -0 -9999 -9998', 0x0010],
    ['mode 2, 10,000', 0x35, '-0 -9999 -9998', 0x0000],
    ['mode 3', 0x37, '-10 -8 -6 -4 -2 _10 _8', 0x0010],
    ['mode 4', 0x39, '-100 -99 -98', 0x0100],
    ['mode 4, digits above 9', 0x39, '-15 -14', 0x000f],
  ])('decimal: %s', (_, control, expected, count) => {
    const it = bench(control);
    it.counter.write(count & 0xff);
    it.counter.write(count >> 8);
    expect(it.pulses(expected.split(' ').length)).toBe(expected);
  });

  it.each([0x14, 0x16])('a count of 1, which is illegal, never ends in OUT moving (%p)', (control) => {
    const it = bench(control);
    it.counter.write(1);
    expect(it.pulses(4)).toMatch(/^(-\d ?){4}$/);
    expect(it.counter.nextRise).toBe(Infinity);
    it.counter.write(2);
    expect(it.pulses(5)).toMatch(/_.*-/);
  });

  it('modes 6 and 7 are modes 2 and 3', () => {
    for (const [control, same] of [
      [0x1c, 0x14],
      [0x1e, 0x16],
    ]) {
      const [first, second] = [bench(control), bench(same)];
      first.counter.write(3);
      second.counter.write(3);
      expect(first.pulses(8)).toBe(second.pulses(8));
      first.counter.latchStatus();
      expect(first.counter.read() & 0x3f).toBe(control);
    }
  });
});

describe('reading and writing', () => {
  const counterWith = (control: number, count: number): Counter => {
    const counter = new Counter(true);
    counter.setControl(control);
    if (control & 0x10) counter.write(count & 0xff);
    if (control & 0x20) counter.write(count >> 8);
    counter.advance(1);
    return counter;
  };

  it.each([
    ['the low byte', 0x14, [0x34, 0x34], 0x0034],
    ['the high byte', 0x24, [0x12, 0x12], 0x1200],
    ['both', 0x34, [0x34, 0x12, 0x34, 0x12], 0x1234],
  ])('%s', (_, control, bytes, loaded) => {
    const counter = counterWith(control, 0x1234);
    expect(counter.save().loaded).toBe(loaded);
    expect(bytes.map(() => counter.read())).toEqual(bytes);
    counter.latchCount();
    counter.advance(2);
    // Latched, until as many bytes as there are have been read.
    const latched = bytes.slice(bytes.length / 2);
    expect(latched.map(() => counter.read())).toEqual(latched);
    expect(counter.save().latchedBytes).toBe(0);
  });

  it('0 is 65,536, or 10,000', () => {
    expect(counterWith(0x34, 0).save().loaded).toBe(0x10000);
    expect(counterWith(0x35, 0).save().loaded).toBe(10_000);
  });

  it('a latched count stays, and the second latch command is ignored', () => {
    const counter = counterWith(0x34, 0x1234);
    counter.latchCount();
    counter.advance(0x101);
    counter.latchCount();
    expect([counter.read(), counter.read()]).toEqual([0x34, 0x12]);
    expect([counter.read(), counter.read()]).toEqual([0x34, 0x11]);
  });

  it('the status comes before the count, whichever was latched first', () => {
    for (const order of [
      ['latchStatus', 'latchCount'],
      ['latchCount', 'latchStatus'],
    ] as const) {
      const counter = counterWith(0x34, 0x1234);
      for (const latch of order) counter[latch]();
      expect([counter.read(), counter.read(), counter.read()]).toEqual([0xb4, 0x34, 0x12]);
    }
  });

  it('a latched status stays, and the second latch is ignored', () => {
    const counter = counterWith(0x30, 2);
    counter.latchStatus();
    counter.advance(5);
    counter.latchStatus();
    expect(counter.read()).toBe(0x30);
    counter.latchStatus();
    expect(counter.read()).toBe(0xb0);
  });

  it('a control word forgets what was latched, and halves of what was read and written', () => {
    const counter = counterWith(0x34, 0x1234);
    counter.read();
    counter.write(0xff);
    counter.latchCount();
    counter.latchStatus();
    counter.setControl(0x34);
    counter.write(0x78);
    counter.write(0x56);
    counter.advance(2);
    expect([counter.read(), counter.read()]).toEqual([0x78, 0x56]);
  });

  // "Null count": 1 from control word or count until the count is in CE.
  it.each([
    [0, 2],
    [2, 9],
    [3, 5],
    [4, 2],
  ])('null count in mode %p: until tick 1, and after a second count until tick %p', (mode, second) => {
    const counter = new Counter(true);
    const nullCount = (): boolean => {
      counter.latchStatus();
      return (counter.read() & 0x40) !== 0;
    };
    expect(nullCount()).toBe(false);
    counter.setControl(0x10 | (mode << 1));
    expect(nullCount()).toBe(true);
    counter.write(8);
    expect(nullCount()).toBe(true);
    counter.advance(1);
    expect(nullCount()).toBe(false);
    counter.write(8);
    counter.advance(second - 1);
    expect(nullCount()).toBe(true);
    counter.advance(second);
    expect(nullCount()).toBe(false);
  });

  it('null count in modes 1 and 5: until the trigger', () => {
    for (const mode of [1, 5]) {
      const counter = new Counter(true);
      counter.setControl(0x10 | (mode << 1));
      counter.write(8);
      counter.advance(100);
      counter.setGate(false);
      counter.setGate(true);
      expect(counter.save().nullCount).toBe(true);
      counter.advance(101);
      expect(counter.save().nullCount).toBe(false);
    }
  });
});

type Step =
  | { do: 'control'; mode: number; bcd: boolean }
  | { do: 'write'; byte: number }
  | { do: 'gate'; level: boolean }
  | { do: 'go'; ticks: number };

describe('at any time it is where a counter is that does tick by tick what the datasheet says', () => {
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 2, arbitrary: fc.record({ do: fc.constant('control' as const), mode: fc.nat(5), bcd: fc.boolean() }) },
    { weight: 6, arbitrary: fc.record({ do: fc.constant('write' as const), byte: fc.oneof(fc.nat(12), fc.nat(0x99)) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('gate' as const), level: fc.boolean() }) },
    { weight: 6, arbitrary: fc.record({ do: fc.constant('go' as const), ticks: fc.oneof(fc.nat(3), fc.nat(40)) }) },
  );

  it.each([true, false])('from GATE %p', (gate) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const [counter, clocked] = [new Counter(gate), new ClockedCounter(gate)];
        let tick = 0;
        let half = false;
        let periodic = false;
        const agree = (): void => {
          counter.latchStatus();
          const status = counter.read();
          const seen = { out: (status & 0x80) !== 0, nullCount: (status & 0x40) !== 0, ce: counter.read() | (counter.read() << 8) };
          expect(seen).toEqual({ out: clocked.out, nullCount: clocked.nullCount, ce: clocked.ce });
        };
        for (const each of steps) {
          switch (each.do) {
            case 'control':
              counter.setControl(0x30 | (each.mode << 1) | Number(each.bcd));
              clocked.control(each.mode, each.bcd);
              half = false;
              periodic = each.mode === 2 || each.mode === 3;
              break;
            case 'write': {
              // High bytes of 0 or 1, digits of 0 to 9, and nothing illegal.
              const digits = (Math.min(each.byte >> 4, 9) << 4) | Math.min(each.byte & 0xf, 9);
              const byte = half ? each.byte & 1 : periodic ? Math.max(digits, 2) : digits;
              counter.write(byte);
              clocked.write(byte);
              half = !half;
              break;
            }
            case 'gate':
              counter.setGate(each.level);
              clocked.setGate(each.level);
              break;
            case 'go': {
              const next = counter.nextRise;
              let [rises, first] = [0, Infinity];
              for (let i = 0; i < each.ticks; i++) {
                const before = clocked.out;
                clocked.pulse();
                if (before || !clocked.out) continue;
                rises++;
                first = Math.min(first, tick + i + 1);
              }
              tick += each.ticks;
              expect(next > tick ? Infinity : next).toBe(first);
              expect(counter.advance(tick)).toBe(rises);
              break;
            }
          }
          agree();
        }
      }),
      { numRuns: 200 },
    );
  });
});

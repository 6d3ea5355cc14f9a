import fc from 'fast-check';
import { ManualClock, RealClock } from '../../../lib/time/clock';
import { codeOf } from '../../support/codes';

describe('ManualClock', () => {
  it('stands still until it is advanced', () => {
    const clock = new ManualClock();
    expect(clock.now()).toBe(0);
    clock.advance(5);
    expect(clock.now()).toBe(5);
  });

  it('calls back at the deadline, not before, once', () => {
    const clock = new ManualClock();
    const seen: number[] = [];
    clock.at(10, () => seen.push(clock.now()));
    clock.advance(9);
    expect(seen).toEqual([]);
    clock.advance(5);
    clock.advance(100);
    expect(seen).toEqual([10]);
    expect(clock.now()).toBe(114);
  });

  it('calls back in order of the deadlines, and in order of asking where they are equal', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 20 }), fc.array(fc.nat(5), { maxLength: 8 }), (deadlines, steps) => {
        const clock = new ManualClock();
        const seen: [number, number][] = [];
        deadlines.forEach((deadline, index) => clock.at(deadline, () => seen.push([clock.now(), index])));
        for (const step of steps) clock.advance(step);
        const expected = deadlines
          .map((deadline, index): [number, number] => [deadline, index])
          .filter(([deadline]) => deadline <= clock.now() && steps.length > 0)
          .sort(([a, i], [b, j]) => a - b || i - j);
        expect(seen).toEqual(expected);
      }),
    );
  });

  it('takes a deadline in the past as soon as possible, never inside at()', () => {
    const clock = new ManualClock();
    clock.advance(100);
    const seen: number[] = [];
    clock.at(3, () => seen.push(clock.now()));
    expect(seen).toEqual([]);
    clock.advance(0);
    expect(seen).toEqual([100]);
  });

  it('fires timers that callbacks set, when they fall due within the same step', () => {
    const clock = new ManualClock();
    const seen: number[] = [];
    const again = (): void => {
      seen.push(clock.now());
      clock.at(clock.now() + 10, again);
    };
    clock.at(10, again);
    clock.advance(35);
    expect(seen).toEqual([10, 20, 30]);
  });

  it('tells whole nanoseconds, whatever it is advanced by and asked for', () => {
    const clock = new ManualClock();
    const seen: number[] = [];
    clock.at(100.5, () => seen.push(clock.now()));
    clock.advance(100.4);
    clock.at(100.2, () => seen.push(clock.now()));
    clock.advance(0.4);
    expect([clock.now(), seen]).toEqual([100, []]);
    clock.advance(1);
    expect([clock.now(), seen]).toEqual([101, [101, 101]]);
  });

  it('does not go back when a callback advances it', () => {
    const clock = new ManualClock();
    const seen: number[] = [];
    clock.at(10, () => {
      clock.advance(100);
      seen.push(clock.now());
    });
    clock.at(15, () => seen.push(clock.now()));
    clock.at(110, () => seen.push(clock.now()));
    clock.advance(20);
    expect([seen, clock.now()]).toEqual([[15, 110, 110], 110]);
  });

  it('goes forward only', () => {
    const clock = new ManualClock();
    clock.advance(5);
    for (const wrong of [NaN, -5, Infinity, undefined as never])
      expect(codeOf(() => clock.advance(wrong))).toBe('ERR_HAX_INVALID_ARGUMENT');
    clock.advance(0);
    expect(clock.now()).toBe(5);
  });

  it('forgets timers that are cancelled', () => {
    const clock = new ManualClock();
    const callback = jest.fn();
    const first = clock.at(10, callback);
    const second = clock.at(20, callback);
    clock.at(15, () => second.cancel());
    first.cancel();
    first.cancel();
    clock.advance(100);
    second.cancel();
    expect(callback).not.toHaveBeenCalled();
  });
});

describe('RealClock', () => {
  it('goes forward in whole nanoseconds', () => {
    const clock = new RealClock();
    let last = clock.now();
    for (let i = 0; i < 1000; i++) {
      const now = clock.now();
      expect(now).toBeGreaterThanOrEqual(last);
      last = now;
    }
    expect(Number.isSafeInteger(last)).toBe(true);
  });

  it('calls back at or after the deadline', async () => {
    const clock = new RealClock();
    for (const delay of [-5e6, 0, 100_000, 3_500_000]) {
      const deadline = clock.now() + delay;
      const keepAlive = setInterval(() => undefined, 1000);
      await new Promise<void>((resolve) => clock.at(deadline, resolve));
      clearInterval(keepAlive);
      expect(clock.now()).toBeGreaterThanOrEqual(deadline);
    }
  });

  it('does not call back once cancelled', async () => {
    const clock = new RealClock();
    const callback = jest.fn();
    const timer = clock.at(clock.now() + 1e6, callback);
    timer.cancel();
    timer.cancel();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(callback).not.toHaveBeenCalled();
  });

  describe('with a clock of Node that is faked', () => {
    beforeEach(() => jest.useFakeTimers());
    afterEach(() => jest.useRealTimers());

    it('waits longer than setTimeout can', () => {
      const clock = new RealClock();
      const days = 60;
      const callback = jest.fn();
      clock.at(days * 86_400e9, callback);
      jest.advanceTimersByTime((days - 1) * 86_400e3);
      expect(callback).not.toHaveBeenCalled();
      jest.advanceTimersByTime(2 * 86_400e3);
      expect(callback).toHaveBeenCalledTimes(1);
    });

    it('can be cancelled after it has looked again', () => {
      const clock = new RealClock();
      const callback = jest.fn();
      const timer = clock.at(60 * 86_400e9, callback);
      jest.advanceTimersByTime(30 * 86_400e3);
      timer.cancel();
      jest.advanceTimersByTime(60 * 86_400e3);
      expect(callback).not.toHaveBeenCalled();
    });
  });
});

it.each([new ManualClock(), new RealClock()])('a deadline that is no number, and a callback that is no function, are refused', (clock) => {
  for (const deadline of [NaN, undefined, 5n, '5']) {
    expect(codeOf(() => clock.at(deadline as number, () => undefined))).toBe('ERR_HAX_INVALID_ARGUMENT');
  }
  expect(codeOf(() => clock.at(0, undefined as unknown as () => void))).toBe('ERR_HAX_INVALID_ARGUMENT');
  clock.at(Infinity, () => undefined).cancel();
});

/** What the MC146818 interrupts for, and how often its flags and timers come. */
import { Mc146818 } from '../../../lib/devices/mc146818';
import { ManualClock, type Clock } from '../../../lib/time/clock';
import { RecordedLine } from '../../support/device-laws';

const now = (): number => Date.UTC(2026, 10, 28, 23, 59, 58);

const [a, b, c] = [0x0a, 0x0b, 0x0c];
const [uie, aie, pie] = [0x10, 0x20, 0x40];
const h24 = 0x02;

function make(clock = new ManualClock(), seen: Clock = clock) {
  const irq = new RecordedLine();
  const device = new Mc146818({ clock: seen, now, irq });
  const get = (index: number): number => (device.write(0, index), device.read(1));
  const put = (index: number, value: number): void => {
    device.write(0, index);
    device.write(1, value);
  };
  const setAlarm = (hour: number, minute: number, second: number): void =>
    [second, minute, hour].forEach((byte, i) => put(2 * i + 1, byte));
  return { clock, irq, device, get, put, setAlarm };
}

/** Counts what is asked of a clock. */
class CountedClock implements Clock {
  asked = 0;
  pending = 0;

  constructor(private readonly clock: Clock) {}

  now(): number {
    return this.clock.now();
  }

  at(deadline: number, callback: () => void): ReturnType<Clock['at']> {
    this.asked++;
    this.pending++;
    let waits = true;
    const end = (): void => {
      if (waits) this.pending--;
      waits = false;
    };
    const timer = this.clock.at(deadline, () => {
      end();
      callback();
    });
    const cancel = (): void => {
      end();
      timer.cancel();
    };
    return { cancel };
  }
}

describe('interrupts of an Mc146818', () => {
  it('update-ended: each second, asserted until register C is read, which clears it', () => {
    const { clock, irq, get, put } = make();
    put(b, h24 | uie);
    clock.advance(1e9 - 1);
    expect(irq.level).toBe(false);
    clock.advance(1);
    expect([irq.level, get(0x00)]).toEqual([true, 0x59]);
    // The periodic flag comes too, at the rate that a BIOS leaves; it is not enabled.
    expect([get(c), irq.level, get(c)]).toEqual([0x80 | pie | uie, false, 0]);
    clock.advance(5e9);
    expect([irq.edges, get(c) & 0x80]).toEqual([2, 0x80]);
  });

  it('flags are set whether or not they are enabled, and enabling one that is set interrupts at once', () => {
    const { clock, irq, get, put } = make();
    clock.advance(1e9);
    expect([get(c), irq.edges]).toEqual([pie | uie, 0]);
    clock.advance(1e9);
    put(b, h24 | uie);
    expect(irq.level).toBe(true);
    expect(get(c) & ~aie).toBe(0x80 | pie | uie);
  });

  it.each([
    [1, 256],
    [2, 128],
    [3, 8192],
    [4, 4096],
    [5, 2048],
    [6, 1024],
    [7, 512],
    [8, 256],
    [9, 128],
    [10, 64],
    [11, 32],
    [12, 16],
    [13, 8],
    [14, 4],
    [15, 2],
  ])('periodic: rate %i is %i Hz, without drift', (rate, hz) => {
    const { clock, irq, get, put } = make();
    put(a, 0x20 | rate);
    get(c);
    put(b, h24 | pie);
    const seconds = 3;
    const step = 1e9 / 32768;
    let at = 0;
    for (let n = 1; n <= seconds * 32768; n++) {
      clock.advance(Math.ceil(n * step) - at);
      at = Math.ceil(n * step);
      if (irq.level) get(c);
    }
    expect(irq.edges).toBe(hz * seconds);
  });

  it('periodic: half a period and 244 µs before an update; none with rate 0 or while the divider is reset', () => {
    const { clock, irq, get, put } = make();
    put(a, 0x2f);
    put(b, h24 | pie);
    clock.advance(0.25e9 - 244_141);
    expect(irq.level).toBe(false);
    clock.advance(1);
    expect([irq.level, get(c)]).toEqual([true, 0x80 | pie]);
    put(a, 0x20);
    clock.advance(3e9);
    expect([irq.level, get(c) & pie]).toEqual([false, 0]);
    put(a, 0x7f);
    clock.advance(3e9);
    expect([irq.level, get(c)]).toEqual([false, 0]);
  });

  it('alarm: at its second, at each that a "don\'t care" byte lets match, and never at what is no time', () => {
    const { clock, irq, get, put, setAlarm } = make();
    put(b, h24 | aie);
    setAlarm(0x00, 0x00, 0x05);
    clock.advance(6.999999999e9);
    expect(irq.level).toBe(false);
    clock.advance(1);
    expect([irq.level, get(c) & 0xa0]).toEqual([true, 0xa0]);
    clock.advance(86_399.999999999e9);
    expect(irq.edges).toBe(1);
    clock.advance(1);
    expect(irq.edges).toBe(2);
    get(c);
    setAlarm(0xff, 0xc0, 0x07);
    clock.advance(2e9);
    expect(get(c) & 0xa0).toBe(0xa0);
    clock.advance(59e9);
    expect(irq.level).toBe(false);
    clock.advance(1e9);
    expect(get(c) & 0xa0).toBe(0xa0);
    setAlarm(0xc0, 0xc0, 0xc0);
    clock.advance(1e9);
    expect([irq.edges, get(c) & 0xa0]).toEqual([5, 0xa0]);
    for (const time of [
      [0x24, 0xff, 0xff],
      [0xff, 0x60, 0xff],
      [0xff, 0xff, 0x1a],
      [0x80 | 0x11, 0xff, 0xff],
    ]) {
      setAlarm(time[0], time[1], time[2]);
      get(c);
      clock.advance(2 * 86400e9);
      expect([irq.edges, get(c) & aie]).toEqual([5, 0]);
    }
  });

  it.each([
    ['binary', 0x06, 0, 0, 1],
    ['12 hours', 0x00, 0x12, 0x00, 0x01],
    ['12 hours and binary', 0x04, 12, 0, 1],
  ])('alarm with %s', (_, mode, hour, minute, second) => {
    const { clock, irq, put, setAlarm } = make();
    put(b, mode | aie);
    setAlarm(hour, minute, second);
    clock.advance(3e9 - 1);
    expect(irq.level).toBe(false);
    clock.advance(1);
    expect(irq.level).toBe(true);
  });

  it('alarm in the afternoon of 12 hours, noticed late as much as in time', () => {
    const { clock, irq, get, put, setAlarm } = make();
    put(b, 0x00);
    setAlarm(0x80 | 0x01, 0x30, 0x00);
    clock.advance((13.5 * 3600 + 1) * 1e9);
    expect(get(c) & aie).toBe(0);
    clock.advance(5e9);
    expect(get(c) & aie).toBe(aie);
    expect(irq.edges).toBe(0);
  });

  it('no update, and so no alarm, while the time is set; SET clears UIE', () => {
    const { clock, irq, get, put, setAlarm } = make();
    setAlarm(0xff, 0xff, 0xff);
    put(b, 0x80 | h24 | aie | uie);
    expect(get(b)).toBe(0x80 | h24 | aie);
    clock.advance(5e9);
    expect([irq.level, get(c)]).toEqual([false, pie]);
    put(b, h24 | aie);
    clock.advance(1e9);
    expect(get(c)).toBe(0x80 | pie | aie | uie);
  });

  it('setting the time moves the alarm nearer', () => {
    const { clock, irq, put, setAlarm } = make();
    put(b, h24 | aie);
    setAlarm(0x12, 0x00, 0x00);
    put(0x04, 0x11);
    clock.advance(2e9 - 1);
    expect(irq.level).toBe(false);
    clock.advance(1);
    expect(irq.level).toBe(true);
  });

  it('asks for one timer at most, and for none until the guest has read register C or where nothing is enabled', () => {
    const clock = new ManualClock();
    const counted = new CountedClock(clock);
    const { irq, get, put } = make(clock, counted);
    put(a, 0x23);
    expect(counted.asked).toBe(0);
    put(b, h24 | pie | uie);
    expect(counted.pending).toBe(1);
    clock.advance(3600e9);
    expect([irq.edges, counted.asked, counted.pending]).toEqual([1, 1, 0]);
    expect(get(c) & 0x90).toBe(0x80 | uie);
    expect([counted.asked, counted.pending]).toEqual([2, 1]);
    // What the guest does to its registers meanwhile asks for nothing more.
    for (let i = 0; i < 1000; i++) put(b, h24 | pie | uie);
    expect([counted.asked, counted.pending]).toEqual([2, 1]);
    put(b, h24);
    expect(counted.pending).toBe(0);
  });

  it('a late timer gives one interrupt for all the ticks that it missed', () => {
    const clock = new ManualClock();
    // As Node's: whole milliseconds, late.
    const late: Clock = { now: () => clock.now(), at: (deadline, callback) => clock.at(Math.ceil(deadline / 1e6) * 1e6 + 3e6, callback) };
    const { irq, get, put } = make(clock, late);
    put(a, 0x23);
    put(b, h24 | pie);
    for (let ms = 0; ms < 1000; ms++) {
      clock.advance(1e6);
      if (irq.level) get(c);
    }
    expect(irq.edges).toBe(250);
  });

  it('a clock that calls early is not asked for the same time again and again', () => {
    const clock = new ManualClock();
    let asked = 0;
    const early: Clock = {
      now: () => clock.now(),
      at: (_, callback) => {
        if (++asked < 100) callback();
        return { cancel: () => undefined };
      },
    };
    const { irq, put } = make(clock, early);
    put(b, h24 | uie);
    expect([asked, irq.level]).toEqual([1, true]);
  });

  it('refuses a state with flags that the chip has not', () => {
    const { device } = make();
    const state = device.save();
    const ram = [...state.ram];
    ram[c] = 0x80;
    expect(() => device.restore({ ...state, ram })).toThrow(expect.objectContaining({ code: 'ERR_HAX_DEVICE_STATE' }));
  });
});

import { Mc146818, type Mc146818State } from '../../../lib/devices/mc146818';
import { ManualClock } from '../../../lib/time/clock';
import { deviceLaws } from '../../support/device-laws';

const now = (): number => Date.UTC(2026, 10, 28, 23, 59, 58);

deviceLaws<Mc146818State, Mc146818>('mc146818', ({ clock, irq }) => new Mc146818({ clock, now, irq }), { length: 2 });

const registers = (device: Mc146818, index: number, value: number): void => {
  device.write(0, index);
  device.write(1, value);
};
deviceLaws<Mc146818State, Mc146818>(
  'mc146818 whose registers A, B and alarm are written',
  ({ clock, irq }) => new Mc146818({ clock, now, irq }),
  {
    length: 2,
    hostActions: [0x01, 0x0a, 0x0b].map((index) => (device, value) => registers(device, index, value)),
    maxAdvance: 3e9,
  },
);

/** Seconds, minutes, hours, day of the week, day, month, year, century. */
const bytes = [0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x32];
const b = 0x0b;

function make(): { clock: ManualClock; get: (index: number) => number; put: (index: number, value: number) => void; time: () => number[] } {
  const clock = new ManualClock();
  const device = new Mc146818({ clock, now });
  const get = (index: number): number => (device.write(0, index), device.read(1));
  const put = (index: number, value: number): void => {
    device.write(0, index);
    device.write(1, value);
  };
  return { clock, get, put, time: () => bytes.map(get) };
}

describe('Mc146818', () => {
  it('begins with the RAM that it is given, after a reset too', () => {
    const ram: [number, number][] = [
      [0x15, 0x80],
      [0x7f, 0xff],
    ];
    const device = new Mc146818({ clock: new ManualClock(), now, ram });
    const get = (index: number): number => (device.write(0, index), device.read(1));
    expect([0x15, 0x16, 0x7f].map(get)).toEqual([0x80, 0, 0xff]);
    device.write(1, 0x55);
    expect(get(0x7f)).toBe(0x55);
    device.reset();
    expect([0x15, 0x7f, 0x0a].map(get)).toEqual([0x80, 0xff, 0x26]);
    for (const [index, value] of [
      [0x0d, 0],
      [0x80, 0],
      [0x20, 256],
    ]) {
      const attempt = (): unknown => new Mc146818({ clock: new ManualClock(), now, ram: [[index, value]] });
      expect(attempt).toThrow(expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT' }));
    }
  });

  it('tells the time in BCD with 24 hours, over the end of a month', () => {
    const { clock, time } = make();
    expect(time()).toEqual([0x58, 0x59, 0x23, 7, 0x28, 0x11, 0x26, 0x20]);
    clock.advance(2 * 86400e9 + 3e9);
    expect(time()).toEqual([0x01, 0x00, 0x00, 3, 0x01, 0x12, 0x26, 0x20]);
  });

  it('says that an update is in progress before each second, and not while the time is set', () => {
    const { clock, get, put, time } = make();
    const a = 0x0a;
    expect(get(a)).toBe(0x26);
    clock.advance(1e9 - 244_000 - 1);
    expect(get(a)).toBe(0x26);
    clock.advance(1);
    expect([get(a), time()[0]]).toEqual([0xa6, 0x58]);
    put(a, 0x2f);
    expect(get(a)).toBe(0xaf);
    put(b, 0x82);
    expect(get(a)).toBe(0x2f);
    put(b, 0x02);
    expect(get(a)).toBe(0xaf);
    clock.advance(244_000);
    expect([get(a), time()[0]]).toEqual([0x2f, 0x59]);
  });

  it('goes on counting the second while the time is set, and half a second before an update when the divider is reset', () => {
    const { clock, get, put, time } = make();
    clock.advance(0.9e9);
    put(b, 0x82);
    put(0x00, 0x30);
    put(b, 0x02);
    clock.advance(0.1e9 - 1);
    expect(time()[0]).toBe(0x30);
    clock.advance(1);
    expect(time()[0]).toBe(0x31);
    // As Linux sets it: the divider is let go last.
    put(b, 0x82);
    put(0x0a, 0x76);
    put(0x00, 0x20);
    put(b, 0x02);
    clock.advance(7e9);
    expect([time()[0], get(0x0a)]).toEqual([0x20, 0x76]);
    put(0x0a, 0x26);
    clock.advance(0.5e9 - 1);
    expect([time()[0], get(0x0a)]).toEqual([0x20, 0xa6]);
    clock.advance(1);
    expect([time()[0], get(0x0a)]).toEqual([0x21, 0x26]);
  });

  it('tells it in binary, and with 12 hours', () => {
    const { clock, get, put, time } = make();
    put(b, 0x06);
    expect(time()).toEqual([58, 59, 23, 7, 28, 11, 26, 20]);
    put(b, 0x04);
    expect(get(0x04)).toBe(0x80 | 11);
    clock.advance(2e9);
    expect(get(0x04)).toBe(12);
    clock.advance(12 * 3600e9);
    expect(get(0x04)).toBe(0x80 | 12);
  });

  it('can be set: it stands still meanwhile, and goes on from there', () => {
    const { clock, put, time } = make();
    put(b, 0x82);
    [0x30, 0x15, 0x08, 1, 0x29, 0x02, 0x28, 0x19].forEach((value, i) => put(bytes[i], value));
    clock.advance(10e9);
    expect(time()).toEqual([0x30, 0x15, 0x08, 1, 0x29, 0x02, 0x28, 0x19]);
    put(b, 0x02);
    clock.advance(1e9);
    expect(time()).toEqual([0x31, 0x15, 0x08, 4, 0x29, 0x02, 0x28, 0x19]);
  });

  it('takes an hour with 12 hours, and one byte without SET', () => {
    const { put, time } = make();
    put(b, 0x00);
    put(0x04, 0x80 | 0x12);
    put(b, 0x02);
    expect(time().slice(0, 3)).toEqual([0x58, 0x59, 0x12]);
  });

  it('may be given a time with a fraction, and saves whole numbers', () => {
    const clock = new ManualClock();
    clock.advance(1e9 / 60);
    const device = new Mc146818({ clock, now: () => now() + 0.25 });
    clock.advance(1e9 / 60);
    const { time, fraction } = device.save();
    expect([time, fraction].every(Number.isSafeInteger)).toBe(true);
    expect(() => device.restore(device.save())).not.toThrow();
  });

  it('says that its time is valid and never in the middle of an update', () => {
    const { get, put } = make();
    put(0x0a, 0xff);
    put(0x0c, 0xff);
    put(0x0d, 0x00);
    expect([get(0x0a), get(0x0c), get(0x0d)]).toEqual([0x7f, 0, 0x80]);
  });

  it('keeps its other bytes; bit 7 of the index is not its own', () => {
    const { get, put } = make();
    put(0x80 | 0x40, 0x5a);
    expect([get(0x40), get(0xc0)]).toEqual([0x5a, 0x5a]);
  });
});

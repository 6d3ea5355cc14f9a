import { AcpiPm, type AcpiPmState } from '../../../lib/devices/acpi-pm';
import { ManualClock } from '../../../lib/time/clock';
import { deviceLaws, RecordedLine } from '../../support/device-laws';

const calls = () => ({ sleepTypeS5: 5, onPowerOff: jest.fn(), onSleep: jest.fn() });
const make = () => {
  const clock = new ManualClock();
  const irq = new RecordedLine();
  const called = calls();
  return { clock, irq, called, device: new AcpiPm({ clock, irq, ...called }) };
};

deviceLaws<AcpiPmState, AcpiPm>('acpi-pm', ({ irq, clock }) => new AcpiPm({ irq, clock, ...calls() }), {
  length: 12,
  hostActions: [(device) => device.pressPowerButton(), (device) => device.pressSleepButton()],
  maxAdvance: 5e9,
});

const status = 0;
const enable = 2;
const control = 4;
const timer = 8;
const powerButton = 0x100;
const halfPeriod = 2 ** 23;
const second = 1e9;

describe('AcpiPm', () => {
  it('counts 3,579,545 times a second and wraps at 24 bits', () => {
    const { clock, device } = make();
    expect(device.read(timer, 4)).toBe(0);
    clock.advance(second);
    expect(device.read(timer, 4)).toBe(3579545);
    clock.advance(4 * second);
    expect(device.read(timer, 4)).toBe((5 * 3579545) % 2 ** 24);
    clock.advance(1e6 * second);
    expect(device.read(timer, 4)).toBe((1000005 * 3579545) % 2 ** 24);
  });

  it('sets TMR_STS when the top bit changes, with an interrupt only while TMR_EN is set', () => {
    const { clock, irq, device } = make();
    const toTop = Math.ceil((halfPeriod * second) / 3579545);
    clock.advance(toTop - 1);
    expect(device.read(status, 2)).toBe(0);
    clock.advance(1);
    expect(device.read(status, 2)).toBe(1);
    expect(irq.level).toBe(false);
    device.write(enable, 1, 2);
    expect(irq.level).toBe(true);
    device.write(status, 1, 2);
    expect([irq.level, device.read(status, 2)]).toEqual([false, 0]);
    // Nobody reads: the alarm alone brings the next one.
    clock.advance(toTop);
    expect(irq.level).toBe(true);
  });

  it('brings each of the interrupts of a day by its alarm alone', () => {
    const { clock, irq, device } = make();
    device.write(enable, 1, 2);
    const period = Math.ceil((halfPeriod * second) / 3579545);
    const all = Math.floor((86400 * second) / period);
    let brought = 0;
    for (let changes = 1; changes <= all; changes++) {
      clock.advance(period);
      if (irq.level) brought++;
      device.write(status, 1, 2);
    }
    expect(brought).toBe(all);
  });

  it('says that ACPI mode is on, whatever is written', () => {
    const { device } = make();
    device.write(control, 0, 2);
    expect(device.read(control, 2)).toBe(1);
    device.write(control, 0x1c02, 2);
    expect(device.read(control, 2)).toBe(0x1c03);
  });

  it.each([
    ['GBL_EN, which Linux reads back before it uses the global lock', 0x20],
    ["RTC_EN, which Linux's driver of the clock reads back", 0x400],
  ])('keeps %s', (_, bit) => {
    const { device } = make();
    device.write(enable, bit, 2);
    expect(device.read(enable, 2)).toBe(bit);
  });

  it('tells of a button until its status is cleared', () => {
    const { irq, device } = make();
    device.write(enable, powerButton, 2);
    device.pressPowerButton();
    expect([irq.level, device.read(status, 2)]).toEqual([true, powerButton]);
    device.write(status, powerButton, 2);
    expect([irq.level, device.read(status, 2)]).toEqual([false, 0]);
    device.pressSleepButton();
    expect([irq.level, device.read(status, 2)]).toEqual([false, 0x200]);
  });

  it('powers off when S5 is enabled, and only then', () => {
    for (let type = 0; type < 8; type++) {
      const { called, device } = make();
      device.write(control, type << 10, 2);
      expect(called.onPowerOff).not.toHaveBeenCalled();
      device.write(control, (type << 10) | 0x2000, 2);
      expect(called.onPowerOff.mock.calls.length).toBe(type === 5 ? 1 : 0);
      expect(called.onSleep.mock.calls).toEqual(type === 5 ? [] : [[type]]);
    }
  });

  it('takes its registers in bytes too', () => {
    const { called, device } = make();
    device.write(enable + 1, 1, 1);
    expect(device.read(enable, 2)).toBe(powerButton);
    device.write(control + 1, (5 << 2) | 0x20, 1);
    expect(called.onPowerOff).toHaveBeenCalledTimes(1);
    expect(device.read(status, 4)).toBe(powerButton * 0x10000);
  });
});

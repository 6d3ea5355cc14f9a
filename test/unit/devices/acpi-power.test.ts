import { AcpiPower, type AcpiPowerState } from '../../../lib/devices/acpi-power';
import { deviceLaws } from '../../support/device-laws';

const options = () => ({ sleepTypeS5: 5, resetValue: 1, onPowerOff: jest.fn(), onReset: jest.fn(), onSleep: jest.fn() });

deviceLaws<AcpiPowerState, AcpiPower>('acpi-power', () => new AcpiPower(options()), {
  length: 3,
  hostActions: [(device) => device.wake()],
});

const control = 0;
const status = 1;
const reset = 2;
const enable = 0x20;

describe('AcpiPower', () => {
  it('powers off when S5 is enabled, and only then', () => {
    for (let value = 0; value < 0x100; value++) {
      const calls = options();
      new AcpiPower(calls).write(control, value);
      const type = (value >> 2) & 7;
      expect([value, calls.onPowerOff.mock.calls.length]).toEqual([value, value & enable && type === 5 ? 1 : 0]);
      expect(calls.onSleep.mock.calls).toEqual(value & enable && type !== 5 ? [[type]] : []);
      expect(calls.onReset).not.toHaveBeenCalled();
    }
  });

  it('needs no onSleep', () => {
    expect(() => new AcpiPower({ ...options(), onSleep: undefined }).write(control, enable)).not.toThrow();
  });

  it('remembers the sleep type, not the enable bit', () => {
    const device = new AcpiPower(options());
    device.write(control, (3 << 2) | enable | 0xc3);
    expect(device.read(control)).toBe(3 << 2);
  });

  it('shows a wake until it is cleared by writing 1', () => {
    const device = new AcpiPower(options());
    expect(device.read(status)).toBe(0);
    device.wake();
    device.write(status, 0x7f);
    expect(device.read(status)).toBe(0x80);
    device.write(status, 0x80);
    expect(device.read(status)).toBe(0);
  });

  it('resets on the reset value only', () => {
    const calls = options();
    const device = new AcpiPower(calls);
    for (let value = 0; value < 0x100; value++) device.write(reset, value);
    expect(calls.onReset).toHaveBeenCalledTimes(1);
    expect(device.read(reset)).toBe(0);
  });

  it.each([{ sleepTypeS5: 8 }, { resetValue: 256 }, { sleepTypeS5: '5' as unknown as number }])('refuses %p', (wrong) => {
    expect(() => new AcpiPower({ ...options(), ...wrong })).toThrow(expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT' }));
  });
});

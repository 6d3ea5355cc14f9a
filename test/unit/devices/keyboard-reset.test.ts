import { KeyboardReset, type KeyboardResetState } from '../../../lib/devices/keyboard-reset';
import { deviceLaws } from '../../support/device-laws';

deviceLaws<KeyboardResetState, KeyboardReset>('8042-reset', () => new KeyboardReset(() => undefined), { length: 5, holes: [1, 2, 3] });

const data = 0;
const command = 4;

describe('KeyboardReset', () => {
  it('resets on exactly those commands that pulse output line 0', () => {
    for (let value = 0; value < 0x100; value++) {
      const onReset = jest.fn();
      new KeyboardReset(onReset).write(command, value);
      expect([value, onReset.mock.calls.length]).toEqual([value, value >= 0xf0 && value % 2 === 0 ? 1 : 0]);
    }
  });

  it('has empty buffers', () => {
    const device = new KeyboardReset(() => undefined);
    expect([device.read(command), device.read(data)]).toEqual([0, 0]);
  });

  it('takes the output port with command 0xd1: A20 without effect, reset when bit 0 is clear', () => {
    const onReset = jest.fn();
    const device = new KeyboardReset(onReset);
    for (const value of [0xdf, 0xdd]) {
      device.write(command, 0xd1);
      device.write(data, value);
    }
    expect(onReset).not.toHaveBeenCalled();
    device.write(data, 0xfe);
    expect(onReset).not.toHaveBeenCalled();
    device.write(command, 0xd1);
    device.write(data, 0xfe);
    expect(onReset).toHaveBeenCalledTimes(1);
  });

  it('gives the output port with command 0xd0, once: reset released, A20 on', () => {
    const onReset = jest.fn();
    const device = new KeyboardReset(onReset);
    device.write(command, 0xad);
    expect(device.read(command)).toBe(0);
    device.write(command, 0xd0);
    expect(device.read(command)).toBe(0x01);
    // Other commands do not take away what waits.
    device.write(command, 0xae);
    expect([device.read(command), device.read(data), device.read(command), device.read(data)]).toEqual([0x01, 0x03, 0, 0]);
    device.write(command, 0xd0);
    device.reset();
    expect([device.read(command), device.read(data)]).toEqual([0, 0]);
    device.write(command, 0xd0);
    const restored = new KeyboardReset(onReset);
    restored.restore(device.save());
    expect([restored.read(command), restored.read(data), device.read(data)]).toEqual([0x01, 0x03, 0x03]);
    expect(onReset).not.toHaveBeenCalled();
  });

  it('forgets command 0xd1 when another follows', () => {
    const onReset = jest.fn();
    const device = new KeyboardReset(onReset);
    device.write(command, 0xd1);
    device.write(command, 0xff);
    device.write(data, 0x00);
    expect(onReset).not.toHaveBeenCalled();
  });
});

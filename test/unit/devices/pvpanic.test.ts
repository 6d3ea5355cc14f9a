import { Pvpanic } from '../../../lib/devices/pvpanic';
import { deviceLaws } from '../../support/device-laws';

deviceLaws('pvpanic', () => new Pvpanic(() => undefined), { length: 1 });

describe('Pvpanic', () => {
  it('names the events that it knows', () => {
    expect(new Pvpanic(() => undefined).read(0)).toBe(0x03);
  });

  it.each([
    [0x00, []],
    [0x01, [['panicked']]],
    [0x02, [['crash-loaded']]],
    [0x03, [['panicked']]],
    [0x04, []],
    [0xfe, [['crash-loaded']]],
  ])('reports %p as %p', (value, expected) => {
    const onEvent = jest.fn();
    const device = new Pvpanic(onEvent);
    device.write(0, value);
    device.write(1, value);
    expect(onEvent.mock.calls).toEqual(expected);
  });
});

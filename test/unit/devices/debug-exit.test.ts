import { DebugExit } from '../../../lib/devices/debug-exit';
import { deviceLaws } from '../../support/device-laws';

deviceLaws('isa-debug-exit', () => new DebugExit(() => undefined), { length: 4, holes: [0, 1, 2, 3] });

describe('DebugExit', () => {
  it.each([
    [0, 1],
    [1, 3],
    [0x10, 33],
    [0xff, 511],
    [0xffff, 0x1ffff],
    [0xffffffff, 0x1ffffffff],
  ] as const)('ends the run on a write of %p with status %p', (value, status) => {
    const onExit = jest.fn();
    new DebugExit(onExit).write(0, value);
    expect(onExit.mock.calls).toEqual([[status]]);
  });

  it('has four ports', () => {
    const onExit = jest.fn();
    const device = new DebugExit(onExit);
    for (let offset = 0; offset < 6; offset++) device.write(offset, offset);
    expect(onExit.mock.calls).toEqual([[1], [3], [5], [7]]);
  });
});

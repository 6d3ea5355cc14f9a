import { DebugExit } from '../../../lib/devices/debug-exit';
import { deviceLaws } from '../../support/device-laws';

deviceLaws('isa-debug-exit', () => new DebugExit(() => undefined), { length: 4, holes: [0, 1, 2, 3] });

describe('DebugExit', () => {
  it.each([
    [0, 1, 1],
    [1, 1, 3],
    [0x10, 1, 33],
    [0xff, 1, 511],
    [0xffff, 2, 0x1ffff],
    [0xffffffff, 4, 0x1ffffffff],
  ] as const)('ends the run on a write of %p of width %p with status %p', (value, width, status) => {
    const onExit = jest.fn();
    new DebugExit(onExit).write(0, value, width);
    expect(onExit.mock.calls).toEqual([[status]]);
  });

  it('has four ports', () => {
    const onExit = jest.fn();
    const device = new DebugExit(onExit);
    for (let offset = 0; offset < 6; offset++) device.write(offset, offset, 1);
    expect(onExit.mock.calls).toEqual([[1], [3], [5], [7]]);
  });
});

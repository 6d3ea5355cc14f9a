import { StateReader } from '../../../lib/devices/state';

const state = { device: 'chip', version: 2, level: true, count: 3, list: [1, 2] };
const refused = (message: RegExp): Error =>
  expect.objectContaining({ code: 'ERR_HAX_DEVICE_STATE', message: expect.stringMatching(message) as string }) as Error;

describe('StateReader', () => {
  it('reads what is sound', () => {
    const from = new StateReader(state, 'chip', 2);
    expect([from.boolean('level'), from.integer('count', 0, 3), from.integers('list', 2, 2)]).toEqual([true, 3, [1, 2]]);
    from.check(true, 'is impossible');
    expect(() => from.end()).not.toThrow();
  });

  it('names the device and what is wrong', () => {
    const from = (): StateReader => new StateReader(state, 'chip', 2);
    expect(() => new StateReader(null, 'chip', 2)).toThrow(refused(/^the saved state for chip is not an object$/));
    expect(() => new StateReader({ ...state, device: 'other' }, 'chip', 2)).toThrow(refused(/is of "other"$/));
    // String() would throw of it.
    const odd = { toString: 1 } as unknown as string;
    expect(() => new StateReader({ ...state, device: odd }, 'chip', 2)).toThrow(refused(/is of a value of type object$/));
    expect(() => new StateReader({ ...state, version: odd }, 'chip', 2)).toThrow(refused(/has version a value of type object, not 2$/));
    expect(() => new StateReader(state, 'chip', 3)).toThrow(refused(/has version 2, not 3$/));
    expect(() => from().integer('count', 0, 2)).toThrow(refused(/has a count that is not a whole number from 0 to 2$/));
    expect(() => from().integer('missing', 0, 2)).toThrow(refused(/missing/));
    expect(() => from().boolean('count')).toThrow(refused(/has a count that is not a boolean$/));
    expect(() => from().integers('list', 1, 2)).toThrow(refused(/has a list that is not an array of up to 1$/));
    expect(() => from().integers('list', 2, 1)).toThrow(refused(/list/));
    expect(() => from().check(false, 'is impossible')).toThrow(refused(/chip is impossible$/));
    expect(() => from().end()).toThrow(refused(/has a level, which is unknown$/));
  });
});

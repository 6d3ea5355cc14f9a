import { TestMemory } from '../../../lib/devices/test-memory';
import { codeOf } from '../../support/codes';
import { deviceLaws } from '../../support/device-laws';

deviceLaws('pc-testdev-memory', () => new TestMemory(32), { length: 32 });

describe('TestMemory', () => {
  test('keeps what is written, in any width', () => {
    const memory = new TestMemory(16);
    memory.write(4, 0xfedcba98, 4);
    memory.write(5, 0x1234, 2);
    expect([memory.read(4, 4), memory.read(6, 1), memory.read(3, 2)]).toEqual([0xfe123498, 0x12, 0x9800]);
  });

  test('is all-ones beyond its end, and takes nothing there', () => {
    const memory = new TestMemory(16);
    memory.write(14, 0x44332211, 4);
    expect([memory.read(14, 4), memory.read(16, 4), memory.read(15, 1)]).toEqual([0xffff2211, 0xffffffff, 0x22]);
    memory.write(2 ** 32, 1, 4);
    expect(memory.save().bytes).toHaveLength(16);
  });

  test('its state is as long as what is in it, and never longer than it is', () => {
    const memory = new TestMemory(65536);
    expect(memory.save().bytes).toEqual([]);
    memory.write(2, 7, 1);
    expect(memory.save().bytes).toEqual([0, 0, 7]);
    const other = new TestMemory(2);
    expect(codeOf(() => other.restore(memory.save()))).toBe('ERR_HAX_DEVICE_STATE');
  });
});

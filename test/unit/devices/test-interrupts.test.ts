import { TestInterrupts } from '../../../lib/devices/test-interrupts';
import { deviceLaws, RecordedLine } from '../../support/device-laws';

const sixteen = () => Array.from({ length: 16 }, () => new RecordedLine());

deviceLaws('pc-testdev-irq-line', ({ irq }) => new TestInterrupts([irq, ...sixteen().slice(1)]), { length: 16, widths: [1] });

describe('TestInterrupts', () => {
  const raised = (lines: readonly RecordedLine[]) => lines.flatMap(({ level }, n) => (level ? [n] : []));

  test('a write sets the line of its port, and no other', () => {
    const lines = sixteen();
    const device = new TestInterrupts(lines);
    device.write(11, 1);
    device.write(15, 0x80);
    expect(raised(lines)).toEqual([11, 15]);
    device.write(11, 0);
    expect(raised(lines)).toEqual([15]);
  });

  test('the level stays until it is changed: one edge', () => {
    const lines = sixteen();
    const device = new TestInterrupts(lines);
    device.write(3, 1);
    device.write(3, 2);
    expect(lines[3]).toMatchObject({ level: true, edges: 1 });
  });

  test("a line that it has not raised is another device's", () => {
    const lines = sixteen();
    lines[4].set(true);
    const device = new TestInterrupts(lines);
    device.write(4, 0);
    device.reset();
    expect(lines[4].level).toBe(true);
  });
});

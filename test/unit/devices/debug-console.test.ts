import { DebugConsole } from '../../../lib/devices/debug-console';
import { maxBacklog, maxBatch } from '../../../lib/host/byte-sink';
import { deviceLaws } from '../../support/device-laws';

deviceLaws('debugcon', () => new DebugConsole(), { length: 1 });

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('DebugConsole', () => {
  it('prints low bytes, together', async () => {
    const chunks: string[] = [];
    const device = new DebugConsole({ output: (bytes) => chunks.push(Buffer.from(bytes).toString()) });
    for (const byte of Buffer.from('Bochs')) void device.write(0, 0x100 | byte);
    void device.write(1, 0x21);
    await turn();
    void device.write(0, 0x0a);
    device.flush();
    expect(chunks).toEqual(['Bochs', '\n']);
  });

  it('tells guests that it is there', () => {
    expect([new DebugConsole().read(0), new DebugConsole({ readback: 0x1ff }).read(0)]).toEqual([0xe9, 0xff]);
  });

  it('parks a guest that prints faster than the output takes, and loses nothing', async () => {
    const taken: number[] = [];
    const drains: (() => void)[] = [];
    const device = new DebugConsole({
      output: (bytes, onDrain) => {
        taken.push(...bytes);
        drains.push(onDrain);
        return false;
      },
    });
    const parked: unknown[] = [];
    for (let i = 0; i < maxBatch + maxBacklog; i++) parked.push(device.write(0, 1));
    expect(parked.every((each) => each === undefined)).toBe(true);
    const order: number[] = [];
    const writes = [2, 3].map(async (byte) => {
      await device.write(0, byte);
      order.push(byte);
    });
    await turn();
    expect([order, taken.length]).toEqual([[], maxBatch]);
    for (let i = 0; taken.length < maxBatch + maxBacklog; i++) drains[i]();
    await Promise.all(writes);
    device.flush();
    expect([order, taken.slice(-2)]).toEqual([
      [2, 3],
      [2, 3],
    ]);
  });
});

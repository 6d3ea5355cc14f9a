import { Writable } from 'node:stream';
import { maxBacklog } from '../../../lib/host/byte-sink';
import { rbr, thr, ier, iir, fcr, lsr, noInterrupt, bytes, tick, bench, SlowSink } from './uart16550a-bench';

describe('16550A: transmitter', () => {
  it('sends bytes together, when the JavaScript in progress ends', async () => {
    const chunks: string[] = [];
    const { uart } = bench({ output: (chunk) => chunks.push(Buffer.from(chunk).toString()) });
    for (const byte of bytes('hello')) {
      expect(uart.read(lsr) & 0x60).toBe(0x60);
      uart.write(thr, byte);
    }
    expect(chunks).toEqual([]);
    await tick();
    for (const byte of bytes('again')) uart.write(thr, byte);
    await tick();
    expect(chunks).toEqual(['hello', 'again']);
  });

  it('hands over at once on flush()', () => {
    const chunks: string[] = [];
    const { uart } = bench({ output: (chunk) => chunks.push(Buffer.from(chunk).toString()) });
    uart.write(thr, 65);
    uart.flush();
    expect(chunks).toEqual(['A']);
  });

  it('hands over on flush() what waits in the transmitter, too', () => {
    const sink = new SlowSink();
    const { uart } = bench({ output: sink.write });
    uart.write(fcr, 0x01);
    let sent = 0;
    while (uart.read(lsr) & 0x20) for (let i = 0; i < 16; i++, sent++) uart.write(thr, sent & 0xff);
    uart.flush();
    expect(sink.taken).toEqual(Array.from({ length: sent }, (_, i) => i & 0xff));
    expect(uart.read(lsr) & 0x60).toBe(0x60);
  });

  it('reasserts THRE when its interrupt is enabled with THR empty', () => {
    const { uart, irq } = bench();
    uart.write(ier, 0x02);
    expect(irq.level).toBe(true);
    expect(uart.read(iir)).toBe(0x02);
    expect(irq.level).toBe(false);
    expect(uart.read(iir)).toBe(noInterrupt);
    // Linux's test for a broken THRE: off and on again.
    uart.write(ier, 0x00);
    uart.write(ier, 0x02);
    expect(irq.level).toBe(true);
    expect(uart.read(iir)).toBe(0x02);
    // No edge without a change.
    uart.write(ier, 0x02);
    expect(irq.level).toBe(false);
  });

  it('gives a new THRE interrupt for every byte', () => {
    const { uart, irq } = bench();
    uart.write(ier, 0x02);
    const edges = irq.edges;
    for (let i = 1; i <= 3; i++) {
      uart.write(thr, i);
      expect([irq.level, irq.edges]).toEqual([true, edges + i]);
    }
  });

  it('clears THRE by reading IIR only when it is the source', () => {
    const { uart } = bench();
    uart.write(ier, 0x03);
    uart.receive(bytes('x'));
    expect(uart.read(iir)).toBe(0x04);
    expect(uart.read(iir)).toBe(0x04);
    uart.read(rbr);
    expect(uart.read(iir)).toBe(0x02);
    expect(uart.read(iir)).toBe(noInterrupt);
  });

  it('interrupts at once when the FIFO mode changes', () => {
    const { uart } = bench();
    uart.write(ier, 0x02);
    uart.read(iir);
    uart.write(fcr, 0x01);
    expect(uart.read(iir)).toBe(0xc2);
    uart.write(fcr, 0x05);
    expect(uart.read(iir)).toBe(0xc1);
  });

  it.each([
    ['16450 mode', 0, 1],
    ['FIFO mode', 1, 16],
  ])('is busy while a full sink holds back: %s', (_name, control, depth) => {
    const sink = new SlowSink();
    const { uart, irq } = bench({ output: sink });
    uart.write(fcr, control);
    uart.write(thr, 0);
    uart.flush();
    let busy = 0;
    for (let i = 0; i < maxBacklog; i++) {
      if ((uart.read(lsr) & 0x60) !== 0x60) busy++;
      uart.write(thr, 1);
    }
    expect(busy).toBe(0);
    uart.write(ier, 0x02);
    uart.read(iir);
    for (let i = 0; i < depth; i++) uart.write(thr, 2);
    expect([uart.read(lsr) & 0x60, irq.level]).toEqual([0, false]);
    uart.write(thr, 3);
    // Enabling the interrupt while THR is full does not raise it.
    uart.write(ier, 0x00);
    uart.write(ier, 0x02);
    expect(irq.level).toBe(false);
    while (sink.taken.length < 1 + maxBacklog) sink.drain();
    expect([uart.read(lsr) & 0x60, irq.level]).toEqual([0x60, true]);
    sink.drain();
    expect(sink.taken.filter((each) => each === 2)).toHaveLength(depth);
    expect(sink.taken).not.toContain(3);
  });

  it('clears a waiting FIFO on request', () => {
    const sink = new SlowSink();
    const { uart, irq } = bench({ output: sink });
    uart.write(fcr, 0x01);
    uart.write(ier, 0x02);
    uart.write(thr, 0);
    uart.flush();
    for (let i = 0; i <= maxBacklog; i++) uart.write(thr, 1);
    uart.read(iir);
    expect([uart.read(lsr) & 0x60, irq.level]).toEqual([0, false]);
    uart.write(fcr, 0x05);
    expect([uart.read(lsr) & 0x60, irq.level]).toEqual([0x60, true]);
  });

  it('loses nothing of 1 MiB through a slow Writable, with bounded memory', async () => {
    const total = 2 ** 20;
    let received = 0;
    let wrong = 0;
    let waiting = 0;
    const output = new Writable({
      highWaterMark: 8192,
      write(chunk: Buffer, _encoding, done) {
        for (const byte of chunk) if (byte !== (received++ & 0xff)) wrong++;
        setImmediate(done);
      },
    });
    const { uart } = bench({ output });
    uart.write(fcr, 0x01);
    for (let sent = 0; sent < total;) {
      // As a polling driver does it.
      while (uart.read(lsr) & 0x20 && sent < total) for (let i = 0; i < 16; i++) uart.write(thr, sent++ & 0xff);
      waiting = Math.max(waiting, sent - received);
      await tick();
    }
    while (!(uart.read(lsr) & 0x40)) await tick();
    uart.flush();
    await new Promise((resolve) => output.end(resolve));
    expect([received, wrong]).toEqual([total, 0]);
    expect(waiting).toBeLessThanOrEqual(maxBacklog + 8192 + 4096 + 16);
  });
});

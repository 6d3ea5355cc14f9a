import { Uart16550 } from '../../../lib/devices/uart16550a';
import { receiveQueueSize } from '../../../lib/devices/uart16550a-receiver';
import { maxBacklog } from '../../../lib/host/byte-sink';
import {
  rbr,
  thr,
  dll,
  ier,
  dlm,
  iir,
  fcr,
  lcr,
  mcr,
  lsr,
  msr,
  scr,
  noInterrupt,
  bytes,
  tick,
  Bench,
  bench,
  SlowSink,
} from './uart16550a-bench';

describe('16550A: registers', () => {
  it('has the values of master reset', () => {
    const uart = new Uart16550();
    expect([ier, iir, lcr, mcr, lsr, msr].map((offset) => uart.read(offset))).toEqual([0, noInterrupt, 0, 0, 0x60, 0xb0]);
  });

  it.each([
    ['IER', ier, 0x0f],
    ['LCR', lcr, 0x7f],
    ['MCR', mcr, 0x1f],
    ['SCR', scr, 0xff],
  ])('%s keeps its bits and no others', (_name, offset, mask) => {
    const uart = new Uart16550();
    for (const value of [0xff, 0x55, 0xaa, 0]) {
      uart.write(offset, value & ~(offset === lcr ? 0x80 : 0));
      expect(uart.read(offset)).toBe(value & mask);
    }
  });

  it('has the divisor latch behind DLAB', () => {
    const uart = new Uart16550();
    uart.write(ier, 0x05);
    uart.write(lcr, 0x80);
    expect([uart.read(dll), uart.read(dlm)]).toEqual([12, 0]);
    uart.write(dll, 0x34);
    uart.write(dlm, 0x12);
    expect([uart.read(dll), uart.read(dlm)]).toEqual([0x34, 0x12]);
    uart.write(lcr, 0x03);
    expect(uart.read(ier)).toBe(0x05);
  });

  it('shows FIFOs in IIR when they are enabled, as drivers detect a 16550A', () => {
    const uart = new Uart16550();
    uart.write(fcr, 0x01);
    expect(uart.read(iir)).toBe(0xc1);
    uart.write(fcr, 0x00);
    expect(uart.read(iir)).toBe(0x01);
  });

  it('ignores writes to LSR and MSR', () => {
    const uart = new Uart16550();
    uart.write(lsr, 0xff);
    uart.write(msr, 0xff);
    expect([uart.read(lsr), uart.read(msr)]).toEqual([0x60, 0xb0]);
  });
});

describe('16550A: interrupts', () => {
  /** Brings up one source after the other, lowest priority first. */
  const raise = {
    modem: ({ uart }: Bench) => uart.setModemLines({ cts: false }),
    thre: ({ uart }: Bench) => uart.write(thr, 0),
    data: ({ uart }: Bench) => uart.receive(bytes('x')),
    line: ({ uart }: Bench) => uart.receiveBreak(),
  };

  it.each([
    ['none', 0x0f, [], 0xc1],
    ['MODEM status', 0x0f, ['modem'], 0xc0],
    ['THRE over MODEM', 0x0f, ['modem', 'thre'], 0xc2],
    ['data over THRE', 0x0f, ['modem', 'thre', 'data'], 0xc4],
    ['line status over all', 0x0f, ['modem', 'thre', 'line', 'data'], 0xc6],
    ['data, line status disabled', 0x0b, ['modem', 'thre', 'line', 'data'], 0xc4],
    ['THRE, data disabled', 0x0a, ['modem', 'thre', 'line', 'data'], 0xc2],
    ['MODEM, THRE disabled', 0x08, ['modem', 'thre', 'line', 'data'], 0xc0],
    ['all disabled', 0x00, ['modem', 'thre', 'line', 'data'], 0xc1],
  ] as const)('%s', (_name, enabled, sources, expected) => {
    const all = bench();
    all.uart.write(fcr, 0x01);
    all.uart.write(ier, enabled);
    all.uart.read(iir); // THRE of enabling
    for (const source of sources) raise[source](all);
    expect(all.irq.level).toBe((expected & 1) === 0);
    expect(all.uart.read(iir)).toBe(expected);
  });

  it('serves all of them one after the other', () => {
    const all = bench();
    const { uart, irq } = all;
    uart.write(fcr, 0x01);
    uart.write(ier, 0x0f);
    for (const source of ['modem', 'thre', 'line', 'data'] as const) raise[source](all);
    const seen: number[] = [];
    while (irq.level) {
      const id = uart.read(iir) & 0x0f;
      seen.push(id);
      if (id === 0x06) uart.read(lsr);
      else if (id === 0x04) uart.read(rbr);
      else if (id === 0x00) uart.read(msr);
    }
    expect(seen).toEqual([0x06, 0x04, 0x04, 0x02, 0x00]);
  });

  it('reach the line only through OUT2, and not in loopback', () => {
    const { uart, irq } = bench();
    uart.write(mcr, 0x00);
    uart.write(ier, 0x01);
    uart.receive(bytes('a'));
    expect([irq.level, uart.read(iir)]).toEqual([false, 0x04]);
    uart.write(mcr, 0x08);
    expect(irq.level).toBe(true);
    uart.write(mcr, 0x18);
    expect([irq.level, uart.read(iir)]).toEqual([false, 0x04]);
  });
});

describe('16550A: modem', () => {
  it('shows lines and their changes, which reading resets', () => {
    const { uart, irq } = bench();
    uart.write(ier, 0x08);
    expect(uart.read(msr)).toBe(0xb0);
    uart.setModemLines({ cts: false, dsr: false, dcd: false });
    expect(irq.level).toBe(true);
    expect(uart.read(msr)).toBe(0x0b);
    expect([uart.read(msr), irq.level]).toEqual([0x00, false]);
    uart.setModemLines({ dsr: false });
    expect(uart.read(msr)).toBe(0x00);
    uart.setModemLines({ cts: true });
    expect(uart.read(msr)).toBe(0x11);
  });

  it('counts only the trailing edge of RI', () => {
    const { uart, irq } = bench();
    uart.write(ier, 0x08);
    uart.setModemLines({ ri: true });
    expect([irq.level, uart.read(msr)]).toEqual([false, 0xf0]);
    uart.setModemLines({ ri: false });
    expect([irq.level, uart.read(msr)]).toEqual([true, 0xb4]);
  });
});

describe('16550A: loopback', () => {
  it('connects the modem outputs to the inputs: all 16 combinations, with their changes', () => {
    for (let from = 0; from < 16; from++) {
      for (let to = 0; to < 16; to++) {
        const uart = new Uart16550();
        uart.write(mcr, 0x10 | from);
        uart.read(msr);
        uart.write(mcr, 0x10 | to);
        // MCR: DTR 1, RTS 2, OUT1 4, OUT2 8. MSR: CTS 1, DSR 2, RI 4, DCD 8.
        const lines = (value: number): number => ((value & 1) << 1) | ((value & 2) >> 1) | (value & 0x0c);
        const changed = lines(from) ^ lines(to);
        const deltas = (changed & 0x0b) | (lines(from) & ~lines(to) & 0x04);
        expect([from, to, uart.read(msr)]).toEqual([from, to, (lines(to) << 4) | deltas]);
      }
    }
  });

  it('passes the test by which Linux finds an 8250', () => {
    const { uart } = bench();
    uart.write(mcr, 0x1a);
    expect(uart.read(msr) & 0xf0).toBe(0x90);
  });

  it('has modem interrupts from MCR', () => {
    const { uart } = bench();
    uart.write(mcr, 0x10);
    uart.read(msr);
    uart.write(ier, 0x08);
    uart.write(mcr, 0x12);
    expect(uart.read(iir)).toBe(0x00);
    expect(uart.read(msr)).toBe(0x11);
    expect(uart.read(iir)).toBe(noInterrupt);
  });

  it('receives what is sent, and nothing leaves or enters', async () => {
    const sent: number[] = [];
    const { uart } = bench({ output: (chunk) => sent.push(...chunk) });
    uart.write(lcr, 0x03);
    uart.write(mcr, 0x10);
    uart.receive(bytes('z'));
    uart.write(thr, 0xae);
    expect([uart.read(lsr), uart.read(rbr), uart.read(lsr)]).toEqual([0x61, 0xae, 0x60]);
    await tick();
    expect(sent).toEqual([]);
    uart.write(mcr, 0x00);
    expect(uart.read(rbr)).toBe(0x7a);
  });

  it.each([
    [0, 0x1f],
    [1, 0x3f],
    [2, 0x7f],
    [3, 0xff],
  ])('keeps to word length %p', (control, expected) => {
    const { uart } = bench();
    uart.write(lcr, control);
    uart.write(mcr, 0x10);
    uart.write(thr, 0xff);
    expect(uart.read(rbr)).toBe(expected);
  });

  it('overruns: without FIFOs the new character destroys the old one', () => {
    const { uart } = bench();
    uart.write(lcr, 0x03);
    uart.write(mcr, 0x10);
    uart.write(ier, 0x04);
    uart.write(thr, 1);
    uart.write(thr, 2);
    expect(uart.read(iir)).toBe(0x06);
    expect([uart.read(lsr), uart.read(lsr), uart.read(iir)]).toEqual([0x63, 0x61, noInterrupt]);
    expect(uart.read(rbr)).toBe(2);
  });

  it('overruns: with FIFOs the 17th character is not transferred', () => {
    const { uart } = bench();
    uart.write(lcr, 0x03);
    uart.write(fcr, 0x01);
    uart.write(mcr, 0x10);
    for (let i = 1; i <= 16; i++) uart.write(thr, i);
    expect(uart.read(lsr)).toBe(0x61);
    uart.write(thr, 17);
    expect(uart.read(lsr)).toBe(0x63);
    const got: number[] = [];
    while (uart.read(lsr) & 1) got.push(uart.read(rbr));
    expect(got).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
  });

  it('takes what waits in the transmitter', () => {
    const sink = new SlowSink();
    const { uart } = bench({ output: sink });
    uart.write(lcr, 0x03);
    uart.write(fcr, 0x01);
    uart.write(thr, 0);
    uart.flush();
    for (let i = 0; i < maxBacklog; i++) uart.write(thr, 1);
    uart.write(thr, 0x77);
    expect(uart.read(lsr)).toBe(0x00);
    uart.write(mcr, 0x10);
    expect([uart.read(lsr), uart.read(rbr)]).toEqual([0x61, 0x77]);
  });
});

describe('16550A: reset and state', () => {
  it('keeps the lines of the host on reset and tells a sender that waits', () => {
    const { uart } = bench();
    let ready = 0;
    uart.onReadyToReceive = () => ready++;
    uart.setModemLines({ cts: false });
    uart.receive(new Uint8Array(2 * receiveQueueSize));
    uart.reset();
    expect([uart.read(msr), uart.read(lsr), ready]).toEqual([0xa0, 0x60, 1]);
  });

  it('stops the time-out on reset', () => {
    const { uart, irq, clock } = bench();
    uart.write(fcr, 0xc1);
    uart.write(ier, 0x01);
    uart.receive(bytes('a'));
    uart.reset();
    clock.advance(1e9);
    expect(irq.edges).toBe(0);
  });

  it('saves FIFO contents, pending interrupts and input that waits', () => {
    const first = bench();
    first.uart.write(fcr, 0x81);
    first.uart.write(ier, 0x02);
    first.uart.receive(bytes('0123456789abcdefghij'));
    const second = bench();
    second.uart.restore(first.uart.save());
    expect([second.irq.level, second.uart.read(iir)]).toEqual([true, 0xc2]);
    const got: number[] = [];
    while (second.uart.read(lsr) & 1) got.push(second.uart.read(rbr));
    expect(Buffer.from(got).toString()).toBe('0123456789abcdefghij');
  });

  it('saves a transmitter that waits, and sends it where it is restored', async () => {
    const { uart } = bench({ output: new SlowSink() });
    uart.write(fcr, 0x01);
    uart.write(thr, 0);
    uart.flush();
    for (let i = 0; i < maxBacklog; i++) uart.write(thr, 0);
    for (const byte of bytes('waiting')) uart.write(thr, byte);
    const sent: number[] = [];
    const other = bench({ output: (chunk) => sent.push(...chunk) });
    other.uart.restore(uart.save());
    await tick();
    expect(Buffer.from(sent).toString()).toBe('waiting');
    expect(other.uart.read(lsr)).toBe(0x60);
  });

  it('saves how much of the time-out is left', () => {
    const { uart, clock } = bench();
    uart.write(fcr, 0xc1);
    uart.write(ier, 0x01);
    uart.receive(bytes('a'));
    clock.advance(1e6);
    const { timeOutIn } = uart.save();
    expect(timeOutIn).toBeGreaterThan(0);
    const other = bench();
    other.clock.advance(77e6);
    other.uart.restore(uart.save());
    other.clock.advance(timeOutIn - 1);
    expect(other.irq.level).toBe(false);
    other.clock.advance(1);
    expect(other.irq.level).toBe(true);
  });

  it.each([
    ['a character with unknown errors', { receiver: [0x141] }],
    ['characters that do not fit', { receiver: [1, 2] }],
    ['a transmitter that does not fit', { transmitter: [1, 2] }],
    ['unknown line errors', { lineErrors: 0x01 }],
    ['a time-out of nothing', { timedOut: true, fifoEnabled: true }],
  ])('refuses %s', (_name, damage) => {
    const { uart } = bench();
    const saved = uart.save();
    expect(() => uart.restore({ ...saved, ...damage })).toThrow(expect.objectContaining({ code: 'ERR_HAX_DEVICE_STATE' }));
    expect(uart.save()).toEqual(saved);
  });
});

import { Writable } from 'node:stream';
import { Uart16550, type Uart16550Options } from '../../../lib/devices/uart16550a';
import { receiveQueueSize } from '../../../lib/devices/uart16550a-receiver';
import { maxBacklog } from '../../../lib/host/byte-sink';
import { ManualClock } from '../../../lib/time/clock';
import { RecordedLine } from '../../support/device-laws';

const rbr = 0;
const thr = 0;
const dll = 0;
const ier = 1;
const dlm = 1;
const iir = 2;
const fcr = 2;
const lcr = 3;
const mcr = 4;
const lsr = 5;
const msr = 6;
const scr = 7;

const noInterrupt = 0x01;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Bench {
  uart: Uart16550;
  irq: RecordedLine;
  clock: ManualClock;
}

/** OUT2 is on, so that the line shows what INTR does. */
function bench(options: Uart16550Options = {}): Bench {
  const irq = new RecordedLine();
  const clock = new ManualClock();
  const uart = new Uart16550({ irq, clock, ...options });
  uart.write(mcr, 0x08);
  return { uart, irq, clock };
}

/** A sink that takes only what it is asked to. */
class SlowSink {
  readonly taken: number[] = [];
  largest = 0;
  #onDrain: (() => void) | undefined;

  readonly write = (chunk: Uint8Array, onDrain: () => void): boolean => {
    this.taken.push(...chunk);
    this.largest = Math.max(this.largest, chunk.length);
    this.#onDrain = onDrain;
    return false;
  };

  drain(): void {
    const onDrain = this.#onDrain;
    this.#onDrain = undefined;
    onDrain?.();
  }
}

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

describe('16550A: receiver', () => {
  it('takes one character at a time without FIFOs, and never overruns from outside', () => {
    const { uart, irq } = bench();
    uart.write(ier, 0x01);
    expect(uart.receive(bytes('abc'))).toBe(3);
    expect([uart.read(lsr), uart.read(iir)]).toEqual([0x61, 0x04]);
    expect([97, 98, 99].map(() => uart.read(rbr))).toEqual([97, 98, 99]);
    expect([uart.read(lsr), irq.level, uart.read(rbr)]).toEqual([0x60, false, 99]);
    // One edge for each, as an edge-triggered controller wants it.
    expect(irq.edges).toBe(3);
  });

  it.each([
    [0x00, 1],
    [0x40, 4],
    [0x80, 8],
    [0xc0, 14],
  ])('FCR %p: interrupts at the trigger level of %p', (trigger, level) => {
    const { uart, irq } = bench();
    uart.write(fcr, 0x01 | trigger);
    uart.write(ier, 0x01);
    for (let i = 1; i <= 16; i++) {
      uart.receive(Uint8Array.of(i));
      expect([i, irq.level, uart.read(iir)]).toEqual([i, i >= level, i >= level ? 0xc4 : 0xc1]);
    }
    for (let i = 15; i >= 0; i--) {
      uart.read(rbr);
      expect([i, irq.level]).toEqual([i, i >= level]);
    }
  });

  it('tells of characters below the trigger level after 4 character times', () => {
    const { uart, irq, clock } = bench();
    uart.write(lcr, 0x83);
    uart.write(dll, 1);
    uart.write(lcr, 0x03); // 115200 baud, 8N1: 86.8 µs a character
    uart.write(fcr, 0xc1);
    uart.write(ier, 0x01);
    uart.receive(bytes('ab'));
    clock.advance(347_000);
    expect(irq.level).toBe(false);
    clock.advance(500);
    expect([irq.level, uart.read(iir)]).toEqual([true, 0xcc]);
    // Reading RBR resets it; one character is still there.
    uart.read(rbr);
    expect([irq.level, uart.read(iir)]).toEqual([false, 0xc1]);
    clock.advance(300_000);
    // A new character starts the time anew.
    uart.receive(bytes('c'));
    clock.advance(300_000);
    expect(irq.level).toBe(false);
    clock.advance(50_000);
    expect(uart.read(iir)).toBe(0xcc);
    uart.read(rbr);
    uart.read(rbr);
    clock.advance(1e9);
    expect([irq.level, uart.read(iir)]).toEqual([false, 0xc1]);
  });

  it.each([
    ['5N1', 0x00, 7],
    ['5N1.5', 0x04, 7.5],
    ['7E1', 0x1a, 10],
    ['8N2', 0x07, 11],
    ['8O2', 0x0f, 12],
  ])('counts the bits of %s characters', (_name, control, bits) => {
    const { uart, irq, clock } = bench();
    uart.write(lcr, 0x80 | control);
    uart.write(dll, 0x80);
    uart.write(dlm, 0x01); // 300 baud
    uart.write(lcr, control);
    uart.write(fcr, 0xc1);
    uart.write(ier, 0x01);
    uart.receive(bytes('a'));
    const time = Math.round((4 * bits * 1e9) / 300);
    clock.advance(time - 10);
    expect(irq.level).toBe(false);
    clock.advance(20);
    expect(irq.level).toBe(true);
  });

  it('times out in time when characters have become shorter', () => {
    const { uart, irq, clock } = bench();
    const setDivisor = (low: number, high: number): void => {
      uart.write(lcr, 0x83);
      uart.write(dll, low);
      uart.write(dlm, high);
      uart.write(lcr, 0x03);
    };
    setDivisor(0xff, 0xff);
    uart.write(fcr, 0xc1);
    uart.write(ier, 0x01);
    uart.receive(bytes('a'));
    setDivisor(1, 0);
    uart.read(rbr);
    uart.receive(bytes('bc'));
    clock.advance(4e5);
    expect([irq.level, uart.read(iir)]).toEqual([true, 0xcc]);
  });

  it('sees a time-out of characters that came before the interrupt was enabled', () => {
    const { uart, irq, clock } = bench();
    uart.write(fcr, 0xc1);
    uart.receive(bytes('a'));
    clock.advance(1e9);
    uart.write(ier, 0x01);
    expect([irq.level, uart.read(iir)]).toEqual([true, 0xcc]);
  });

  it('sees a time-out that came while the interrupt was disabled, wherever the state has been meanwhile', () => {
    const { uart, clock } = bench();
    uart.write(fcr, 0xc1);
    uart.write(ier, 0x01);
    uart.receive(bytes('a'));
    clock.advance(1e6);
    uart.receive(bytes('b'));
    const other = bench();
    other.uart.restore(uart.save());
    for (const each of [{ uart, clock }, other]) {
      each.uart.write(ier, 0x00);
      each.clock.advance(1e9);
    }
    expect(other.uart.save()).toEqual(uart.save());
    for (const each of [uart, other.uart]) {
      each.write(ier, 0x01);
      expect(each.read(iir)).toBe(0xcc);
    }
  });

  it('times out at once without a clock', () => {
    const { uart, irq } = bench({ clock: undefined });
    uart.write(fcr, 0x81);
    uart.write(ier, 0x01);
    uart.receive(bytes('abc'));
    expect([irq.level, uart.read(iir)]).toEqual([true, 0xcc]);
    uart.receive(bytes('defgh'));
    expect(uart.read(iir)).toBe(0xc4);
    uart.read(rbr);
    expect(uart.read(iir)).toBe(0xcc);
    for (let i = 0; i < 7; i++) uart.read(rbr);
    expect([irq.level, uart.read(iir)]).toEqual([false, 0xc1]);
  });

  it('takes a bounded amount and asks for more when half of it is read', () => {
    const { uart } = bench();
    let calls = 0;
    uart.onReadyToReceive = () => calls++;
    uart.write(fcr, 0x01);
    const input = new Uint8Array(2 * receiveQueueSize).map((_, index) => index % 251);
    const taken = uart.receive(input);
    expect(taken).toBe(receiveQueueSize + 16);
    expect(uart.receive(input.subarray(taken))).toBe(0);
    const got = new Uint8Array(taken);
    for (let i = 0; i < taken; i++) {
      if (i === receiveQueueSize / 2 - 1) expect(calls).toBe(0);
      got[i] = uart.read(rbr);
    }
    expect(calls).toBe(1);
    expect(got).toEqual(input.subarray(0, taken));
    // Nobody waits any more: everything fitted.
    expect(uart.receive(input.subarray(0, 100))).toBe(100);
    for (let i = 0; i < 100; i++) uart.read(rbr);
    expect(calls).toBe(1);
  });

  it('lets the sender go on from the callback, in order', () => {
    const { uart } = bench();
    let rest = new Uint8Array(5 * receiveQueueSize).map((_, index) => index % 251);
    const expected = [...rest];
    const send = (): void => void (rest = rest.subarray(uart.receive(rest)));
    uart.onReadyToReceive = send;
    uart.write(fcr, 0x01);
    send();
    const got: number[] = [];
    while (uart.read(lsr) & 1) got.push(uart.read(rbr));
    expect(got).toEqual(expected);
  });

  it('shows a break with its character, at the top of the FIFO', () => {
    const { uart, irq } = bench();
    uart.write(fcr, 0x01);
    uart.write(ier, 0x04);
    uart.receive(bytes('a'));
    expect(uart.receiveBreak()).toBe(true);
    uart.receive(bytes('b'));
    // Waiting behind 'a': only "error in FIFO".
    expect([uart.read(lsr), irq.level]).toEqual([0xe1, false]);
    uart.read(rbr);
    expect([irq.level, uart.read(iir)]).toEqual([true, 0xc6]);
    expect(uart.read(lsr)).toBe(0xf9);
    expect([uart.read(lsr), irq.level]).toEqual([0x61, false]);
    expect([uart.read(rbr), uart.read(rbr)]).toEqual([0, 98]);
  });

  it('keeps "error in FIFO" until the line status is read', () => {
    const { uart } = bench();
    uart.write(fcr, 0x01);
    uart.receiveBreak();
    expect(uart.read(rbr)).toBe(0);
    expect(uart.read(lsr)).toBe(0xf8);
    expect(uart.read(lsr)).toBe(0x60);
    uart.write(fcr, 0x00);
    uart.receiveBreak();
    expect(uart.read(lsr)).toBe(0x79);
  });

  it('takes bytes only', () => {
    const { uart } = bench();
    for (const input of ['text', undefined, [1]]) {
      expect(() => uart.receive(input as unknown as Uint8Array)).toThrow(expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT' }));
    }
  });

  it('has no room for a break in a full queue', () => {
    const { uart } = bench();
    uart.receive(new Uint8Array(2 * receiveQueueSize));
    expect(uart.receiveBreak()).toBe(false);
  });

  it('forgets its characters when FIFOs are reset or switched', () => {
    const { uart } = bench();
    uart.receive(bytes('a'));
    uart.write(fcr, 0x01);
    expect(uart.read(lsr)).toBe(0x60);
    uart.receive(bytes('b'));
    uart.write(fcr, 0x02); // without bit 0 nothing else counts, but the mode changes
    expect(uart.read(lsr)).toBe(0x60);
    uart.write(fcr, 0x01);
    uart.receive(bytes('c'));
    uart.write(fcr, 0x03);
    expect(uart.read(lsr)).toBe(0x60);
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

describe('posting', () => {
  /** What onPostable said, and a way to send bytes without interrupts. */
  function polled(): Bench & { said: boolean[]; send: (count: number) => void } {
    const made = bench();
    const said: boolean[] = [];
    made.uart.onPostable = (postable) => void said.push(postable);
    const send = (count: number): void => {
      for (let i = 0; i < count; i++) made.uart.write(thr, 0x41);
    };
    return { ...made, said, send };
  }

  it('is offered after 256 bytes, once', () => {
    const { said, send } = polled();
    send(255);
    expect(said).toEqual([]);
    send(600);
    expect(said).toEqual([true]);
  });

  it.each<[string, (uart: Uart16550) => void]>([
    ['the divisor latch', (uart) => uart.write(lcr, 0x80)],
    ['loopback', (uart) => uart.write(mcr, 0x10)],
    ['a reset', (uart) => uart.reset()],
    ['a restored state', (uart) => uart.restore(uart.save())],
  ])('ends with %s, and may come again', (_what, end) => {
    const { uart, said, send } = polled();
    send(300);
    end(uart);
    expect(said).toEqual([true, false]);
    uart.write(lcr, 0x03);
    uart.write(mcr, 0x08);
    send(255);
    expect(said).toEqual([true, false]);
    send(1);
    expect(said).toEqual([true, false, true]);
  });

  it('ends when nothing was sent for 100 ms, and may come again', () => {
    const { clock, said, send } = polled();
    send(300);
    clock.advance(90e6);
    send(1);
    clock.advance(90e6);
    expect(said).toEqual([true]);
    clock.advance(110e6);
    expect(said).toEqual([true, false]);
    clock.advance(1e9);
    send(256);
    expect(said).toEqual([true, false, true]);
  });

  it('ends for good when the transmitter has an interrupt, until a reset', () => {
    const { uart, said, send } = polled();
    send(300);
    uart.write(ier, 0x02);
    uart.write(ier, 0);
    send(300);
    expect(said).toEqual([true, false]);
    uart.reset();
    send(300);
    expect(said).toEqual([true, false, true]);
  });

  it('tells what LSR reads as, until a character comes or the output holds back', () => {
    const slow = new SlowSink();
    const { uart, clock } = bench({ output: slow.write });
    const said: (number | undefined)[] = [];
    uart.onLineStatus = (value) => void said.push(value);
    for (let i = 0; i < 300; i++) uart.write(thr, 0x41);
    expect(said).toEqual([0x60]);
    expect(uart.read(lsr)).toBe(0x60);
    uart.receive(Uint8Array.of(0x42));
    expect(said).toEqual([0x60, undefined]);
    expect(uart.read(0)).toBe(0x42);
    expect(said).toEqual([0x60, undefined, 0x60]);
    // A whole batch is handed on at once, and the sink takes no more.
    for (let i = 0; i < 4096; i++) uart.write(thr, 0x41);
    expect(said).toEqual([0x60, undefined, 0x60, undefined]);
    slow.drain();
    slow.drain();
    expect(said.slice(4)).toContain(0x60);
    clock.advance(1e9);
    expect(said.at(-1)).toBeUndefined();
  });

  it('is not offered in loopback or while the divisor is written', () => {
    const { uart, said, send } = polled();
    uart.write(mcr, 0x10);
    send(600);
    uart.write(mcr, 0x08);
    uart.write(lcr, 0x80);
    send(600);
    expect(said).toEqual([]);
  });
});

import { receiveQueueSize } from '../../../lib/devices/uart16550a-receiver';
import { rbr, dll, ier, dlm, iir, fcr, lcr, lsr, bytes, bench } from './uart16550a-bench';

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

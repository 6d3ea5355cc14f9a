import { Uart16550 } from '../../../lib/devices/uart16550a';
import { thr, ier, lcr, mcr, lsr, Bench, bench, SlowSink } from './uart16550a-bench';

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

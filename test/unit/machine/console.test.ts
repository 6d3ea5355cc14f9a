/** The console between a UART and its readers, without a machine. */
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { Uart16550 } from '../../../lib/devices/uart16550a';
import { maxBacklog } from '../../../lib/host/byte-sink';
import { Console } from '../../../lib/machine/console';

const transmitter = 0;
const lineStatus = 5;
const empty = 0x20;

function connected(): { console: Console; uart: Uart16550; print: (count: number) => number } {
  const console = new Console();
  const uart = new Uart16550({ output: (bytes, onDrain) => console.deliver(bytes, onDrain) });
  uart.onReadyToReceive = () => console.accept();
  console.attach((bytes) => uart.receive(bytes));
  let next = 0;
  /** A guest that polls: prints until the transmitter is not empty any more; returns how many bytes went. */
  const print = (count: number): number => {
    for (let sent = 0; sent < count; sent++) {
      if (!(uart.read(lineStatus) & empty)) return sent;
      uart.write(transmitter, 65 + (next++ & 15));
    }
    return count;
  };
  return { console, uart, print };
}

const letters = (count: number): string => 'ABCDEFGHIJKLMNOP'.repeat(count / 16 + 1).slice(0, count);

it('a reader that pauses holds the guest back; nothing is lost', async () => {
  const { console, print } = connected();
  const chunks: Buffer[] = [];
  console.on('data', (chunk: Buffer) => chunks.push(chunk));
  console.pause();
  let sent = print(1e6);
  // One transmitter full, the UART's backlog, and what the stream keeps.
  expect(sent).toBeGreaterThan(maxBacklog);
  expect(sent).toBeLessThan(4 * maxBacklog);
  expect(print(1)).toBe(0);
  console.resume();
  for (let turns = 0; sent < 1e6 && turns < 1000; turns++) {
    await turn();
    sent += print(1e6 - sent);
  }
  await turn();
  expect(sent).toBe(1e6);
  expect(Buffer.concat(chunks).equals(Buffer.from(letters(1e6)))).toBe(true);
});

it('without a reader the guest is never held back', async () => {
  const { console, print } = connected();
  expect(print(1e6)).toBe(1e6);
  await turn();
  expect(console.transcript).toHaveLength(1e6);
  expect(print(1e5)).toBe(1e5);
  await turn();
  expect(console.transcript).toHaveLength(2 ** 20);
});

it.each<[string, (console: Console) => Promise<void>]>([
  [
    'a loop that is left',
    async (console) => {
      for await (const chunk of console) if ((chunk as Buffer).length > 0) break;
    },
  ],
  ['destroy()', async (console) => void console.destroy()],
])('%s lets a guest that was held back go on', async (_what, leave) => {
  const { console, uart, print } = connected();
  console.on('readable', () => undefined);
  const held = print(1e6);
  expect(held).toBeLessThan(1e6);
  console.removeAllListeners('readable');
  await leave(console);
  await turn();
  expect(print(1e5)).toBe(1e5);
  uart.flush();
  expect(console.transcript).toHaveLength(held + 1e5);
  console.finish('powered-off');
});

it('at the end of the machine all that a UART holds comes out, also to a reader that pauses', async () => {
  const { console, uart, print } = connected();
  const chunks: Buffer[] = [];
  console.on('data', (chunk: Buffer) => chunks.push(chunk));
  console.pause();
  const sent = print(1e6);
  console.hurry(() => uart.flush());
  console.finish('powered-off');
  console.finish('powered-off');
  console.resume();
  await once(console, 'end');
  expect(Buffer.concat(chunks).toString()).toBe(letters(sent));
});

it('input waits while the UART is full, and before there is one', async () => {
  const console = new Console();
  const typed = letters(10_000);
  let written = false;
  console.write(typed, () => (written = true));
  await turn();
  expect(written).toBe(false);
  const uart = new Uart16550();
  uart.onReadyToReceive = () => console.accept();
  console.attach((bytes) => uart.receive(bytes));
  let seen = '';
  while (uart.read(lineStatus) & 1) seen += String.fromCharCode(uart.read(transmitter));
  await turn();
  expect([seen, written]).toEqual([typed, true]);
});

it('input that a UART has not taken goes to the one after a reset, and vanishes after the end', async () => {
  const console = new Console();
  console.attach(() => 2);
  let written = 0;
  console.write('abcdef', () => written++);
  const taken: string[] = [];
  console.attach((bytes) => {
    taken.push(Buffer.from(bytes).toString());
    return 1;
  });
  expect(taken).toEqual(['cdef']);
  console.finish('powered-off');
  console.write(Buffer.from('late'), () => written++);
  await turn();
  expect(written).toBe(2);
});

it('keeps a bounded part of what nobody has waited past', async () => {
  const { console } = connected();
  const deliver = (text: string): boolean => console.deliver(Buffer.from(text), () => undefined);
  deliver(`start${'x'.repeat(2 ** 18)}`);
  await expect(console.waitFor('start', { timeout: 1 })).rejects.toMatchObject({ code: 'ERR_HAX_TIMEOUT' });
  const wait = console.waitFor('end');
  deliver('end');
  expect((await wait).before).toHaveLength(2 ** 18 - 3);
});

it('characters that come in parts are put together', () => {
  const { console } = connected();
  for (const byte of Buffer.from('€ü')) console.deliver(Buffer.from([byte]), () => undefined);
  expect(console.transcript).toBe('€ü');
});

it('a wait that has ended is forgotten by its signal', async () => {
  const { console } = connected();
  const controller = new AbortController();
  const wait = console.waitFor('a', { signal: controller.signal, timeout: 1000 });
  console.deliver(Buffer.from('a'), () => undefined);
  await wait;
  controller.abort();
  const later = console.waitFor('b');
  console.deliver(Buffer.from('b'), () => undefined);
  expect((await later).match).toBe('b');
});

it("an error of the stream is the stream's alone", async () => {
  const { console } = connected();
  console.destroy(new Error('no more'));
  await turn();
  expect(console.closed).toBe(true);
  console.deliver(Buffer.from('x'), () => undefined);
  expect(console.transcript).toBe('x');
});

/** The console between a UART and its readers, without a machine. */
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Uart16550 } from '../../../lib/devices/uart16550a';
import { maxBacklog, type ByteOutput } from '../../../lib/host/byte-sink';
import type { Console } from '../../../lib/machine/console';
import { ConsolePort } from '../../../lib/machine/console-port';

const transmitter = 0;
const lineStatus = 5;
const empty = 0x20;

interface Connected {
  port: ConsolePort;
  console: Console;
  uart: Uart16550;
  print: (count: number) => number;
}

function connected(output?: ByteOutput): Connected {
  const port = new ConsolePort(output);
  const uart = new Uart16550({ output: (bytes, onDrain) => port.deliver(bytes, onDrain) });
  uart.onReadyToReceive = () => port.accept();
  port.attach((bytes) => uart.receive(bytes));
  let next = 0;
  /** A guest that polls: prints until the transmitter is not empty any more; returns how many bytes went. */
  const print = (count: number): number => {
    for (let sent = 0; sent < count; sent++) {
      if (!(uart.read(lineStatus) & empty)) return sent;
      uart.write(transmitter, 65 + (next++ & 15));
    }
    return count;
  };
  return {
    port,
    get console() {
      return port.stream;
    },
    uart,
    print,
  };
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
  const { port, console, uart, print } = connected();
  console.on('readable', () => undefined);
  const held = print(1e6);
  expect(held).toBeLessThan(1e6);
  console.removeAllListeners('readable');
  await leave(console);
  await turn();
  expect(print(1e5)).toBe(1e5);
  uart.flush();
  expect(console.transcript).toHaveLength(held + 1e5);
  port.finish('powered-off');
});

it.each<[string, (console: Console, listener: () => void) => void]>([
  ['removeListener()', (console, listener) => void console.removeListener('readable', listener)],
  ['off()', (console, listener) => void console.off('readable', listener)],
  ["removeAllListeners('readable')", (console) => void console.removeAllListeners('readable')],
  ['removeAllListeners()', (console) => void console.removeAllListeners()],
])('the last reader that goes by %s lets a guest that was held back go on', async (_what, leave) => {
  const { console, uart, print } = connected();
  const [first, last] = [(): void => undefined, (): void => undefined];
  console.on('readable', first);
  console.on('readable', last);
  const held = print(1e6);
  expect(held).toBeLessThan(1e6);
  console.removeListener('readable', first);
  await turn();
  await turn();
  expect(print(1)).toBe(0);
  leave(console, last);
  await turn();
  await turn();
  expect(print(1e5)).toBe(1e5);
  uart.flush();
  expect(console.transcript).toHaveLength(held + 1e5);
});

it('at the end of the machine all that a UART holds comes out, also to a reader that pauses', async () => {
  const { port, console, uart, print } = connected();
  const chunks: Buffer[] = [];
  console.on('data', (chunk: Buffer) => chunks.push(chunk));
  console.pause();
  const sent = print(1e6);
  port.hurry(() => uart.flush());
  port.finish('powered-off');
  port.finish('powered-off');
  console.resume();
  await once(console, 'end');
  expect(Buffer.concat(chunks).toString()).toBe(letters(sent));
});

it('input waits while the UART is full, and before there is one', async () => {
  const port = new ConsolePort();
  const console = port.stream;
  const typed = letters(10_000);
  let written = false;
  console.write(typed, () => (written = true));
  await turn();
  expect(written).toBe(false);
  const uart = new Uart16550();
  uart.onReadyToReceive = () => port.accept();
  port.attach((bytes) => uart.receive(bytes));
  let seen = '';
  while (uart.read(lineStatus) & 1) seen += String.fromCharCode(uart.read(transmitter));
  await turn();
  expect([seen, written]).toEqual([typed, true]);
});

it('input that a UART has not taken goes to the one after a reset, and vanishes after the end', async () => {
  const port = new ConsolePort();
  const console = port.stream;
  port.attach(() => 2);
  let written = 0;
  console.write('abcdef', () => written++);
  const taken: string[] = [];
  port.attach((bytes) => {
    taken.push(Buffer.from(bytes).toString());
    return 1;
  });
  expect(taken).toEqual(['cdef']);
  port.finish('powered-off');
  console.write(Buffer.from('late'), () => written++);
  await turn();
  expect(written).toBe(2);
});

it('keeps a bounded part of what nobody has waited past', async () => {
  const { port, console } = connected();
  const deliver = (text: string): boolean => port.deliver(Buffer.from(text), () => undefined);
  deliver(`start${'x'.repeat(2 ** 18)}`);
  await expect(console.waitFor('start', { timeout: 1 })).rejects.toMatchObject({ code: 'ERR_HAX_TIMEOUT' });
  const wait = console.waitFor('end');
  deliver('end');
  expect((await wait).before).toHaveLength(2 ** 18 - 3);
});

it('takes an expression of another realm, as of a test runner that has one for each file', async () => {
  const { port, console } = connected();
  const wait = console.waitFor(runInNewContext('/b(.)/') as RegExp);
  port.deliver(Buffer.from('abc'), () => undefined);
  expect((await wait).groups).toEqual(['c']);
});

it('a wait with an option that is written wrong is refused: it would last for ever', async () => {
  const { console } = connected();
  for (const options of [{ timeOut: 5 }, { timeout: 5, singal: undefined }])
    await expect(console.waitFor('end', options as never)).rejects.toMatchObject({
      code: 'ERR_HAX_INVALID_ARGUMENT',
      message: expect.stringContaining('it has signal, timeout'),
    });
});

it('a line costs the same whatever has been printed before it, also while somebody waits', async () => {
  const { port, console } = connected();
  const line = Buffer.from(`${'x'.repeat(79)}\n`);
  const cost = (lines: number): number => {
    const began = process.cpuUsage();
    for (let i = 0; i < lines; i++) port.deliver(line, () => undefined);
    const { user, system } = process.cpuUsage(began);
    return (user + system) / lines;
  };
  const first = cost(1000);
  cost(16_000);
  const wait = console.waitFor(['never', 'end'.repeat(100)]);
  // A copy of what is kept, for each line, costs hundreds of times as much, each time; a machine that stands still does so once.
  expect(Math.min(cost(1000), cost(1000), cost(1000))).toBeLessThan(20 * first + 20);
  expect(console.transcript).toHaveLength(2 ** 20);
  for (let i = 0; i < 100; i++) port.deliver(Buffer.from('end'), () => undefined);
  expect((await wait).before).toHaveLength(2 ** 18 - 300);
});

describe('a RegExp', () => {
  const deliverTo = (port: ConsolePort, text: string): boolean => port.deliver(Buffer.from(text), () => undefined);
  /** Takes its time where there are spaces, and is not in them. */
  const slow = /.*login: $/;
  const spaces = ' '.repeat(3000);

  it('is not looked for in each line of a guest that prints line after line', async () => {
    const { port, console } = connected();
    deliverTo(port, '.'.repeat(2 ** 18));
    const wait = console.waitFor(/(\w+) login: $/);
    const searches = jest.spyOn(RegExp.prototype, 'exec');
    const lines = 5000;
    for (let i = 0; i < lines; i++) deliverTo(port, '[    0.123456] x86/fpu: Supporting XSAVE feature\n');
    const count = searches.mock.calls.length;
    searches.mockRestore();
    expect(count).toBeLessThan(lines / 10);
    deliverTo(port, 'host login: ');
    expect((await wait).groups).toEqual(['host']);
  });

  it('is found in the first output at once, and in what came while it was put off when the guest falls silent', async () => {
    const { port, console } = connected();
    const first = console.waitFor(/a(.)/);
    deliverTo(port, 'abc');
    deliverTo(port, '\n');
    expect(await first).toMatchObject({ match: 'ab', groups: ['b'] });
    const wait = console.waitFor(slow);
    deliverTo(port, spaces);
    deliverTo(port, 'login: ');
    expect((await wait).match).toBe(`${spaces}login: `);
  });

  it.each<[string, number | undefined, (port: ConsolePort) => void]>([
    ['the machine ends', undefined, (port) => port.finish('powered-off')],
    ['its time is over', 1, () => undefined],
  ])('that was put off is looked for when %s', async (_when, timeout, end) => {
    const { port, console } = connected();
    const wait = console.waitFor(slow, timeout === undefined ? {} : { timeout });
    deliverTo(port, spaces);
    deliverTo(port, 'login: ');
    end(port);
    expect((await wait).match).toBe(`${spaces}login: `);
  });

  it('may begin 65,536 characters before what is new, but for the first look at what has been printed', async () => {
    const { port, console } = connected();
    const wait = console.waitFor([/^.x+y/, /ax+y/, /bx+y/]);
    deliverTo(port, `ab${'x'.repeat(65_535)}`);
    deliverTo(port, 'y');
    expect(await wait).toMatchObject({ index: 2, before: 'a', match: `b${'x'.repeat(65_535)}y` });
    deliverTo(port, `a${'x'.repeat(70_000)}y`);
    expect((await console.waitFor(/^ax+y/)).match).toHaveLength(70_002);
  });
});

it('single characters are kept in little more memory than their own', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const { port, console } = connected();
  collect();
  const before = process.memoryUsage().heapUsed;
  const character = Buffer.from('a');
  for (let i = 0; i < 2 ** 20; i++) port.deliver(character, () => undefined);
  collect();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(2 ** 23);
  expect(console.transcript).toHaveLength(2 ** 20);
});

describe('a wait behind one that finds nothing', () => {
  it.each<[string, (console: Console, port: ConsolePort) => Promise<unknown>]>([
    ['in its time', (console) => console.waitFor('never', { timeout: 1 })],
    ['before its signal', (console) => console.waitFor('never', { signal: AbortSignal.timeout(1) })],
    [
      'before the end',
      (console, port) => {
        setImmediate(() => port.finish('powered-off'));
        return console.waitFor('never');
      },
    ],
  ])('%s finds what has been printed', async (_when, wait) => {
    const { port, console } = connected();
    const first = wait(console, port);
    const others = [console.waitFor('here'), console.waitFor('there')];
    port.deliver(Buffer.from('here, there'), () => undefined);
    await expect(first).rejects.toBeDefined();
    expect((await Promise.all(others)).map(({ before }) => before)).toEqual(['', ', ']);
  });
});

it('characters that come in parts are put together', () => {
  const { port, console } = connected();
  for (const byte of Buffer.from('€ü')) port.deliver(Buffer.from([byte]), () => undefined);
  expect(console.transcript).toBe('€ü');
});

it('a wait that has ended is forgotten by its signal', async () => {
  const { port, console } = connected();
  const controller = new AbortController();
  const wait = console.waitFor('a', { signal: controller.signal, timeout: 1000 });
  port.deliver(Buffer.from('a'), () => undefined);
  await wait;
  controller.abort();
  const later = console.waitFor('b');
  port.deliver(Buffer.from('b'), () => undefined);
  expect((await later).match).toBe('b');
});

it("an error of the stream is the stream's alone", async () => {
  const { port, console } = connected();
  console.destroy(new Error('no more'));
  await turn();
  expect(console.closed).toBe(true);
  port.deliver(Buffer.from('x'), () => undefined);
  expect(console.transcript).toBe('x');
});

describe('an output of the machine', () => {
  it('gets what is printed beside the stream, and each of them holds the guest back', async () => {
    const written: Uint8Array[] = [];
    let onDrain: (() => void) | undefined;
    let room = false;
    const { port, print } = connected((bytes, drain) => {
      written.push(bytes);
      onDrain = drain;
      return room;
    });
    const { stream } = port;
    stream.on('data', () => undefined);
    stream.pause();
    const sent = print(1e6);
    expect(sent).toBeLessThan(4 * maxBacklog);
    room = true;
    onDrain!();
    await turn();
    expect(print(1e6)).toBeGreaterThan(0); // the stream has room left
    await turn();
    expect(print(1e6)).toBe(0);
    onDrain!();
    expect(print(1)).toBe(0);
    stream.resume();
    await turn();
    expect(print(1e5)).toBe(1e5);
    await turn();
    expect(Buffer.concat(written).toString()).toBe(port.text.transcript);
  });

  it('may call back before it returns, more than once, and after the end', () => {
    const drains: (() => void)[] = [];
    const { port, uart, print } = connected((_bytes, drain) => {
      drains.push(drain);
      drain();
      return false;
    });
    expect(print(1e6)).toBe(1e6);
    port.hurry(() => uart.flush());
    port.finish('powered-off');
    for (const drain of drains) drain();
    expect(port.text.transcript).toHaveLength(1e6);
  });

  it('that holds the guest back for ever gets all the same what is left at the end', () => {
    const written: Uint8Array[] = [];
    const { port, uart, print } = connected((bytes) => {
      written.push(bytes);
      return false;
    });
    const sent = print(1e6);
    port.hurry(() => uart.flush());
    expect(Buffer.concat(written).toString()).toBe(letters(sent));
  });

  it('that is none is refused', () => {
    expect(() => connected(7 as never)).toThrow(expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT' }) as Error);
  });
});

it('each delivery that had to wait is told when there is room: a worker has sent several by then', () => {
  const { port, console } = connected();
  console.on('readable', () => undefined);
  const told: number[] = [];
  const deliver = (n: number): boolean => port.deliver(Buffer.alloc(40_000), () => told.push(n));
  expect([1, 2, 3, 4].map(deliver)).toEqual([true, false, false, false]);
  expect(told).toEqual([]);
  while (console.read() !== null);
  expect(told).toEqual([2, 3, 4]);
});

it('a stream that is asked for after the end has ended, and takes input into nowhere', async () => {
  const { port, print } = connected();
  print(16);
  await turn();
  port.finish('powered-off');
  const { stream } = port;
  expect(port.stream).toBe(stream);
  expect(stream.transcript).toBe(letters(16));
  stream.write('late');
  stream.resume();
  await once(stream, 'end');
  await expect(stream.waitFor('x')).rejects.toMatchObject({ code: 'ERR_HAX_ENDED' });
});

it('two that send at once have their turns', () => {
  const port = new ConsolePort();
  const sent: string[] = [];
  const done: number[] = [];
  let room = 3;
  port.send(Buffer.from('abcd'), () => done.push(1));
  port.send(Buffer.from('ef'), () => done.push(2));
  port.attach((bytes) => {
    const taken = Math.min(room, bytes.length);
    room -= taken;
    sent.push(Buffer.from(bytes.subarray(0, taken)).toString());
    return taken;
  });
  expect([sent.join(''), done]).toEqual(['abc', []]);
  room = 9;
  port.accept();
  expect([sent.join(''), done]).toEqual(['abcdef', [1, 2]]);
});

it('what comes after the end is not shown', async () => {
  const written: Uint8Array[] = [];
  const { port, console } = connected((bytes) => written.push(bytes));
  const errors: Error[] = [];
  console.on('error', (error) => errors.push(error)).resume();
  port.finish('killed');
  expect(port.deliver(Buffer.from('late'), () => undefined)).toBe(true);
  await once(console, 'end');
  expect([console.transcript, written, errors]).toEqual(['', [], []]);
});

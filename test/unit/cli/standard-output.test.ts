/** Standard output without a stream, as long as it takes what it is given. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { PassThrough } from 'node:stream';
import { StandardOutput } from '../../../lib/cli/standard-output';

/** What stands for descriptor 1. */
let mockDescriptor = 1;

jest.mock('node:fs', () => {
  const fs = jest.requireActual<typeof import('node:fs')>('node:fs');
  return {
    ...fs,
    fstatSync: () => fs.fstatSync(mockDescriptor),
    openSync: (name: string, flags: number) => fs.openSync(name.replace('/proc/self/fd/1', `/proc/self/fd/${mockDescriptor}`), flags),
    writeSync: (fd: number, bytes: Uint8Array) => fs.writeSync(fd === 1 ? mockDescriptor : fd, bytes),
  };
});

/** What a socket takes at a time, and what it got. */
const mockSocket = { room: [] as number[], got: '' };

jest.mock('../../../lib/native/addon', () => ({
  addon: () => ({
    sendNow: (_socket: number, bytes: Uint8Array): number => {
      const taken = bytes.subarray(0, mockSocket.room.shift() ?? 0);
      mockSocket.got += Buffer.from(taken).toString();
      return taken.length;
    },
  }),
}));

const directory = mkdtempSync(path.join(tmpdir(), 'node-hax-output-'));
const opened: number[] = [];
const { stdout: real } = process;
let stream: PassThrough;

function open(name: string, flags: number): number {
  const descriptor = openSync(name, flags);
  opened.push(descriptor);
  return descriptor;
}

function pipe(name: string): { reader: number } {
  const file = path.join(directory, name);
  execFileSync('mkfifo', [file]);
  const reader = open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  mockDescriptor = open(file, constants.O_WRONLY);
  return { reader };
}

beforeEach(() => {
  stream = new PassThrough({ highWaterMark: 1 });
  Object.defineProperty(process, 'stdout', { value: stream, configurable: true });
});
afterEach(() => {
  Object.defineProperty(process, 'stdout', { value: real, configurable: true });
  for (const descriptor of opened.splice(0)) closeSync(descriptor);
  mockDescriptor = 1;
});
afterAll(() => rmSync(directory, { recursive: true }));

const onDrain = (): void => undefined;

it('a file is written at once, behind what it has', async () => {
  const file = path.join(directory, 'file');
  writeFileSync(file, 'before ');
  mockDescriptor = open(file, constants.O_WRONLY | constants.O_APPEND);
  const output = new StandardOutput();
  expect(output.write(Buffer.from('printed'), onDrain)).toBe(true);
  await output.drained();
  expect([readFileSync(file, 'utf8'), stream.readableLength]).toEqual(['before printed', 0]);
});

it('a pipe is written without waiting; what it does not take goes out by the stream, in order', async () => {
  const { reader } = pipe('full');
  const output = new StandardOutput();
  const text = Buffer.from('0123456789abcdef'.repeat(8192));
  expect(output.write(text.subarray(0, 5), onDrain)).toBe(true);
  expect(stream.readableLength).toBe(0);
  expect(output.write(text.subarray(5, 100_000), onDrain)).toBe(false);
  expect(output.write(text.subarray(100_000), onDrain)).toBe(false);
  const drained = output.drained();
  const first = Buffer.alloc(text.length);
  let got = 0;
  while (got < text.length) {
    const count = readPiece(reader, first.subarray(got));
    if (count === 0) break;
    got += count;
  }
  const rest: Buffer[] = [];
  stream.on('data', (bytes: Buffer) => rest.push(bytes));
  await drained;
  expect(got).toBeGreaterThanOrEqual(4096);
  expect(Buffer.concat([first.subarray(0, got), ...rest]).equals(text)).toBe(true);
});

function readPiece(descriptor: number, target: Uint8Array): number {
  try {
    return readSync(descriptor, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
    throw error;
  }
}

it('a pipe without a reader is told by the stream, once it is written to', async () => {
  const { reader } = pipe('broken');
  closeSync(opened.splice(opened.indexOf(reader), 1)[0]);
  const output = new StandardOutput();
  const told: string[] = [];
  output.onBroken = (message) => told.push(message);
  output.write(Buffer.from('x'), onDrain);
  stream.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
  await output.drained();
  expect(told).toEqual(['standard output cannot be written: its reader is gone']);
});

it('a socket takes what it has room for, the stream the rest', async () => {
  const server = createServer().listen(path.join(directory, 'socket'));
  await once(server, 'listening');
  mockDescriptor = (server as unknown as { _handle: { fd: number } })._handle.fd;
  const output = new StandardOutput();
  mockSocket.room = [4, 3];
  expect(output.write(Buffer.from('one'), onDrain)).toBe(true);
  expect(output.write(Buffer.from('two three'), onDrain)).toBe(false);
  expect([mockSocket.got, String(stream.read())]).toEqual(['onetwo', ' three']);
  await output.drained();
  server.close();
});

it('anything else has the stream from the start', async () => {
  mockDescriptor = open(directory, constants.O_RDONLY);
  const output = new StandardOutput();
  output.write(Buffer.from('printed'), onDrain);
  expect(String(stream.read())).toBe('printed');
  await output.drained();
});

import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { FileSource } from '../../../lib/machine/file-source';
import type { HaxError } from '../../../lib/util/errors';

const directory = mkdtempSync(path.join(tmpdir(), 'file-source-'));
const file = path.join(directory, 'file');
const socket = path.join(directory, 'socket');
const server = createServer();
beforeAll(() => new Promise<void>((resolve) => server.listen(socket, resolve)));
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true });
});
beforeEach(() => writeFileSync(file, 'hello, world'));

const refusal = (use: () => unknown): HaxError => {
  try {
    use();
  } catch (error) {
    return error as HaxError;
  }
  throw new Error('nothing was thrown');
};

it('reads anywhere, into its own bytes or those given', () => {
  const source = new FileSource(file);
  expect([source.name, source.size]).toEqual([file, 12]);
  expect(Buffer.from(source.read(7, 5)).toString()).toBe('world');
  expect(Buffer.from(source.read(7, 50)).toString()).toBe('world');
  const target = Buffer.alloc(5);
  source.readInto(0, target);
  expect(target.toString()).toBe('hello');
  source.close();
  source.close();
});

it('tells of its progress', () => {
  const steps: unknown[] = [];
  const source = new FileSource(file, (...step) => steps.push(step));
  source.read(0, 4);
  source.readInto(4, new Uint8Array(8));
  expect(steps).toEqual([
    [file, 4, 12],
    [file, 12, 12],
  ]);
  source.close();
});

it.each([
  ['not there', () => path.join(directory, 'absent'), 'does not exist'],
  ['a directory', () => directory, 'is a directory; give the file inside it'],
  ['below a file', () => path.join(file, 'x'), 'cannot be read: ENOTDIR'],
  ['a device', () => '/dev/null', 'is not a regular file; copy it to one'],
  ['a socket', () => socket, 'is not a regular file; copy it to one'],
])('refuses what is %s', (_what, name, why) => {
  const before = readdirSync('/proc/self/fd').length;
  const { code, message } = refusal(() => new FileSource(name()));
  expect(code).toBe('ERR_HAX_FILE');
  expect(message.startsWith(`${name()} ${why}`)).toBe(true);
  expect(readdirSync('/proc/self/fd').length).toBe(before);
});

it('a file that has become shorter', () => {
  const source = new FileSource(file);
  truncateSync(file, 3);
  expect(refusal(() => source.readInto(0, new Uint8Array(12)))).toMatchObject({
    code: 'ERR_HAX_FILE',
    message: expect.stringMatching(/changed while/),
  });
  source.close();
});

it('refuses use after close', () => {
  const source = new FileSource(file);
  source.close();
  expect(refusal(() => source.read(0, 1)).code).toBe('ERR_HAX_CLOSED');
});

import { loadProgress } from '../../../lib/cli/progress';
import { PassThrough } from 'node:stream';

const MiB = 2 ** 20;

function terminal(isTTY: boolean): { stream: NodeJS.WriteStream; text: () => string } {
  const stream = Object.assign(new PassThrough(), {
    isTTY,
    columns: 100,
    cursorTo: () => true,
    moveCursor: () => true,
    clearLine: () => true,
    clearScreenDown: () => true,
  });
  let text = '';
  stream.on('data', (bytes) => (text += String(bytes)));
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text };
}

const changesMode = /\x1b\[\?\d+[hl]/; // eslint-disable-line no-control-regex

it('shows a bar for each large file, with the terminal as it is at every moment', () => {
  const { stream, text } = terminal(true);
  const { listener, stop } = loadProgress(() => stream);
  for (const name of ['kernel', 'initrd']) for (let done = 0; done <= 32; done += 8) listener(name, done * MiB, 32 * MiB);
  stop();
  expect(text()).toMatch(/loading kernel \[.*\] 50%/);
  expect(text()).toMatch(/loading initrd \[.*\] 100%/);
  expect(text()).not.toMatch(changesMode);
});

it('shows the name of a file, and does not have it drive the terminal', () => {
  const { stream, text } = terminal(true);
  const { listener, stop } = loadProgress(() => stream);
  listener('a\x1b[31mb', 16 * MiB, 32 * MiB);
  stop();
  expect(text()).toContain('loading a\\x1b[31mb [');
  expect(text()).not.toContain('\x1b[31m');
});

it("shows nothing for small files, nor after its stop, when the terminal is the guest's", () => {
  const { stream, text } = terminal(true);
  const { listener, stop } = loadProgress(() => stream);
  listener('small', MiB, 2 * MiB);
  stop();
  listener('large', MiB, 32 * MiB);
  expect(text()).toBe('');
});

it('shows nothing where there is no terminal', () => {
  const { stream, text } = terminal(false);
  const { listener, stop } = loadProgress(() => stream);
  listener('large', MiB, 32 * MiB);
  stop();
  expect(text()).toBe('');
});

/** Where `--serial` leads: the guest's console and the world outside. */
import { createWriteStream, fstatSync, unlinkSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import type { Console } from '../machine/console';
import { finished } from 'node:stream/promises';
import { HaxError } from '../util/errors';
import { describeClosedOutput } from './program';
import type { SerialTarget } from './run-options';

/** Ends the run with a message; status 1 unless one is given. */
export type StopListener = (message: string, status?: number) => void;

const ctrlA = 0x01;

export interface SerialConnection {
  /** Resolves when what the guest has printed is out, after its end. */
  drained(): Promise<void>;
  /** Takes everything back, the terminal's mode included. */
  close(): void;
}

const nothing: SerialConnection = { drained: () => Promise.resolve(), close: () => undefined };

export async function connectSerial(console: Console, target: SerialTarget, stop: StopListener): Promise<SerialConnection> {
  switch (target.kind) {
    case 'null':
      return nothing;
    case 'stdio':
      return connectStdio(console, stop);
    case 'file': {
      const file = createWriteStream(target.path);
      file.on('error', (error) => stop(`--serial: ${error.message}`));
      console.pipe(file);
      return { ...nothing, drained: () => finished(file).catch(() => undefined) };
    }
    case 'unix':
      return listen(console, target.path, stop);
  }
}

/** Linux's /dev/null: major 1, minor 3. */
const nullDevice = 0x103;

/** Whether standard input is where nothing ever comes from: making a stream of it would keep the guest waiting for nothing. */
function isInputNull(): boolean {
  const stat = fstatSync(0);
  return stat.isCharacterDevice() && stat.rdev === nullDevice;
}

function connectStdio(console: Console, stop: StopListener): SerialConnection {
  const { stdout } = process;
  // Once the guest has ended there is nothing to lose any more.
  let broken!: () => void;
  const unwritable = new Promise<void>((resolve) => (broken = resolve));
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    stop(describeClosedOutput(error));
    broken();
  });
  console.pipe(stdout, { end: false });
  const written = async (): Promise<void> => {
    await finished(console, { writable: false }).catch(() => undefined);
    await new Promise<void>((resolve) => stdout.write('', () => resolve()));
  };
  const drained = (): Promise<void> => Promise.race([unwritable, written()]);
  if (isInputNull()) return { ...nothing, drained };
  const { stdin } = process;
  stdin.on('error', () => undefined);
  if (!stdin.isTTY) {
    stdin.pipe(console, { end: false });
    return { drained, close: () => void stdin.unpipe(console).destroy() };
  }
  process.stderr.write('hax: Ctrl-A X ends the machine, Ctrl-A Ctrl-A sends Ctrl-A\r\n');
  stdin.setRawMode(true);
  let escaped = false;
  const onData = (bytes: Buffer): void => {
    const forGuest: number[] = [];
    for (const byte of bytes) {
      if (escaped) {
        escaped = false;
        if (byte === 'x'.charCodeAt(0) || byte === 'X'.charCodeAt(0)) return stop('ended by Ctrl-A X', 0);
        forGuest.push(byte);
      } else if (byte === ctrlA) {
        escaped = true;
      } else {
        forGuest.push(byte);
      }
    }
    if (forGuest.length > 0 && !console.write(Buffer.from(forGuest))) {
      stdin.pause();
      console.once('drain', () => stdin.resume());
    }
  };
  stdin.on('data', onData);
  const restore = (): void => void stdin.setRawMode(false);
  // Also when something throws that nobody caught.
  process.once('exit', restore);
  const close = (): void => {
    restore();
    process.off('exit', restore);
    stdin.off('data', onData).destroy();
  };
  return { drained, close };
}

/** A socket that one client after the other may connect to; what the guest prints meanwhile is dropped. */
async function listen(console: Console, path: string, stop: StopListener): Promise<SerialConnection> {
  let client: Socket | undefined;
  const server = createServer((socket) => {
    if (client) {
      socket.end();
      return;
    }
    client = socket;
    socket.on('error', () => undefined);
    socket.on('close', () => (client = undefined));
    console.pipe(socket, { end: false });
    socket.pipe(console, { end: false });
    socket.on('close', () => {
      console.unpipe(socket);
      console.resume(); // nobody listens: printing must not block the guest
    });
  });
  console.resume();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new HaxError('ERR_HAX_FILE', `--serial unix:${path} cannot be made: ${cause.message}`, { cause })),
    );
    server.listen(path, resolve);
  });
  server.on('error', (error) => stop(`--serial: ${error.message}`));
  const drained = async (): Promise<void> => {
    await finished(console, { writable: false }).catch(() => undefined);
    const last = client;
    if (last) await new Promise<void>((resolve) => last.once('close', resolve).end(resolve));
  };
  const close = (): void => {
    client?.destroySoon();
    server.close();
    try {
      unlinkSync(path);
    } catch {
      // close() has removed it
    }
  };
  return { drained, close };
}

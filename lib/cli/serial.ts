/** Where `--serial` leads: the guest's console and the world outside. */
import { fstatSync, readFileSync, unlinkSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Console } from '../machine/console';
import { HaxError } from '../util/errors';
import { fileStream, statOf } from './output-file';
import type { SerialTarget } from './run-options';
import { isNullDevice, type StandardOutput } from './standard-output';
import { stderrStream } from './streams';

/** Ends the run with a message; status 1 unless one is given. */
export type StopListener = (message: string, status?: number) => void;

const ctrlA = 0x01;
/** So much that comes waits for the guest, bytes, so that what comes behind it is seen: Ctrl-A X, or the end of a client. */
const maxUnread = 2 ** 20;

export interface SerialConnection {
  /** Resolves when what the guest has printed is out, after its end. */
  drained(): Promise<void>;
  /** Takes everything back, the terminal's mode included. */
  close(): void;
}

const nothing: SerialConnection = { drained: () => Promise.resolve(), close: () => undefined };

/** `standard` is where the machine's output goes if the target is standard input and output. */
export async function connectSerial(
  machine: { readonly console: Console },
  target: SerialTarget,
  standard: StandardOutput,
  stop: StopListener,
): Promise<SerialConnection> {
  switch (target.kind) {
    case 'null':
      return nothing;
    case 'stdio':
      return connectStdio(machine, standard, stop);
    case 'file': {
      const { finished } = await import('node:stream/promises');
      const file = await fileStream('--serial', target.path);
      file.on('error', (error: Error) => stop(`--serial: ${error.message}`));
      machine.console.pipe(file);
      return { ...nothing, drained: () => finished(file).catch(() => undefined) };
    }
    case 'unix':
      return listen(machine.console, target.path, stop);
  }
}

const stdinNumber = 0;

function connectStdio(machine: { readonly console: Console }, standard: StandardOutput, stop: StopListener): SerialConnection {
  standard.onBroken = stop;
  const drained = (): Promise<void> => standard.drained();
  // Where nothing ever comes from: making a stream of it would keep the guest waiting for nothing.
  if (isNullDevice(fstatSync(stdinNumber))) return { ...nothing, drained };
  const { stdin } = process;
  const { console } = machine;
  stdin.on('error', () => undefined);
  if (!stdin.isTTY) {
    stdin.pipe(console, { end: false });
    return { drained, close: () => void stdin.unpipe(console).destroy() };
  }
  if (isInBackground()) {
    stderrStream().write('hax: the terminal is with another job, so that the guest gets no input from it; timeout has --foreground\r\n');
    return { drained, close: () => void stdin.destroy() };
  }
  stderrStream().write('hax: Ctrl-A X ends the machine, Ctrl-A Ctrl-A sends Ctrl-A\r\n');
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
    // A terminal is never paused: more than that is dropped.
    if (console.writableLength < maxUnread) console.write(Buffer.from(forGuest));
  };
  stdin.on('data', onData);
  const restore = (): void => void (isInBackground() || stdin.setRawMode(false));
  // Also when something throws that nobody caught.
  process.once('exit', restore);
  // A shell has put it to its own use while we were stopped, and Node sets no mode that it believes to be there.
  const onContinue = (): void => void (isInBackground() || stdin.setRawMode(false).setRawMode(true));
  process.on('SIGCONT', onContinue);
  const close = (): void => {
    process.off('SIGCONT', onContinue);
    restore();
    process.off('exit', restore);
    stdin.off('data', onData).destroy();
  };
  return { drained, close };
}

/** Linux's /dev/tty: major 5, minor 0. */
const ownTerminal = 0x500;

/**
 * Whether standard input is our terminal, but another job's at the moment: setting its mode would stop us inside the call, where neither SIGTERM
 * nor the time-out is seen. `timeout` makes a job of its own of what it starts.
 */
function isInBackground(): boolean {
  try {
    // Behind the name in parentheses: state, parent, process group, session, terminal, the terminal's process group (proc(5)).
    const [, , group, , terminal, foreground] = readFileSync('/proc/self/stat', 'latin1').split(') ').at(-1)!.split(' ');
    const { rdev } = fstatSync(stdinNumber);
    return Number(foreground) > 0 && group !== foreground && (rdev === Number(terminal) >>> 0 || rdev === ownTerminal);
  } catch {
    return false; // no Linux
  }
}

/** A socket that one client after the other may connect to; what the guest prints meanwhile is dropped. */
async function listen(console: Console, path: string, stop: StopListener): Promise<SerialConnection> {
  const [{ createServer }, { finished }] = await Promise.all([import('node:net'), import('node:stream/promises')]);
  let client: Socket | undefined;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    if (client) {
      // Only who reads learns that the other end is gone.
      socket.resume().end();
      return;
    }
    client = socket;
    console.pipe(socket, { end: false });
    socket.on('data', (bytes) => {
      if (console.write(bytes) || console.writableLength < maxUnread) return;
      socket.pause();
      console.once('drain', () => socket.resume());
    });
    socket.on('close', () => {
      client = undefined;
      console.unpipe(socket);
      console.resume(); // nobody listens: printing must not block the guest
    });
  });
  console.resume();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const there = cause.code === 'EADDRINUSE' ? statOf(path) : undefined;
      const remedy = there ? (there.isSocket() ? '; remove it if no other program has it' : '; it is no socket, choose another path') : '';
      reject(new HaxError('ERR_HAX_FILE', `--serial unix:${path} cannot be made: ${cause.message}${remedy}`, { cause }));
    });
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

/** Where `--serial` leads: the guest's console and the world outside. */
import { fstatSync, unlinkSync } from 'node:fs';
import type { Socket } from 'node:net';
import { dirname } from 'node:path';
import type { Console } from '../machine/console';
import { HaxError } from '../util/errors';
import { fileOutput, statOf } from './output-file';
import type { SerialTarget } from './run-options';
import { isNullDevice, type StandardOutput } from './standard-output';
import { status, type Verdict } from './status';
import { maxUnread, TerminalInput } from './terminal';

type StopListener = (verdict: Verdict) => void;

export interface SerialConnection {
  /** The guest is about to run. */
  begin(): void;
  /** Resolves when what the guest has printed is out, after its end. */
  drained(): Promise<void>;
  /** Takes everything back, the terminal's mode included. */
  close(): void;
}

const nothing: SerialConnection = { begin: () => undefined, drained: () => Promise.resolve(), close: () => undefined };

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
      const { stream, begin } = await fileOutput('--serial', target.path);
      stream.on('error', (error: Error) => stop({ status: status.error, message: `--serial: ${error.message}` }));
      machine.console.pipe(stream);
      return { ...nothing, begin, drained: () => finished(stream).catch(() => undefined) };
    }
    case 'unix':
      return listen(machine.console, target.path, stop);
  }
}

const stdinNumber = 0;

function connectStdio(machine: { readonly console: Console }, standard: StandardOutput, stop: StopListener): SerialConnection {
  standard.onBroken = (message) => stop({ status: status.error, message });
  const drained = (): Promise<void> => standard.drained();
  // Where nothing ever comes from: making a stream of it would keep the guest waiting for nothing.
  if (isNullDevice(fstatSync(stdinNumber))) return { ...nothing, drained };
  const { stdin } = process;
  const { console } = machine;
  stdin.on('error', () => undefined);
  if (!stdin.isTTY) {
    stdin.pipe(console, { end: false });
    return { ...nothing, drained, close: () => void stdin.unpipe(console).destroy() };
  }
  const terminal = new TerminalInput(stdin, console, stop);
  return { ...nothing, drained, close: () => terminal.close() };
}

/** libuv tells of a directory that does not exist as of one that may not be written (uv_pipe_bind). */
function socketRemedy(path: string, { code }: NodeJS.ErrnoException): string {
  if (code === 'EACCES' && !statOf(dirname(path))) return '; its directory does not exist';
  const there = code === 'EADDRINUSE' ? statOf(path) : undefined;
  if (!there) return '';
  return there.isSocket() ? '; remove it if no other program has it' : '; it is no socket, choose another path';
}

/** A socket that one client after the other may connect to; what the guest prints meanwhile is dropped. */
async function listen(console: Console, path: string, stop: StopListener): Promise<SerialConnection> {
  const [{ createServer }, { finished }] = await Promise.all([import('node:net'), import('node:stream/promises')]);
  let client: Socket | undefined;
  /** They came while the client before was closing. */
  const waiting: Socket[] = [];
  let over = false;
  const serve = (socket: Socket): void => {
    client = socket;
    console.pipe(socket, { end: false });
    const onDrain = (): void => void socket.resume();
    socket.on('data', (bytes) => {
      if (console.write(bytes) || console.writableLength < maxUnread) return;
      socket.pause();
      console.once('drain', onDrain);
    });
    socket.on('close', () => {
      client = undefined;
      console.off('drain', onDrain);
      console.unpipe(socket);
      console.resume(); // nobody listens: printing must not block the guest
      for (const each of waiting.splice(0)) take(each);
    });
  };
  const take = (socket: Socket): void => {
    if (over || socket.destroyed) socket.destroy();
    else if (!client) serve(socket);
    else if (client.readableEnded) waiting.push(socket);
    // Only who reads learns that the other end is gone.
    else socket.resume().end();
  };
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    // The end of the client before may be the next thing that the loop tells of.
    if (client) setImmediate(take, socket);
    else serve(socket);
  });
  console.resume();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(new HaxError('ERR_HAX_FILE', `--serial unix:${path} cannot be made: ${cause.message}${socketRemedy(path, cause)}`, { cause }));
    });
    server.listen(path, resolve);
  });
  server.on('error', (error) => stop({ status: status.error, message: `--serial: ${error.message}` }));
  const drained = async (): Promise<void> => {
    await finished(console, { writable: false }).catch(() => undefined);
    const last = client;
    if (last) await new Promise<void>((resolve) => last.once('close', resolve).end(resolve));
  };
  const close = (): void => {
    over = true;
    client?.destroySoon();
    server.close();
    try {
      unlinkSync(path);
    } catch {
      // close() has removed it
    }
  };
  return { ...nothing, drained, close };
}

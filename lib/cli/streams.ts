/**
 * Standard output and standard error as Node's streams. They are made when they are first used: Node takes longer for them, and for the sockets
 * that come along, than we do for a machine, and a guest that boots needs neither (standard-output.ts).
 */
import { fstatSync } from 'node:fs';
import { printable } from './printable';
import { status } from './status';

const used = { stdout: false, stderr: false };

/** Standard output. What goes wrong with it ends the process, unless somebody else listens for that too. */
export function stdoutStream(): NodeJS.WriteStream {
  used.stdout = true;
  return prepared(process.stdout, onError);
}

/** Standard error. What goes wrong with it goes nowhere: nobody is left to tell. */
export function stderrStream(): NodeJS.WriteStream {
  used.stderr = true;
  return prepared(process.stderr, ignore);
}

/** What the command itself has to say, on standard error: all of it goes through here. */
export function tell(text: string): void {
  stderrStream().write(printable(text));
}

/** Resolves when all is out that went to standard error, or cannot be any more. */
export async function stderrDrained(): Promise<void> {
  if (used.stderr) await drained(process.stderr);
}

/** Ends the process when what is still in the standard streams has gone out. */
export async function exit(code: number): Promise<void> {
  await stderrDrained();
  const error = used.stdout && (await drained(process.stdout));
  if (error && code === status.ok) unwritable(error);
  leave(code);
}

/** Ends the process at once. Node 20 aborts where it cannot put a terminal's mode back: one that is gone has us end by its signal. */
export function leave(code: number): never {
  if (isTerminalGone()) {
    process.removeAllListeners('SIGHUP');
    process.kill(process.pid, 'SIGHUP');
  }
  process.exit(code);
}

/** Major numbers of Linux's pseudo-terminals (Documentation/admin-guide/devices.txt). */
const pseudoTerminals = { first: 136, last: 143 };

/** Whether a standard stream leads to the terminal of a window that has been closed: it is none any more. */
function isTerminalGone(): boolean {
  if (process.platform !== 'linux') return false;
  const devices = [0, 1, 2].filter((fd) => {
    const stat = fstatSync(fd);
    const major = (stat.rdev >> 8) & 0xfff;
    return stat.isCharacterDevice() && major >= pseudoTerminals.first && major <= pseudoTerminals.last;
  });
  if (devices.length === 0) return false;
  const { isatty } = require('node:tty') as typeof import('node:tty'); // eslint-disable-line @typescript-eslint/no-require-imports
  return devices.some((fd) => !isatty(fd));
}

/** A terminal that takes no more would block in Node's write, and with it the time-out and all signals. */
function prepared(stream: NodeJS.WriteStream, listener: (error: Error) => void): NodeJS.WriteStream {
  if (stream.listeners('error').includes(listener)) return stream;
  const { _handle: handle } = stream as { _handle?: { setBlocking?(blocking: boolean): void } };
  if (stream.isTTY) handle?.setBlocking?.(false);
  return stream.on('error', listener);
}

function drained(stream: NodeJS.WriteStream): Promise<Error | null | undefined> {
  return new Promise((resolve) => stream.write('', resolve));
}

export function describeClosedOutput(error: NodeJS.ErrnoException): string {
  return `standard output cannot be written: ${error.code === 'EPIPE' ? 'its reader is gone' : error.message}`;
}

function onError(error: Error): void {
  if (process.stdout.listenerCount('error') === 1) unwritable(error);
}

function unwritable(error: Error): never {
  tell(`hax: ${describeClosedOutput(error)}\n`);
  leave(status.error);
}

function ignore(): void {
  // see stderrStream()
}

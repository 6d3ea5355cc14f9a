/**
 * Standard output and standard error as Node's streams. They are made when they are first used: Node takes longer for them, and for the sockets
 * that come along, than we do for a machine, and a guest that boots needs neither (standard-output.ts).
 */
import { status } from './status';

let used = false;

/** Standard output. What goes wrong with it ends the process, unless somebody else listens for that too. */
export function stdoutStream(): NodeJS.WriteStream {
  used = true;
  const { stdout } = process;
  if (!stdout.listeners('error').includes(onError)) stdout.on('error', onError);
  return stdout;
}

/** Standard error. What goes wrong with it goes nowhere: nobody is left to tell. */
export function stderrStream(): NodeJS.WriteStream {
  const { stderr } = process;
  if (!stderr.listeners('error').includes(ignore)) stderr.on('error', ignore);
  return stderr;
}

/** Ends the process when what is still in standard output has gone out. */
export function exit(code: number): void {
  if (!used) process.exit(code);
  process.stdout.write('', (error) => {
    if (error && code === status.ok) unwritable(error);
    process.exit(code);
  });
}

export function describeClosedOutput(error: NodeJS.ErrnoException): string {
  return `standard output cannot be written: ${error.code === 'EPIPE' ? 'its reader is gone' : error.message}`;
}

function onError(error: Error): void {
  if (process.stdout.listenerCount('error') === 1) unwritable(error);
}

function unwritable(error: Error): never {
  stderrStream().write(`hax: ${describeClosedOutput(error)}\n`);
  process.exit(status.error);
}

function ignore(): void {
  // see stderrStream()
}

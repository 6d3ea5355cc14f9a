/** Files that a run writes beside standard output. */
import { closeSync, constants, createWriteStream, openSync, statSync, writeFileSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { HaxError } from '../util/errors';

const { O_WRONLY, O_CREAT, O_TRUNC, O_NONBLOCK } = constants;

/**
 * A stream into a file. A FIFO is a pipe to it: opened and written like other files it would keep a thread of Node's, and thereby the process,
 * until somebody reads. Throws ERR_HAX_FILE for one that nobody reads.
 */
export async function fileStream(path: string): Promise<Writable> {
  if (!isFifo(path)) return createWriteStream(path);
  const { Socket } = await import('node:net');
  return new Socket({ fd: open(path, O_WRONLY | O_NONBLOCK), readable: false, writable: true });
}

/** Writes a whole file, and does not wait for the reader of a FIFO. */
export function writeAtOnce(path: string, text: string): void {
  const fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK);
  try {
    writeFileSync(fd, text);
  } finally {
    closeSync(fd);
  }
}

function isFifo(path: string): boolean {
  try {
    return statSync(path).isFIFO();
  } catch {
    return false; // who opens it learns why
  }
}

function open(path: string, flags: number): number {
  try {
    return openSync(path, flags, 0o666);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENXIO') throw cause;
    throw new HaxError('ERR_HAX_FILE', `${path} is a FIFO that nobody reads; start its reader first`, { cause });
  }
}

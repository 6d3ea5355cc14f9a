/** Files that a run writes beside standard output. */
import { closeSync, constants, createWriteStream, fstatSync, openSync, statSync, writeFileSync, type Stats } from 'node:fs';
import type { Writable } from 'node:stream';
import { emptyFile } from '../util/empty-file';
import { HaxError } from '../util/errors';

const { O_WRONLY, O_CREAT, O_NONBLOCK } = constants;

/** A file that is written during the run. */
export interface FileOutput {
  readonly stream: Writable;
  /** Empties the file: once nothing can keep the run from its begin any more, so that what another run wrote is not lost for nothing. */
  readonly begin: () => void;
}

/**
 * A stream into a file, which is opened at once. A FIFO is a pipe to it: opened and written like other files it would keep a thread of Node's,
 * and thereby the process, until somebody reads. Throws ERR_HAX_FILE for one that nobody reads, and for what cannot be opened.
 */
export async function fileOutput(option: string, path: string): Promise<FileOutput> {
  const begin = (): void => undefined;
  if (statOf(path)?.isFIFO()) {
    const { Socket } = await import('node:net');
    return { stream: new Socket({ fd: open(option, path, O_WRONLY | O_NONBLOCK), readable: false, writable: true }), begin };
  }
  const ours = standardStream(path);
  if (ours !== undefined) return { stream: createWriteStream(path, { fd: ours, autoClose: false }), begin };
  const fd = open(option, path, O_WRONLY | O_CREAT);
  return { stream: createWriteStream(path, { fd }), begin: () => emptyFile(fd) };
}

/** A file that is written as a whole at the end of the run, and opened before it: what it had stays until then. */
export class FileAtEnd {
  readonly #ours: number | undefined;
  readonly #fd: number;

  /** Does not wait for the reader of a FIFO. Throws ERR_HAX_FILE. */
  constructor(path: string) {
    this.#ours = standardStream(path);
    this.#fd = this.#ours ?? open(`${path} cannot be written`, path, O_WRONLY | O_CREAT | O_NONBLOCK);
  }

  write(text: string): void {
    if (this.#ours === undefined) emptyFile(this.#fd);
    writeFileSync(this.#fd, text);
  }

  close(): void {
    if (this.#ours === undefined) closeSync(this.#fd);
  }
}

/** Standard output or error where the path leads to the same file: opened anew it would be written from its beginning. */
export function standardStream(path: string): number | undefined {
  const file = statOf(path);
  if (!file?.isFile()) return undefined;
  return [1, 2].find((fd) => {
    const other = fstatSync(fd);
    return other.isFile() && other.ino === file.ino && other.dev === file.dev;
  });
}

/** What is there, or undefined: who opens it learns why. */
export function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function open(what: string, path: string, flags: number): number {
  try {
    return openSync(path, flags, 0o666);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const found = code === 'ENXIO' ? statOf(path) : undefined;
    const told = found?.isFIFO()
      ? `${path} is a FIFO that nobody reads; start its reader first`
      : found?.isSocket()
        ? `${path} is a socket, which is not opened as a file; give another path`
        : `${what}: ${message}`;
    throw new HaxError('ERR_HAX_FILE', told, { cause });
  }
}

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { ImageSource } from '../boot/image-source';
import { HaxError } from '../util/errors';

const notRegular = 'is not a regular file; copy it to one';

/** What a caller gives for a kernel or an initrd: a path, or the bytes themselves. */
export type FileInput = string | Uint8Array;

/** Called while a large file goes into guest memory. */
export type ProgressListener = (name: string, done: number, total: number) => void;

/** A file that is read into guest memory, and again when the machine reboots. */
export class FileSource implements ImageSource {
  readonly size: number;
  #fd: number | undefined;

  /** Throws ERR_HAX_FILE in one sentence when the path is no readable file. */
  constructor(
    readonly name: string,
    private readonly onProgress?: ProgressListener,
  ) {
    try {
      // Without O_NONBLOCK the opening of a FIFO waits for its writer.
      this.#fd = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (cause) {
      throw fileError(name, cause);
    }
    const stat = fstatSync(this.#fd);
    this.size = stat.size;
    if (stat.isFile()) return;
    this.close();
    throw new HaxError('ERR_HAX_FILE', `${name} ${stat.isDirectory() ? 'is a directory; give the file inside it' : notRegular}`);
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, this.#fill(offset, bytes));
  }

  readInto(offset: number, target: Uint8Array): void {
    if (this.#fill(offset, target) < target.length) {
      throw new HaxError('ERR_HAX_FILE', `${this.name} changed while it was read; try again when nothing writes to it`);
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #fill(offset: number, target: Uint8Array): number {
    if (this.#fd === undefined) throw new HaxError('ERR_HAX_CLOSED', `${this.name} has been closed`);
    let done = 0;
    try {
      while (done < target.length) {
        const count = readSync(this.#fd, target, done, target.length - done, offset + done);
        if (count === 0) break;
        done += count;
      }
    } catch (cause) {
      throw fileError(this.name, cause);
    }
    this.onProgress?.(this.name, offset + done, this.size);
    return done;
  }
}

function fileError(name: string, cause: unknown): HaxError {
  const code = (cause as NodeJS.ErrnoException).code;
  const why =
    code === 'ENOENT'
      ? 'does not exist'
      : code === 'ENXIO' // a socket, or a device that is not there
        ? notRegular
        : code === 'EACCES' || code === 'EPERM'
          ? 'cannot be read by this user'
          : code === 'EISDIR'
            ? 'is a directory; give the file inside it'
            : `cannot be read: ${(cause as Error).message}`;
  return new HaxError('ERR_HAX_FILE', `${name} ${why}`, { cause });
}

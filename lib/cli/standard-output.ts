import { closeSync, constants, fstatSync, openSync, writeSync, type Stats } from 'node:fs';
import { describeClosedOutput, stdoutStream } from './streams';

/** Linux's /dev/null: major 1, minor 3. */
const nullDevice = 0x103;

/** Whether it is where nothing ever comes from, and nothing ever fills. */
export function isNullDevice(stat: Stats): boolean {
  return stat.isCharacterDevice() && stat.rdev === nullDevice;
}

/**
 * Standard output for what the guest prints: a ByteSink. Files and pipes are written without a stream until one takes no more, which is then
 * the stream's to wait for, or to complain about; terminals and sockets have the stream from the start.
 */
export class StandardOutput {
  /** A descriptor whose write() does not wait. */
  #direct: number | undefined;
  #begun = false;
  #broken = false;
  #stream: NodeJS.WriteStream | undefined;
  /** Is told in one sentence when nothing can be written any more. */
  onBroken: ((message: string) => void) | undefined;

  /** As {@link ByteSink.write}. */
  write(bytes: Uint8Array, onDrain: () => void): boolean {
    const rest = this.#writeDirect(bytes);
    return rest.length === 0 || this.#toStream().write(rest, onDrain);
  }

  /** Resolves when all is out, or when it cannot be any more. */
  async drained(): Promise<void> {
    const stream = this.#stream;
    if (!stream || this.#broken) return;
    await new Promise<void>((resolve) => {
      stream.once('error', () => resolve());
      stream.write('', () => resolve());
    });
  }

  /** What is left to write. */
  #writeDirect(bytes: Uint8Array): Uint8Array {
    if (!this.#begun) {
      this.#begun = true;
      this.#direct = openDirect();
    }
    let rest = bytes;
    while (this.#direct !== undefined && rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(this.#direct, rest));
      } catch {
        // A full pipe or disk: the stream has the same to say.
        if (this.#direct !== stdout) closeSync(this.#direct);
        this.#direct = undefined;
      }
    }
    return rest;
  }

  #toStream(): NodeJS.WriteStream {
    if (!this.#stream) {
      this.#stream = stdoutStream();
      this.#stream.on('error', (error: NodeJS.ErrnoException) => {
        this.#broken = true;
        this.onBroken?.(describeClosedOutput(error));
      });
    }
    return this.#stream;
  }
}

const stdout = 1;

function openDirect(): number | undefined {
  const stat = fstatSync(stdout);
  if (stat.isFile() || isNullDevice(stat)) return stdout;
  if (!stat.isFIFO() || process.platform !== 'linux') return undefined;
  try {
    // The same pipe by an open file of our own, that no other process sees become non-blocking.
    return openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined; // of another user, without a reader, or without /proc
  }
}

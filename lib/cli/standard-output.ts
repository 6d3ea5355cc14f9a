import { closeSync, constants, fstatSync, openSync, writeSync, type Stats } from 'node:fs';
import { addon } from '../native/addon';
import { describeClosedOutput, stdoutStream } from './streams';

/** Linux's /dev/null: major 1, minor 3. */
const nullDevice = 0x103;

/** Whether it is where nothing ever comes from, and nothing ever fills. */
export function isNullDevice(stat: Stats): boolean {
  return stat.isCharacterDevice() && stat.rdev === nullDevice;
}

/** Writes without waiting: what there is room for. Throws, or 0, where nothing can be written now. */
interface Direct {
  write(bytes: Uint8Array): number;
  close?(): void;
}

/**
 * Standard output for what the guest prints: a ByteSink. Files, pipes and sockets are written without a stream until one takes no more, which is
 * then the stream's to wait for, or to complain about; terminals have the stream from the start.
 */
export class StandardOutput {
  #direct = openDirect();
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
    let rest = bytes;
    while (this.#direct && rest.length > 0) {
      const written = writeSome(this.#direct, rest);
      rest = rest.subarray(written);
      if (written > 0) continue;
      this.#direct.close?.();
      this.#direct = undefined;
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

/** A full pipe or disk, or a reader that is gone: the stream has the same to say. */
function writeSome(direct: Direct, bytes: Uint8Array): number {
  try {
    return direct.write(bytes);
  } catch {
    return 0;
  }
}

const stdout = 1;

function openDirect(): Direct | undefined {
  const stat = fstatSync(stdout);
  if (stat.isFile() || isNullDevice(stat)) return { write: (bytes) => writeSync(stdout, bytes) };
  if (stat.isSocket()) return { write: (bytes) => addon().sendNow(stdout, bytes) };
  if (!stat.isFIFO() || process.platform !== 'linux') return undefined;
  try {
    // The same pipe by an open file of our own, that no other process sees become non-blocking.
    const pipe = openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK);
    return { write: (bytes) => writeSync(pipe, bytes), close: () => closeSync(pipe) };
  } catch {
    return undefined; // of another user, without a reader, or without /proc
  }
}

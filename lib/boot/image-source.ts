import type { GuestMemoryAccess } from '../memory/guest-memory';
import { HaxError } from '../util/errors';

/**
 * A file to boot from. Reads never go beyond `size`; bodies are asked for in ascending pieces of at most 1 MiB, so that a source
 * can report progress. A source throws ERR_HAX_FILE when the file cannot be read.
 */
export interface ImageSource {
  /** As the user gave it; goes into messages and, for multiboot, into the command line. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** `length` bytes at `offset`; the caller does not modify them and does not keep them. */
  read(offset: number, length: number): Uint8Array;
  /** Fills the whole of `target` with the bytes at `offset`, where this saves a copy (of a file). */
  readInto?(offset: number, target: Uint8Array): void;
}

/** An image that is already in memory. */
export function imageFromBytes(name: string, bytes: Uint8Array): ImageSource {
  return {
    name,
    size: bytes.length,
    read: (offset, length) => bytes.subarray(offset, offset + length),
    readInto: (offset, target) => target.set(bytes.subarray(offset, offset + target.length)),
  };
}

/** An ERR_HAX_IMAGE whose sentence starts with the file; it says what is wrong and, after a semicolon, what to do. */
export function imageError(source: ImageSource, sentence: string): HaxError {
  return new HaxError('ERR_HAX_IMAGE', `${source.name} ${sentence}`);
}

/**
 * `length` bytes at `offset` as a Buffer. Throws ERR_HAX_IMAGE when the file ends before; `what` names the part in the message
 * (`its program headers`).
 */
export function readPart(source: ImageSource, offset: number, length: number, what: string): Buffer {
  if (offset + length > source.size) {
    throw imageError(
      source,
      `is truncated: its ${what} should end at byte ${offset + length} but the file has ${source.size}; copy or build it again`,
    );
  }
  const bytes = source.read(offset, length);
  if (bytes.length !== length) {
    throw new HaxError('ERR_HAX_FILE', `${source.name} changed while it was read; try again when nothing writes to it`);
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, length);
}

/**
 * Bounds host memory, and spaces the steps of a progress display. Through a buffer of this size and not through a window onto guest memory: V8
 * counts such a window as memory of its own, all of the guest's RAM, and collects garbage at once.
 */
const pieceSize = 2 ** 20;

/** Copies a part of a file that {@link readPart}'s rules allow to guest memory. */
export function copyToGuest(source: ImageSource, offset: number, length: number, memory: GuestMemoryAccess, gpa: number): void {
  const piece = source.readInto && Buffer.allocUnsafeSlow(Math.min(pieceSize, length));
  for (let done = 0; done < length; done += pieceSize) {
    const size = Math.min(pieceSize, length - done);
    if (!piece) {
      memory.write(gpa + done, readPart(source, offset + done, size, 'contents'));
    } else {
      const bytes = piece.subarray(0, size);
      source.readInto!(offset + done, bytes);
      memory.write(gpa + done, bytes);
    }
  }
}

const zeros = new Uint8Array(65536);

/** Clears guest memory, which is not fresh when a machine reboots. */
export function zeroGuest(memory: GuestMemoryAccess, gpa: number, length: number): void {
  for (let done = 0; done < length; done += zeros.length) {
    memory.write(gpa + done, zeros.subarray(0, Math.min(zeros.length, length - done)));
  }
}

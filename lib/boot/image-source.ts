import type { GuestMemoryAccess } from '../memory/guest-memory';
import { HaxError } from '../util/errors';

/**
 * A file to boot from. Reads never go beyond `size`; bodies are asked for in ascending pieces of at most 4 MiB, so that a source
 * can report progress. A source throws ERR_HAX_FILE when the file cannot be read.
 */
export interface ImageSource {
  /** As the user gave it; goes into messages and, for multiboot, into the command line. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** `length` bytes at `offset`; the caller does not modify them and does not keep them. */
  read(offset: number, length: number): Uint8Array;
  /** Fills the whole of `target` with the bytes at `offset`, where this saves a copy (a file read straight into guest memory). */
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

/** Bounds host memory when the body has to pass through a buffer, and spaces the steps of a progress display. */
const pieceSize = 4 * 2 ** 20;

/** Copies a part of a file that {@link readPart}'s rules allow to guest memory: directly where both sides can, else in pieces. */
export function copyToGuest(source: ImageSource, offset: number, length: number, memory: GuestMemoryAccess, gpa: number): void {
  for (let done = 0; done < length; done += pieceSize) {
    const size = Math.min(pieceSize, length - done);
    const view = source.readInto && viewOf(memory, gpa + done, size);
    if (view) source.readInto!(offset + done, view);
    else memory.write(gpa + done, readPart(source, offset + done, size, 'contents'));
  }
}

const zeros = new Uint8Array(65536);

/** Clears guest memory, which is not fresh when a machine reboots. */
export function zeroGuest(memory: GuestMemoryAccess, gpa: number, length: number): void {
  const view = viewOf(memory, gpa, length);
  if (view) {
    view.fill(0);
    return;
  }
  for (let done = 0; done < length; done += zeros.length) {
    memory.write(gpa + done, zeros.subarray(0, Math.min(zeros.length, length - done)));
  }
}

/** Undefined where the runtime has no views or the range crosses from one region into another; writing works there all the same. */
function viewOf(memory: GuestMemoryAccess, gpa: number, length: number): Uint8Array | undefined {
  try {
    return memory.view?.(gpa, length);
  } catch (error) {
    if (error instanceof HaxError) return undefined;
    throw error;
  }
}

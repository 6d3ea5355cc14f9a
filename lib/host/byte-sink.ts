import { invalidArgument } from '../util/errors';

/**
 * Where devices put the bytes that they send out. Every Node.js Writable is a ByteSink; so is an object with this one method.
 */
export interface ByteSink {
  /**
   * Takes `bytes`, which the caller will not touch again. False asks the caller to hold back until `onDrain` has been called;
   * anything else, also nothing, takes more at once. Calling `onDrain` without having returned false has no effect.
   */
  write(bytes: Uint8Array, onDrain: () => void): unknown;
  /** True where nothing can be written any more; what is sent there vanishes. */
  readonly writableEnded?: boolean;
}

/** A sink, or just its function. */
export type ByteOutput = ByteSink | ByteSink['write'];

/** The function of an output; undefined without one. Throws ERR_HAX_INVALID_ARGUMENT for what is none. */
export function writerOf(output: ByteOutput | undefined): ByteSink['write'] | undefined {
  if (output === undefined || typeof output === 'function') return output;
  if (typeof (output as Partial<ByteSink> | null)?.write !== 'function') {
    throw invalidArgument('an output is a function or an object with write(bytes, onDrain), such as a Writable');
  }
  return (bytes, onDrain) => output.writableEnded === true || output.write(bytes, onDrain);
}

/** Bytes are handed on together, at most so many at a time: a write for each would cost more than the guest's exit. */
export const maxBatch = 4096;

/**
 * Bytes kept for a sink that has asked to hold back. As much as a Linux pipe holds: more would only put off the moment in which the guest
 * notices that nobody reads.
 */
export const maxBacklog = 65536;

const lineFeed = 0x0a;

/**
 * Collects bytes and hands them on when {@link maxBatch} have come together, and when the JavaScript in progress ends: within a guest's
 * slice that is the end of the slice. A line feed ends the slice, so that who waits for a line has it before the guest goes on; a single
 * byte does not, since each slice costs some microseconds.
 */
export class BatchedOutput {
  readonly #write: ByteSink['write'] | undefined;
  readonly #batch = new Uint8Array(maxBatch);
  #length = 0;
  /** Full batches that the sink does not want yet. */
  readonly #backlog: Uint8Array[] = [];
  #blocked = false;
  #scheduled = false;
  #lineEnded = false;
  #wasFull = false;
  /** Called when `held` has changed. */
  onHeld: (() => void) | undefined;

  /** Without an output bytes vanish. `onReady` is called when `ready` becomes true again. */
  constructor(
    output: ByteOutput | undefined,
    private readonly onReady: () => void = () => undefined,
  ) {
    this.#write = writerOf(output);
  }

  /** Whether there is room for a byte; false only while the sink holds back and {@link maxBacklog} bytes wait for it. */
  get ready(): boolean {
    return !this.#blocked || this.#backlog.length < maxBacklog / maxBatch;
  }

  /** Whether the sink has asked to hold back: what is sent now waits. */
  get held(): boolean {
    return this.#blocked;
  }

  /** Sends a byte. One that comes while `ready` is false is lost. */
  put(byte: number): void {
    if (this.#write === undefined) return;
    if (!this.ready) {
      this.#wasFull = true;
      return;
    }
    this.#batch[this.#length++] = byte;
    if (this.#length === maxBatch) {
      if (this.#blocked) {
        this.#backlog.push(this.#takeBatch());
        this.#wasFull = !this.ready;
      } else {
        this.#handOn(this.#takeBatch());
      }
    } else if (!this.#blocked && !this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(() => {
        this.#scheduled = false;
        this.#pump();
      });
    }
    if (byte === lineFeed && !this.#lineEnded) this.#endSlice();
  }

  /** The run loop gives way to a loop that has something to do. */
  #endSlice(): void {
    this.#lineEnded = true;
    setImmediate(() => (this.#lineEnded = false));
  }

  /**
   * Hands on at once all that has been collected, at most {@link maxBacklog} and a batch, even if the sink holds back: for the end, when
   * nobody will wait for it any more.
   */
  flush(): void {
    while (this.#waiting) this.#handOn(this.#takeNext());
  }

  #pump(): void {
    while (!this.#blocked && this.#waiting) this.#handOn(this.#takeNext());
  }

  get #waiting(): boolean {
    return this.#backlog.length > 0 || this.#length > 0;
  }

  #takeNext(): Uint8Array {
    return this.#backlog.shift() ?? this.#takeBatch();
  }

  #takeBatch(): Uint8Array {
    const bytes = this.#batch.slice(0, this.#length);
    this.#length = 0;
    return bytes;
  }

  #handOn(bytes: Uint8Array): void {
    // The sink may call onDrain before it returns, and more than once.
    let drained = false;
    let held = false;
    const onDrain = (): void => {
      drained = true;
      if (!held) return;
      held = false;
      this.#unblock();
    };
    held = this.#write!(bytes, onDrain) === false && !drained;
    if (held && !this.#blocked) {
      this.#blocked = true;
      this.onHeld?.();
    }
  }

  #unblock(): void {
    this.#blocked = false;
    this.#pump();
    this.onHeld?.();
    if (this.#wasFull && this.ready) {
      this.#wasFull = false;
      this.onReady();
    }
  }
}

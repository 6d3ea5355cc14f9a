import type { ByteOutput, ByteSink } from '../host/byte-sink';
import type { Console } from './console';
import { ConsoleText } from './console-text';
import { guarded } from './guarded-output';

/** Who can ask the guest to hold back: the output that was given to the machine, and the stream. */
type Holder = 'output' | 'stream';

/**
 * The machine's side of its console: what a UART prints goes to the text, to `output` and to the stream, and input comes from the stream.
 * The stream is made when somebody asks for it: Node's streams take longer to load than a whole machine to be made.
 */
export class ConsolePort {
  readonly text = new ConsoleText();
  #output: ByteSink['write'] | undefined;
  readonly #holders = new Set<Holder>();
  #stream: Console | undefined;
  #feed: ((bytes: Uint8Array) => number) | undefined;
  /** In a worker the stream and the other thread both send. */
  readonly #unsent: { bytes: Uint8Array; done: () => void }[] = [];
  /** A worker sends more before it has learnt of the first. */
  #onDrain: (() => void)[] = [];
  /** Called when nobody asks the guest to hold back any more. */
  onRoom: () => void = () => undefined;
  #hurried = false;
  #finished = false;

  /** `onFailure` learns what the output threw. */
  constructor(output?: ByteOutput, onFailure: (cause: unknown) => void = () => undefined) {
    this.#output = guarded(output, onFailure);
  }

  get stream(): Console {
    if (!this.#stream) {
      // TypeScript has no synchronous import() that is not also an eager one.
      const { Console } = require('./console') as typeof import('./console'); // eslint-disable-line @typescript-eslint/no-require-imports
      this.#stream = new Console(this);
      if (this.#finished) this.#stream.push(null);
    }
    return this.#stream;
  }

  /** Bytes that the guest has printed. False asks the machine to hold back until `onDrain`. */
  deliver(bytes: Uint8Array, onDrain: () => void): boolean {
    if (this.#finished) return true;
    this.text.add(bytes);
    if (this.#output) this.#toOutput(this.#output, bytes);
    if (this.#stream && !this.#stream.receive(bytes)) this.#holders.add('stream');
    if (!this.held || this.#hurried) return true;
    this.#onDrain.push(onDrain);
    return false;
  }

  /** Whether somebody asks the guest to hold back. */
  get held(): boolean {
    return this.#holders.size > 0;
  }

  /** The holder takes more. */
  release(holder: Holder): void {
    if (!this.#holders.delete(holder) || this.held) return;
    this.#drain();
    if (!this.held) this.onRoom();
  }

  /** Takes all that a UART still holds, which is bounded, without asking it to hold back; `flush` hands it over. */
  hurry(flush: () => void): void {
    this.#hurried = true;
    this.#drain();
    flush();
    this.#hurried = false;
  }

  /** How input reaches the guest; returns how many bytes it took. It calls accept() when it can take more. */
  attach(feed: (bytes: Uint8Array) => number): void {
    this.#feed = feed;
    this.accept();
  }

  /** Input for the guest; `done` when it has all of it. */
  send(bytes: Uint8Array, done: () => void): void {
    this.#unsent.push({ bytes, done });
    this.accept();
  }

  /** The guest can take more input. */
  accept(): void {
    for (let unsent = this.#unsent[0]; unsent && this.#feed; unsent = this.#unsent[0]) {
      const taken = this.#feed(unsent.bytes);
      if (taken < unsent.bytes.length) {
        unsent.bytes = unsent.bytes.subarray(taken);
        return;
      }
      this.#unsent.shift();
      unsent.done();
    }
  }

  /** There will be no more output; waits reject, after an abort with its reason. */
  finish(describe: string, failure?: { cause?: unknown; aborted?: boolean }): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#feed = () => Infinity; // input to a guest that has ended vanishes
    this.accept();
    this.text.finish(describe, failure);
    this.#stream?.push(null);
  }

  #toOutput(write: ByteSink['write'], bytes: Uint8Array): void {
    // It may call back before it returns.
    let drained = false;
    const onDrain = (): void => {
      drained = true;
      this.release('output');
    };
    if (write(bytes, onDrain) === false && !drained) this.#holders.add('output');
  }

  #drain(): void {
    const waiting = this.#onDrain;
    this.#onDrain = [];
    for (const onDrain of waiting) onDrain();
  }
}

import { Duplex } from 'node:stream';
import type { ConsolePort } from './console-port';
import type { Pattern, WaitOptions, WaitResult } from './console-text';

type Listener = Parameters<Duplex['removeListener']>[1];

const maxReadable = 2 ** 16;

/**
 * The guest's serial console. As a stream: what the guest prints can be read, what is written reaches the guest, with back-pressure
 * both ways once somebody reads; what was printed before is in `transcript` only. For scripts: waitFor(). Made by a machine.
 */
export class Console extends Duplex {
  readonly #port: ConsolePort;

  /** @internal */
  constructor(port: ConsolePort) {
    super({ readableHighWaterMark: maxReadable });
    this.#port = port;
    // An error here is about this stream only; the machine tells its own.
    this.on('error', () => undefined);
  }

  /** The last part of what the guest has printed, as text. */
  get transcript(): string {
    return this.#port.text.transcript;
  }

  /** The last lines of the transcript. */
  lastLines(count = 20): string {
    return this.#port.text.lastLines(count);
  }

  /**
   * Waits until the guest prints text that matches, looking from where the last wait ended: a second call waits for the first. Of several
   * things that may come, wait for an array of them: the pattern that matches first in the text wins. Rejects with ERR_HAX_ENDED when the guest ends before, with ERR_HAX_TIMEOUT, or with the reason of a signal,
   * its own or the machine's.
   */
  waitFor(pattern: Pattern | readonly Pattern[], options: WaitOptions = {}): Promise<WaitResult> {
    return this.#port.text.waitFor(pattern, options);
  }

  /** For the port: bytes that the guest has printed. False once the reader has as much as it wants. */
  receive(bytes: Uint8Array): boolean {
    if (this.destroyed || !this.#read) return true;
    return this.push(Buffer.from(bytes));
  }

  /** Whether anybody reads, or has paused. */
  get #read(): boolean {
    return this.readableFlowing !== null || this.listenerCount('readable') > 0;
  }

  /** @internal */
  override _read(): void {
    this.#port.release('stream');
  }

  /** Whoever has read enough, by leaving a loop over the console for example, must not stop the guest from printing. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#port.release('stream');
    done(error);
  }

  /** @internal */
  override removeListener(event: string | symbol, listener: Listener): this {
    super.removeListener(event, listener);
    return this.#left();
  }

  /** @internal */
  override off(event: string | symbol, listener: Listener): this {
    return this.removeListener(event, listener);
  }

  /** @internal */
  override removeAllListeners(event?: string | symbol): this {
    if (event === undefined) super.removeAllListeners();
    else super.removeAllListeners(event);
    return this.#left();
  }

  /** Nobody may be left for whom the guest was held. The stream itself takes note of that in the next tick; not all of Node's tell by an event. */
  #left(): this {
    setImmediate(() => {
      if (!this.#read) this.#port.release('stream');
    });
    return this;
  }

  /** @internal */
  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: () => void): void {
    this.#port.send(typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk, done);
  }
}

import { Duplex } from 'node:stream';
import { checkObject, checkSignal, shown } from '../util/check';
import { HaxError, invalidArgument } from '../util/errors';
import { checkInteger } from '../util/numbers';

/** What to wait for: the text itself, or an expression over what has been printed and not been waited past. */
export type Pattern = string | RegExp;

/** How long to wait. */
export interface WaitOptions {
  /** Milliseconds; without it the wait ends with the guest at the latest. */
  timeout?: number;
  /** Ends the wait: it rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** What a wait has found. */
export interface WaitResult {
  /** The text that matched. */
  readonly match: string;
  /** What came between the previous match and this one. */
  readonly before: string;
  /** Which pattern of an array matched; 0 for a single one. */
  readonly index: number;
  /** The captures of a RegExp. */
  readonly groups: readonly (string | undefined)[];
}

/** What the guest has printed and nobody has waited past is kept up to this many characters: a guest can print for ever. */
const maxPending = 2 ** 18;
/** `transcript` keeps the last so many characters. */
const maxTranscript = 2 ** 20;
const maxReadable = 2 ** 16;
/** What a timer can wait, milliseconds: 24 days. Longer is for ever. */
const maxTimeout = 2 ** 31 - 1;

interface Waiter {
  readonly patterns: readonly Pattern[];
  readonly settle: (outcome: () => void) => void;
  readonly resolve: (result: WaitResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The guest's serial console. As a stream: what the guest prints can be read, what is written reaches the guest, with back-pressure
 * both ways once somebody reads; what was printed before is in `transcript` only. For scripts: waitFor().
 */
export class Console extends Duplex {
  readonly #decoder = new TextDecoder();
  readonly #waiters: Waiter[] = [];
  #pending = '';
  #transcript = '';
  #ended: { describe: string; cause: unknown; aborted: boolean } | undefined;
  #feed: ((bytes: Uint8Array) => number) | undefined;
  #unsent: { bytes: Uint8Array; done: () => void } | undefined;
  #onDrain: (() => void) | undefined;
  #hurried = false;

  constructor() {
    super({ readableHighWaterMark: maxReadable });
    // An error here is about this stream only; the machine tells its own.
    this.on('error', () => undefined);
  }

  /** The last part of what the guest has printed, as text. */
  get transcript(): string {
    return this.#transcript;
  }

  /** The last lines of the transcript. */
  lastLines(count = 20): string {
    checkInteger(count, 'number of lines', 1, Number.MAX_SAFE_INTEGER);
    return this.#transcript.split(/\r?\n/).slice(-count).join('\n');
  }

  /**
   * Waits until the guest prints text that matches, looking from where the last wait ended. With an array the pattern that matches
   * first in the text wins. Rejects with ERR_HAX_ENDED when the guest ends before, with ERR_HAX_TIMEOUT, or with the reason of a signal,
   * its own or the machine's.
   */
  async waitFor(pattern: Pattern | readonly Pattern[], options: WaitOptions = {}): Promise<WaitResult> {
    const patterns = (Array.isArray(pattern) ? pattern : [pattern]) as readonly Pattern[];
    checkWait(patterns, options);
    const { timeout, signal } = options;
    if (signal?.aborted) throw signal.reason;
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const settle = (outcome: () => void): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        const index = this.#waiters.indexOf(waiter);
        if (index >= 0) this.#waiters.splice(index, 1);
        outcome();
      };
      const waiter: Waiter = { patterns, settle, resolve, reject };
      const onAbort = (): void => settle(() => reject(signal!.reason as Error));
      this.#waiters.push(waiter);
      signal?.addEventListener('abort', onAbort);
      if (timeout !== undefined && timeout <= maxTimeout) {
        timer = setTimeout(() => settle(() => reject(this.#timedOut(patterns, timeout))), timeout);
      }
      this.#match();
      if (this.#ended && this.#waiters.includes(waiter)) settle(() => reject(this.#endedBefore(patterns)));
    });
  }

  /** For the machine: bytes that the guest printed. False asks it to hold back until `onDrain`. */
  deliver(bytes: Uint8Array, onDrain: () => void): boolean {
    const text = this.#decoder.decode(bytes, { stream: true });
    this.#transcript = (this.#transcript + text).slice(-maxTranscript);
    this.#pending = (this.#pending + text).slice(-maxPending);
    this.#match();
    if (this.destroyed || (this.readableFlowing === null && this.listenerCount('readable') === 0)) return true;
    if (this.push(Buffer.from(bytes)) || this.#hurried) return true;
    this.#onDrain = onDrain;
    return false;
  }

  /** For the machine: takes all that a UART still holds, which is bounded, without asking it to hold back; `flush` hands it over. */
  hurry(flush: () => void): void {
    this.#hurried = true;
    this._read();
    flush();
    this.#hurried = false;
  }

  /** For the machine: how input reaches the guest; returns how many bytes it took. It calls accept() when it can take more. */
  attach(feed: (bytes: Uint8Array) => number): void {
    this.#feed = feed;
    this.accept();
  }

  /** For the machine: the guest can take more input. */
  accept(): void {
    const unsent = this.#unsent;
    if (!unsent || !this.#feed) return;
    const taken = this.#feed(unsent.bytes);
    if (taken < unsent.bytes.length) {
      unsent.bytes = unsent.bytes.subarray(taken);
      return;
    }
    this.#unsent = undefined;
    unsent.done();
  }

  /** For the machine: there will be no more output; waits reject, after an abort with its reason. */
  finish(describe: string, { cause, aborted = false }: { cause?: unknown; aborted?: boolean } = {}): void {
    if (this.#ended) return;
    this.#ended = { describe, cause, aborted };
    this.#feed = () => Infinity; // input to a guest that has ended vanishes
    this.accept();
    for (const waiter of [...this.#waiters]) waiter.settle(() => waiter.reject(this.#endedBefore(waiter.patterns)));
    this.push(null);
  }

  /** @internal */
  override _read(): void {
    const drain = this.#onDrain;
    this.#onDrain = undefined;
    drain?.();
  }

  /** Whoever has read enough, by leaving a loop over the console for example, must not stop the guest from printing. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this._read();
    done(error);
  }

  /** @internal */
  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: () => void): void {
    this.#unsent = { bytes: typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk, done };
    this.accept();
  }

  /** Waiters are served in the order in which they came; each consumes the text up to the end of its match. */
  #match(): void {
    for (let waiter = this.#waiters[0]; waiter; waiter = this.#waiters[0]) {
      const found = firstMatch(this.#pending, waiter.patterns);
      if (!found) return;
      const before = this.#pending.slice(0, found.at);
      this.#pending = this.#pending.slice(found.at + found.match.length);
      const { match, index, groups } = found;
      const { settle, resolve } = waiter;
      settle(() => resolve({ match, before, index, groups }));
    }
  }

  #timedOut(patterns: readonly Pattern[], timeout: number): HaxError {
    return new HaxError(
      'ERR_HAX_TIMEOUT',
      `the guest did not print ${describe(patterns)} within ${timeout} ms; its last lines:\n${this.lastLines()}`,
      {
        transcript: this.#transcript,
      },
    );
  }

  #endedBefore(patterns: readonly Pattern[]): Error {
    const { describe: end, cause, aborted } = this.#ended!;
    if (aborted) return cause as Error;
    return new HaxError(
      'ERR_HAX_ENDED',
      `the guest ended (${end}) before it printed ${describe(patterns)}; its last lines:\n${this.lastLines()}`,
      {
        transcript: this.#transcript,
        cause,
      },
    );
  }
}

function checkWait(patterns: readonly Pattern[], options: WaitOptions): void {
  if (patterns.length === 0 || !patterns.every((each) => each instanceof RegExp || (typeof each === 'string' && each !== ''))) {
    throw invalidArgument('waitFor takes a string that is not empty, a RegExp, or an array of them');
  }
  checkObject(options, 'what waitFor() takes besides its patterns');
  const { timeout, signal } = options;
  if (timeout !== undefined && (typeof timeout !== 'number' || !(timeout >= 0))) {
    throw invalidArgument(`timeout must be a number of milliseconds, not ${shown(timeout)}`);
  }
  checkSignal(signal);
}

interface Found {
  at: number;
  match: string;
  index: number;
  groups: readonly (string | undefined)[];
}

function firstMatch(text: string, patterns: readonly Pattern[]): Found | undefined {
  let best: Found | undefined;
  patterns.forEach((pattern, index) => {
    let found: Found | undefined;
    if (typeof pattern === 'string') {
      const at = text.indexOf(pattern);
      if (at >= 0) found = { at, match: pattern, index, groups: [] };
    } else {
      // Without g and y, so that lastIndex plays no part.
      const result = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')).exec(text);
      if (result) found = { at: result.index, match: result[0], index, groups: result.slice(1) };
    }
    if (found && (!best || found.at < best.at)) best = found;
  });
  return best;
}

function describe(patterns: readonly Pattern[]): string {
  return patterns.map((pattern) => (typeof pattern === 'string' ? JSON.stringify(pattern) : String(pattern))).join(' or ');
}

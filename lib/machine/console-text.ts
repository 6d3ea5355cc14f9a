import { types } from 'node:util';
import { checkNames, checkObject, checkSignal, shown } from '../util/check';
import { HaxError, invalidArgument } from '../util/errors';
import { nowNs } from '../util/now';
import { checkInteger } from '../util/numbers';

/**
 * What to wait for: the text itself, or an expression over what has been printed and not been waited past. While the guest prints on, an
 * expression is looked for where what is new begins and 65,536 characters before that, and for a tenth of the time at most.
 */
export type Pattern = string | RegExp;

/** How long to wait. */
export interface WaitOptions {
  /** Milliseconds; without it the wait ends with the guest at the latest. */
  timeout?: number | undefined;
  /** Ends the wait: it rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

const waitOptionNames: Record<keyof WaitOptions, true> = { timeout: true, signal: true };

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
/** Before all is searched for a string, this much of its end is looked for in what is new and as much before it. */
const maxTail = 256;
/** A match of a RegExp may begin so far before what is new. */
const regExpWindow = 2 ** 16;
/** After a search with a RegExp there is none for so many times as long as it took: a guest that prints line after line must not pay for each. */
const searchPause = 10;
/** So many pieces, or characters, are put together before they are added to what is kept. */
const maxPieces = 4096;
const maxPieced = 2 ** 16;
/** What a timer can wait, milliseconds: 24 days. Longer is for ever. */
const maxTimeout = 2 ** 31 - 1;

interface Waiter {
  readonly patterns: readonly Pattern[];
  /** How much of all that was printed has been searched for it. */
  searched: number;
  readonly resolve: (result: WaitResult) => void;
  readonly giveUp: (error: Error) => void;
}

/** What the guest has printed on its console, as text, and who waits for more of it. */
export class ConsoleText {
  readonly #decoder = new TextDecoder();
  readonly #waiters: Waiter[] = [];
  /** Up to twice as long as what is kept, as is the transcript: cutting a text that grows copies all of it. */
  #pending = '';
  /** Where it begins in all that was printed. */
  #pendingStart = 0;
  /** What has come since, to be joined: a string to which single characters are added takes 32 bytes for each of them. */
  readonly #pieces: string[] = [];
  #pieced = 0;
  /** The end of what has been printed. The first waiter has looked for its strings in all of it. */
  #tail = '';
  /** Before this time, of nowNs(), no RegExp is looked for in what is new; then the timer does. */
  #nextSearch = 0;
  #searchTimer: NodeJS.Timeout | undefined;
  #transcript = '';
  #ended: { describe: string; cause: unknown; aborted: boolean } | undefined;

  /** The last part of what the guest has printed. */
  get transcript(): string {
    this.#gather();
    return this.#transcript.slice(-maxTranscript);
  }

  /** See {@link Console.lastLines}. */
  lastLines(count = 20): string {
    checkInteger(count, 'number of lines', 1, Number.MAX_SAFE_INTEGER);
    return this.transcript.split(/\r?\n/).slice(-count).join('\n');
  }

  /** See {@link Console.waitFor}. */
  async waitFor(pattern: Pattern | readonly Pattern[], options: WaitOptions = {}): Promise<WaitResult> {
    const patterns = (Array.isArray(pattern) ? pattern : [pattern]) as readonly Pattern[];
    checkWait(patterns, options);
    const { timeout, signal } = options;
    if (signal?.aborted) throw signal.reason;
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const leave = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        const index = this.#waiters.indexOf(waiter);
        if (index >= 0) this.#waiters.splice(index, 1);
      };
      const waiter: Waiter = {
        patterns,
        searched: 0,
        resolve: (result) => {
          leave();
          resolve(result);
        },
        giveUp: (error) => {
          leave();
          reject(error);
          // What it has not found may be for those behind it.
          this.#match();
        },
      };
      const onAbort = (): void => waiter.giveUp(signal!.reason as Error);
      this.#waiters.push(waiter);
      signal?.addEventListener('abort', onAbort);
      if (timeout !== undefined && timeout <= maxTimeout) {
        timer = setTimeout(() => {
          this.#searchLate();
          if (this.#waiters.includes(waiter)) waiter.giveUp(this.#timedOut(waiter, timeout));
        }, timeout);
      }
      this.#match();
      // Whatever that took: the next output is looked at as it comes.
      this.#nextSearch = 0;
      if (this.#ended && this.#waiters.includes(waiter)) waiter.giveUp(this.#endedBefore(patterns));
    });
  }

  /** Bytes that the guest has printed. */
  add(bytes: Uint8Array): void {
    const text = this.#decoder.decode(bytes, { stream: true });
    this.#pieces.push(text);
    this.#pieced += text.length;
    if (this.#pieces.length >= maxPieces || this.#pieced >= maxPieced) this.#gather();
    const unseen = this.#tail + text;
    this.#tail = unseen.slice(-maxTail);
    const patterns = this.#waiters[0]?.patterns ?? [];
    if (patterns.some((pattern) => typeof pattern === 'string' && unseen.includes(pattern.slice(-maxTail)))) this.#match();
    else if (patterns.some((pattern) => typeof pattern !== 'string')) this.#search();
  }

  /** There will be no more: waits reject, after an abort with its reason. */
  finish(describe: string, { cause, aborted = false }: { cause?: unknown; aborted?: boolean } = {}): void {
    this.#searchLate();
    this.#ended = { describe, cause, aborted };
    for (let waiter = this.#waiters[0]; waiter; waiter = this.#waiters[0]) waiter.giveUp(this.#endedBefore(waiter.patterns));
  }

  /** Adds what has come to what is kept. */
  #gather(): void {
    const text = this.#pieces.join('');
    this.#pieces.length = 0;
    this.#pieced = 0;
    this.#transcript = cut(this.#transcript + text, maxTranscript);
    this.#setPending(cut(this.#pending + text, maxPending), text.length);
  }

  /** So much has been added to the end of what is pending; what is missing has gone from its start. */
  #setPending(text: string, added = 0): void {
    this.#pendingStart += this.#pending.length + added - text.length;
    this.#pending = text;
  }

  /** Looks for RegExps as soon as it is time. */
  #search(): void {
    const wait = this.#nextSearch - nowNs();
    if (wait <= 0) this.#match();
    else this.#searchTimer ??= setTimeout(() => this.#match(), Math.ceil(wait / 1e6)).unref();
  }

  /** The last chance for a search that has been put off. */
  #searchLate(): void {
    if (this.#searchTimer) this.#match();
  }

  /** Waiters are served in the order in which they came; each consumes the text up to the end of its match. */
  #match(): void {
    clearTimeout(this.#searchTimer);
    this.#searchTimer = undefined;
    const began = nowNs();
    this.#gather();
    this.#setPending(this.#pending.slice(-maxPending));
    for (let waiter = this.#waiters[0]; waiter; waiter = this.#waiters[0]) {
      const text = this.#pending;
      const found = firstMatch(text, waiter.patterns, waiter.searched - this.#pendingStart - regExpWindow);
      if (!found) {
        waiter.searched = this.#pendingStart + text.length;
        break;
      }
      this.#setPending(text.slice(found.at + found.match.length));
      const { match, index, groups } = found;
      waiter.resolve({ match, before: text.slice(0, found.at), index, groups });
    }
    const now = nowNs();
    this.#nextSearch = now + searchPause * (now - began);
  }

  #timedOut({ patterns }: Waiter, timeout: number): HaxError {
    const [first] = this.#waiters;
    const what =
      first.patterns === patterns
        ? `the guest did not print ${describe(patterns)}`
        : `${describe(patterns)} is looked for behind ${describe(first.patterns)}, which an earlier waitFor() waits for and the guest did not print`;
    const message = `${what} within ${timeout} ms; its last lines:\n${this.lastLines()}`;
    return new HaxError('ERR_HAX_TIMEOUT', message, { transcript: this.transcript });
  }

  #endedBefore(patterns: readonly Pattern[]): Error {
    const { describe: end, cause, aborted } = this.#ended!;
    if (aborted) return cause as Error;
    return new HaxError(
      'ERR_HAX_ENDED',
      `the guest ended (${end}) before it printed ${describe(patterns)}; its last lines:\n${this.lastLines()}`,
      {
        transcript: this.transcript,
        cause,
      },
    );
  }
}

/** Its last `size` characters at least. */
function cut(text: string, size: number): string {
  return text.length < 2 * size ? text : text.slice(-size);
}

function checkWait(patterns: readonly Pattern[], options: WaitOptions): void {
  if (patterns.length === 0 || !patterns.every((each) => types.isRegExp(each) || (typeof each === 'string' && each !== ''))) {
    throw invalidArgument('waitFor takes a string that is not empty, a RegExp, or an array of them');
  }
  checkObject(options, 'what waitFor() takes besides its patterns');
  checkNames(options, waitOptionNames, 'waitFor()');
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

/** Matches of RegExps begin at `from` or later. */
function firstMatch(text: string, patterns: readonly Pattern[], from: number): Found | undefined {
  let best: Found | undefined;
  patterns.forEach((pattern, index) => {
    let found: Found | undefined;
    if (typeof pattern === 'string') {
      const at = text.indexOf(pattern);
      if (at >= 0) found = { at, match: pattern, index, groups: [] };
    } else {
      // One of its own, so that the caller's lastIndex plays no part.
      const search = new RegExp(pattern.source, `${pattern.flags.replace(/[gy]/g, '')}g`);
      search.lastIndex = Math.max(from, 0);
      const result = search.exec(text);
      if (result) found = { at: result.index, match: result[0], index, groups: result.slice(1) };
    }
    if (found && (!best || found.at < best.at)) best = found;
  });
  return best;
}

function describe(patterns: readonly Pattern[]): string {
  return patterns.map((pattern) => (typeof pattern === 'string' ? JSON.stringify(pattern) : String(pattern))).join(' or ');
}

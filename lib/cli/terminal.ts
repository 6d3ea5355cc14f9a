/** A terminal as the standard input of `hax run`: raw while it is ours, and left alone while another job has it. */
import { fstatSync, readFileSync } from 'node:fs';
import type { ReadStream } from 'node:tty';
import type { Console } from '../machine/console';
import { status, type Verdict } from './status';
import { stderrStream } from './streams';

const ctrlA = 0x01;
/** So much that comes waits for the guest, bytes, so that what comes behind it is seen: Ctrl-A X, or the end of a client. */
export const maxUnread = 2 ** 20;

/** How often a job in the background looks for itself in the foreground, milliseconds: not every shell's `fg` sends a signal. */
const lookInterval = 250;

/** They end a process, and the run has no status for them; a limit of CPU time sends the last one. */
const deadly = ['SIGALRM', 'SIGUSR2', 'SIGXCPU'] as const;

export class TerminalInput {
  #told = false;
  #escaped = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #listeners: readonly (readonly [name: string, listener: () => void])[];

  /** What is typed goes to the console, but for Ctrl-A X. */
  constructor(
    private readonly stdin: ReadStream,
    private readonly console: Console,
    private readonly stop: (verdict: Verdict) => void,
  ) {
    this.#listeners = [
      // Also when something throws that nobody caught.
      ['exit', () => this.#restore()],
      ['SIGTSTP', () => this.#suspend()],
      ['SIGCONT', () => this.#takeOrWait()],
      // Where Node listens, for an option such as --report-on-signal, the signal does not end the process.
      ...deadly.filter((signal) => process.listenerCount(signal) === 0).map((signal) => [signal, () => this.#die(signal)] as const),
    ];
    for (const [name, listener] of this.#listeners) process.on(name, listener);
    if (isInBackground()) {
      stderrStream().write('hax: the terminal is with another job: no input for the guest before fg; timeout has --foreground\r\n');
    }
    this.#takeOrWait();
  }

  /** Puts the terminal's mode back, and reads no more of it. */
  close(): void {
    for (const [name, listener] of this.#listeners) process.off(name, listener);
    clearInterval(this.#timer);
    this.#restore();
    this.stdin.off('data', this.#onData).destroy();
  }

  /** Reading a terminal of another job, too, would stop us. */
  #takeOrWait(): void {
    const { stdin } = this;
    clearInterval(this.#timer);
    stdin.off('data', this.#onData).pause();
    if (isInBackground()) {
      // One that is the session's no more may have another at it.
      this.#timer = setInterval(() => jobOfTerminal() === 'foreground' && this.#takeOrWait(), lookInterval).unref();
      return;
    }
    if (!this.#told) stderrStream().write('hax: Ctrl-A X ends the machine, Ctrl-A Ctrl-A sends Ctrl-A\r\n');
    // A shell may have put it to its own use meanwhile, and Node sets no mode that it believes to be there.
    else stdin.setRawMode(false);
    this.#told = true;
    stdin.setRawMode(true).on('data', this.#onData).resume();
  }

  #restore(): void {
    if (!isInBackground()) this.stdin.setRawMode(false);
  }

  /** As without a listener, but for the mode. */
  #suspend(): void {
    this.#restore();
    process.kill(process.pid, 'SIGSTOP');
  }

  #die(signal: NodeJS.Signals): void {
    this.close();
    process.kill(process.pid, signal);
  }

  readonly #onData = (bytes: Buffer): void => {
    const forGuest: number[] = [];
    for (const byte of bytes) {
      if (this.#escaped) {
        this.#escaped = false;
        if (byte === 'x'.charCodeAt(0) || byte === 'X'.charCodeAt(0)) {
          return this.stop({ status: status.ok, message: 'ended by Ctrl-A X', impatient: true });
        }
        forGuest.push(byte);
      } else if (byte === ctrlA) {
        this.#escaped = true;
      } else {
        forGuest.push(byte);
      }
    }
    // A terminal is never paused: more than that is dropped.
    if (this.console.writableLength < maxUnread) this.console.write(Buffer.from(forGuest));
  };
}

/** Linux's /dev/tty: major 5, minor 0. */
const ownTerminal = 0x500;

type Job = 'foreground' | 'background' | 'none';

/**
 * What we are to the terminal that standard input is: none where it is not that of our session, or where the session has lost it. In the
 * background setting its mode would stop us inside the call, where neither SIGTERM nor the time-out is seen. `timeout` makes a job of its own
 * of what it starts.
 */
function jobOfTerminal(): Job {
  try {
    // Behind the name in parentheses: state, parent, process group, session, terminal, the terminal's process group (proc(5)).
    const [, , group, , terminal, foreground] = readFileSync('/proc/self/stat', 'latin1').split(') ').at(-1)!.split(' ');
    const { rdev } = fstatSync(0);
    const isItsOwn = rdev === Number(terminal) >>> 0 || rdev === ownTerminal;
    if (!isItsOwn || Number(foreground) <= 0) return 'none';
    return group === foreground ? 'foreground' : 'background';
  } catch {
    return 'none'; // no Linux
  }
}

function isInBackground(): boolean {
  return jobOfTerminal() === 'background';
}

/** The command `hax` as a user runs it: a child process of the built file. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import * as path from 'node:path';

export const commandFile = path.resolve(__dirname, '../../dist/cli/main.js');

/** A busy machine, or host B, takes ten times as long as a quiet one; less than a test's own limit, so that what was printed is told. */
const defaultLimit = 200_000;

export interface Finished {
  /** The exit status; undefined when a signal ended it. */
  readonly status: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** From spawn to exit. */
  readonly milliseconds: number;
}

export interface CommandOptions {
  /** Written to standard input, which is closed then; nothing by default. */
  readonly input?: string | Uint8Array;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** As another user; needs root. */
  readonly uid?: number;
  readonly gid?: number;
  /** Standard input stays open: the caller writes to it. */
  readonly keepInput?: boolean;
  /** Nobody reads standard output until the caller does. */
  readonly keepOutput?: boolean;
  /** A command that hangs is killed after so many milliseconds; 200,000 by default. */
  readonly limit?: number;
}

export class RunningCommand {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #chunks: Buffer[] = [];
  #stderr = '';
  readonly #finished: Promise<Finished>;
  #closed = false;
  readonly #watchers = new Set<() => void>();

  constructor(
    program: string,
    args: readonly string[],
    { input, env, keepInput, keepOutput, limit = defaultLimit, ...options }: CommandOptions = {},
  ) {
    const began = performance.now();
    this.child = spawn(program, args, { ...options, env: { ...process.env, ...env }, stdio: 'pipe' });
    this.child.stdin.on('error', () => undefined); // it has ended already
    if (input !== undefined) this.child.stdin.write(input);
    if (!keepInput) this.child.stdin.end();
    if (!keepOutput) this.read();
    this.child.stderr.on('data', (bytes: Buffer) => {
      this.#stderr += bytes.toString();
      this.#notify();
    });
    const timer = setTimeout(() => this.child.kill('SIGKILL'), limit);
    this.#finished = new Promise((resolve, reject) => {
      this.child.on('error', reject);
      this.child.on('close', (status, signal) => {
        clearTimeout(timer);
        this.#closed = true;
        this.#notify();
        resolve({
          status: status ?? undefined,
          signal: signal ?? undefined,
          stdout: this.stdout,
          stderr: this.#stderr,
          milliseconds: performance.now() - began,
        });
      });
    });
  }

  get stdout(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Takes what comes to standard output. */
  read(): void {
    this.child.stdout.on('data', (bytes: Buffer) => {
      this.#chunks.push(bytes);
      this.#notify();
    });
  }

  /** Resolves when standard output (or standard error) contains the text; throws when both have ended without it, which may be after the process. */
  async printed(text: string, stream: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    const there = (): boolean => this[stream].toString().includes(text);
    while (!there()) {
      if (this.#closed) {
        throw new Error(
          `ended without printing ${JSON.stringify(text)} on ${stream}\nstdout: ${this.stdout.toString()}\nstderr: ${this.#stderr}`,
        );
      }
      await new Promise<void>((resolve) => {
        const watcher = (): void => {
          this.#watchers.delete(watcher);
          resolve();
        };
        this.#watchers.add(watcher);
      });
    }
  }

  /** Resolves when the process has ended and its output is complete. */
  end(): Promise<Finished> {
    return this.#finished;
  }

  #notify(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

/** Starts `hax ARGS…`. */
export function startHax(args: readonly string[], options?: CommandOptions): RunningCommand {
  return new RunningCommand(process.execPath, [commandFile, ...args], options);
}

/** Runs `hax ARGS…` to its end. */
export function hax(args: readonly string[], options?: CommandOptions): Promise<Finished> {
  return startHax(args, options).end();
}

/** Runs a shell script in which `hax` is the command. */
export function shell(script: string, options: CommandOptions = {}): Promise<Finished> {
  const quoted = [process.execPath, commandFile].map((word) => `'${word}'`).join(' ');
  return new RunningCommand('sh', ['-c', `hax() { ${quoted} "$@"; }\n${script}`], options).end();
}

/**
 * Scripts in a Node of their own, for what may crash, hang or end the process. They use the built package (dist/) as a user does:
 * `require('node-hax')`, and `make(backend, program)` of child-guests.js.
 */
import { spawn, type SpawnOptions } from 'node:child_process';
import * as path from 'node:path';
import { assemble } from './assemble';
import { at } from './guests';

export interface ChildResult {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** From the script's first line of output to its end, in milliseconds. */
  readonly sinceFirstOutput: number;
}

export interface ChildOptions {
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A child that takes longer is killed: status null, signal SIGKILL. */
  readonly limit?: number;
  /** Called with the child once it has written something. */
  readonly onOutput?: (child: ReturnType<typeof spawn>) => void;
}

const root = path.resolve(__dirname, '../..');

/** Real-mode programs that child-guests.js loads; DX is the port. */
const programs = {
  spin: '1: jmp 1b',
  halt: 'hlt',
  out: '1: out dx, al; loop 1b; hlt',
  outForEver: '1: out dx, al; jmp 1b',
  /** A counter at 0x7000 that goes up as long as the guest runs. */
  count: '1: inc dword ptr [0x7000]; jmp 1b',
  /** Writes a pattern to 0x7000-0x7fff, checks it, and counts the rounds at 0x6000; OUT with 1 in AL when it was not there. */
  pattern: `mov ax, 1; 1: mov di, 0x7000; mov cx, 0x800; 2: mov [di], ax; add di, 2; loop 2b
    mov di, 0x7000; mov cx, 0x800; 3: cmp [di], ax; jne 4f; add di, 2; loop 3b; inc ax; inc dword ptr [0x6000]; jmp 1b
    4: mov al, 1; out dx, al; hlt`,
};

export type ProgramName = keyof typeof programs;

function environment(extra: ChildOptions['env'] = {}): NodeJS.ProcessEnv {
  const code = Object.fromEntries(
    Object.entries(programs).map(([name, source]) => [name, Buffer.from(assemble(source, { origin: at.code })).toString('base64')]),
  );
  // A variable that is undefined is not there.
  return { ...process.env, NODE_HAX_TEST_PROGRAMS: JSON.stringify(code), ...extra };
}

/** Runs CommonJS source, in the root of the checkout. */
export function runChild(script: string, { flags = [], env, limit = 200_000, onOutput }: ChildOptions = {}): Promise<ChildResult> {
  const prelude = `const { make, report } = require('./test/support/child-guests.js');\n`;
  const options: SpawnOptions = { cwd: root, env: environment(env), stdio: ['ignore', 'pipe', 'pipe'] };
  const child = spawn(process.execPath, [...flags, '-e', prelude + script], options);
  return new Promise((resolve, reject) => {
    let [stdout, stderr, first] = ['', '', 0];
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      if (first > 0) return;
      first = performance.now();
      onOutput?.(child);
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const timer = setTimeout(() => child.kill('SIGKILL'), limit);
    child.on('error', reject);
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      resolve({ status, signal, stdout, stderr, sinceFirstOutput: performance.now() - first });
    });
  });
}

/** Runs a script that ends by itself with status 0 and gives what it handed to `report()`. */
export async function childReport<T = Record<string, unknown>>(script: string, options?: ChildOptions): Promise<T> {
  const { status, signal, stdout, stderr } = await runChild(script, options);
  if (status !== 0) throw new Error(`the child ended with ${signal ?? `status ${status}`}:\n${stderr}${stdout}`);
  return JSON.parse(stdout) as T;
}

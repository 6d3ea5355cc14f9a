/** What the tests of `hax run` have in common: streams in the place of the process's, and the command around a machine that is scripted. */
import { PassThrough, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { main } from '../../../lib/cli/program';
import type { RunEnd } from '../../../lib/hypervisor/end';
import { input, made, scripted, type ScriptedMachine } from './scripted-machine';

// The subcommand is imported by the name of the built file.
jest.mock('../../../lib/cli/run.js', () => jest.requireActual<object>('../../../lib/cli/run'), { virtual: true });

/** A standard output that may be stuck. */
class Output extends Writable {
  text = '';
  stuck: (() => void)[] | undefined;
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.stuck) {
      this.stuck.push(done);
      return;
    }
    this.text += chunk.toString();
    done();
  }
}

const real = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
export let streams: { stdin: PassThrough; stdout: Output; stderr: Output };

export function use(values: { stdin: unknown; stdout: unknown; stderr: unknown }): void {
  for (const [name, value] of Object.entries(values)) Object.defineProperty(process, name, { value, configurable: true });
}

/** For each test of a file: streams and a machine that no other has used. */
export function replaceStreams(): void {
  beforeEach(() => {
    made.length = 0;
    scripted.refusal = undefined;
    Object.assign(input, { text: '', room: Infinity });
    streams = { stdin: new PassThrough(), stdout: new Output(), stderr: new Output() };
    use(streams);
  });
  afterEach(() => use(real));
}

/** Starts `hax run ARGS… image` and gives the machine once it runs, or the command has ended without. */
export async function start(...args: string[]): Promise<{ machine: ScriptedMachine; status: Promise<number> }> {
  made.length = 0;
  const status = main(['run', ...args, 'image']);
  let over = false;
  const end = (): void => void (over = true);
  void status.then(end, end);
  while (!made[0]?.started && !over) await sleep(1);
  return { machine: made[0], status };
}

export async function ended(end: RunEnd, ...args: string[]): Promise<{ status: number; stderr: string }> {
  const { machine, status } = await start(...args);
  machine.end(end);
  const result = await status;
  expect(machine.closed).toBe(true);
  return { status: result, stderr: streams.stderr.text };
}

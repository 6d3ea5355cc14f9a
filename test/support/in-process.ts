/**
 * The command inside this process, from its source: a tenth of the time of a child process, for what does not depend on one. Standard
 * input and output of the process are not the guest's: give `--serial null` or a file where a guest runs.
 */
import { main } from '../../lib/cli/program';

// The subcommands are imported by the names of the built files.
jest.mock('../../lib/cli/run.js', () => jest.requireActual<object>('../../lib/cli/run'), { virtual: true });
jest.mock('../../lib/cli/doctor.js', () => jest.requireActual<object>('../../lib/cli/doctor'), { virtual: true });
jest.mock('../../lib/cli/demo.js', () => jest.requireActual<object>('../../lib/cli/demo'), { virtual: true });

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function haxInProcess(args: readonly string[]): Promise<Outcome> {
  const texts = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    jest.spyOn(process[name], 'write').mockImplementation((chunk: string | Uint8Array) => {
      texts[name] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
      return true;
    }),
  );
  try {
    const status = await main(args);
    return { status, ...texts };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** Lives of vCPUs that timers and handlers interfere with at random: see test/fuzz/life.js. HAX_FUZZ_SEED and HAX_FUZZ_RUNS as in kvm-fuzz. */
import * as path from 'node:path';
import { RunningCommand } from '../support/command';
import { describeEachBackend } from '../support/hosts';

jest.setTimeout(120_000);

describeEachBackend('random lives of vCPUs', (backend) => {
  it('all come to an end, whatever happens in them', async () => {
    const { HAX_FUZZ_SEED, HAX_FUZZ_RUNS } = process.env;
    const seed = Number(HAX_FUZZ_SEED ?? 1);
    const input = JSON.stringify({
      backend: backend.name,
      seed,
      runs: Number(HAX_FUZZ_RUNS ?? 60),
      limit: HAX_FUZZ_RUNS ? undefined : 8_000,
    });
    const script = path.resolve(__dirname, '../fuzz/life.js');
    const { status, signal, stdout, stderr } = await new RunningCommand(process.execPath, [script], {
      input,
      limit: HAX_FUZZ_RUNS ? 4_700_000 : 100_000,
    }).end();
    expect({ seed, status, signal, stderr }).toEqual({ seed, status: 0, signal: undefined, stderr: '' });
    const { rounds, ends, overlaps } = JSON.parse(stdout.toString()) as { rounds: number; ends: Record<string, number>; overlaps: number };
    expect({ overlaps, ran: rounds > 5 }).toEqual({ overlaps: 0, ran: true });
    const known = ['halted', 'killed', 'aborted', 'ERR_HAX_DEVICE_FAILED'];
    const thrown = /^(by a timer|of a late doorbell): (ERR_HAX_CLOSED|ERR_HAX_RUNNING|a device of the test)$/;
    expect(Object.keys(ends).filter((end) => !known.includes(end) && !thrown.test(end))).toEqual([]);
  });
});

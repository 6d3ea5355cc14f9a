/** KVM's calls with random arguments: see test/fuzz/kvm.js. HAX_FUZZ_SEED repeats a run, HAX_FUZZ_RUNS makes a longer one. */
import * as path from 'node:path';
import { kvmCalls } from 'node-hax';
import { RunningCommand } from '../support/command';
import { describeKvm } from '../support/hosts';

jest.setTimeout(process.env.HAX_FUZZ_RUNS ? 4_800_000 : 300_000);

describeKvm('fuzzed calls of KVM', () => {
  it('return, or are refused with an error of ours, and the process goes on', async () => {
    const { HAX_FUZZ_SEED, HAX_FUZZ_RUNS } = process.env;
    const seed = Number(HAX_FUZZ_SEED ?? 1); // the same each time; the nights have others
    const input = JSON.stringify({ seed, runs: Number(HAX_FUZZ_RUNS ?? 300), limit: HAX_FUZZ_RUNS ? undefined : 15_000 });
    const script = path.resolve(__dirname, '../fuzz/kvm.js');
    const { status, signal, stdout, stderr } = await new RunningCommand(process.execPath, [script], {
      input,
      limit: HAX_FUZZ_RUNS ? 4_700_000 : 280_000,
    }).end();
    expect({ seed, status, signal, stderr }).toEqual({ seed, status: 0, signal: undefined, stderr: '' });
    const { calls, methods, outcomes } = JSON.parse(stdout.toString()) as {
      calls: number;
      methods: number;
      outcomes: Record<string, number>;
    };
    // Devices in the kernel are not everywhere.
    expect(methods).toBeGreaterThanOrEqual(kvmCalls.filter(({ method, scope }) => !method.includes('.') && scope !== 'device').length);
    expect([calls > 300, outcomes.done > 50, outcomes.ERR_HAX_INVALID_ARGUMENT > 50, outcomes.ERR_HAX_IOCTL > 50]).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });
});

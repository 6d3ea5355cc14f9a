import { spawnSync } from 'node:child_process';
import * as path from 'node:path';

const run = (...words: string[]) =>
  spawnSync(process.execPath, [path.resolve(__dirname, '../../bench/run.js'), ...words], { encoding: 'utf8' });

describe('the gate of the benchmarks', () => {
  it('finds a run loop that has become slower by 100 ns an exit', () => {
    const { status, stderr } = run('dispatch', '--check', '--quick', '--tries', '1', '--plant');
    expect(stderr).toMatch(
      /^bench: dispatch: an exit of the null device, one class, over C is [0-9.]+ %, over the limit of 700 % \(bar 20 ns\)$/m,
    );
    expect(status).toBe(1);
  }, 600_000);

  it('refuses what it does not know, before it measures anything', () => {
    expect(run('--fast')).toMatchObject({ status: 2, stderr: expect.stringMatching(/^bench: unknown option '--fast'\nUsage/) });
    expect(run('dispach')).toMatchObject({ status: 2, stderr: expect.stringMatching(/^bench: unknown row 'dispach'\n/) });
    expect(run('--check', '--tries', 'many')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^bench: --tries takes a number\n/),
    });
    expect(run('--save', '../x')).toMatchObject({ status: 2, stderr: expect.stringMatching(/^bench: --save takes a name/) });
  });
});

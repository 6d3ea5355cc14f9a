import { childReport } from '../support/child';
import { describeEachBackend } from '../support/hosts';

describeEachBackend('abuse', (backend) => {
  it('of every method, in every state, with anything, gives errors with codes and never more', async () => {
    const script = `process.argv[2] = '${backend.name}'; require('./test/support/abuse.js');`;
    const { calls, ...result } = await childReport<{ calls: number }>(script, { flags: ['--expose-gc'], limit: 240_000 });
    expect(result).toEqual({ bad: [], count: 0, forgotten: [], reason: 'halted' });
    expect(calls).toBeGreaterThan(10_000);
  }, 250_000);
});

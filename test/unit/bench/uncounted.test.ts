import { readFileSync } from 'node:fs';
import * as path from 'node:path';

const { strip } = jest.requireActual<{ strip(source: string): string }>('../../../bench/lib/uncounted.js');

describe('the run loop without its counters', () => {
  const source = 'a; ports[port]++; b; kinds[kind]++; c; exits.slices++; d;';

  it('has every other statement', () => {
    expect(strip(source)).toBe('a;  b;  c;  d;');
  });

  it('is made from the source that there is', () => {
    const source = readFileSync(path.resolve(__dirname, '../../../lib/run/inline.ts'), 'utf8');
    expect(() => strip(source)).not.toThrow();
  });

  it('is not made from a source that counts in another way', () => {
    expect(() => strip('ports[port] += 1;')).toThrow(/has 'ports\[port\]\+\+;' 0 times/);
    expect(() => strip(`${source} ports[port]++;`)).toThrow(/2 times/);
  });
});

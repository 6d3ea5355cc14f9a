const { strip } = jest.requireActual<{ strip(source: string): string }>('../../../bench/lib/uncounted.js');

describe('the run loop without its counters', () => {
  const source = 'a; ports[port]++; b; kinds[kind]++; c; this.vcpu.exits.slices++; d;';

  it('has every other statement', () => {
    expect(strip(source)).toBe('a;  b;  c;  d;');
  });

  it('is not made from a source that counts in another way', () => {
    expect(() => strip('ports[port] += 1;')).toThrow(/has 'ports\[port\]\+\+;' 0 times/);
    expect(() => strip(`${source} ports[port]++;`)).toThrow(/2 times/);
  });
});

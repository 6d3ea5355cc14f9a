interface Statistics {
  above(values: number[], base: number[]): number;
  looksBusy(values: number[]): boolean;
  median(values: number[]): number;
  middleOf<T extends object>(results: T[], figure: keyof T): T & { ofProcesses: number[] };
  paired(values: number[], base: number[]): { median: number; low: number; high: number };
  quantile(values: number[], p: number): number;
  round(value: number, digits?: number): number;
  typical(values: number[]): number;
}

const { above, looksBusy, median, middleOf, paired, quantile, round, typical } =
  jest.requireActual<Statistics>('../../../bench/lib/statistics.js');

describe('statistics of the benchmarks', () => {
  it('finds the middle without changing the list', () => {
    const values = [5, 1, 9];
    expect(median(values)).toBe(5);
    expect(values).toEqual([5, 1, 9]);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(() => median([])).toThrow('no values');
  });

  it('interpolates quantiles', () => {
    expect([0, 0.25, 0.9, 1].map((p) => quantile([10, 20, 30, 40, 50], p))).toEqual([10, 20, 46, 50]);
    expect(quantile([7], 0.9)).toBe(7);
  });

  it('sees a difference through a change of speed between rounds', () => {
    // The machine is half as fast in the last two rounds; the difference of the medians would be 60.
    expect(paired([110, 111, 109, 230, 231], [100, 100, 100, 200, 200])).toEqual({ median: 11, low: 10, high: 30 });
    expect(() => paired([1], [1, 2])).toThrow('two sides');
  });

  it('sees a difference of a hundredth where most rounds have others in the way', () => {
    // Ten rounds, in seven of which one side or the other was held up by more than what is looked for.
    const base = [100, 100.1, 130, 100.2, 160, 190, 100.1, 140, 150, 100];
    const values = [101.1, 140, 101, 180, 101.2, 101, 150, 101.1, 125, 170];
    expect(above(values, base)).toBeCloseTo(1, 5);
    expect(typical(base)).toBe(100);
    expect(Math.abs(paired(values, base).median - 1)).toBeGreaterThan(2);
  });

  it('takes the process in the middle, and says what the others had', () => {
    const results = [7, 90, 8].map((ns) => ({ ns, name: `of ${ns}` }));
    expect(middleOf(results, 'ns')).toEqual({ ns: 8, name: 'of 8', ofProcesses: [7, 8, 90] });
  });

  it('tells a busy machine by the spread of equal work', () => {
    expect(looksBusy([100, 101, 99, 103, 100])).toBe(false);
    expect(looksBusy([100, 150, 100, 160, 155])).toBe(true);
  });

  it('rounds to numbers, not to text', () => {
    expect(round(1.25)).toBe(1.3);
    expect(round(1234.5678, 2)).toBe(1234.57);
    expect(round(17, 0)).toBe(17);
  });
});

import * as limitsFile from '../../../bench/limits.json';

interface Limit {
  row: string;
  figure: string;
  what: string;
  unit?: string;
  bar?: string;
  most?: number;
  least?: number;
  why?: string;
  unless?: { figure: string; over: number; what: string };
}
interface Failure {
  row: string;
  text: string;
  excuse?: string;
}
interface Judge {
  judge(limits: Limit[], results: object, rows: string[]): Failure[];
  gate(limits: Limit[], rows: string[], measure: (rows: string[]) => object, tries: number): Promise<Failure[]>;
}

const { gate, judge } = jest.requireActual<Judge>('../../../bench/lib/judge.js');

const limits: Limit[] = [
  { row: 'dispatch', figure: 'details.null.one.percent', what: 'an exit over C', unit: '%', bar: '20 ns', most: 1100 },
  { row: 'dispatch', figure: 'details.kvm.posted.cheaper', what: 'posted writes', unit: 'times cheaper', bar: '6 times', least: 4 },
  { row: 'kick', figure: 'kick.lost', what: 'kicks lost', most: 0 },
];
const good = { details: { null: { one: { percent: 600 } }, kvm: { posted: { cheaper: 9 } } }, kick: { lost: 0 } };

describe('the gate of the benchmarks', () => {
  it('passes figures at their limits', () => {
    const edge = { details: { null: { one: { percent: 1100 } }, kvm: { posted: { cheaper: 4 } } }, kick: { lost: 0 } };
    expect(judge(limits, good, ['dispatch', 'kick'])).toEqual([]);
    expect(judge(limits, edge, ['dispatch', 'kick'])).toEqual([]);
  });

  it('names row, figure, limit and bar of each that is beyond', () => {
    const bad = { details: { null: { one: { percent: 1100.5 } }, kvm: { posted: { cheaper: 3.9 } } }, kick: { lost: 1 } };
    expect(judge(limits, bad, ['dispatch', 'kick']).map(({ text }) => text)).toEqual([
      'dispatch: an exit over C is 1100.5 %, over the limit of 1100 % (bar 20 ns)',
      'dispatch: posted writes is 3.9 times cheaper, under the least allowed, 4 times cheaper (bar 6 times)',
      'kick: kicks lost is 1, over the limit of 0',
    ]);
  });

  it('fails a figure that is missing or no number, and leaves out what was skipped or not asked for', () => {
    expect(judge(limits, {}, ['kick']).map(({ text }) => text)).toEqual(['kick: kicks lost was not measured (kick.lost)']);
    expect(judge(limits, { kick: { lost: NaN } }, ['kick'])).toHaveLength(1);
    const skipped = { details: { ...good.details, kvm: { posted: { skipped: '/dev/kvm is not there' } } } };
    expect(judge(limits, skipped, ['dispatch'])).toEqual([]);
    expect(judge(limits, { kick: { skipped: 'no device' } }, ['kick'])).toEqual([]);
  });

  it('does not blame a figure on us when what it is measured against is over a limit of its own, at the last try', async () => {
    const unless = { figure: 'threaded.floor', over: 1.5, what: 'C takes %s µs' };
    const spinning = [{ row: 'threaded', figure: 'threaded.us', what: 'an exit', unit: 'µs', most: 3, unless }];
    const excuses = (us: number, floor?: number): unknown[] =>
      judge(spinning, { threaded: { us, floor } }, ['threaded']).map(({ excuse }) => excuse);
    expect([excuses(2, 9), excuses(4, 1.5), excuses(4), excuses(4, 1.6)]).toEqual([[], [undefined], [undefined], ['C takes 1.6 µs']]);
    const answers = [
      { us: 9, floor: 5 },
      { us: 4, floor: 0.2 },
      { us: 8, floor: 4 },
    ];
    let asked = 0;
    const left = await gate(spinning, ['threaded'], () => ({ threaded: answers[asked++] }), 3);
    expect([asked, left.map(({ excuse }) => excuse)]).toEqual([3, ['C takes 4 µs']]);
  });

  it('measures what failed again, and that alone, until it has passed or the tries are over', async () => {
    const slow = { details: { null: { one: { percent: 5000 } }, kvm: { posted: { cheaper: 9 } } } };
    const asked: string[][] = [];
    const answers = [{ ...slow, kick: { lost: 0 } }, slow, good];
    const measure = (rows: string[]): object => answers[asked.push(rows) - 1];
    expect(await gate(limits, ['dispatch', 'kick'], measure, 3)).toEqual([]);
    expect(asked).toEqual([['dispatch', 'kick'], ['dispatch'], ['dispatch']]);
    asked.length = 0;
    expect((await gate(limits, ['dispatch', 'kick'], measure, 2)).map(({ row }) => row)).toEqual(['dispatch']);
  });

  it('tries no longer once a count is wrong: a kick that was lost is lost', async () => {
    const answers = [{ ...good, kick: { lost: 1 } }, good];
    let asked = 0;
    expect(await gate(limits, ['kick'], () => answers[asked++], 3)).toHaveLength(1);
    expect(asked).toBe(1);
  });
});

describe('the limits', () => {
  it.each((limitsFile.limits as Limit[]).map((limit) => [limit.figure, limit]))(
    'of %s has one bound, and a reason where it is not the bar',
    (_, limit) => {
      expect((limit.most === undefined) !== (limit.least === undefined)).toBe(true);
      const bound = limit.most ?? limit.least!;
      if (Number(limit.bar?.replace(/[^0-9.]/g, '')) !== bound || !limit.bar?.includes(limit.unit ?? '')) expect(limit.why).toBeTruthy();
    },
  );

  it.each([
    [120, undefined],
    [900, 'a timer without a VM is 900 µs late, where a machine at its speed has it 90 to 120'],
  ])('of the timers are for a host that is not late itself: without a VM %d µs', (p50, excuse) => {
    const beside = { timer: { p50: p50 + 400, overP50: 400 }, echo: { overP50: 0 } };
    const failures = judge(limitsFile.limits, { latency: { none: { timer: { p50 } }, out: beside, spin: beside } }, ['latency']);
    expect(failures.map((failure) => failure.excuse)).toEqual([excuse, excuse]);
  });
});

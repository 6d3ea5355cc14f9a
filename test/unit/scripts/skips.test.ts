interface Assertion {
  status: string;
  ancestorTitles: string[];
  title: string;
  fullName: string;
}

interface Skips {
  skipReasons(results: unknown): Map<string, number>;
  unexpectedSkips(results: unknown, lists: Record<string, string[]>): { kind: string | undefined; name: string }[];
}

const { skipReasons, unexpectedSkips } = jest.requireActual<Skips>('../../../scripts/lib/skips.js');

function test_(status: string, ...titles: string[]): Assertion {
  return { status, ancestorTitles: titles.slice(0, -1), title: titles.at(-1)!, fullName: titles.join(' ') };
}

const results = {
  testResults: [
    {
      assertionResults: [
        test_('passed', 'memory', 'null', 'maps'),
        test_('pending', 'memory', 'null', 'pages [skipped: executes nothing]'),
      ],
    },
    {
      assertionResults: [
        test_('pending', 'memory', 'software KVM', 'pages [skipped: no paging]'),
        test_('pending', 'vCPU', 'no KVM', 'all of it [skipped: KVM cannot be used]'),
        test_('pending', 'vCPU', 'software KVM', 'runs [skipped: no paging]'),
        test_('todo', 'vCPU', 'one day'),
      ],
    },
  ],
};

test('a skip has to be on the list of its kind of host', () => {
  const lists = {
    null: ['memory › pages [skipped: executes nothing]'],
    'software KVM': ['vCPU › runs [skipped: no paging]', 'vCPU › one day'],
  };
  expect(unexpectedSkips(results, lists)).toEqual([
    { kind: 'software KVM', name: 'memory › pages [skipped: no paging]' },
    { kind: undefined, name: 'vCPU › one day' },
  ]);
});

test('a listed skip whose reason has changed is not on the list', () => {
  const lists = { null: ['memory › pages [skipped: another reason]'] };
  expect(unexpectedSkips(results, lists)).toContainEqual({ kind: 'null', name: 'memory › pages [skipped: executes nothing]' });
});

test('reasons are counted, and a skip without one is told by its name', () => {
  expect([...skipReasons(results)]).toEqual([
    ['executes nothing', 1],
    ['no paging', 2],
    ['KVM cannot be used', 1],
    ['no reason given: vCPU one day', 1],
  ]);
});

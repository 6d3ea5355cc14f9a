/** What is told of a failed run at the end of its log: scripts/lib/failures.js, for .ci/run, scripts/test and scripts/sanitize. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

interface Failure {
  where?: string;
  file: string;
  name: string;
  message: string;
}

interface Failures {
  describeFailures(failures: Failure[]): string[];
  failuresOf(testResults: unknown[], root: string): Failure[];
  notPassed(files: string[], testResults: unknown[], root: string): string[];
}

const script = path.resolve(__dirname, '../../../scripts/lib/failures.js');
const { describeFailures, failuresOf, notPassed } = jest.requireActual<Failures>(script);

const test_ = (status: string, fullName: string, ...failureMessages: string[]): unknown => ({ status, fullName, failureMessages });
const file = (name: string, message: string, ...assertionResults: unknown[]): unknown => ({
  name: `/r/${name}`,
  message,
  assertionResults,
});

const results = [
  file('test/a.test.ts', '', test_('passed', 'a works'), test_('pending', 'a rests')),
  file('test/b.test.ts', 'all of it again', test_('failed', 'b works', 'Error: one', 'Error: two'), test_('passed', 'b rests')),
  file('test/c.test.ts', 'SyntaxError: c'),
];

test('failures are the tests that failed, and the files that could not be run', () => {
  expect(failuresOf(results, '/r')).toEqual([
    { file: 'test/b.test.ts', name: 'b works', message: 'Error: one\nError: two' },
    { file: 'test/c.test.ts', name: '', message: 'SyntaxError: c' },
  ]);
});

test('a file has not passed when it failed, and when the run ended before its turn', () => {
  const files = ['a', 'b', 'c', 'd'].map((name) => `test/${name}.test.ts`);
  expect(notPassed(files, results, '/r')).toEqual(files.slice(1));
});

test('of a failed test its name and the first lines of its message are told, without colours and empty lines', () => {
  const message = `\u001b[31mexpected 1\u001b[39m\n\n${'x'.repeat(1000)}\n${'line\n'.repeat(50)}`;
  const lines = describeFailures([{ where: 'this host', file: 'test/b.test.ts', name: 'b\nworks', message }]);
  expect(lines.slice(0, 3)).toEqual(['this host: test/b.test.ts: b works', '    expected 1', `    ${'x'.repeat(300)}…`]);
  expect(lines).toHaveLength(9);
});

test('many failures are counted', () => {
  const failures = Array.from({ length: 100 }, (_, i) => ({ where: 'here', file: 'f', name: `${i}`, message: 'wrong' }));
  expect(describeFailures(failures).slice(-3)).toEqual(['here: f: 29', '    wrong', 'and 70 more']);
});

describe('the end of .ci/run', () => {
  let out: string;
  beforeEach(() => {
    out = mkdtempSync(path.join(tmpdir(), 'node-hax-failures-'));
  });
  afterEach(() => rmSync(out, { recursive: true }));
  const told = (): string => execFileSync(process.execPath, [script, out], { encoding: 'utf8' });
  const write = (name: string, text: string): void => {
    mkdirSync(path.dirname(path.join(out, name)), { recursive: true });
    writeFileSync(path.join(out, name), text);
  };

  it('is silent when every step passed', () => {
    write('test-results/failures.json', '[]\n');
    expect(told()).toBe('');
  });

  it('has what each failed step said last, and the failed tests of all suites', () => {
    write('failed', 'KVM calls\nnpm ci\n');
    write('logs/KVM calls.log', `${'begins\n'.repeat(1e5)}${Array.from({ length: 30 }, (_, i) => `line ${i}\n`).join('')}`);
    write('logs/lint.log', 'clean\n');
    write('test-results/failures.json', JSON.stringify([{ where: 'host B', file: 'f', name: 'works', message: 'Error: one' }]));
    write('sanitize/thread/failures.json', JSON.stringify([{ where: 'thread', file: 'g', name: 'works', message: 'Error: two' }]));
    expect(told().split('\n')).toEqual([
      '--- KVM calls failed; it said at its end:',
      ...Array.from({ length: 20 }, (_, i) => `line ${i + 10}`),
      '--- npm ci failed; it said at its end:',
      '--- failed tests:',
      'host B: f: works',
      '    Error: one',
      'thread: g: works',
      '    Error: two',
      '',
    ]);
  });

  it('stands before its last line', () => {
    const root = path.resolve(__dirname, '../../..');
    for (const name of ['.ci/run', 'scripts/lib/failures.js']) cpSync(path.join(root, name), path.join(out, name));
    // No network at first.
    const script = `#!/bin/sh
      case "$1" in
      test) echo begins; echo 'the reason' >&2; exit 3 ;;
      ci) [ -e '${out}/asked' ] || { touch '${out}/asked'; exit 1; } ;;
      esac`;
    // Instead of npm, and of what else it calls: most of that is not there and fails.
    for (const name of ['apt-get', 'npm', 'npx']) {
      mkdirSync(path.join(out, 'bin'), { recursive: true });
      writeFileSync(path.join(out, 'bin', name), script, {
        mode: 0o755,
      });
    }
    const env = { ...process.env, PATH: `${path.join(out, 'bin')}:${process.env.PATH}` };
    const { status, stdout } = spawnSync(path.join(out, '.ci/run'), { encoding: 'utf8', env });
    expect(status).toBe(1);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.slice(-2)).toEqual([expect.stringMatching(/^failed: .*\bbuild\b.*\btests\b/), '0 passed, 0 failed, 0 skipped']);
    expect(lines.indexOf('the reason')).toBeLessThan(lines.findIndex((line) => line.startsWith('=== tests: FAILED, ')));
    const end = lines.lastIndexOf('--- tests failed; it said at its end:');
    expect(lines.slice(end, end + 3)).toEqual([lines[end], 'begins', 'the reason']);
    expect(stdout).toMatch(/^once more: npm ci .*\n=== npm ci: passed, /m);
  });
});

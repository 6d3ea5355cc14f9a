/** The rules for .github/workflows and what the workflows call, each with its cause planted. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

// eslint-disable-next-line @typescript-eslint/no-require-imports
const { judge } = require('../../../scripts/check-workflows') as { judge: (directory: string) => { problems: string[] } };

const scripts = path.resolve(__dirname, '../../../scripts');
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'node-hax-workflows-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function run(name: string, args: string[], env = process.env): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(path.join(scripts, name), args, { encoding: 'utf8', env });
  return { status, stdout, stderr };
}

const pinned = 'actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0';
const sound = `name: a
on: [push]
permissions:
  contents: read
jobs:
  one:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - uses: ${pinned}
      - run: echo "\${{ github.sha }}"
`;

const condition = "!github.event.repository.fork && github.ref == 'refs/heads/main'";
/** The same on a machine of ours. */
const ours = (when: string): string => sound.replace('ubuntu-24.04', `[self-hosted, haxm]${when && `\n    if: \${{ ${when} }}`}`);

describe('scripts/check-workflows', () => {
  function plant(text: string): void {
    mkdirSync(path.join(directory, '.github/workflows'), { recursive: true });
    writeFileSync(path.join(directory, '.github/workflows/a.yml'), text);
  }
  function check(text: string): string[] {
    plant(text);
    return judge(directory).problems;
  }

  it('accepts a sound workflow, and those of this repository', () => {
    for (const text of [sound, ours(condition), sound.replace('echo', 'scripts/build --werror')]) expect(check(text)).toEqual([]);
    expect(run('check-workflows', [])).toMatchObject({ status: 0, stderr: '' });
  });

  it.each([
    ['an action by its tag', sound.replace(pinned, 'actions/checkout@v5'), 'line 10: - uses: actions/checkout@v5: pin it'],
    ['a hash without the version', sound.replace(' # v5.0.0', ''), 'pin it as'],
    ['a short hash', sound.replace('08c6903cd8c0fde910a37f88322edcfb5dd907a8', '08c6903'), 'pin it as'],
    ['a job without a limit', sound.replace('    timeout-minutes: 5\n', ''), 'job one: give it timeout-minutes'],
    ['no permissions', sound.replace('permissions:\n  contents: read\n', ''), 'give it permissions at the top'],
    ['shell that does not parse', sound.replace('echo', 'if'), 'job one, step 2: '],
    ['shell code out of an event', sound.replace('github.sha', 'github.event.head_commit.message'), 'hand github.event over in env'],
    ['what the schema does not know', sound.replace('runs-on', 'runs_on'), 'the schema refuses it'],
    ['a self-hosted runner without a condition', ours(''), 'needs the condition !github.event.repository.fork'],
    ['a condition with a way around it', ours(`${condition} || true`), "needs the condition github.ref == 'refs/heads/main'"],
    ['any branch on a self-hosted runner', ours('!github.event.repository.fork'), "needs the condition github.ref == 'refs/heads/main'"],
    ...['pull_request', 'pull_request_target', 'workflow_run', 'issue_comment', 'workflow_call'].map((trigger) => [
      `${trigger} on a self-hosted runner`,
      ours(condition).replace('[push]', `[push, ${trigger}]`),
      `must not be reached by ${trigger}`,
    ]),
    ['a label of a machine of ours alone', ours('').replace('[self-hosted, haxm]', 'haxm'), 'needs the condition'],
    ['a runner that a matrix names', ours('').replace('[self-hosted, haxm]', '${{ matrix.runner }}'), 'needs the condition'],
    ['a script that is not there', sound.replace('echo', 'scripts/check-nothing'), 'job one: scripts/check-nothing does not exist'],
    [
      'an option that is not there behind another command',
      sound.replace('echo', 'scripts/with-module haxm bench/exit-cost.js --slow'),
      'job one: bench/exit-cost.js has no option --slow',
    ],
    ['an option that is not there', sound.replace('echo', 'scripts/build --fast'), 'job one: scripts/build has no option --fast'],
  ])('refuses %s', (_, text, problem) => {
    expect(check(text).join('\n')).toContain(problem);
  });

  it('is a command that fails for what it refuses', () => {
    plant(sound.replace(' # v5.0.0', ''));
    const { status, stderr } = run('check-workflows', [directory]);
    expect([status, stderr]).toEqual([1, expect.stringMatching(/^\.github\/workflows\/a\.yml: line 10: .*: pin it as .*\n$/)]);
  });
});

describe('scripts/check-results', () => {
  const test = (status: string, kind: string, title = 'works'): object => ({
    status,
    title,
    fullName: `${kind} ${title}`,
    ancestorTitles: [kind],
  });
  function check(tests: object[], ...args: string[]): { status: number | null; stderr: string } {
    const file = path.join(directory, 'results.json');
    const numbers = { numFailedTests: 0, numRuntimeErrorTestSuites: 0, numPendingTests: 0, numTodoTests: 0, numPassedTests: 0 };
    const failed = tests.filter((each) => (each as { status: string }).status === 'failed').length;
    const passed = tests.filter((each) => (each as { status: string }).status === 'passed').length;
    const testResults = [{ name: '/x/test/contract/a.test.ts', assertionResults: tests }];
    writeFileSync(file, JSON.stringify({ ...numbers, numPassedTests: passed, numFailedTests: failed, testResults }));
    return run('check-results', [...args, file]);
  }

  it('is content when all ran', () => {
    expect(check([test('passed', 'hardware KVM')], '--needs', 'hardware KVM')).toMatchObject({ status: 0, stderr: '' });
  });

  it('takes a suite that skipped itself for a failure', () => {
    const { status, stderr } = check([test('passed', 'null'), test('pending', 'hardware KVM')]);
    expect([status, stderr]).toEqual([1, 'check-results: skipped on hardware KVM, and on no list: works\n']);
  });

  it('fails when nothing ran, nothing of what was wanted, or a test failed', () => {
    expect(check([])).toMatchObject({ status: 1, stderr: expect.stringContaining('no test ran') });
    expect(check([test('passed', 'null')], '--needs', 'hardware HAXM').stderr).toContain('no test of hardware HAXM ran');
    expect(check([test('passed', 'null'), test('failed', 'null', 'other')])).toMatchObject({ status: 1 });
  });
});

describe('scripts/with-module', () => {
  /** A modprobe that writes down what it is told, and refuses `refused`. */
  function withModule(refused: string, loaded: string, ...command: string[]): { status: number | null; log: string; stderr: string } {
    const log = path.join(directory, 'log');
    const script = `#!/bin/sh\necho "$*" >>${log}\n[ "$*" != "${refused}" ]\n`;
    for (const [name, text] of [
      ['modprobe', script],
      ['sudo', '#!/bin/sh\nshift\nexec "$@"\n'],
    ])
      writeFileSync(path.join(directory, name), text, { mode: 0o755 });
    writeFileSync(path.join(directory, 'modules'), loaded);
    const env = { ...process.env, PATH: `${directory}:${process.env.PATH}`, HAX_PROC_MODULES: path.join(directory, 'modules') };
    const { status, stderr } = run('with-module', ['haxm', ...command], env);
    return { status, stderr, log: readFileSync(log, 'utf8') };
  }

  it('loads the module, and unloads it whatever the command does', () => {
    expect(withModule('', 'kvm_intel 1 0\n', 'sh', '-c', 'exit 7')).toMatchObject({
      status: 7,
      log: '-r kvm_intel\nhaxm\n-r haxm\nkvm_intel\n',
    });
  });

  it('does not run the command without the module', () => {
    expect(withModule('haxm', '', 'false')).toMatchObject({ status: 125, stderr: expect.stringContaining('haxm does not load') });
  });

  it('tells of a module that stays', () => {
    expect(withModule('-r haxm', '', 'true')).toMatchObject({ status: 125, stderr: expect.stringContaining('haxm does not unload') });
  });
});

test('scripts/compare-exit-costs puts devices beside each other', () => {
  const files = ['kvm', 'HAX'].map((name, index) => {
    const file = path.join(directory, name);
    writeFileSync(file, JSON.stringify({ device: `/dev/${name}`, ns: { 'port write': 1200 + index, 'port read': 1300 } }));
    return file;
  });
  expect(run('compare-exit-costs', files).stdout).toBe(
    '| nanoseconds an exit | /dev/kvm | /dev/HAX |\n| --- | ---: | ---: |\n| port write | 1200 | 1201 |\n| port read | 1300 | 1300 |\n',
  );
});

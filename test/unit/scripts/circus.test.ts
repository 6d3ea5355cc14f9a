/** Jest's tests without Jest around them: scripts/lib/circus.js, as inside host B. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import * as path from 'node:path';

interface Assertion {
  ancestorTitles: string[];
  title: string;
  fullName: string;
  status: string;
  failureMessages: string[];
}

interface Results {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  numRuntimeErrorTestSuites: number;
  testResults: { name: string; message: string; assertionResults: Assertion[] }[];
}

const root = path.resolve(__dirname, '../../..');
// Below the root, where the modules are.
mkdirSync(path.join(root, 'out'), { recursive: true });
const directory = mkdtempSync(path.join(root, 'out/circus-test-'));
const compiled = path.join(directory, 'compiled');

beforeAll(() => {
  const script = `require(${JSON.stringify(path.join(root, 'scripts/lib/circus.js'))}).compile(${JSON.stringify(compiled)})`;
  execFileSync(process.execPath, ['-e', script], { cwd: root });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The results of test files, which are JavaScript here, and the status of the process. */
function run(...sources: string[]): { status: number | null; stderr: string; results: Results } {
  const files = sources.map((source, i) => {
    const file = path.join(directory, `${i}.test.js`);
    writeFileSync(file, source);
    return file;
  });
  const output = path.join(directory, 'results.json');
  rmSync(output, { force: true });
  const words = [path.join(compiled, 'main.js'), output, '2000', compiled, ...files];
  const { status, stderr } = spawnSync(process.execPath, words, { cwd: root, encoding: 'utf8', timeout: 200_000 });
  return { status, stderr, results: JSON.parse(readFileSync(output, 'utf8')) as Results };
}

test('tells of each test as Jest does', () => {
  const { status, results } = run(
    `describe('one', () => {
       let made = 0;
       beforeEach(() => void made++);
       it('passes', () => expect(made).toBe(1));
       it.skip('rests [skipped: no reason]', () => undefined);
       it.each([3, 4])('is %i', (n) => expect(n).toBe(3));
     });`,
    `it('is in another file', async () => expect(await Promise.resolve('a')).toMatch(/a/));`,
  );
  expect(status).toBe(1);
  expect(results).toMatchObject({
    numPassedTests: 3,
    numFailedTests: 1,
    numPendingTests: 1,
    numTodoTests: 0,
    numRuntimeErrorTestSuites: 0,
  });
  const [first] = results.testResults;
  expect(first.assertionResults.map(({ fullName, status }) => [fullName, status])).toEqual([
    ['one passes', 'passed'],
    ['one rests [skipped: no reason]', 'pending'],
    ['one is 3', 'passed'],
    ['one is 4', 'failed'],
  ]);
  expect(first.assertionResults[3].failureMessages.join()).toMatch(/Expected: .*3/);
  expect(first.assertionResults[0]).toMatchObject({ ancestorTitles: ['one'], title: 'passes' });
});

test('a test that does not end fails by the limit that its file has set, and that of the next file is the common one', () => {
  const { results } = run(
    `jest.setTimeout(50); it('hangs', () => new Promise(() => setTimeout(() => undefined, 100)));`,
    `it('goes on', () => undefined);`,
  );
  expect(results.testResults[0].assertionResults[0].failureMessages.join()).toContain('Exceeded timeout of 50 ms');
  expect(results).toMatchObject({ numPassedTests: 1, numFailedTests: 1 });
});

test.each([
  ['cannot be loaded', `throw new Error('a slip');`],
  [
    'leaves an error to nobody',
    `it('passes', async () => { setImmediate(() => { throw new Error('a slip'); }); await new Promise((r) => setTimeout(r, 100)); });`,
  ],
  [
    'leaves a promise to nobody',
    `it('passes', async () => { void Promise.reject(new Error('a slip')); await new Promise((r) => setTimeout(r, 100)); });`,
  ],
])('a file that %s has failed, and those before it are told', (_, source) => {
  const { status, stderr, results } = run(`it('passes', () => undefined);`, source);
  expect([status, results.numPassedTests, results.numRuntimeErrorTestSuites]).toEqual([1, 1, 1]);
  expect(results.testResults[1].message).toContain('a slip');
  expect(stderr).toContain('FAIL');
});

/** What scripts/demo and scripts/test do before they begin: scripts/lib/prepare.js. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

interface Prepare {
  upToDate(directory: string): boolean;
}

const root = path.resolve(__dirname, '../../..');
const { upToDate } = jest.requireActual<Prepare>('../../../scripts/lib/prepare.js');
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'node-hax-prepare-'));
  mkdirSync(path.join(directory, 'node_modules'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const a = { version: '1.0.0', integrity: 'sha512-a' };
const b = { version: '2.0.0', integrity: 'sha512-b' };
const write = (file: string, packages: object): void => writeFileSync(path.join(directory, file), JSON.stringify({ packages }));
/** With these packages in the lock file and installed. */
function given(wanted: object, installed: object): boolean {
  write('package-lock.json', { '': { name: 'node-hax' }, ...wanted });
  write('node_modules/.package-lock.json', installed);
  return upToDate(directory);
}

it('what is installed is what the lock file names, whichever file is the newer', () => {
  expect(given({ 'node_modules/a': a, 'node_modules/b': b }, { 'node_modules/a': a, 'node_modules/b': b })).toBe(true);
  const later = Date.now() / 1000 + 3600;
  utimesSync(path.join(directory, 'package-lock.json'), later, later);
  expect(upToDate(directory)).toBe(true);
});

it('more may be installed, and what is for another system may be missing', () => {
  const other = { 'node_modules/other': { ...b, optional: true } };
  expect(given({ 'node_modules/a': a, ...other }, { 'node_modules/a': a, 'node_modules/headers': b })).toBe(true);
});

it.each([
  ['is of another version', { 'node_modules/a': { ...a, version: '1.0.1' } }],
  ['is another one of that version', { 'node_modules/a': { ...a, integrity: 'sha512-x' } }],
  ['is missing', {}],
])('a package that %s is installed anew', (_, installed) => {
  expect(given({ 'node_modules/a': a }, installed)).toBe(false);
});

it('so is all where npm was ended before it had noted down what it did', () => {
  write('package-lock.json', { 'node_modules/a': a });
  expect(upToDate(directory)).toBe(false);
  writeFileSync(path.join(directory, 'node_modules/.package-lock.json'), '{ "packages": {');
  expect(upToDate(directory)).toBe(false);
});

/** A clone in which nothing is installed. */
function bareClone(): void {
  rmSync(path.join(directory, 'node_modules'), { recursive: true });
  for (const each of ['scripts', 'package.json', 'jest.config.js'])
    cpSync(path.join(root, each), path.join(directory, each), { recursive: true });
}

it.each(['test', 'demo', 'build', 'test-in-vm', 'sanitize', 'coverage'])(
  'scripts/%s begins in a clone in which nothing is installed yet',
  (name) => {
    bareClone();
    const usage = execFileSync(process.execPath, [path.join(directory, 'scripts', name), '--help'], { encoding: 'utf8' });
    expect(usage).toMatch(new RegExp(`^Usage: scripts/${name}`));
  },
);

it('scripts/test does not take one file for all of them', () => {
  bareClone();
  const command = [path.join(directory, 'scripts/test'), 'test/unit/testing.test.ts'];
  const { status, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8' });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^test: unknown argument 'test\/unit\/testing\.test\.ts'/);
});

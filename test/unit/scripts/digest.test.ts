import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

// eslint-disable-next-line @typescript-eslint/no-require-imports
const { digest } = require('../../../scripts/lib/digest.js') as { digest: (root: string, names: string[]) => string };

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'node-hax-digest-'));
  mkdirSync(path.join(root, 'lib/inner'), { recursive: true });
  writeFileSync(path.join(root, 'lib/inner/a.ts'), 'one');
  writeFileSync(path.join(root, 'package.json'), '{}');
});
afterEach(() => rmSync(root, { recursive: true }));

const now = (): string => digest(root, ['lib', 'package.json', 'dist']);

it('is the same for the same files, written when they may be', () => {
  const before = now();
  writeFileSync(path.join(root, 'lib/inner/a.ts'), 'one');
  writeFileSync(path.join(root, 'other.json'), '{}');
  expect(now()).toBe(before);
});

it.each<[string, () => void]>([
  ['another content of the same length', () => writeFileSync(path.join(root, 'lib/inner/a.ts'), 'two')],
  ['another name', () => renameSync(path.join(root, 'lib/inner/a.ts'), path.join(root, 'lib/inner/b.ts'))],
  ['a file more', () => writeFileSync(path.join(root, 'lib/b.ts'), '')],
  ['a file less', () => rmSync(path.join(root, 'package.json'))],
  ['a directory that was not there', () => mkdirSync(path.join(root, 'dist'))],
])('is another one for %s', (_, change) => {
  const before = now();
  change();
  expect(now()).not.toBe(before);
});

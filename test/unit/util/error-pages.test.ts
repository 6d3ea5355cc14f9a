/** Troubleshooting by code: a page for each, and nothing that points to a page that is not there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import * as path from 'node:path';
import { errorPage, errorTable, HaxError, type HaxErrorCode } from '../../../lib/util/errors';

const root = path.resolve(__dirname, '../../..');
const codes = Object.keys(errorTable).sort() as HaxErrorCode[];
const local = (page: string): string => path.join(root, page.replace(/^node-hax\//, ''));

it('has one page for each code, and one code for each page', () => {
  const pages = readdirSync(path.join(root, 'docs/errors')).map((file) => path.basename(file, '.md'));
  expect(pages.sort()).toEqual(codes);
});

it.each(codes)('%s: the hint points to a page that says what it is, why, and what to do', (code) => {
  expect(new HaxError(code, 'no').hint).toContain(`See ${errorPage(code)}.`);
  const text = readFileSync(local(errorPage(code)), 'utf8');
  expect([...text.matchAll(/^#+ .*$/gm)].map(([heading]) => heading)).toEqual([`# ${code}`, '## Why', '## What to do']);
  for (const [, target] of text.matchAll(/\]\(([^)#:]+)/g))
    expect({ target, there: existsSync(path.join(root, 'docs/errors', target)) }).toEqual({ target, there: true });
});

/** What scripts/build-site refuses, each with its cause planted. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

const root = path.resolve(__dirname, '../../..');
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'node-hax-site-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Builds a site of one source file and one guide by the rules of typedoc.json. */
function build(source: string, guide: string): { status: number | null; stderr: string } {
  const place = (name: string, text: string): string => {
    writeFileSync(path.join(directory, name), text);
    return path.join(directory, name);
  };
  place('package.json', '{ "name": "planted", "version": "1.0.0" }');
  const options = {
    extends: [path.join(root, 'typedoc.json')],
    entryPoints: [place('index.ts', source)],
    // The smallest library: TypeDoc would check the declarations of a browser, 6 s each time.
    tsconfig: place('tsconfig.json', '{ "compilerOptions": { "types": [], "lib": ["es5"] }, "files": ["index.ts"] }'),
    readme: 'none',
    projectDocuments: [place('guide.md', guide)],
    out: path.join(directory, 'site'),
  };
  const file = place('typedoc.json', JSON.stringify(options));
  const { status, stderr } = spawnSync(path.join(root, 'scripts/build-site'), ['--options', file], { encoding: 'utf8' });
  return { status, stderr };
}

it('takes exports with a comment and links that lead somewhere', () => {
  const source = '/** Adds. */\nexport class Adder {\n  /** The sum. */\n  sum(): number {\n    return 1;\n  }\n}\n';
  expect(build(source, '# Guide\n\n[the source](index.ts)\n')).toEqual({ status: 0, stderr: '' });
});

it('refuses an export, a method and a field without a comment, and a dead link', () => {
  const { status, stderr } = build(
    'export class Adder {\n  first = 1;\n  sum(): number {\n    return 1;\n  }\n}\n/** A kind. */\nexport type Kind = 1;\n',
    '# Guide\n\n[nowhere](gone.md)\n',
  );
  expect(status).toBe(1);
  expect(stderr).toContain('a guide links to');
  expect(stderr).toMatch(/gone\.md, which is not there\n/);
  expect(stderr).toMatch(/: index\.Adder has no comment\n/);
  expect(stderr).toMatch(/: index\.Adder\.first has no comment\n/);
  expect(stderr).toMatch(/: index\.Adder\.sum has no comment\n/);
  expect(stderr).not.toContain('Kind has');
});

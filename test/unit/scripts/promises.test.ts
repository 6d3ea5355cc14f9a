/** The gates for what programs are promised: exports and changelog, each with its cause planted. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

// eslint-disable-next-line @typescript-eslint/no-require-imports
const api = require('../../../scripts/check-api') as { accept: (root: string) => string; judge: (root: string) => string[] };

const scripts = path.resolve(__dirname, '../../../scripts');
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'node-hax-promises-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function plant(file: string, text: string): void {
  mkdirSync(path.dirname(path.join(directory, file)), { recursive: true });
  writeFileSync(path.join(directory, file), text);
}

function run(name: string, ...args: string[]): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(path.join(scripts, name), [...args, directory], { encoding: 'utf8' });
  return { status, stderr };
}

describe('scripts/check-api', () => {
  const index = `
    /** A comment changes nothing. */
    export declare class Vm extends Base { private secret; run(options?: Options): Promise<End>; }
    declare class Base { close(): void; }
    export interface Options { timeout?: number; }
    export type End = 'halted' | 'reset';
    export declare const limit = 4;
    export {};`;
  const build = (text: string): void => {
    plant('dist/index.d.ts', text);
    plant('dist/testing.d.ts', 'export declare function skip(): void;');
  };
  beforeEach(() => {
    build(index);
    mkdirSync(path.join(directory, 'docs'));
  });

  it('accepts what was accepted, whatever is private or a comment', () => {
    api.accept(directory);
    build(index.replace('A comment changes nothing.', 'Another.').replace('private secret;', 'private other;'));
    expect(api.judge(directory)).toEqual([]);
    expect(readFileSync(path.join(directory, 'docs/api.txt'), 'utf8')).not.toContain('secret');
  });

  it.each([
    ['an export that is gone', index.replace('export declare const limit = 4;', ''), 'limit: gone'],
    ['a new export', `${index}\nexport declare const more = 1;`, 'more: new'],
    ['another parameter', index.replace('options?: Options', 'options: Options'), 'Vm: changed'],
    ['another member of a type', index.replace("| 'reset'", ''), 'End: changed'],
    ['another method of a class below it', index.replace('close(): void', 'close(): Promise<void>'), 'Base (not exported): changed'],
  ])('fails for %s', (_, text, problem) => {
    api.accept(directory);
    build(text);
    const problems = api.judge(directory);
    expect(problems).toContain(problem);
    expect(problems.at(-1)).toContain('scripts/check-api --accept');
  });

  it('is a command that says so', () => {
    expect(run('check-api', '--accept')).toEqual({ status: 0, stderr: '' });
    expect(run('check-api')).toEqual({ status: 0, stderr: '' });
    build(`${index}\nexport declare const more = 1;`);
    expect(run('check-api')).toEqual({
      status: 1,
      stderr: expect.stringMatching(/^more: new\ncheck-api: .* scripts\/check-api --accept, .*\n$/),
    });
  });

  it('does not pass without a build', () => {
    rmSync(path.join(directory, 'dist'), { recursive: true });
    expect(run('check-api')).toMatchObject({ status: 2, stderr: expect.stringContaining('run scripts/build first') });
  });
});

describe('scripts/check-changelog', () => {
  const head = '# Changelog\n\n## [Unreleased]\n';
  const released = `${head}\n## [1.2.0] - 2026-11-23\n\n### Added\n\n- Something.\n`;
  beforeEach(() => plant('package.json', '{ "version": "1.2.0" }'));

  it('accepts the form, and a release with its section', () => {
    plant('CHANGELOG.md', released);
    expect(run('check-changelog', '--release', 'v1.2.0')).toEqual({ status: 0, stderr: '' });
  });

  it.each([
    ['no place for what is not released', released.replace('## [Unreleased]\n', ''), [], 'begin with ## [Unreleased]'],
    ['a release without a date', released.replace(' - 2026-11-23', ''), [], "'## [1.2.0]' is not"],
    ['a heading of its own making', released.replace('### Added', '### News'), [], "'### News' is none of"],
    ['a tag that is not the version', released, ['--release', 'v1.3.0'], 'package.json has 1.2.0'],
    ['a release without a section', head, ['--release', 'v1.2.0'], 'no section for 1.2.0'],
    ['a release that tells nothing', released.replace('- Something.', ''), ['--release', 'v1.2.0'], 'says nothing'],
    [
      'lines that a release leaves out',
      released.replace(head, `${head}\n### Fixed\n\n- A bug.\n`),
      ['--release', 'v1.2.0'],
      'would not tell',
    ],
  ])('refuses %s', (_, text, args, problem) => {
    plant('CHANGELOG.md', text);
    const { status, stderr } = run('check-changelog', ...args);
    expect([status, stderr]).toEqual([1, expect.stringContaining(problem)]);
  });

  it('refuses a changed promise without a line', () => {
    const git = (...args: string[]): string =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], { cwd: directory, encoding: 'utf8' });
    plant('CHANGELOG.md', released);
    plant('docs/api.txt', 'one\n');
    git('init', '-q', '-b', 'main');
    git('add', '-A');
    git('commit', '-qm', 'one');
    plant('docs/api.txt', 'two\n');
    git('checkout', '-qb', 'work');
    git('commit', '-qam', 'two');
    expect(run('check-changelog', '--since', 'main')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('docs/api.txt changed since main'),
    });
    plant('CHANGELOG.md', released.replace('- Something.', '- Something.\n- And two.'));
    git('commit', '-qam', 'three');
    expect(run('check-changelog', '--since', 'main')).toEqual({ status: 0, stderr: '' });
  });
});

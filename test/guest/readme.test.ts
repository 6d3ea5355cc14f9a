/** The examples of README.md, as they stand there, run by node as .mjs files; and that both ways to import give the same classes. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { RunningCommand, type Finished } from '../support/command';
import { describeKvm } from '../support/hosts';
import { ending, multibootKernel, print } from './images';

const root = path.resolve(__dirname, '../..');
const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1]);

/** A directory in which `node-hax` is installed. */
const directory = mkdtempSync(path.join(tmpdir(), 'node-hax-readme-'));
mkdirSync(path.join(directory, 'node_modules'));
symlinkSync(root, path.join(directory, 'node_modules/node-hax'));
afterAll(() => rmSync(directory, { recursive: true }));

function run(name: string, source: string): Promise<Finished> {
  writeFileSync(path.join(directory, name), source);
  return new RunningCommand(process.execPath, [name], { cwd: directory }).end();
}

/** What each example prints, found by a word in it; and what it needs beside it. */
const examples: { word: string; prints: RegExp; prepare?: () => void }[] = [
  { word: 'createVm', prints: /^guest: H\nguest: i\n\{ reason: 'halted' \}\n$/ },
  {
    word: 'launch',
    prints: /^\{ reason: 'powered-off' \}\n$/,
    prepare: () => {
      // In the place of Linux: a kernel that asks who is there, and goes when it is root.
      const kernel = multibootKernel(
        `${print('login: ', 'esi')}\n xor ebx, ebx\n 2: call getc\n cmp al, 10\n je 3f\n shl ebx, 8\n mov bl, al\n jmp 2b
         3: cmp ebx, 0x726f6f74\n jne 2b\n ${ending.powerOff}`,
      );
      writeFileSync(path.join(directory, 'vmlinuz'), kernel);
      writeFileSync(path.join(directory, 'initrd.img'), 'initrd');
    },
  },
];

describe('README.md', () => {
  it('has examples, each of which is tested here', () => {
    expect(blocks.length).toBeGreaterThan(0);
    for (const block of blocks) expect(examples.filter(({ word }) => block.includes(`${word}(`))).toHaveLength(1);
  });

  it('the first example has ten lines at most, without comments and blanks', () => {
    const lines = blocks[0].split('\n').filter((line) => line.trim() !== '' && !line.trim().startsWith('//'));
    expect(lines.length).toBeLessThanOrEqual(10);
  });
});

describeKvm('the examples of README.md', () => {
  it.each(examples)('with $word() runs and prints what it says', async ({ word, prints, prepare }) => {
    const block = blocks.find((each) => each.includes(`${word}(`))!;
    prepare?.();
    const { status, stdout, stderr } = await run(`${word}.mjs`, block);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.toString()).toMatch(prints);
  });
});

describe('the package', () => {
  it('imported and required in one process gives the same classes, by every name', async () => {
    const source = `
      import * as names from 'node-hax';
      import whole from 'node-hax';
      import * as testing from 'node-hax/testing';
      import { createRequire } from 'node:module';
      const required = createRequire(import.meta.url)('node-hax');
      const different = Object.keys(required).filter((name) => required[name] !== names[name] || required[name] !== whole[name]);
      console.log(JSON.stringify({ count: Object.keys(required).length, different, testing: typeof testing.autoClose }));`;
    const { status, stdout, stderr } = await run('both.mjs', source);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const seen = JSON.parse(stdout.toString()) as { count: number };
    expect(seen).toEqual({ count: expect.any(Number), different: [], testing: 'function' });
    expect(seen.count).toBeGreaterThan(10);
  });

  it('importing it needs no addon and no device', async () => {
    const source = `process.env.HAX_ADDON = '/nonexistent'; const { launch, Hypervisor } = await import('node-hax');
      await launch({ kernel: Buffer.from('x') }).catch((error) => console.log(error.code));
      try { Hypervisor.open(); } catch (error) { console.log(error.code, /nonexistent/.test(error.message)); }`;
    const { status, stdout, stderr } = await run('no-addon.mjs', source);
    expect({ status, stdout: stdout.toString(), stderr }).toEqual({
      status: 0,
      stdout: 'ERR_HAX_NO_ADDON\nERR_HAX_NO_ADDON true\n',
      stderr: '',
    });
  });
});

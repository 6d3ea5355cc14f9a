/** The files of examples/, as they stand there, each in a folder in which node-hax is installed. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { RunningCommand, type Finished } from '../support/command';
import { describeKvm } from '../support/hosts';
import { ending, multibootKernel, print } from './images';

jest.setTimeout(300_000);

const root = path.resolve(__dirname, '../..');
const examples = path.join(root, 'examples');
const directory = mkdtempSync(path.join(tmpdir(), 'node-hax-examples-'));
cpSync(examples, directory, { recursive: true });
mkdirSync(path.join(directory, 'node_modules'));
symlinkSync(root, path.join(directory, 'node_modules/node-hax'));
afterAll(() => rmSync(directory, { recursive: true }));

/** A kernel that stands in for Linux where that cannot run: it prompts, echoes a line, answers, and powers off at the second. */
const shell = multibootKernel(`${print('# ', 'esi')}
  1: call getc\n call putc\n cmp al, 10\n jne 1b
  ${print('Linux of a sort\n# ', 'esi')}
  2: call getc\n cmp al, 10\n jne 2b\n ${ending.powerOff}`);

/** Powers off at the first line. */
const once = multibootKernel(`${print('ready\n', 'esi')}\n 1: call getc\n cmp al, 10\n jne 1b\n ${ending.powerOff}`);

function run(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  return new RunningCommand(process.execPath, args, { cwd: directory, env: { ...process.env, ...env } }).end();
}

const runs: { file: string; prints: RegExp; args?: string[]; env?: NodeJS.ProcessEnv }[] = [
  { file: 'post-codes.mjs', prints: /^01 02 04 08 10 20 40 80 aa; halted\n$/ },
  { file: 'text-screen.mjs', prints: /^Hello from b8000h\n$/ },
  { file: 'kernel-driver/driver.test.mjs', args: ['--test'], prints: /\b(# |ℹ )?pass 3\b[^]*\bfail 0\b/ },
  { file: 'ci/boot.test.mjs', args: ['--test'], env: { KERNEL: 'once' }, prints: /\bpass 1\b[^]*\bfail 0\b/ },
  { file: 'boot-linux.mjs', prints: /^Linux of a sort\npowered-off\n$/ },
];

it('examples/ has no program without a test, and its page tells of each', () => {
  const programs = readdirSync(examples, { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('.mjs'));
  expect(programs.sort()).toEqual(runs.map(({ file }) => file).sort());
  const page = readFileSync(path.join(examples, 'README.md'), 'utf8');
  for (const file of programs) expect(page).toContain(`](${file})`);
});

describeKvm('examples', () => {
  it.each(runs)('$file', async ({ file, prints, args = [], env }) => {
    writeFileSync(path.join(directory, 'kernel'), shell);
    writeFileSync(path.join(directory, 'once'), once);
    writeFileSync(path.join(directory, 'initrd.img'), 'initrd');
    const after = file === 'boot-linux.mjs' ? ['kernel', 'initrd.img'] : [];
    const { status, stdout, stderr } = await run([...args, file, ...after], env);
    expect({ status, stdout: stdout.toString(), stderr }).toEqual({ status: 0, stdout: expect.stringMatching(prints), stderr: '' });
  });
});

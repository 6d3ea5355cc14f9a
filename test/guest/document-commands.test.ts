/** Every shell block of the documents: each command of it is run here, or by the test or step that is named for it, or is told to be untested. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { commandFile, RunningCommand } from '../support/command';
import { describeKvm } from '../support/hosts';
import { ending, multibootKernel, print } from './images';

const root = path.resolve(__dirname, '../..');

/** Commands that are not run here: who runs them, as a file and words that are in it. */
const elsewhere: { command: RegExp; by: [file: string, words: string] }[] = [
  { command: /^npm install node-hax$/, by: ['scripts/lib/package-use.js', "['install', ...NPM_OPTIONS, tarball]"] },
  { command: /^npm run demo$/, by: ['.ci/run', 'npm run -s demo'] },
  { command: /^npm test$/, by: ['.ci/run', 'npm test'] },
  {
    command: /^(cp "\/boot|mkdir -p root|cp \/bin\/busybox|ln -sf|printf|chmod|\(cd root)/,
    by: ['test/boot/recipe.test.ts', 'the Linux of'],
  },
  { command: /^unshare /, by: ['test/guest/confined.test.ts', 'is the one that the document describes'] },
  { command: /^docker run /, by: ['docs/threat-model.md', 'no test of ours runs it'] },
  { command: /^sudo usermod -aG kvm "\$USER"$/, by: ['docs/threat-model.md', 'then log in again'] },
  { command: /^scripts\/test-in-vm /, by: ['scripts/lib/suites.js', 'test-in-vm'] },
  { command: /^scripts\/with-haxm-model /, by: ['scripts/lib/suites.js', 'with-haxm-model'] },
];

const inside = ['docs', 'examples', '.github'].flatMap((directory) =>
  readdirSync(path.join(root, directory), { recursive: true }).map((file) => path.join(directory, String(file))),
);
const documents = ['README.md', ...inside.filter((file) => file.endsWith('.md'))];

/** Languages of code blocks, and the commands of those that a shell takes. */
function blocks(text: string): { language: string; commands: string[] }[] {
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, body]) => ({
    language,
    commands: body
      .replaceAll(/\\\n\s*/g, '')
      .split('\n')
      .map((line) => line.replace(/\s+#.*$/, '').trim())
      .filter((line) => line !== ''),
  }));
}

const all = documents.flatMap((file) => blocks(readFileSync(path.join(root, file), 'utf8')));
const commands = [...new Set(all.filter(({ language }) => language === 'sh').flatMap((block) => block.commands))];
const ours = commands.filter((command) => command.startsWith('npx node-hax '));

it('no block of the documents is in a language that no test knows', () => {
  expect([...new Set(all.map(({ language }) => language))].sort()).toEqual(['', 'js', 'sh', 'ts']);
});

it.each(commands)('%s: is run here, or somewhere that is named', (command) => {
  const others = elsewhere.filter((each) => each.command.test(command));
  expect(others.length + (ours.includes(command) ? 1 : 0)).toBe(1);
  for (const { by } of others) expect(readFileSync(path.join(root, by[0]), 'utf8')).toContain(by[1]);
});

it('a command that nobody runs, and a block in another language, would be seen', () => {
  const [{ language, commands: planted }] = blocks('```python\nnpx node-hax fly   # soon\n```\n');
  expect([language, planted]).toEqual(['python', ['npx node-hax fly']]);
  expect(elsewhere.some((each) => each.command.test('npm run unheard-of'))).toBe(false);
});

describeKvm('npx node-hax of the documents', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'node-hax-commands-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  it.each(ours)('%s', async (command) => {
    mkdirSync(path.join(directory, 'bin'), { recursive: true });
    writeFileSync(path.join(directory, 'vmlinuz'), multibootKernel(`${print('up\n', 'esi')}\n ${ending.powerOff}`));
    writeFileSync(path.join(directory, 'initrd.img'), 'initrd');
    rmSync(path.join(directory, 'bin/node-hax'), { force: true });
    symlinkSync(commandFile, path.join(directory, 'bin/node-hax'));
    const [, program, ...args] = command.split(' ');
    const { status, stderr } = await new RunningCommand(path.join(directory, 'bin', program), args, { cwd: directory }).end();
    expect({ command, status, stderr }).toEqual({ command, status: 0, stderr: expect.not.stringMatching(/^hax: /m) });
  });
});

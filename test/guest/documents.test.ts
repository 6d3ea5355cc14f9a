/** Every JavaScript sample of the guides in docs/, run as it stands there; fragments with what they are fragments of around them. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { RunningCommand } from '../support/command';
import { describeKvm } from '../support/hosts';
import { ending, multibootKernel, print } from './images';

jest.setTimeout(300_000);

const root = path.resolve(__dirname, '../..');
const directory = mkdtempSync(path.join(tmpdir(), 'node-hax-documents-'));
mkdirSync(path.join(directory, 'node_modules'));
symlinkSync(root, path.join(directory, 'node_modules/node-hax'));
afterAll(() => rmSync(directory, { recursive: true }));

interface Sample {
  file: string;
  typescript: boolean;
  source: string;
}

/** Decisions tell of the past, and errors have no code of their own: what is there now is run. */
function samples(): Sample[] {
  const files = readdirSync(path.join(root, 'docs'), { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('.md'));
  return files.sort().flatMap((file) => {
    const text = readFileSync(path.join(root, 'docs', file), 'utf8');
    return [...text.matchAll(/^```(js|ts|javascript|typescript|mjs)\n(.*?)^```$/gms)].map(([, language, source]) => ({
      file,
      typescript: language.startsWith('t'),
      source,
    }));
  });
}

const onHaxm = "import { Hypervisor, protectFlags, realMode } from 'node-hax';\n";
const machine = `${onHaxm}const hypervisor = Hypervisor.open({ backend: 'haxm' }); const vm = hypervisor.createVm(); const vcpu = vm.createVcpu();
// Memory of zeros: add [bx + si], al.
vcpu.setState({ ...realMode({ ip: 0x1000 }), rbx: 0x2000 });`;

/** How each is run, found by words in it: where it says what it prints, that has to come. */
const runs: { words: string; prints: RegExp; before?: string; after?: string; args?: string[]; haxm?: boolean }[] = [
  { words: 'class Adder', prints: /^halted 42n\n$/ },
  { words: 'class Latch', prints: /^7n\n$/ },
  { words: 'let reads = 0', prints: /^2 2n\n$/ },
  { words: 'class Ticker', prints: /^halted 3n\n$/ },
  { words: 'console.waitFor(/ready', prints: /^yes\npowered-off\n$/ },
  { words: "from 'node:test'", args: ['--test'], prints: /\bpass 1\b[^]*\bfail 0\b/ },
  { words: 'hypervisor.haxm.capability()', haxm: true, before: onHaxm, after: 'hypervisor.close();', prints: /^$/ },
  {
    words: 'vm.haxm.setRam2(',
    haxm: true,
    before: machine,
    after: 'console.log(vcpu.haxm.run()); hypervisor.close();',
    prints: /status: 'page-fault'[^]*gpa: 8192n|0x2000/,
  },
];

it('every sample of docs/ is run here', () => {
  const all = samples();
  expect(all.length).toBeGreaterThan(0);
  for (const { file, source } of all)
    expect({ file, source, tests: runs.filter(({ words }) => source.includes(words)).length }).toEqual({ file, source, tests: 1 });
});

type Run = (typeof runs)[number];

/** sample.mts to sample.mjs, against the types that the package has. */
async function compile(): Promise<void> {
  const options = [
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--strict',
    '--types',
    'node',
    '--typeRoots',
    path.join(root, 'node_modules/@types'),
  ];
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  const compiled = await new RunningCommand(process.execPath, [tsc, ...options, 'sample.mts'], { cwd: directory }).end();
  expect(compiled).toMatchObject({ status: 0, stdout: Buffer.alloc(0) });
}

/** Runs a sample; what it did, as it should have done it. */
async function run({ source, typescript }: Sample, { before = '', after = '', args = [], haxm }: Run): Promise<object> {
  const kernel = multibootKernel(`${print('ready: yes\n', 'esi')}\n 1: call getc\n cmp al, 10\n jne 1b\n ${ending.powerOff}`);
  writeFileSync(path.join(directory, 'vmlinuz'), kernel);
  writeFileSync(path.join(directory, typescript ? 'sample.mts' : 'sample.mjs'), `${before}\n${source}\n${after}\n`);
  if (typescript) await compile();
  const node = [process.execPath, ...args, 'sample.mjs'];
  const [program, ...rest] = haxm ? [path.join(root, 'scripts/with-haxm-model'), ...node] : node;
  const { status, stdout, stderr } = await new RunningCommand(program, rest, { cwd: directory }).end();
  return { status, stdout: stdout.toString(), stderr };
}

const find = ({ words }: Run): Sample => samples().find(({ source }) => source.includes(words))!;
const good = ({ prints }: Run): object => ({ status: 0, stdout: expect.stringMatching(prints), stderr: '' });

describeKvm('samples of docs/', () => {
  it.each(runs)('with $words', async (each) => {
    expect(await run(find(each), each)).toEqual(good(each));
  });

  it.each([
    ['does not do what it says', 'this.sum += value', 'this.sum -= value'],
    ['uses what is not there', 'vm.mapMemory', 'vm.mapMemories'],
    ['does not parse', 'const end =', 'const end'],
  ])('one that %s fails', async (_, text, broken) => {
    const sample = find(runs[0]);
    expect(sample.source).toContain(text);
    expect(await run({ ...sample, source: sample.source.replace(text, broken) }, runs[0])).not.toEqual(good(runs[0]));
  });
});

/** How the command starts: from what V8 compiled of it when it was built, or without. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { commandFile, shell } from '../support/command';
import { describeKvm } from '../support/hosts';
import { bootSector, ending, Files, print } from './images';

const files = new Files();
afterAll(() => files.remove());

const built = path.dirname(commandFile);
const name = `hax.${process.versions.v8}.cache`;

it('V8 takes what the build has compiled', () => {
  // In a process of its own: V8 compares its options, and another test may have set some here.
  const source = `const [fs, path, vm] = ['fs', 'path', 'vm'].map(require);
    const read = (name, encoding) => fs.readFileSync(path.join(process.argv[1], name), encoding);
    const { cachedDataRejected } = new vm.Script(read('hax.js', 'latin1'), { cachedData: read(process.argv[2]) });
    process.exitCode = cachedDataRejected === false ? 7 : 1;`;
  expect(spawnSync(process.execPath, ['-e', source, built, name]).status).toBe(7);
  expect(readdirSync(built).filter((each) => each.endsWith('.cache'))).toEqual([name]);
});

it('of what V8 compiles the build keeps what a boot uses: all of it takes twice as much', () => {
  const [kept, script] = [name, 'hax.js'].map((each) => statSync(path.join(built, each)).size);
  expect(kept).toBeLessThan(1.5 * script);
});

it('the boot that the build learns from has the console of a kernel', () => {
  const output = files.at('learnt');
  const words = ['run', files.write('sector', bootSector('cli; hlt')), '--stats-file', files.at('statistics')];
  const boot = spawnSync(
    process.execPath,
    [path.join(built, '../../scripts/lib/code-cache-boot.js'), path.join(built, 'hax.js'), output, ...words],
    {
      encoding: 'utf8',
      env: { ...process.env, HAX_BACKEND: 'null' },
    },
  );
  expect(boot).toMatchObject({ stdout: 'A\nBC\n', stderr: '', status: 0 });
  expect(statSync(output).size).toBeGreaterThan(0);
  const { kinds, slices } = JSON.parse(readFileSync(files.at('statistics'), 'utf8')) as { kinds: Record<string, number>; slices: number };
  expect(kinds).toEqual({ io: 51, interrupted: 8, hlt: 1 });
  expect(slices).toBeGreaterThan(8);
});

it('the script is ASCII, as it is read', () => {
  expect(readFileSync(path.join(built, 'hax.js')).every((byte) => byte < 0x80)).toBe(true);
});

describe('starts all the same where the compiled code', () => {
  let directory: string;
  let cache: string;
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'node-hax-start-'));
    mkdirSync(path.join(directory, 'dist/cli'), { recursive: true });
    for (const each of ['main.js', 'hax.js', name]) cpSync(path.join(built, each), path.join(directory, 'dist/cli', each));
    cache = path.join(directory, 'dist/cli', name);
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it.each<[string, () => void]>([
    ['is not there', () => rmSync(cache)],
    ['is empty', () => writeFileSync(cache, '')],
    ['is cut short', () => writeFileSync(cache, readFileSync(cache).subarray(0, 5000))],
    ['is of another V8', () => writeFileSync(cache, readFileSync(cache).fill(0, 0, 16))],
    [
      'cannot be read',
      () => {
        rmSync(cache);
        mkdirSync(cache);
      },
    ],
    [
      'is older than the script, which has changed',
      () => {
        const script = path.join(directory, 'dist/cli/hax.js');
        // As long as before: V8 compares no more than that.
        writeFileSync(script, readFileSync(script, 'latin1').replace('Run virtual machines', 'RUN VIRTUAL MACHINES'));
        utimesSync(cache, 1, 1);
      },
    ],
  ])('%s', (_what, spoil) => {
    spoil();
    const run = spawnSync(process.execPath, [path.join(directory, 'dist/cli/main.js'), '--help'], { encoding: 'utf8' });
    expect(run.stderr).toBe('');
    expect(run.stdout).toMatch(/^Usage: hax /);
    if (_what.startsWith('is older')) expect(run.stdout).toContain('RUN VIRTUAL MACHINES');
  });
});

describeKvm('without any input', () => {
  it.each(['</dev/null', '<&-'])('%s', async (input) => {
    const image = files.write('good', bootSector(`${print('good\r\n')}\n${ending.powerOff}`));
    const { status, stdout, stderr } = await shell(`hax run '${image}' ${input}`);
    expect({ status, stdout: stdout.toString(), stderr }).toEqual({ status: 0, stdout: 'good\r\n', stderr: '' });
  });
});

describeKvm('a boot', () => {
  const modules = files.write(
    'modules.js',
    `process.on('exit', () => require('node:fs').writeFileSync(process.env.MODULES, JSON.stringify(process.moduleLoadList)));`,
  );
  const kernel = files.write('prints-once', bootSector(`${print('printed')}\n ${ending.powerOff}`));

  // A child of Node's has a socket as its standard output, one of a shell a pipe.
  it.each([
    [
      'a socket',
      (words: readonly string[], env: NodeJS.ProcessEnv) => spawnSync(process.execPath, words, { env, stdio: ['ignore', 'pipe', 'pipe'] }),
    ],
    [
      'a pipe',
      (words: readonly string[], env: NodeJS.ProcessEnv) =>
        spawnSync('sh', ['-c', '"$@" </dev/null | cat', 'sh', process.execPath, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] }),
    ],
  ])("to %s has nothing of Node's in it that it does not use", (_, run) => {
    const list = path.join(path.dirname(modules), 'list');
    const { stdout, stderr } = run(['--require', modules, commandFile, 'run', kernel, '--exit-on', 'printed'], {
      ...process.env,
      MODULES: list,
    });
    expect([stdout.toString(), stderr.toString()]).toEqual(['printed', '']);
    const loaded = JSON.parse(readFileSync(list, 'utf8')) as string[];
    expect(loaded).toContain('NativeModule vm');
    expect(loaded.filter((each) => /^NativeModule (module|net|perf_hooks|process|tty|stream)$/.test(each))).toEqual([]);
  });
});

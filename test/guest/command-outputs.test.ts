/** What `hax run` does about outputs that cannot be written. */
import { linkSync, readFileSync, symlinkSync } from 'node:fs';
import * as path from 'node:path';
import { commandFile, hax, shell } from '../support/command';
import { describeKvm } from '../support/hosts';
import { bootSector, ending, Files, place, print as say } from './images';

const files = new Files();
afterAll(() => files.remove());

describeKvm('--debugcon to a standard error that cannot be written', () => {
  // The shell's end would leave one that hangs behind.
  const bounded = `timeout -s KILL 30 ${process.execPath} ${commandFile}`;
  const gone = `(trap '' PIPE; while echo; do sleep 0.05; done) >&2 2>/dev/null`;
  const print = `mov dx, ${place.debugConsole}\n mov al, 65\n out dx, al\n`;
  const spins = files.write('debug-spin', bootSector(`${print} ${ending.spin}`));
  const halts = files.write('debug-halt', bootSector(`${print} ${ending.halt}`));

  it.each([
    ['a full disk', '2>/dev/full'],
    ['a reader that is gone', '2>&1 >/dev/null | true'],
  ])('%s: the run ends as it would, but is no success', async (_what, redirection) => {
    const status = files.at('status');
    const run = (image: string, more = ''): Promise<unknown> =>
      shell(`{ ${gone}; ${bounded} run ${image} --debugcon 0xe9 ${more} </dev/null; echo $? >${status}; } ${redirection}; cat ${status}`, {
        limit: 200_000,
      });
    expect(await run(halts)).toMatchObject({ stdout: Buffer.from('1\n'), stderr: '' });
    expect(await run(spins, '--timeout 1')).toMatchObject({ stdout: Buffer.from('124\n'), stderr: '' });
  });
});

describeKvm('outputs', () => {
  const image = files.write(
    'image',
    bootSector(`${say('guest\r\n')}\n mov dx, ${place.debugConsole}\n mov al, 65\n out dx, al\n ${ending.powerOff}`),
  );

  it.each([
    ['--stats-file', '/nope/x'],
    ['--trace', '/nope/x'],
    ['--serial', 'file:/nope/x'],
    ['--debugcon', '0xe9,file:/nope/x'],
  ])('%s %s: refused before the guest runs', async (option, value) => {
    const { status, stdout, stderr } = await hax(['run', image, option, value]);
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^hax: [^\n]*ENOENT[^\n]*\n$/);
  });

  it.each([
    ['--stats-file', ''],
    ['--trace', ''],
    ['--serial', 'file:'],
    ['--debugcon', '0xe9,file:'],
  ])('%s does not overwrite what the machine boots', async (option, before) => {
    const initrd = files.write('initrd', 'ram disk');
    const other = files.at(`link${option}`);
    linkSync(image, other);
    for (const file of [image, other, initrd]) {
      const { status, stderr } = await hax(['run', image, '--initrd', initrd, option, `${before}${file}`]);
      expect(status).toBe(2);
      expect(stderr).toMatch(new RegExp(`^hax: ${option} ${file} would overwrite .*\\n$`));
    }
    expect(readFileSync(initrd, 'utf8')).toBe('ram disk');
    expect(readFileSync(image)).toHaveLength(512);
  });

  it('of which two go to one file are refused, by whatever names', async () => {
    const both = files.write('both', 'of before');
    linkSync(both, files.at('both-link'));
    for (const name of ['dangling', 'dangling-too']) symlinkSync('nothing-yet', files.at(name));
    const twice: string[][] = [
      ['--trace', files.at('dangling'), '--stats-file', files.at('nothing-yet')],
      ['--trace', files.at('dangling'), '--stats-file', files.at('dangling-too')],
      ['--trace', both, '--stats-file', files.at('both-link')],
      ['--serial', `file:${both}`, '--debugcon', `0xe9,file:${both}`],
      ['--serial', `file:${files.at('new')}`, '--trace', `${path.dirname(both)}/../${path.basename(path.dirname(both))}/new`],
    ];
    for (const options of twice) {
      const { status, stderr } = await hax(['run', image, ...options]);
      const [first, , second] = options;
      expect({ status, stderr }).toEqual({
        status: 2,
        stderr: expect.stringMatching(new RegExp(`^hax: ${second} \\S+ would overwrite what ${first} writes .*\\n$`)),
      });
    }
    expect(readFileSync(both, 'utf8')).toBe('of before');
    expect(await hax(['run', image, '--trace', '/dev/null', '--stats-file', '/dev/null'])).toMatchObject({ status: 0, stderr: '' });
    const out = files.at('out-of-two');
    expect(await shell(`hax run ${image} --serial file:/dev/stdout --stats-file /dev/stdout >${out}`)).toMatchObject({ status: 0 });
    expect(readFileSync(out, 'utf8')).toMatch(/^guest\r\n\{\n/);
  });

  it('on a standard error that cannot be written make the run no success', async () => {
    expect(await shell(`hax run ${image} --stats 2>/dev/full`)).toMatchObject({ status: 1, stdout: Buffer.from('guest\r\n') });
  });

  it('to standard output keep what is there', async () => {
    const out = files.at('out');
    const run = (more: string): Promise<{ status: number | undefined }> => shell(`hax run ${image} ${more} >${out}`);
    expect(await run('--stats-file /dev/stdout')).toMatchObject({ status: 0 });
    expect(readFileSync(out, 'utf8')).toMatch(/^guest\r\n\{\n/);
    expect(await run('--debugcon 0xe9,file:/dev/stdout')).toMatchObject({ status: 0 });
    expect(readFileSync(out, 'utf8')).toMatch(/^(?=.*A)(?=.*guest\r\n)/s);
    expect(await run('--trace /dev/stdout')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^hax: --trace \/dev\/stdout would/),
    });
  });
});

it('a link to the command works with --preserve-symlinks', async () => {
  const link = files.at('hax.js');
  symlinkSync(commandFile, link);
  const { status, stdout } = await shell(`${process.execPath} --preserve-symlinks --preserve-symlinks-main ${link} run --help`);
  expect([status, stdout.toString().split(' ')[0]]).toEqual([0, 'Usage:']);
});

/** What `hax run` does about outputs that cannot be written. */
import { commandFile, shell } from '../support/command';
import { describeKvm } from '../support/hosts';
import { bootSector, ending, Files, place } from './images';

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
        limit: 40_000,
      });
    expect(await run(halts)).toMatchObject({ stdout: Buffer.from('1\n'), stderr: '' });
    expect(await run(spins, '--timeout 1')).toMatchObject({ stdout: Buffer.from('124\n'), stderr: '' });
  });
});

/** The kernel and the initial RAM disk of docs/getting-started.md, made as it says, driven by the example that it names. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { RunningCommand } from '../support/command';
import { describeLinux, kernel } from './linux';

jest.setTimeout(110_000);

const root = path.resolve(__dirname, '../..');

describeLinux('the Linux of docs/getting-started.md', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'node-hax-recipe-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('boots to a shell that answers', async () => {
    const text = readFileSync(path.join(root, 'docs/getting-started.md'), 'utf8');
    const recipe = /^```sh\n(cp "\/boot.*?)^```$/ms.exec(text)![1];
    const made = spawnSync('sh', ['-euc', recipe.replace('"/boot/vmlinuz-$(uname -r)"', '"$KERNEL"')], {
      cwd: directory,
      encoding: 'utf8',
      env: { ...process.env, KERNEL: kernel() },
    });
    expect(made.status).toBe(0);
    mkdirSync(path.join(directory, 'node_modules'));
    symlinkSync(root, path.join(directory, 'node_modules/node-hax'));
    cpSync(path.join(root, 'examples/boot-linux.mjs'), path.join(directory, 'boot-linux.mjs'));
    const example = new RunningCommand(process.execPath, ['boot-linux.mjs', 'vmlinuz', 'initrd.img'], { cwd: directory, limit: 100_000 });
    const { status, stdout, stderr } = await example.end();
    expect({ status, stdout: stdout.toString(), stderr }).toEqual({
      status: 0,
      stdout: expect.stringMatching(/^Linux .* x86_64 GNU\/Linux\npowered-off\n$/),
      stderr: '',
    });
  });
});

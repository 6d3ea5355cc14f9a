/** scripts/fetch-kernel, with programs of our own in the place of Debian's. */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import * as path from 'node:path';

const command = path.resolve(__dirname, '../../../scripts/fetch-kernel');
let directory: string;
const cache = (): string => path.join(directory, 'cache/guest-kernel');
const kernel = (): string => path.join(cache(), 'vmlinuz-9-cloud');

function program(name: string, script: string): void {
  writeFileSync(path.join(directory, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'node-hax-fetch-'));
  for (const each of ['bin', 'tree/boot', 'tree/lib/modules/9']) mkdirSync(path.join(directory, each), { recursive: true });
  writeFileSync(path.join(directory, 'tree/boot/vmlinuz-9-cloud'), 'kernel');
  for (const each of ['pvpanic', 'pvpanic-mmio']) writeFileSync(path.join(directory, `tree/lib/modules/9/${each}.ko`), 'module');
  program('apt-cache', "echo '  Depends: linux-image-9-cloud-amd64'");
  program('apt-get', `echo x >>'${directory}/downloads'; sleep 0.5; touch linux.deb`);
  program('dpkg-deb', `tar -C '${directory}/tree' -cf - ./boot ./lib`);
});
afterEach(() => rmSync(directory, { recursive: true }));

function fetchKernel(extra: NodeJS.ProcessEnv = {}, cwd?: string): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const PATH = `${path.join(directory, 'bin')}:${process.env.PATH}`;
  const child = spawn(command, { env: { ...process.env, PATH, HAX_CACHE_DIR: path.join(directory, 'cache'), ...extra }, cwd });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (bytes: Buffer) => (said[name] += bytes.toString()));
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, ...said })));
}

it('is fetched once, also by several at a time, and each of them is told where it is', async () => {
  const all = await Promise.all([fetchKernel(), fetchKernel(), fetchKernel()]);
  expect(all.map(({ status, stdout }) => [status, stdout])).toEqual(new Array(3).fill([0, `${kernel()}\n`]));
  expect(readFileSync(path.join(directory, 'downloads'), 'utf8')).toBe('x\n');
  expect(readdirSync(cache()).filter((name) => name !== 'lock')).toEqual(['pvpanic-mmio.ko', 'pvpanic.ko', 'vmlinuz-9-cloud']);
});

it('what one that was killed has left is no hindrance, and does not stay', async () => {
  mkdirSync(path.join(cache(), 'work-abc/boot'), { recursive: true });
  expect(await fetchKernel()).toMatchObject({ status: 0, stdout: `${kernel()}\n` });
  expect(existsSync(path.join(cache(), 'work-abc'))).toBe(false);
});

it('needs no HOME', async () => {
  cpSync(path.join(directory, 'tree/boot/vmlinuz-9-cloud'), kernel(), { recursive: true });
  writeFileSync(path.join(cache(), 'pvpanic.ko'), '');
  expect(await fetchKernel({ HOME: undefined })).toEqual({ status: 0, stdout: `${kernel()}\n`, stderr: '' });
  // Where it would be: below the home of the user's entry in the list of users.
  program('getent', `[ "$*" = 'passwd ${userInfo().uid}' ] && echo 'x:x:1:1::${directory}/home:/bin/sh'`);
  const without = { HOME: undefined, HAX_CACHE_DIR: undefined, XDG_CACHE_HOME: undefined };
  expect((await fetchKernel(without)).stdout).toBe(`${directory}/home/.cache/node-hax/guest-kernel/vmlinuz-9-cloud\n`);
});

it('a cache directory may be named from where one is', async () => {
  expect(await fetchKernel({ HAX_CACHE_DIR: 'cache' }, directory)).toMatchObject({ status: 0, stdout: `${kernel()}\n` });
});

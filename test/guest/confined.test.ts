/** The box of docs/threat-model.md: another user, no capabilities, no network, no new rights, and the group of the device. */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { describeKvm } from '../support/hosts';

const root = path.resolve(__dirname, '../..');
const group = '65533';
const box = ['--net', '--ipc', '--uts', 'setpriv', '--reuid=65534', '--regid=65534', `--groups=${group}`];
const rights = ['--no-new-privs', '--bounding-set=-all', '--inh-caps=-all'];

const why = process.getuid?.() === 0 ? undefined : 'only root can change the user';
const itAsRoot = why === undefined ? it : (name: string, body: () => void) => it.skip(`${name} [skipped: ${why}]`, body);

describeKvm('a confined process', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'node-hax-confined-'));
    chmodSync(directory, 0o755);
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('is the one that the document describes', () => {
    const text = readFileSync(path.join(root, 'docs/threat-model.md'), 'utf8').replaceAll(/\\\n\s+/g, '');
    expect(text).toContain(`unshare ${[...box.slice(0, 6), '--groups="$(stat -c %g /dev/kvm)"', ...rights].join(' ')}`);
  });

  itAsRoot('runs a guest with the group of the device and nothing else', () => {
    // A node of our own: the one of this host may belong to root alone, and the checkout may be where others cannot look.
    const device = path.join(directory, 'kvm');
    const node = spawnSync('mknod', ['-m', '660', device, 'c', '10', '232'], { encoding: 'utf8' });
    expect(node.stderr).toBe('');
    spawnSync('chgrp', [group, device]);
    const copy = path.join(directory, 'node-hax');
    mkdirSync(copy);
    for (const name of ['dist', 'package.json', 'node_modules/bindings', 'node_modules/file-uri-to-path', 'build/Release/node_hax.node'])
      cpSync(path.join(root, name), path.join(copy, name), { recursive: true });
    const demo = [process.execPath, path.join(copy, 'dist/cli/main.js'), 'demo'];
    const run = (to: string): { status: number | null; stdout: string; stderr: string } =>
      spawnSync('unshare', [...box, ...rights, ...demo], {
        encoding: 'utf8',
        env: { ...process.env, HAX_KVM_DEVICE: to, HAX_BACKEND: 'kvm' },
      });
    expect(run(device)).toMatchObject({ status: 0, stdout: expect.stringMatching(/^Hello from a guest/) });
    // Without the group there is no guest: the box is closed.
    spawnSync('chgrp', ['0', device]);
    expect(run(device)).toMatchObject({ status: 1, stderr: expect.stringContaining('Permission denied') });
  });
});

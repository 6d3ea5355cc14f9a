/** scripts/demo, with stubs in the place of what it starts. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

const root = path.resolve(__dirname, '../../..');
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'node-hax-demo-'));
  for (const each of ['lib', 'host-b']) mkdirSync(path.join(directory, 'scripts', each), { recursive: true });
  for (const each of ['demo', 'lib/write-out.js']) cpSync(path.join(root, 'scripts', each), path.join(directory, 'scripts', each));
  const stub = (name: string, text: string): void => writeFileSync(path.join(directory, 'scripts', name), text, { mode: 0o755 });
  stub(
    'lib/packages.js',
    'module.exports = { PACKAGES: { initrd: [], hostB: [], hostBCache: [] }, SetupError: class extends Error {}, ensure() {} };',
  );
  const report = { linux: { ok: false, reason: 'no.' }, findings: [] };
  stub(
    'lib/prepare.js',
    `module.exports = { build() {}, doctor: () => (${JSON.stringify(report)}), prepare() {}, root: ${JSON.stringify(directory)} };`,
  );
  stub('host-b/cache.js', 'exports.lookUp = () => ({});');
  stub('fetch-kernel', '#!/bin/sh\necho kernel\n');
  stub('make-initrd', '#!/bin/sh\n');
  stub('test-in-vm', '#!/bin/sh\necho "backend $HAX_BACKEND, device $HAX_KVM_DEVICE"\n');
});
afterEach(() => rmSync(directory, { recursive: true }));

function demo(args: string[], env: NodeJS.ProcessEnv = {}): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [path.join(directory, 'scripts/demo'), ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
}

it('inside host B it is the KVM of host B that runs, whatever variables choose here', () => {
  const env = { HAX_BACKEND: 'null', HAX_KVM_DEVICE: '/dev/other' };
  expect(demo([], env)).toMatchObject({ status: 0, stdout: 'backend kvm, device /dev/kvm\n' });
});

it.each([
  ['host B itself fails in, which is started once more', 121, 'begins\nbegins\n', 0],
  ['the guest does not end in, which counts', 124, 'begins\n', 124],
])('a start that %s', (_, first, stdout, status) => {
  const script = `#!/bin/sh\necho begins\n[ -e '${directory}/again' ] && exit 0\ntouch '${directory}/again'\nexit ${first}\n`;
  writeFileSync(path.join(directory, 'scripts/test-in-vm'), script);
  expect(demo([])).toMatchObject({ status, stdout });
});

it('an argument that there is not is refused', () => {
  const { status, stdout, stderr } = demo(['--hlep']);
  expect([status, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(/^demo: unknown argument '--hlep'\nUsage: /);
});

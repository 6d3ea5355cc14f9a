/** Linux on HAXM: Debian's cloud kernel on the model of the driver, to the line of our own init. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { itIf, probedKvm } from '../support/hosts';

const root = path.resolve(__dirname, '../..');
const script = (name: string): string => path.join(root, 'scripts', name);
/** Host B takes 20 s, more when the machine around it is busy. */
const limit = 110_000;

describe('Linux on the HAXM model', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'hax-boot-'));
  });
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  itIf(
    probedKvm().can.paging32,
    'this KVM runs no Linux',
    'comes to init and powers off',
    () => {
      const kernel = execFileSync(script('fetch-kernel'), { encoding: 'utf8' }).trim();
      const initrd = path.join(directory, 'initrd.img');
      execFileSync(script('make-initrd'), [initrd]);
      const hax = [process.execPath, path.join(root, 'dist/cli/main.js'), 'run', '--backend', 'haxm', kernel, '--initrd', initrd];
      const options = ['--append', 'console=ttyS0 quiet noapic nolapic', '--memory', '256M', '--stats', '--timeout', '100'];
      const { status, stdout, stderr } = spawnSync(script('with-haxm-model'), [...hax, ...options], {
        encoding: 'utf8',
        env: { ...process.env, HAXM_MODEL_FORK: '1' },
      });
      expect({ status, stdout, stderr }).toMatchObject({
        status: 0,
        stdout: expect.stringMatching(/^node-hax: init runs; .*\r?\nLinux .* GNU\/Linux\r?$/m) as string,
        stderr: expect.stringContaining('irq-window') as string,
      });
      // No paravirtual device of KVM's is there to be found.
      expect(stdout).not.toMatch(/kvm/i);
    },
    limit,
  );
});

/** Linux on HAXM: Debian's cloud kernel on the model of the driver, to the line of our own init. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { itIf, probedKvm } from '../support/hosts';
import { initrd, kernel } from './linux';

const root = path.resolve(__dirname, '../..');
/** Host B takes 40 s, more when the machine around it is busy; a call of it ends before this and is tried again, which a wrong status is not. */
const limit = 115;

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
      const file = path.join(directory, 'initrd');
      writeFileSync(file, initrd('uname -a\nbusybox date -u +%Y\npoweroff -f'));
      const hax = [process.execPath, path.join(root, 'dist/cli/main.js'), 'run', '--backend', 'haxm', kernel(), '--initrd', file];
      const options = ['--append', 'console=ttyS0 quiet noapic nolapic', '--memory', '256M', '--stats', '--timeout', `${limit}`];
      const { status, stdout, stderr } = spawnSync(path.join(root, 'scripts/with-haxm-model'), [...hax, ...options], {
        encoding: 'utf8',
        env: { ...process.env, HAXM_MODEL_FORK: '1' },
      });
      expect({ status, stdout, stderr }).toMatchObject({
        status: 0,
        // Without a clock of KVM's the guest has the time from the RTC.
        stdout: expect.stringMatching(new RegExp(`^Linux .* GNU/Linux\r\n${new Date().getUTCFullYear()}\r$`, 'm')) as string,
        stderr: expect.stringContaining('irq-window') as string,
      });
      // No paravirtual device of KVM's is there to be found.
      expect(stdout).not.toMatch(/kvm/i);
    },
    (limit + 5) * 1000,
  );
});

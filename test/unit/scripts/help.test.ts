/** The help of each script where it cannot be written. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import * as path from 'node:path';

const root = path.resolve(__dirname, '../../..');

const scripts = readdirSync(path.join(root, 'scripts'), { withFileTypes: true })
  .filter((entry) => entry.isFile() && readFileSync(path.join(root, 'scripts', entry.name), 'utf8').includes('--help'))
  .map(({ name }) => `scripts/${name}`);

it.each([...scripts, 'scripts/test-in-vm'])('%s', (script) => {
  const full = openSync('/dev/full', 'w');
  try {
    const { status, stderr } = spawnSync(path.join(root, script), ['--help'], { encoding: 'utf8', stdio: ['ignore', full, 'pipe'] });
    expect(stderr).toMatch(/^.*(no|No) space left on device.*\n$/);
    expect(status).toBe(1);
  } finally {
    closeSync(full);
  }
});

/** `hax run`: its options reach the machine, and what the machine refuses is told. */
import { main } from '../../../lib/cli/program';
import { HaxError } from '../../../lib/util/errors';
import { ended, replaceStreams, streams } from './run-bench';
import { made, scripted } from './scripted-machine';

jest.mock('node:fs', () => jest.requireActual<typeof import('./scripted-input')>('./scripted-input').scriptedFs);
jest.mock('../../../lib/machine/machine', () => ({
  Machine: jest.requireActual<typeof import('./scripted-machine')>('./scripted-machine').ScriptedMachine,
}));

replaceStreams();

describe('options reach the machine', () => {
  it('as they are, and as their defaults', async () => {
    await ended({ reason: 'halted' });
    expect(made[0].options).toMatchObject({
      kernel: 'image',
      format: 'auto',
      memory: 2 ** 27,
      reboot: true,
      debugExit: false,
    });
    const args = [
      '--format',
      'flat',
      '--load',
      '0x1000',
      '--entry',
      '4100',
      '--mode',
      '32',
      '--memory',
      '64M',
      '--no-reboot',
      '--debug-exit',
      '--stats',
    ];
    await ended({ reason: 'halted' }, ...args, '--backend', 'kvm');
    expect(made[0].options).toMatchObject({
      ...{ format: 'flat', load: 0x1000, entry: 4100, mode: 32, memory: 2 ** 26, reboot: false, debugExit: true },
      backend: 'kvm',
    });
    await ended(
      { reason: 'halted' },
      '--initrd',
      'a',
      '--initrd',
      'b',
      '--append',
      'x y',
      '--debug-exit-port',
      '0x501',
      '--memory',
      '5000000',
    );
    expect(made[0].options).toMatchObject({ initrd: ['a', 'b'], append: 'x y', debugExit: 0x501, memory: 5001216 });
  });

  it('--backend auto is the default, whatever HAX_BACKEND says', async () => {
    const before = process.env.HAX_BACKEND;
    try {
      process.env.HAX_BACKEND = 'haxm';
      await ended({ reason: 'halted' }, '--backend', 'auto');
      expect(made[0].options).not.toHaveProperty('backend');
      expect(process.env.HAX_BACKEND).toBeUndefined();
    } finally {
      if (before === undefined) delete process.env.HAX_BACKEND;
      else process.env.HAX_BACKEND = before;
    }
  });

  it('its refusal is told and gives the status', async () => {
    scripted.refusal = new HaxError('ERR_HAX_NO_DEVICE', '/dev/kvm is not there');
    expect(await main(['run', 'image'])).toBe(1);
    expect(streams.stderr.text).toMatch(/^hax: \/dev\/kvm is not there\n.*modprobe.* hax doctor tells what this host needs\.\n$/);
    scripted.refusal = new HaxError('ERR_HAX_INVALID_ARGUMENT', 'append is too long');
    expect(await main(['run', 'image'])).toBe(2);
    scripted.refusal = new HaxError('ERR_HAX_NO_PERMISSION', '/dev/kvm may not be opened');
    expect(await main(['run', 'image'])).toBe(1);
    expect(streams.stderr.text).toMatch(/ hax doctor tells what this host needs\.\n$/);
    scripted.refusal = new HaxError('ERR_HAX_NO_MEMORY', 'the host has not 8796093022208 bytes for guest memory');
    expect(await main(['run', '--memory', '8T', 'image'])).toBe(1);
    expect(streams.stderr.text).toContain('hax: --memory 8T: the host has not ');
    scripted.refusal = new HaxError(
      'ERR_HAX_INVALID_ARGUMENT',
      'initrd: image is started as a boot sector, which takes no initrd or module',
    );
    expect(await main(['run', '--initrd', 'x', 'image'])).toBe(2);
    expect(streams.stderr.text).toContain('hax: --initrd: image is started as ');
    scripted.refusal = new TypeError('a bug');
    expect(await main(['run', 'image'])).toBe(1);
    expect(streams.stderr.text).toMatch(/hax: TypeError: a bug\n +at /);
    scripted.refusal = 'thrown'; // no Error at all
    expect(await main(['run', 'image'])).toBe(1);
  });
});

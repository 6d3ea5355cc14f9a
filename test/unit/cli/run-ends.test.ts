/** `hax run`: the status and the message of each end. */
import type { RunEnd } from '../../../lib/hypervisor/end';
import { HaxError } from '../../../lib/util/errors';
import { ended, replaceStreams, start, streams } from './run-bench';

jest.mock('node:fs', () => jest.requireActual<typeof import('./scripted-input')>('./scripted-input').scriptedFs);
jest.mock('../../../lib/machine/machine', () => ({
  Machine: jest.requireActual<typeof import('./scripted-machine')>('./scripted-machine').ScriptedMachine,
}));

replaceStreams();

describe('status and message of each end', () => {
  const registers = { rip: 0x1234n } as never;
  it.each<[RunEnd, string[], number, RegExp]>([
    [{ reason: 'powered-off' }, [], 0, /^$/],
    [{ reason: 'halted' }, [], 0, /^$/],
    [{ reason: 'reset' }, ['--no-reboot'], 4, /^hax: the guest reset the machine \(--no-reboot\)\n$/],
    [{ reason: 'exit-code', status: 0x121 }, ['--debug-exit'], 0x21, /^$/],
    [{ reason: 'panicked' }, [], 3, /^hax: the guest crashed: panicked\n.*rip: 31744n/s],
    [{ reason: 'triple-fault', registers }, [], 3, /^hax: the guest crashed: triple-fault\n.*rip: 4660n/s],
    [{ reason: 'fail-entry', hardwareReason: 0x21n, registers }, [], 3, /^hax: the guest crashed: fail-entry, hardware reason 0x21\n/],
    [
      { reason: 'unhandled-exit', kind: 'unknown', rawCode: 77, registers },
      [],
      3,
      /^hax: the guest crashed: unhandled-exit unknown, number 77\n/,
    ],
    [
      { reason: 'internal-error', suberror: 1, instruction: Uint8Array.of(0x0f, 0xb8), registers },
      [],
      3,
      /^hax: the guest crashed: internal-error, suberror 1 \(an instruction .*\)\ninstruction bytes: 0f b8\n/,
    ],
    [{ reason: 'internal-error', suberror: 2, instruction: new Uint8Array(0), registers }, [], 3, /internal-error, suberror 2\n\{/],
  ])('%j', async (end, args, expected, message) => {
    const { status, stderr } = await ended(end, ...args);
    expect(status).toBe(expected);
    expect(stderr).toMatch(message);
  });

  it.each<[string, unknown, number, RegExp]>([
    [
      'of a device model',
      new HaxError('ERR_HAX_DEVICE_FAILED', 'OUT to port 0x3f8 failed'),
      1,
      /^hax: OUT to port 0x3f8 failed\nFix the device model/,
    ],
    ['of the hypervisor', new HaxError('ERR_HAX_IOCTL', 'KVM_RUN failed', { operation: 'KVM_RUN' }), 3, /^hax: KVM_RUN failed\n/],
    ['for want of a descriptor', new HaxError('ERR_HAX_IOCTL', 'no epoll', { operation: 'epoll_create1' }), 1, /^hax: no epoll\n/],
  ])('a failure %s', async (_what, error, expected, message) => {
    const { machine, status } = await start();
    machine.fail(error);
    expect(await status).toBe(expected);
    expect(streams.stderr.text).toMatch(message);
  });

  it('--exit-on and --fail-on, the first in the text', async () => {
    for (const [text, expected] of [
      ['one PASS two FAIL', 0],
      ['one FAIL two PASS', 1],
    ] as const) {
      const { machine, status } = await start('--exit-on', 'PASS', '--exit-on', 'OK', '--fail-on', 'FAIL');
      machine.print(text);
      expect(await status).toBe(expected);
    }
    expect(streams.stderr.text).toBe('hax: the guest printed "FAIL" (--fail-on)\n');
  });

  it('--timeout', async () => {
    const { status } = await start('--timeout', '0.05');
    expect(await status).toBe(124);
    expect(streams.stderr.text).toBe('hax: the guest did not end within 0.05 s (--timeout)\n');
  });

  it.each([
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGQUIT', 131],
    ['SIGTERM', 143],
  ] as const)('%s; its handler is gone afterwards', async (signal, expected) => {
    const before = process.listenerCount(signal);
    const { status } = await start();
    process.emit(signal);
    expect(process.listenerCount(signal)).toBe(before + 1); // for a second one
    expect(await status).toBe(expected);
    expect([process.listenerCount(signal), streams.stderr.text]).toEqual([before, '']);
  });
});

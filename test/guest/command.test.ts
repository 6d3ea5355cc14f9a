/** The built command as a process: help, doctor, demo, the layout, and what becomes of closed outputs. */
import { hax, shell } from '../support/command';
import { describeKvm } from '../support/hosts';
import { haxInProcess } from '../support/in-process';
import { bootSector, ending, Files, print } from './images';

const files = new Files();
afterAll(() => files.remove());

const good = files.write('good', bootSector(`${print('good\r\n')}\n${ending.powerOff}`));

describe('without a device', () => {
  it('a wrong call: status 2', async () => {
    const { status, stdout, stderr } = await hax(['run', '--memory', '0', good]);
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^hax: --memory .*\n$/);
  });

  it('--version', async () => {
    const { version } = jest.requireActual<{ version: string }>('../../package.json');
    const { status, stdout } = await hax(['--version']);
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 0, stdout: `${version}\n` });
  });

  it.each(['--help', 'run --print-layout', 'doctor', 'demo'])('%s into a pipe that is closed: status 1, one line', async (args) => {
    const { stderr } = await shell(`{ sleep 0.5; hax ${args}; echo "status $?" >&2; } | true`);
    expect(stderr).toMatch(/^(hax: standard output cannot be written: its reader is gone\nstatus 1|warning.*)\n$/s);
  });
});

it('--print-layout: every range, in order, for the memory given', async () => {
  const { status, stdout, stderr } = await hax(['run', '--print-layout', '--memory', '4G']);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const lines = stdout.toString().split('\n');
  expect(lines).toContain('  000000000000-00000009fbff  RAM');
  expect(lines).toContain('  000100000000-00013fffffff  RAM');
  expect(lines).toContain('  0000fee00000-0000fee00fff  local APICs');
  expect(lines).toContain('  03f8-03ff  COM1, interrupt 4');
  expect(lines).toContain('  00f4-00f7  debug exit, with --debug-exit');
  expect(lines).toContain('  2000-200f  test interrupts 0 to 15, with --debug-exit');
  const { stdout: other } = await hax(['run', '--print-layout', '--irqchip', 'user', '--debugcon', '0x402', '--debug-exit-port', '0x501']);
  expect(other.toString()).toMatch(
    /0070-0071 {2}real-time clock, interrupt 8\n[^]*0402-0402 {2}debug console\n[^]*0501-0504 {2}debug exit\n/,
  );
  const memory = lines.slice(1, lines.indexOf('ports')).map((line) => line.trim().split(/[- ]/).slice(0, 2));
  expect(memory).toEqual([...memory].sort());
});

describeKvm('on this device', () => {
  it('demo prints its line through the UART', async () => {
    const { status, stdout, stderr } = await hax(['demo']);
    expect(status).toBe(0);
    expect(stdout.toString()).toMatch(/^Hello from a guest on \/dev\/\w+, through a UART written in TypeScript\.\r\n$/);
    expect(stderr).toMatch(/^The guest ended: halted\. It left for the UART \d+ times\.\n$/);
  });

  it('demo and doctor in this process', async () => {
    expect(await haxInProcess(['demo'])).toMatchObject({ status: 0, stdout: expect.stringMatching(/^Hello from a guest on /) });
    expect(await haxInProcess(['doctor', '--json'])).toMatchObject({ status: 0, stderr: '' });
  });

  it('doctor says what can run', async () => {
    const { status, stdout, stderr } = await hax(['doctor']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.toString()).toMatch(/^\/dev\/kvm {3}usable, API version 12/m);
    expect(stdout.toString()).toMatch(/^A VM can be created\.$/m);
    expect(stdout.toString()).toMatch(/^Linux as a guest: /m);
  });

  it('doctor --json is JSON, for scripts', async () => {
    const { status, stdout } = await hax(['doctor', '--json']);
    expect(status).toBe(0);
    expect(JSON.parse(stdout.toString())).toMatchObject({ ok: true, linux: { ok: expect.any(Boolean) }, kvm: { device: '/dev/kvm' } });
  });

  it('doctor and run tell what is wrong with a device, and what to do', async () => {
    const env = { HAX_KVM_DEVICE: files.at('no-device'), HAX_BACKEND: 'kvm' };
    const run = await hax(['run', good], { env });
    expect({ status: run.status, stdout: run.stdout.toString() }).toEqual({ status: 1, stdout: '' });
    expect(run.stderr).toMatch(/^hax: \S*no-device is not there: .*\n.*modprobe.*\n$/);
    expect(await hax(['doctor'], { env })).toMatchObject({ status: 1, stderr: '' });
  });
});

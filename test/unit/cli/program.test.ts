/** What the command refuses before it opens a device, and its help. */
import { commandName } from '../../../lib/cli/name';
import { haxInProcess } from '../../support/in-process';

const good = 'never-opened';

/** One line for each way to go wrong, and no stack trace. */
const oneSentence = /^hax: [^\n]+\n$/;

describe('a command line that cannot work: status 2 and one line that names what is wrong', () => {
  const wrong: [what: string, args: string[], names: RegExp][] = [
    ['no IMAGE', ['run'], /IMAGE/],
    ['two IMAGEs', ['run', good, good], /too many arguments/],
    ['an unknown option', ['run', '--bogus', good], /'--bogus'/],
    ['an option without its value', ['run', good, '--memory'], /--memory/],
    ['an unknown option without a better one', ['run', '--bogus', good], /hax run --help lists them/],
    ['an unknown command', ['walk'], /'walk'; hax --help lists them/],
    ['the help of an unknown command', ['help', 'walk'], /'walk'; hax --help lists them/],
    ['the help of two commands', ['help', 'run', 'demo'], /too many arguments for 'help'/],
    ['a trace without a name', ['run', '--trace', '', good], /--trace must not be empty/],
    ['statistics without a name', ['run', '--stats-file=', good], /--stats-file must not be empty/],
    ['a command with a slip', ['rnu'], /'rnu'; did you mean run\?/],
    ['an option with a slip', ['doctor', '--jsno'], /'--jsno'; did you mean --json\?/],
    ['an argument too many', ['doctor', 'x'], /too many arguments for 'doctor'/],
    ...['0', '-1', 'abc', '1e30', '', '0.3', '100T', '9999999999999999', '0x', '128 MB!'].map((size): [string, string[], RegExp] => [
      `--memory '${size}'`,
      ['run', `--memory=${size}`, good],
      /memory/,
    ]),
    ['--load without --format flat', ['run', '--load', '0x7c00', good], /--load goes with --format flat/],
    ['--entry without --format flat', ['run', '--entry', '0x7c00', good], /--entry goes with --format flat/],
    ['--mode without --format flat', ['run', '--mode', '32', good], /--mode goes with --format flat/],
    ['--load that is no number', ['run', '--format', 'flat', '--load', 'high', good], /--load/],
    ['an unknown format', ['run', '--format', 'com', good], /--format/],
    ['an unknown mode', ['run', '--format', 'flat', '--mode', '8', good], /--mode/],
    ['an unknown backend', ['run', '--backend', 'vmware', good], /--backend/],
    ['an unknown serial target', ['run', '--serial', 'usb', good], /--serial takes .*'usb'/],
    ['a serial file without a name', ['run', '--serial', 'file:', good], /--serial/],
    ['a debug console without a port', ['run', '--debugcon', 'file:x', good], /--debugcon/],
    ['a debug console at a port that there is not', ['run', '--debugcon', '0x10000', good], /--debugcon/],
    ['a debug exit at a port that there is not', ['run', '--debug-exit-port', '70000', good], /70000/],
    ['no text to end at', ['run', '--exit-on', '', good], /--exit-on .* must not be empty/],
    ['no text to fail at', ['run', '--fail-on=', good], /--fail-on .* must not be empty/],
    ['no time at all', ['run', '--timeout', '0', good], /--timeout/],
    ['a negative time', ['run', '--timeout=-1', good], /--timeout/],
    ['more time than there is', ['run', '--timeout', '1e10', good], /--timeout/],
  ];
  it.each(wrong)('%s', async (_what, args, names) => {
    const { status, stdout, stderr } = await haxInProcess(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(oneSentence);
    expect(stderr).toMatch(names);
  });

  it.each([
    [['--cpus', '0'], /^hax: --cpus must be a whole number from 1 to 255, not 0\n/],
    [['--cpus', '900'], /^hax: --cpus .*not 900\n/],
    [['--cpus', '-1'], /^hax: --cpus must be a whole number from 1 to 255, not -1\n/],
    [['--irqchip', 'user', '--cpus', '4'], /^hax: --cpus 4 needs .*--irqchip user\n/],
    [['--debugcon', '0x3f8'], /^hax: --debugcon is at 0x3f8, where COM1 is\n/],
    [['--debug-exit', '--debugcon', '0xf4'], /^hax: --debugcon is at 0xf4, where the debug exit is\n/],
    [['--debug-exit', '--debugcon', '0x2001'], /^hax: --debugcon is at 0x2001, where the test interrupts are\n/],
    [['--debug-exit', '--debugcon', '0x511'], /^hax: --debugcon is at 0x511, where fw_cfg is\n/],
    [['--debug-exit', '--debugcon', '0xe0'], /^hax: --debugcon is at 0xe0, where the test data port is\n/],
    [['--debug-exit-port', '0x3fd'], /^hax: --debug-exit-port is at 0x3fd, where COM1 is\n/],
    [['--debug-exit-port', '99999'], /^hax: --debug-exit-port takes four ports, 0xfffc at most, not 99999\n/],
    [['--debug-exit-port', '65535'], /^hax: --debug-exit-port takes four ports, 0xfffc at most, not 65535\n/],
    [['--debugcon', '0x71'], /^hax: --debugcon is at 0x71, where the clock is\n/],
    [['--irqchip', 'user', '--debugcon', '0x71'], /^hax: --debugcon is at 0x71, where the clock is\n/],
    [['--serial', 'foo'], /^hax: --serial takes .*'foo'\n/],
    [['--initrd', ''], /^hax: --initrd must not be empty\n/],
    [['--load', '1'], /^hax: --load goes with --format flat\n/],
    [['--format', 'flat', '--load', '0x100000000'], /^hax: --load must be .* from 0 to 0xffffffff, not 4294967296\n/],
    [['--format', 'flat', '--load=-5'], /^hax: --load must be .*not -5\n/],
    [['--format', 'flat', '--entry=-1'], /^hax: --entry must be .*not -1\n/],
    [['--format', 'flat', '--load', '0x8000', '--entry', '0x7fff'], /^hax: --entry 0x7fff must not be below the load address 0x8000\n/],
    [['--format', 'flat', '--entry', '0x100000'], /^hax: --entry 0x100000 must be at most 0xfffff in 16-bit mode\n/],
    [['--format', 'flat', '--append', 'x'], /^hax: --append does not go with --format flat, which takes no command line\n/],
    [['--format', 'bootsector', '--initrd', 'x'], /^hax: --initrd does not go with --format bootsector, .*\n/],
  ])('%j: a run and --print-layout refuse the same', async (args, names) => {
    for (const last of [good, '--print-layout']) {
      const { status, stdout, stderr } = await haxInProcess(['run', ...args, last]);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toMatch(names);
    }
  });

  it('an IMAGE without a name', async () => {
    expect(await haxInProcess(['run', ''])).toEqual({ status: 2, stdout: '', stderr: 'hax: IMAGE must not be empty\n' });
  });

  it('a word of two lines is not taken for advice', async () => {
    expect((await haxInProcess(['x\nDid you mean y?'])).stderr).toBe("hax: unknown command 'x; hax --help lists them\n");
    expect((await haxInProcess([`x\n${'Did you mean '.repeat(9000)}`])).stderr).toBe("hax: unknown command 'x; hax --help lists them\n");
  });

  it('what was given is told without what would drive a terminal in it', async () => {
    const word = '\x1b[31m\x9b\x7f\r';
    for (const args of [[word], ['run', good, '--serial', word], ['run', good, '--trace', word, '--stats-file', word]]) {
      const { stderr } = await haxInProcess(args);
      expect(stderr).toContain('\\x1b[31m\\x9b\\x7f\\x0d');
      expect(stderr).toMatch(/^hax: [^\x00-\x1f\x7f-\x9f]+\n$/); // eslint-disable-line no-control-regex
    }
  });

  const later = [
    ...['--bios', '--disk', '--cdrom', '--floppy', '--screenshot', '--screen-text', '--type'].map((option) => [option, 'x']),
    ['--machine', 'pc'],
    ['--irqchip', 'split'],
  ];
  it.each(later)('%s %s is of a later version', async (option, value) => {
    const { status, stdout, stderr } = await haxInProcess(['run', option, value, good]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(oneSentence);
    expect(stderr).toContain(`hax: ${option} `);
  });

  it('no command: the help, on standard error', async () => {
    const { status, stdout, stderr } = await haxInProcess([]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: hax /);
  });
});

describe('help and version', () => {
  it.each([[['--help']], [['help']], [['run', '--help']], [['help', 'run']], [['doctor', '--help']]])('%j', async (args) => {
    const { status, stdout, stderr } = await haxInProcess(args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^Usage: hax /);
  });

  it('later options are not in the help', async () => {
    expect((await haxInProcess(['run', '--help'])).stdout).not.toMatch(/--bios|--disk|--machine|split|pvh/);
  });
});

it('tells of itself as it was called, and never has npx fetch the other hax', () => {
  const bin = '/project/node_modules/.bin';
  expect(commandName(`${bin}/node-hax`, { npm_command: 'exec' })).toBe('npx node-hax');
  expect(commandName(`${bin}/node-hax`, { npm_command: 'run-script' })).toBe('node-hax');
  expect(commandName(`${bin}/hax`, { npm_command: 'exec' })).toBe('hax');
  expect(commandName('/node-hax/dist/cli/main.js', {})).toBe('hax');
});

/** The options of launch(): what is refused of them, and when they are read. */
import { PassThrough } from 'node:stream';
import { HaxError, launch, type MachineOptions } from 'node-hax';
import { describeKvm } from '../support/hosts';
import { bootSector, ending, print } from './images';

const spin = bootSector(`${print('spinning\r\n')}\n${ending.spin}`);
const reset = bootSector(`${print('boot.')}\n${ending.acpiReset}`);

describeKvm('launch', () => {
  it.each<[string, unknown, RegExp]>([
    ['a command line that is a number', { append: 7 }, /^append must be a text, not 7$/],
    ['one that is a list', { append: ['quiet'] }, /^append must be a text, not a value of type object$/],
    ['a load address for what has its own', { load: 0x1000 }, /^load goes with format: 'flat'$/],
    ['an entry for what has its own', { format: 'bootsector', entry: 0x7c00 }, /^entry goes with format: 'flat'$/],
    ['a mode for what has its own', { mode: 32 }, /^mode goes with format: 'flat'$/],
    ['a word for true or false', { reboot: 'no' }, /^reboot must be true or false, not "no"$/],
    ['a number for true or false', { threaded: 1 }, /^threaded must be true or false, not 1$/],
    ['a format that JSON has no word for', { format: 10n }, /^format must be auto, .*, not 10n$/],
    [
      'a debug exit that is no port',
      { debugExit: Object.create(null) as object },
      /^debugExit must be true, false or a port, not a value of type object$/,
    ],
    [
      'a debug console without output',
      { debugConsole: { port: 0x402 } },
      /^debugConsole needs an output, which gets what the guest writes$/,
    ],
    ['a debug console that is a port', { debugConsole: 0xe9 }, /^debugConsole must be an object, not 233$/],
    [
      'a slip in a debug console',
      { debugConsole: { prot: 0x402, output: new PassThrough() } },
      /^debugConsole has no option "prot"; it has output, port$/,
    ],
  ])('refuses %s', async (_what, options, message) => {
    const error = await launch({ kernel: spin, ...(options as Partial<MachineOptions>) }).then(
      (machine) => machine.close(),
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(HaxError);
    expect(error).toMatchObject({ code: 'ERR_HAX_INVALID_ARGUMENT', message: expect.stringMatching(message) });
  });

  it('reads its options once: what is changed then is for another machine', async () => {
    const debugConsole = { port: 0xe9, output: new PassThrough() };
    const options: MachineOptions = { kernel: reset, memory: '2M', debugConsole };
    const machine = await launch(options);
    Object.assign(options, { memory: 'much', reboot: false, cpus: 0, kernel: '' });
    debugConsole.port = 0x3f8;
    for (let boots = 0; boots < 2; boots++) await new Promise<void>((resolve) => machine.once('reset', resolve));
    await machine.close();
    expect(await machine.ended).toEqual({ reason: 'killed' });
  });

  it('takes options that an object inherits', async () => {
    const machine = await launch(Object.create({ kernel: reset, reboot: false }) as MachineOptions);
    expect(await machine.ended).toEqual({ reason: 'reset' });
    await machine.close();
  });
});

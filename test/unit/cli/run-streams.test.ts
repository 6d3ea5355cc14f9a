/** `hax run`: standard streams and a terminal around a machine that does as it is told. */
import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { replaceStreams, start, streams, use } from './run-bench';
import { standardInput } from './scripted-input';
import { input } from './scripted-machine';

jest.mock('node:fs', () => jest.requireActual<typeof import('./scripted-input')>('./scripted-input').scriptedFs);
jest.mock('../../../lib/machine/machine', () => ({
  Machine: jest.requireActual<typeof import('./scripted-machine')>('./scripted-machine').ScriptedMachine,
}));

replaceStreams();

class Terminal extends PassThrough {
  isTTY = true;
  readonly modes: boolean[] = [];
  setRawMode(raw: boolean): this {
    this.modes.push(raw);
    return this;
  }
}

describe('standard streams', () => {
  it('carry the console both ways', async () => {
    const { machine, status } = await start();
    streams.stdin.write('typed');
    machine.print('printed');
    await turn();
    machine.end({ reason: 'powered-off' });
    expect([await status, streams.stdout.text, input.text]).toEqual([0, 'printed', 'typed']);
  });

  it('an input of /dev/null is left alone', async () => {
    standardInput.isNull = true;
    try {
      const { machine, status } = await start();
      machine.print('printed');
      machine.end({ reason: 'powered-off' });
      expect([await status, streams.stdout.text, streams.stdin.listenerCount('error')]).toEqual([0, 'printed', 0]);
    } finally {
      standardInput.isNull = false;
    }
  });

  it('an output that breaks ends the run, once', async () => {
    const { machine, status } = await start();
    machine.print('x');
    streams.stdout.destroy(Object.assign(new Error('broken'), { code: 'EPIPE' }));
    expect(await status).toBe(1);
    expect(streams.stderr.text).toBe('hax: standard output cannot be written: its reader is gone\n');
  });

  describe('an output that is stuck', () => {
    /** What the command waits for, instead of time: how long, and what it does then. */
    let waits: { milliseconds: number | undefined; end: () => void }[];
    beforeEach(() => {
      waits = [];
      jest.spyOn(process, 'exit').mockImplementation((() => undefined) as never);
      jest.spyOn(globalThis, 'setTimeout').mockImplementation(((end: () => void, milliseconds?: number) => {
        waits.push({ milliseconds, end });
        return { unref: () => undefined };
      }) as never);
    });
    afterEach(() => jest.restoreAllMocks());

    it.each([
      ['is waited for a second after SIGTERM', 1, [1000]],
      ['is not waited for after the second one', 2, [1000, 0]],
    ])('%s', async (_what, signals, expected) => {
      const { machine, status } = await start();
      streams.stdout.stuck = [];
      machine.print('x');
      await turn();
      for (let times = 0; times < signals; times++) process.emit('SIGTERM');
      let settled = false;
      void status.then(() => (settled = true));
      for (let turns = 0; turns < 20; turns++) await turn();
      expect([settled, waits.map(({ milliseconds }) => milliseconds)]).toEqual([false, expected]);
      waits.at(-1)!.end();
      expect(await status).toBe(143);
      expect(process.exit).toHaveBeenCalledWith(143);
      expect(machine.closed).toBe(true);
    });
  });
});

describe('a terminal', () => {
  let terminal: Terminal;
  beforeEach(() => {
    terminal = new Terminal();
    use({ ...streams, stdin: terminal });
  });

  it('is raw while the guest runs, and told how to end it', async () => {
    const listeners = process.listenerCount('exit');
    const { machine, status } = await start();
    expect(terminal.modes).toEqual([true]);
    expect(streams.stderr.text).toBe('hax: Ctrl-A X ends the machine, Ctrl-A Ctrl-A sends Ctrl-A\r\n');
    machine.end({ reason: 'halted' });
    expect(await status).toBe(0);
    expect([terminal.modes, terminal.destroyed, process.listenerCount('exit')]).toEqual([[true, false], true, listeners]);
  });

  it('is made raw again after a stop', async () => {
    const listeners = process.listenerCount('SIGCONT');
    const { machine, status } = await start();
    process.emit('SIGCONT');
    expect(terminal.modes).toEqual([true, false, true]);
    machine.end({ reason: 'halted' });
    await status;
    expect([terminal.modes.at(-1), process.listenerCount('SIGCONT')]).toEqual([false, listeners]);
  });

  it('Ctrl-A X ends the run, Ctrl-A with anything else sends that', async () => {
    const { status } = await start();
    for (const keys of ['a\x01', '\x01b\x01', 'c\x03', '\x01', 'xd']) {
      terminal.write(keys);
      await turn();
    }
    expect(await status).toBe(0);
    expect(input.text).toBe('a\x01bc\x03');
    expect(terminal.modes).toEqual([true, false]);
  });

  it('has Ctrl-A X behind what the guest does not read, which is dropped from 1 MiB on', async () => {
    input.room = 10;
    const { machine, status } = await start();
    for (let i = 0; i < 12; i++) terminal.write('x'.repeat(100_000));
    await turn();
    expect(input.text).toHaveLength(10);
    input.room = Infinity;
    machine.port.accept();
    await turn();
    expect(input.text.length / 1e5).toBe(11);
    input.room = 0;
    terminal.write('x'.repeat(100_000));
    terminal.write('\x01x');
    expect(await status).toBe(0);
  });

  it('is restored when the process exits under the run', async () => {
    const { machine, status } = await start();
    const restore = process.listeners('exit').at(-1) as () => void;
    restore();
    expect(terminal.modes).toEqual([true, false]);
    machine.end({ reason: 'halted' });
    await status;
  });
});

/** The inline run loop: port and memory-mapped accesses, and handlers that take their time or fail. */
import { setImmediate as turn } from 'node:timers/promises';
import { exitPage, ExitKind } from '../../../lib/native/layout';
import { bench, next, replied, run } from './inline-bench';
import { exit, halt, out, runner, script, scripted, slice, type Step } from './scripted-addon';

jest.mock('../../../lib/native/addon', () => jest.requireActual<typeof import('./scripted-addon')>('./scripted-addon').scriptedAddon);

it('counts of a port do not run over', async () => {
  const made = bench();
  const { exits } = made.vcpu;
  exits.ports[0x10] = 2 ** 32 - 2;
  // The vCPU stops in the middle of a slice, and goes on.
  made.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => Promise.resolve() });
  await run(made, out(0x10, 1), out(0x10, 1), out(0x10, 1), halt);
  expect(exits.snapshot().ports).toEqual({ '0x10': 2 ** 32 + 1 });
});

describe('port I/O', () => {
  it('goes to the bus with its width, and is counted', async () => {
    const made = bench();
    const written: unknown[] = [];
    made.ports.add(
      { at: 0x10, length: 8 },
      { read: (offset, width) => offset * 16 + width, write: (...access) => void written.push(access) },
    );
    const end = await run(
      made,
      out(0x10, 0x11),
      out(0x12, 0x11, 0x22),
      out(0x14, 0x11, 0x22, 0x33, 0xf4),
      exit(ExitKind.Io, { port: 0x11, size: 1 }),
      replied([0x11], exit(ExitKind.Io, { port: 0x12, size: 2 })),
      replied([0x22, 0], exit(ExitKind.Io, { port: 0x14, size: 4 })),
      replied([0x44, 0, 0, 0], exit(ExitKind.Io, { port: 0x999, size: 2 })),
      replied([0xff, 0xff]),
    );
    expect(end).toEqual({ reason: 'halted' });
    expect(written).toEqual([
      [0, 0x11, 1],
      [2, 0x2211, 2],
      [4, 0xf4332211, 4],
    ]);
    expect(made.vcpu.exits.snapshot()).toMatchObject({
      handled: 8,
      kinds: { io: 7, hlt: 1 },
      ports: { '0x10': 1, '0x12': 2, '0x999': 1 },
      slices: 1,
    });
    expect([made.native.completed, runner.started, runner.stopped]).toEqual([1, 1, 1]);
  });

  it('string instructions are one access an element, in order, in both directions', async () => {
    const made = bench();
    const written: number[] = [];
    let read = 0x100;
    made.ports.add({ at: 0x20, length: 2 }, { read: () => ++read, write: (_offset, value) => void written.push(value) });
    await run(
      made,
      exit(ExitKind.Io, { port: 0x20, size: 2, count: 3, direction: 'out', data: [1, 2, 3, 4, 5, 6] }),
      exit(ExitKind.Io, { port: 0x20, size: 2, count: 2 }),
      replied([1, 1, 2, 1]),
    );
    expect(written).toEqual([0x201, 0x403, 0x605]);
  });

  it('a string instruction stops where a handler ends the run', async () => {
    const made = bench();
    const written: number[] = [];
    const write = (_offset: number, value: number): void => {
      written.push(value);
      if (value === 2) made.vcpu.stop({ reason: 'powered-off' });
    };
    made.ports.add({ at: 0x20, length: 1 }, { read: () => 0, write });
    const end = await run(made, exit(ExitKind.Io, { port: 0x20, count: 4, direction: 'out', data: [1, 2, 3, 4] }));
    expect([end, written]).toEqual([{ reason: 'powered-off' }, [1, 2]]);
  });
});

describe('handlers that take their time', () => {
  const later = async <T>(value: T): Promise<T> => {
    await turn();
    return value;
  };

  it('park the vCPU until they are done', async () => {
    const made = bench();
    const order: string[] = [];
    const handler = {
      read: () => later(0x5a),
      write: async (_offset: number, value: number) => {
        await turn();
        order.push(`written ${value}`);
      },
    };
    made.ports.add({ at: 0x30, length: 1 }, handler);
    const end = await run(
      made,
      out(0x30, 7),
      (page) => {
        order.push('entered');
        exit(ExitKind.Io, { port: 0x30 })(page);
      },
      replied([0x5a]),
    );
    expect([end, order]).toEqual([{ reason: 'halted' }, ['written 7', 'entered']]);
  });

  it('also within string instructions', async () => {
    const made = bench();
    const written: number[] = [];
    let value = 0;
    const handler = {
      read: () => (++value % 2 ? later(value) : value),
      write: (_offset: number, each: number) => later(undefined).then(() => void written.push(each)),
    };
    made.ports.add({ at: 0x30, length: 1 }, handler);
    await run(
      made,
      exit(ExitKind.Io, { port: 0x30, count: 3, direction: 'out', data: [9, 8, 7] }),
      exit(ExitKind.Io, { port: 0x30, count: 4 }),
      replied([1, 2, 3, 4]),
    );
    expect(written).toEqual([9, 8, 7]);
  });

  it('a run that ends meanwhile does not wait for them', async () => {
    const made = bench();
    let reply!: (value: number) => void;
    made.ports.add({ at: 0x30, length: 1 }, { read: () => new Promise<number>((resolve) => (reply = resolve)), write: () => undefined });
    script.push(exit(ExitKind.Io, { port: 0x30 }));
    const ended = made.vcpu.run();
    expect(slice()).toBe(next.park);
    made.vcpu.stop();
    expect(await ended).toEqual({ reason: 'killed' });
    reply(1);
    await turn();
    // The read is over, with all-ones in the place of the reply that never came.
    expect([made.native.completed, runner.woken, scripted.page.getUint32(exitPage.data, true)]).toEqual([1, 0, 0xffffffff]);
  });
});

describe('memory-mapped I/O', () => {
  it('goes to the bus in every size, and its pages are counted', async () => {
    const made = bench();
    const written: unknown[] = [];
    made.mmio.add({ at: 0xd0000000, length: 0x100 }, { read: (offset) => offset, write: (...access) => void written.push(access) });
    await run(
      made,
      exit(ExitKind.Mmio, { address: 0xd0000004, size: 4, direction: 'out', data: [1, 2, 3, 4] }),
      exit(ExitKind.Mmio, { address: 0xd0000008, size: 8, direction: 'out', data: [1, 0, 0, 0, 2, 0, 0, 0] }),
      exit(ExitKind.Mmio, { address: 0xd0000020, size: 2 }),
      replied([0x20, 0], exit(ExitKind.Mmio, { address: 2 ** 40, size: 1 })),
      replied([0xff]),
    );
    expect(written).toEqual([
      [4, 0x04030201, 4],
      [8, 1, 4],
      [12, 2, 4],
    ]);
    expect(made.vcpu.exits.snapshot().pages).toEqual({ '0xd0000000': 3, '0x10000000000': 1 });
  });

  it('a handler may take its time', async () => {
    const made = bench();
    made.mmio.add({ at: 0xd0000000, length: 0x10 }, { read: async () => 0x77, write: async () => undefined });
    await run(
      made,
      exit(ExitKind.Mmio, { address: 0xd0000000, size: 4, direction: 'out' }),
      exit(ExitKind.Mmio, { address: 0xd0000000, size: 1 }),
      replied([0x77]),
    );
  });
});

describe('a handler that fails', () => {
  const failing = {
    read: (): number => {
      throw new RangeError('broken');
    },
    write: () => Promise.reject(new Error('broken later')),
  };

  it.each<[string, Step, RegExp]>([
    ['IN', exit(ExitKind.Io, { port: 0x40 }), /^IN from port 0x40 failed at guest rip 0x1234: broken$/],
    ['OUT, later', out(0x40, 1), /^OUT to port 0x40 failed at guest rip 0x1234: broken later$/],
    ['INS', exit(ExitKind.Io, { port: 0x40, count: 2 }), /^string I\/O at port 0x40 failed .*: broken$/],
    ['OUTS, later', exit(ExitKind.Io, { port: 0x40, count: 2, direction: 'out' }), /^string I\/O at port 0x40 failed .*: broken later$/],
    ['MMIO', exit(ExitKind.Mmio, { address: 0xd0000000 }), /^read from address 0xd0000000 failed .*: broken$/],
    [
      'MMIO, later',
      exit(ExitKind.Mmio, { address: 0xd0000000, direction: 'out' }),
      /^write to address 0xd0000000 failed .*: broken later$/,
    ],
  ])('%s: ends the run with the place of the guest', async (_what, step, message) => {
    const made = bench();
    made.ports.add({ at: 0x40, length: 1 }, failing);
    made.mmio.add({ at: 0xd0000000, length: 1 }, failing);
    const error = (await run(made, step).catch((reason: unknown) => reason)) as Error;
    expect(error).toMatchObject({ code: 'ERR_HAX_DEVICE_FAILED', rip: 0x1234n, cause: expect.any(Error) });
    expect(error.message).toMatch(message);
    expect(made.vcpu.running).toBe(false);
  });

  it('is named where it has a name, with those that share the access', async () => {
    const failure = async (step: Step): Promise<unknown> => {
      const made = bench();
      made.ports.add({ at: 0x40, length: 1, name: 'first' }, { ...failing, read: () => 0 });
      made.ports.add({ at: 0x41, length: 1, name: 'second' }, failing);
      made.mmio.add({ at: 0xd0000000, length: 4, name: 'screen' }, failing);
      return run(made, step).catch((error: unknown) => (error as Error).message);
    };
    expect(await failure(exit(ExitKind.Io, { port: 0x40, size: 2 }))).toMatch(/^IN from port 0x40 \(first, second\) failed .*: broken$/);
    expect(await failure(exit(ExitKind.Io, { port: 0x41, count: 2 }))).toMatch(/^string I\/O at port 0x41 \(second\) failed .*: broken$/);
    expect(await failure(exit(ExitKind.Mmio, { address: 0xd0000000, size: 4 }))).toMatch(
      /^read from address 0xd0000000 \(screen\) failed .*: broken$/,
    );
  });

  it('by throwing something that is no Error', async () => {
    const made = bench();
    const write = (): void => {
      throw 'a string'; // eslint-disable-line @typescript-eslint/only-throw-error
    };
    made.ports.add({ at: 0x40, length: 1 }, { read: () => 0, write });
    await expect(run(made, out(0x40, 1))).rejects.toMatchObject({ message: expect.stringMatching(/OUT to port 0x40 .*: a string$/) });
  });
});

/** The inline run loop against a device that exits as a script says: no addon, no hypervisor. */
import { setImmediate as turn } from 'node:timers/promises';
import type { InterruptSource } from '../../../lib/bus/interrupts';
import { MmioBus } from '../../../lib/bus/mmio-bus';
import { PortBus } from '../../../lib/bus/port-bus';
import type { RunEnd } from '../../../lib/hypervisor/end';
import { servedKinds } from '../../../lib/hypervisor/exit-handlers';
import { installRunDriver, Vcpu } from '../../../lib/hypervisor/vcpu';
import type { VirtualMachine } from '../../../lib/hypervisor/vm';
import type { NativeVcpu, Next } from '../../../lib/native/addon';
import { exitPage, ExitKind, InterruptReason, stateBlock, StateMask } from '../../../lib/native/layout';
import { runInline } from '../../../lib/run/inline';
import { codeOf } from '../../support/codes';

const next = { goOn: 0, park: 1, end: 2 };

/** What the guest does next: fills the exit page. */
type Step = (page: DataView) => void;

const mockScript: Step[] = [];
let mockPage: DataView;
let mockSlice: () => Next;
let mockFailure: Error | undefined;
const mockRunner = { started: 0, stopped: 0, woken: 0, referenced: true, caps: [] as number[], idle: [] as boolean[] };

jest.mock('../../../lib/native/addon', () => ({
  ...jest.requireActual<object>('../../../lib/native/addon'),
  addon: () => ({
    checkRun: () => {
      if (mockFailure) throw mockFailure;
    },
    run: () => {
      const step = mockScript.shift();
      if (step) step(mockPage);
      else exit(ExitKind.Interrupted, { subcode: InterruptReason.Slice })(mockPage);
    },
    loopIsAccessible: true,
    SliceRunner: class {
      constructor(_vcpu: NativeVcpu, slice: () => Next, cap: number) {
        mockSlice = slice;
        mockRunner.caps.push(cap);
      }
      start = (): number => mockRunner.started++;
      stop = (): number => mockRunner.stopped++;
      wake = (): number => mockRunner.woken++;
      setReferenced = (on: boolean): boolean => (mockRunner.referenced = on);
      setCap = (cap: number): number => mockRunner.caps.push(cap);
      setIdle = (idle: boolean): number => mockRunner.idle.push(idle);
    },
  }),
}));

interface Fields {
  port?: number;
  size?: number;
  count?: number;
  direction?: 'in' | 'out';
  subcode?: number;
  rawCode?: number;
  address?: number;
  detail?: bigint;
  data?: readonly number[];
  instruction?: readonly number[];
}

function exit(kind: number, fields: Fields = {}): Step {
  return (page) => {
    const { size = 1, count = 1, direction = 'in', data = [], instruction = [] } = fields;
    page.setUint32(exitPage.kind, kind, true);
    page.setUint32(exitPage.port, fields.port ?? 0, true);
    page.setUint32(exitPage.size, size, true);
    page.setUint32(exitPage.count, count, true);
    page.setUint32(exitPage.direction, direction === 'out' ? 1 : 0, true);
    page.setUint32(exitPage.subcode, fields.subcode ?? 0, true);
    page.setUint32(exitPage.rawCode, fields.rawCode ?? 0, true);
    page.setBigUint64(exitPage.address, BigInt(fields.address ?? 0), true);
    page.setBigUint64(exitPage.detail, fields.detail ?? 0n, true);
    page.setUint32(exitPage.instructionLength, instruction.length, true);
    instruction.forEach((byte, i) => page.setUint8(exitPage.instruction + i, byte));
    data.forEach((byte, i) => page.setUint8(exitPage.data + i, byte));
  };
}

const out = (port: number, ...data: number[]): Step => exit(ExitKind.Io, { port, size: data.length, direction: 'out', data });
const halt = exit(ExitKind.Hlt);
/** Checks a reply at the time of the next entry, as the hypervisor takes it, and goes on with `step`. */
const replied =
  (data: number[], step: Step = halt): Step =>
  (page) => {
    expect(Array.from({ length: data.length }, (_, i) => page.getUint8(exitPage.data + i))).toEqual(data);
    step(page);
  };

interface Bench {
  vcpu: Vcpu;
  ports: PortBus;
  mmio: MmioBus;
  native: { completed: number; injected: number[]; halted: boolean; rflags: bigint };
}

function bench({ kernelIrqchip = false, source }: { kernelIrqchip?: boolean; source?: InterruptSource } = {}): Bench {
  const [ports, mmio] = [new PortBus(), new MmioBus()];
  const shared = new ArrayBuffer(16384);
  mockPage = new DataView(shared);
  mockScript.length = 0;
  mockFailure = undefined;
  Object.assign(mockRunner, { started: 0, stopped: 0, woken: 0, referenced: true, caps: [], idle: [] });
  const state = { completed: 0, injected: [] as number[], halted: false, rflags: 2n };
  const native = {
    shared: () => shared,
    complete: () => state.completed++,
    inject: (vector: number) => state.injected.push(vector),
    getState: (mask: number) => {
      if (mask & StateMask.General) {
        mockPage.setBigUint64(stateBlock.general + 16 * 8, 0x1234n, true); // rip
        mockPage.setBigUint64(stateBlock.general + 17 * 8, state.rflags, true);
      }
      if (mask & StateMask.Mp) mockPage.setUint32(stateBlock.mpState, state.halted ? 3 : 0, true);
    },
    ioctl: () => 0,
    close: () => undefined,
  } as unknown as NativeVcpu;
  const userIrqchip = source && { source, line: () => ({ set: () => undefined }) };
  const vm = {
    backend: 'kvm',
    ports,
    mmio,
    hasKernelIrqchip: kernelIrqchip,
    userIrqchip,
    vcpus: [{ id: 0 }],
    posted: { active: false, onActive: new Set() },
    forget: () => undefined,
  } as unknown as VirtualMachine;
  installRunDriver(runInline);
  return { vcpu: new Vcpu(vm, 0, native), ports, mmio, native: state };
}

/** Runs a script to the end of the run, giving the event loop a turn between slices. */
async function run({ vcpu }: Bench, ...script: Step[]): Promise<RunEnd> {
  mockScript.push(...script);
  const ended = vcpu.run();
  ended.catch(() => undefined);
  for (let slices = 0; slices < 100; slices++) {
    const answer: number = mockSlice();
    if (answer === next.end) break;
    if (answer === next.park) {
      const { woken } = mockRunner;
      for (let turns = 0; mockRunner.woken === woken && mockRunner.stopped === 0; turns++) {
        if (turns > 100) throw new Error('nobody wakes the vCPU');
        await turn();
      }
      if (mockRunner.stopped > 0) break;
    }
    await turn();
  }
  return ended;
}

it('an entry that fails ends the run with its error', async () => {
  const made = bench();
  made.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => void (mockFailure = new Error('no such luck')) });
  await expect(run(made, out(0x10, 1), exit(ExitKind.None))).rejects.toThrow('no such luck');
});

it('counts of a port do not run over', async () => {
  const made = bench();
  const { exits } = made.vcpu;
  exits.ports[0x10] = 2 ** 32 - 2;
  // The vCPU stops in the middle of a slice, and goes on.
  made.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => Promise.resolve() });
  await run(made, out(0x10, 1), out(0x10, 1), out(0x10, 1), halt);
  expect(exits.snapshot().ports).toEqual({ '0x10': 2 ** 32 + 1 });
});

it('a handler that has writes posted ends the slice, and the next one looks for them', async () => {
  const made = bench();
  const { posted } = made.vcpu.vm as unknown as { posted: { active: boolean; waiting: boolean; onActive: Set<() => void>; drain(): void } };
  const drained: number[] = [];
  Object.assign(posted, { waiting: true, drain: () => void drained.push(made.vcpu.exits.snapshot().slices) });
  const write = (): void => {
    posted.active = true;
    for (const tell of posted.onActive) tell();
  };
  made.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write });
  await run(made, out(0x10, 1), halt);
  expect(drained).toEqual([2]);
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
    expect([made.native.completed, mockRunner.started, mockRunner.stopped]).toEqual([1, 1, 1]);
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
    mockScript.push(exit(ExitKind.Io, { port: 0x30 }));
    const ended = made.vcpu.run();
    expect(mockSlice()).toBe(next.park);
    made.vcpu.stop();
    expect(await ended).toEqual({ reason: 'killed' });
    reply(1);
    await turn();
    // The read is over, with all-ones in the place of the reply that never came.
    expect([made.native.completed, mockRunner.woken, mockPage.getUint32(exitPage.data, true)]).toEqual([1, 0, 0xffffffff]);
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

  it('by throwing something that is no Error', async () => {
    const made = bench();
    const write = (): void => {
      throw 'a string'; // eslint-disable-line @typescript-eslint/only-throw-error
    };
    made.ports.add({ at: 0x40, length: 1 }, { read: () => 0, write });
    await expect(run(made, out(0x40, 1))).rejects.toMatchObject({ message: expect.stringMatching(/OUT to port 0x40 .*: a string$/) });
  });
});

describe('ends', () => {
  it.each<[string, Step, Partial<RunEnd>]>([
    ['HLT', halt, { reason: 'halted' }],
    ['shutdown', exit(ExitKind.Shutdown), { reason: 'triple-fault' }],
    ['a system event: power-off', exit(ExitKind.SystemEvent, { subcode: 1 }), { reason: 'powered-off' }],
    ['a system event: reset', exit(ExitKind.SystemEvent, { subcode: 2 }), { reason: 'reset' }],
    ['a system event: crash', exit(ExitKind.SystemEvent, { subcode: 3 }), { reason: 'panicked' }],
    ['another system event', exit(ExitKind.SystemEvent, { subcode: 9 }), { reason: 'killed' }],
    ['a refused entry', exit(ExitKind.FailEntry, { detail: 0x80000021n }), { reason: 'fail-entry', hardwareReason: 0x80000021n }],
    [
      'an internal error',
      exit(ExitKind.InternalError, { subcode: 1, instruction: [0x0f, 0x0b] }),
      { reason: 'internal-error', suberror: 1, instruction: Uint8Array.of(0x0f, 0x0b) },
    ],
    ['an exit that nobody knows', exit(ExitKind.Unknown, { rawCode: 99 }), { reason: 'unhandled-exit', kind: 'unknown', rawCode: 99 }],
    ['a debug exit', exit(ExitKind.Debug, { rawCode: 4 }), { reason: 'unhandled-exit', kind: 'debug', rawCode: 4 }],
  ])('%s', async (_what, step, expected) => {
    const end = await run(bench(), exit(ExitKind.IrqWindow), exit(ExitKind.Msr), exit(ExitKind.Hypercall), step);
    expect(end).toMatchObject(expected);
    if (end.reason === 'triple-fault') expect(end.registers?.rip).toBe(0x1234n);
  });

  it('stop() between slices, and a second one that comes too late', async () => {
    const made = bench();
    const ended = made.vcpu.run();
    expect(mockSlice()).toBe(next.goOn);
    made.vcpu.stop({ reason: 'exit-code', status: 3 });
    made.vcpu.stop();
    expect(await ended).toEqual({ reason: 'exit-code', status: 3 });
    expect(made.native.completed).toBe(1);
  });

  it('an abort, between slices and inside one', async () => {
    for (const inside of [false, true]) {
      const made = bench();
      const controller = new AbortController();
      const reason = new Error('enough');
      made.ports.add({ at: 1, length: 1 }, { read: () => 0, write: () => controller.abort(reason) });
      if (inside) mockScript.push(out(1, 1));
      const ended = made.vcpu.run({ signal: controller.signal });
      if (!inside) controller.abort(reason);
      else expect(mockSlice()).toBe(next.end);
      await expect(ended).rejects.toBe(reason);
    }
  });

  it('closing the vCPU kills the run', async () => {
    const made = bench();
    const ended = made.vcpu.run();
    made.vcpu.close();
    expect(await ended).toEqual({ reason: 'killed' });
    expect(made.native.completed).toBe(0);
  });
});

describe('exits that a program may serve', () => {
  const kinds = {
    msr: ExitKind.Msr,
    hypercall: ExitKind.Hypercall,
    hyperv: ExitKind.Hyperv,
    xen: ExitKind.Xen,
    'ioapic-eoi': ExitKind.IoapicEoi,
    'set-tpr': ExitKind.SetTpr,
    'tpr-access': ExitKind.TprAccess,
    nmi: ExitKind.Nmi,
    'bus-lock': ExitKind.BusLock,
    notify: ExitKind.Notify,
    'dirty-ring-full': ExitKind.DirtyRingFull,
    'memory-fault': ExitKind.MemoryFault,
    debug: ExitKind.Debug,
    exception: ExitKind.Exception,
    unknown: ExitKind.Unknown,
  } as const;
  const ends: readonly string[] = ['dirty-ring-full', 'memory-fault', 'debug', 'exception', 'unknown'];

  it.each(servedKinds)('%s', async (kind) => {
    const unserved = await run(bench(), exit(kinds[kind], { rawCode: 7 }), halt);
    expect(unserved).toMatchObject(ends.includes(kind) ? { reason: 'unhandled-exit', kind, rawCode: 7 } : { reason: 'halted' });
    const made = bench();
    const seen: string[] = [];
    made.vcpu.onExit(kind, (each) => void seen.push(each.kind));
    expect(await run(made, exit(kinds[kind]), exit(kinds[kind]), halt)).toEqual({ reason: 'halted' });
    expect(seen).toEqual([kind, kind]);
  });

  it('a guest whose context is lost cannot go on', async () => {
    const end = await run(bench(), exit(ExitKind.Notify, { detail: 1n }));
    expect(end).toMatchObject({ reason: 'unhandled-exit', kind: 'notify' });
  });

  it('replies are there at the next entry, also when they come late', async () => {
    for (const late of [false, true]) {
      const made = bench();
      made.vcpu.onExit('msr', (each) => {
        const answer = (): void => {
          each.value = 0x55n;
          each.fault = false;
        };
        if (!late) return answer();
        return turn().then(answer);
      });
      let reply: bigint | undefined;
      mockScript.push(exit(ExitKind.Msr, { detail: 1n }), (page) => {
        reply = page.getBigUint64(exitPage.detail, true);
        halt(page);
      });
      const ended = made.vcpu.run();
      if (late) {
        expect(mockSlice()).toBe(next.park);
        await turn();
        await turn();
      }
      expect(mockSlice()).toBe(next.end);
      expect([await ended, reply]).toEqual([{ reason: 'halted' }, 0x55n]);
    }
  });

  it('what a handler throws or rejects with ends the run', async () => {
    const made = bench();
    const removable = made.vcpu.onExit('hypercall', () => {
      throw new Error('no such call');
    });
    const message = expect.stringMatching(/^the handler of exits of kind hypercall failed at guest rip 0x1234: no such call$/);
    await expect(run(made, exit(ExitKind.Hypercall))).rejects.toMatchObject({ code: 'ERR_HAX_DEVICE_FAILED', message });
    removable.remove();
    made.vcpu.onExit('hypercall', () => Promise.reject(new Error('too late')));
    mockScript.push(exit(ExitKind.Hypercall));
    const ended = made.vcpu.run();
    expect(mockSlice()).toBe(next.park);
    await expect(ended).rejects.toMatchObject({ code: 'ERR_HAX_DEVICE_FAILED', message: expect.stringContaining('too late') });
  });

  it('a kind has one handler, until it is taken away', async () => {
    const { vcpu, ...rest } = bench();
    const first = vcpu.onExit('debug', () => vcpu.stop({ reason: 'exit-code', status: 9 }));
    expect(codeOf(() => vcpu.onExit('debug', () => undefined))).toBe('ERR_HAX_OVERLAP');
    for (const [kind, handler] of [
      ['io', () => undefined],
      ['hlt', () => undefined],
      [5, () => undefined],
      ['msr', 5],
      ['msr', undefined],
    ])
      // prettier-ignore
      expect(codeOf(() => vcpu.onExit(kind as never, handler as never))).toBe('ERR_HAX_INVALID_ARGUMENT');
    expect(await run({ vcpu, ...rest }, exit(ExitKind.Debug))).toEqual({ reason: 'exit-code', status: 9 });
    first.remove();
    first.remove();
    expect(await run({ vcpu, ...rest }, exit(ExitKind.Debug))).toMatchObject({ reason: 'unhandled-exit', kind: 'debug' });
  });
});

describe('slices', () => {
  it('give up at an event; a guest that never exits gets longer ones, one that exits the shortest again', () => {
    const made = bench();
    void made.vcpu.run();
    for (let i = 0; i < 6; i++) expect(mockSlice()).toBe(next.goOn);
    expect(mockRunner.caps.map((cap) => cap / 1e6)).toEqual([10, 20, 40, 80, 160, 320, 480]);
    mockScript.push(out(1, 1), exit(ExitKind.Interrupted, { subcode: InterruptReason.Slice }));
    mockSlice();
    expect(mockRunner.caps.at(-1)).toBe(10e6);
    mockSlice();
    mockScript.push(exit(ExitKind.Interrupted, { subcode: InterruptReason.Kick }));
    mockSlice();
    expect(mockRunner.caps.map((cap) => cap / 1e6).slice(-2)).toEqual([20, 10]);
    made.vcpu.stop();
  });

  it('end with the first exit where they would be long, so that its promises need not wait', () => {
    const { vcpu, ports } = bench();
    let served = 0;
    ports.add({ at: 1, length: 1 }, { read: () => 0, write: () => void served++ });
    void vcpu.run();
    mockScript.push(out(1, 1), out(1, 1), out(1, 1));
    mockSlice();
    expect(served).toBe(3);
    mockSlice(); // a quiet one: the next would be long
    mockScript.push(out(1, 1), out(1, 1), out(1, 1));
    mockSlice();
    expect(served).toBe(4);
    expect(mockRunner.caps.at(-1)).toBe(10e6);
    mockSlice();
    expect(served).toBe(6);
    vcpu.stop();
  });

  it('are short from the first posted write on', () => {
    const { vcpu } = bench();
    const run = vcpu.run();
    for (let i = 0; i < 4; i++) mockSlice();
    expect(mockRunner.caps.at(-1)).toBeGreaterThan(10e6);
    const { onActive } = vcpu.vm.posted;
    for (const tell of onActive) tell();
    expect(mockRunner.caps.at(-1)).toBe(10e6);
    vcpu.stop();
    return run;
  });

  it('find a guest that is halted for good under the controllers of the kernel', async () => {
    const now = jest.spyOn(process.hrtime, 'bigint').mockReturnValue(0n);
    try {
      const made = bench({ kernelIrqchip: true });
      const ended = made.vcpu.run();
      const after = (milliseconds: number): number => {
        now.mockReturnValue(BigInt(milliseconds) * 1_000_000n);
        return mockSlice();
      };
      made.native.halted = true;
      expect(after(50)).toBe(next.goOn); // not asked that often
      made.native.rflags = 0x202n;
      expect(after(200)).toBe(next.goOn); // an interrupt can wake it
      made.native.rflags = 2n;
      expect(after(400)).toBe(next.end);
      expect(await ended).toEqual({ reason: 'halted' });
    } finally {
      now.mockRestore();
    }
  });

  it('tell when the guest sleeps under the controllers of the kernel, and when it no longer does', () => {
    const made = bench({ kernelIrqchip: true });
    void made.vcpu.run();
    mockSlice();
    expect(mockRunner.idle).toEqual([]);
    made.native.halted = true;
    mockSlice();
    mockSlice();
    expect(mockRunner.idle).toEqual([true]);
    mockScript.push(exit(ExitKind.Io, { port: 0x30, direction: 'out' }));
    mockSlice();
    mockSlice();
    mockScript.push(exit(ExitKind.Io, { port: 0x30, direction: 'out' }));
    mockSlice();
    expect(mockRunner.idle).toEqual([true, false, true, false]);
    made.vcpu.stop();
  });

  it('setReferenced is passed on', () => {
    const made = bench();
    void made.vcpu.run();
    made.vcpu.setReferenced(false);
    expect(mockRunner.referenced).toBe(false);
    made.vcpu.stop();
  });
});

describe('pause and resume', () => {
  it('the guest rests in between', async () => {
    const made = bench();
    const ended = made.vcpu.run();
    expect(mockSlice()).toBe(next.goOn);
    made.vcpu.pause();
    expect(made.native.completed).toBe(1);
    expect(mockSlice()).toBe(next.park);
    made.vcpu.resume();
    expect(mockRunner.woken).toBe(1);
    mockScript.push(halt);
    expect(mockSlice()).toBe(next.end);
    expect(await ended).toEqual({ reason: 'halted' });
  });
});

describe('interrupt controllers of ours', () => {
  class Source implements InterruptSource {
    queue: number[] = [];
    onPending: (() => void) | undefined;
    get pending(): boolean {
      return this.queue.length > 0;
    }
    acknowledge(): number {
      return this.queue.shift()!;
    }
    raise(vector: number): void {
      this.queue.push(vector);
      this.onPending?.();
    }
  }
  const ready = (on: boolean) => mockPage.setUint32(exitPage.interruptReady, on ? 1 : 0, true);
  const window = (): number => mockPage.getUint32(exitPage.requestWindow, true);

  it('give a vector when the guest can take one, and ask to be told otherwise', () => {
    const source = new Source();
    const made = bench({ source });
    void made.vcpu.run();
    ready(false);
    source.raise(0x20);
    mockSlice();
    expect([made.native.injected, window()]).toEqual([[], 1]);
    ready(true);
    source.queue.push(0x21);
    mockScript.push(exit(ExitKind.IrqWindow));
    mockSlice();
    expect([made.native.injected, window()]).toEqual([[0x20], 1]);
    ready(true);
    mockSlice();
    mockSlice();
    expect([made.native.injected, window()]).toEqual([[0x20, 0x21], 0]);
    made.vcpu.stop();
    expect(source.onPending).toBeUndefined();
  });

  it('wake a guest that is halted; with interrupts off it is halted for good', async () => {
    const source = new Source();
    const made = bench({ source });
    made.native.rflags = 0x202n;
    const ended = made.vcpu.run();
    mockScript.push(halt);
    expect(mockSlice()).toBe(next.park);
    expect(mockSlice()).toBe(next.park);
    source.raise(0x20);
    expect(mockRunner.woken).toBe(1);
    ready(true);
    made.native.rflags = 2n;
    mockScript.push(halt);
    expect(mockSlice()).toBe(next.end);
    expect(await ended).toEqual({ reason: 'halted' });
    expect(made.native.injected).toEqual([0x20]);
  });

  it('an interrupt that is taken back before the guest has it does not end a halt', () => {
    const source = new Source();
    const made = bench({ source });
    made.native.rflags = 0x202n;
    void made.vcpu.run();
    mockScript.push(halt);
    expect(mockSlice()).toBe(next.park);
    source.raise(0x20);
    source.queue.length = 0;
    mockScript.push(out(0x10, 1));
    expect([mockSlice(), mockScript.length]).toEqual([next.park, 1]);
    source.raise(0x21);
    ready(true);
    expect([mockSlice(), mockScript.length, made.native.injected]).toEqual([next.goOn, 0, [0x21]]);
    made.vcpu.stop();
  });

  it('a halt with an interrupt that waits is none', () => {
    const source = new Source();
    const made = bench({ source });
    made.native.rflags = 0x202n;
    void made.vcpu.run();
    ready(false);
    source.queue.push(0x30);
    mockScript.push(halt);
    expect(mockSlice()).toBe(next.goOn);
    made.vcpu.stop();
  });
});

/** The inline run loop: exits that end a run, and exits that a program may serve. */
import { setImmediate as turn } from 'node:timers/promises';
import type { RunEnd } from '../../../lib/hypervisor/end';
import { servedKinds } from '../../../lib/hypervisor/exit-handlers';
import { exitPage, ExitKind } from '../../../lib/native/layout';
import { codeOf } from '../../support/codes';
import { bench, next, run } from './inline-bench';
import { exit, halt, out, script, scripted, slice, type Step } from './scripted-addon';

jest.mock('../../../lib/native/addon', () => jest.requireActual<typeof import('./scripted-addon')>('./scripted-addon').scriptedAddon);

it('an entry that fails ends the run with its error', async () => {
  const made = bench();
  made.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write: () => void (scripted.failure = new Error('no such luck')) });
  await expect(run(made, out(0x10, 1), exit(ExitKind.None))).rejects.toThrow('no such luck');
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
    expect(slice()).toBe(next.goOn);
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
      if (inside) script.push(out(1, 1));
      const ended = made.vcpu.run({ signal: controller.signal });
      if (!inside) controller.abort(reason);
      else expect(slice()).toBe(next.end);
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
      script.push(exit(ExitKind.Msr, { detail: 1n }), (page) => {
        reply = page.getBigUint64(exitPage.detail, true);
        halt(page);
      });
      const ended = made.vcpu.run();
      if (late) {
        expect(slice()).toBe(next.park);
        await turn();
        await turn();
      }
      expect(slice()).toBe(next.end);
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
    script.push(exit(ExitKind.Hypercall));
    const ended = made.vcpu.run();
    expect(slice()).toBe(next.park);
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

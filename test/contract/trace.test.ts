/** Exit traces of runs, inline and threaded. */
import { setImmediate as turn } from 'node:timers/promises';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { ExitTrace, type RunOptions } from 'node-hax';
import { codeOf } from '../support/codes';
import { loadProgram, ramSize, Recorder, sink } from '../support/guests';
import { describeEachBackend } from '../support/hosts';
import { overlaps, readTrace, type TraceEvent } from '../support/trace';

const directory = mkdtempSync(path.join(tmpdir(), 'node-hax-trace-'));
afterAll(() => rmSync(directory, { recursive: true }));
const file = path.join(directory, 'trace.json');

/** The exits of a track; the ends of slices come when they come. */
function exits(events: readonly TraceEvent[], tid = 0): string[] {
  return events.filter((event) => event.cat === 'exit' && event.tid === tid && event.name !== 'interrupted').map(({ name }) => name);
}

describeEachBackend('an exit trace', (backend) => {
  describe.each<[string, RunOptions]>([
    ['inline', {}],
    ['threaded', { threaded: true }],
  ])('%s', (_mode, mode) => {
    it('has each exit in its order, between times in the guest', async () => {
      const { vm, vcpu } = backend.program({ kind: 'out', port: 0x3f8, value: 0x41, times: 50 });
      vm.ports.add({ at: 0x3f8, length: 8 }, new Recorder());
      const trace = new ExitTrace(file);
      expect(await vcpu.run({ ...mode, trace })).toEqual({ reason: 'halted' });
      trace.close();
      const events = readTrace(file);
      expect(exits(events)).toEqual([...(new Array(50).fill('OUT 0x3f8') as string[]), 'hlt']);
      expect(overlaps(events)).toEqual([]);
      const complete = events.filter(({ ph }) => ph === 'X');
      expect(complete.filter(({ cat }, i) => cat === 'exit' && complete[i - 1]?.cat !== 'guest')).toEqual([]);
      expect(events.find(({ name }) => name === 'OUT 0x3f8')!.args).toEqual({ size: 1, value: '0x41' });
    });

    it('has the value of a read, unless it came by a promise', async () => {
      for (const [answer, args] of [
        [0x5a, { size: 1, value: '0x5a' }],
        [turn().then(() => 0x5a), { size: 1 }],
      ] as const) {
        const { vm, vcpu } = backend.program({ kind: 'in', port: 0x60 });
        vm.ports.add({ at: 0x60, length: 1 }, { read: () => answer, write: () => undefined });
        const trace = new ExitTrace(file);
        await vcpu.run({ ...mode, trace });
        trace.close();
        expect(vcpu.getState().rax & 0xffn).toBe(0x5an);
        expect(readTrace(file).find(({ name }) => name === 'IN 0x60')!.args).toEqual(args);
      }
    });

    it('leaves the guest alone when the disk is full or the trace is closed', async () => {
      const { vm, vcpu } = backend.program({ kind: 'out', port: 0x10, times: 3000 });
      let count = 0;
      const errors: Error[] = [];
      vm.ports.add(
        { at: 0x10, length: 1 },
        sink((_value, number) => void (count = number)),
      );
      const trace = new ExitTrace('/dev/full', { onError: (error) => errors.push(error) });
      expect(await vcpu.run({ ...mode, trace })).toEqual({ reason: 'halted' });
      expect({ count, errors: errors.length }).toEqual({ count: 3000, errors: 1 });
      const again = backend.program({ kind: 'out', port: 0x10, times: 20 });
      const other = new ExitTrace(file);
      again.vm.ports.add(
        { at: 0x10, length: 1 },
        sink((_value, number) => {
          if (number === 10) other.close();
        }),
      );
      expect(await again.vcpu.run({ ...mode, trace: other })).toEqual({ reason: 'halted' });
      expect(exits(readTrace(file))).toHaveLength(9);
    });

    it('of a guest that spins and is paused and stopped has no time twice', async () => {
      const { vcpu } = backend.program({ kind: 'spin' });
      const trace = new ExitTrace(file);
      const run = vcpu.run({ ...mode, trace });
      for (let i = 0; i < 3; i++) {
        await turn();
        vcpu.pause();
        vcpu.resume();
      }
      await turn();
      vcpu.stop();
      await run;
      trace.close();
      const events = readTrace(file);
      expect(events.some(({ name }) => name === 'guest')).toBe(true);
      expect(overlaps(events)).toEqual([]);
    });
  });

  it('has a track for each vCPU and a process for each VM', async () => {
    const trace = new ExitTrace(file);
    for (let round = 0; round < 2; round++) {
      const vm = backend.vm();
      vm.mapMemory({ gpa: 0, size: ramSize });
      vm.ports.add({ at: 0x10, length: 2 }, new Recorder());
      const vcpus = [0, 1].map(() => vm.createVcpu({ cpus: 2 }));
      vcpus.forEach((vcpu, i) => loadProgram(vm, vcpu, { kind: 'out', port: 0x10 + i, times: 5 }));
      await Promise.all(vcpus.map((vcpu) => vcpu.run({ threaded: true, trace })));
    }
    trace.close();
    const events = readTrace(file);
    expect(overlaps(events)).toEqual([]);
    for (const pid of [1, 2]) {
      const own = events.filter((event) => event.pid === pid);
      expect(exits(own, 0)).toEqual([...(new Array(5).fill('OUT 0x10') as string[]), 'hlt']);
      expect(exits(own, 1)).toEqual([...(new Array(5).fill('OUT 0x11') as string[]), 'hlt']);
    }
  });

  it('must be one', () => {
    const { vcpu } = backend.program({ kind: 'spin' });
    expect(codeOf(() => vcpu.run({ trace: {} as unknown as ExitTrace }))).toBe('ERR_HAX_INVALID_ARGUMENT');
  });
});

/** What the tests of the inline run loop have in common: a vCPU whose guest is a script, without addon or hypervisor. */
import { setImmediate as turn } from 'node:timers/promises';
import type { InterruptSource } from '../../../lib/bus/interrupts';
import { MmioBus } from '../../../lib/bus/mmio-bus';
import { PortBus } from '../../../lib/bus/port-bus';
import type { RunEnd } from '../../../lib/hypervisor/end';
import { installRunDriver, Vcpu } from '../../../lib/hypervisor/vcpu';
import type { VirtualMachine } from '../../../lib/hypervisor/vm';
import type { NativeVcpu } from '../../../lib/native/addon';
import { exitPage, stateBlock, StateMask } from '../../../lib/native/layout';
import { runInline } from '../../../lib/run/inline';
import { halt, runner, script, scripted, slice, type Step } from './scripted-addon';

export const next = { goOn: 0, park: 1, end: 2 };

/** Checks a reply at the time of the next entry, as the hypervisor takes it, and goes on with `step`. */
export const replied =
  (data: number[], step: Step = halt): Step =>
  (page) => {
    expect(Array.from({ length: data.length }, (_, i) => page.getUint8(exitPage.data + i))).toEqual(data);
    step(page);
  };

export interface Bench {
  vcpu: Vcpu;
  ports: PortBus;
  mmio: MmioBus;
  native: { completed: number; injected: number[]; halted: boolean; rflags: bigint };
}

export function bench({ kernelIrqchip = false, source }: { kernelIrqchip?: boolean; source?: InterruptSource } = {}): Bench {
  const [ports, mmio] = [new PortBus(), new MmioBus()];
  const shared = new ArrayBuffer(16384);
  const page = (scripted.page = new DataView(shared));
  script.length = 0;
  scripted.failure = undefined;
  Object.assign(runner, { started: 0, stopped: 0, woken: 0, referenced: true, caps: [], lateCaps: [], idle: [] });
  const state = { completed: 0, injected: [] as number[], halted: false, rflags: 2n };
  const native = {
    shared: () => shared,
    complete: () => state.completed++,
    inject: (vector: number) => state.injected.push(vector),
    getState: (mask: number) => {
      if (mask & StateMask.General) {
        page.setBigUint64(stateBlock.general + 16 * 8, 0x1234n, true); // rip
        page.setBigUint64(stateBlock.general + 17 * 8, state.rflags, true);
      }
      if (mask & StateMask.Mp) page.setUint32(stateBlock.mpState, state.halted ? 3 : 0, true);
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

/** Runs the steps to the end of the run, giving the event loop a turn between slices. */
export async function run({ vcpu }: Bench, ...steps: Step[]): Promise<RunEnd> {
  script.push(...steps);
  const ended = vcpu.run();
  ended.catch(() => undefined);
  for (let slices = 0; slices < 100; slices++) {
    const answer: number = slice();
    if (answer === next.end) break;
    if (answer === next.park) {
      const { woken } = runner;
      for (let turns = 0; runner.woken === woken && runner.stopped === 0; turns++) {
        if (turns > 100) throw new Error('nobody wakes the vCPU');
        await turn();
      }
      if (runner.stopped > 0) break;
    }
    await turn();
  }
  return ended;
}

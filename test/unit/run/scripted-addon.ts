/**
 * An addon whose guest exits as a script says, in the place of lib/native/addon. Nothing here may import what loads the addon: the mock of
 * it is made from this.
 */
import type { NativeVcpu, Next } from '../../../lib/native/addon';
import { exitPage, ExitKind, InterruptReason } from '../../../lib/native/layout';

/** What the guest does next: fills the exit page. */
export type Step = (page: DataView) => void;

export const script: Step[] = [];
export const runner = {
  started: 0,
  stopped: 0,
  woken: 0,
  referenced: true,
  caps: [] as number[],
  lateCaps: [] as number[],
  idle: [] as boolean[],
};

interface Scripted {
  page: DataView;
  /** The slice function of the run that was made last. */
  slice: () => Next;
  /** What the check of an entry throws. */
  failure: Error | undefined;
}

/** The bench sets the page, a run its slice function. */
export const scripted = { failure: undefined } as Scripted;
export const slice = (): Next => scripted.slice();

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

export function exit(kind: number, fields: Fields = {}): Step {
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

export const out = (port: number, ...data: number[]): Step => exit(ExitKind.Io, { port, size: data.length, direction: 'out', data });
export const halt = exit(ExitKind.Hlt);

/** The module in whose place it stands. */
export const scriptedAddon = {
  ...jest.requireActual<object>('../../../lib/native/addon'),
  addon: () => ({
    checkRun: () => {
      if (scripted.failure) throw scripted.failure;
    },
    run: () => {
      const step = script.shift();
      if (step) step(scripted.page);
      else exit(ExitKind.Interrupted, { subcode: InterruptReason.Slice })(scripted.page);
    },
    loopIsAccessible: true,
    SliceRunner: class {
      constructor(_vcpu: NativeVcpu, body: () => Next, cap: number, lateCap: number) {
        scripted.slice = body;
        this.setCap(cap, lateCap);
      }
      start = (): number => runner.started++;
      stop = (): number => runner.stopped++;
      wake = (): number => runner.woken++;
      setReferenced = (on: boolean): boolean => (runner.referenced = on);
      setCap = (cap: number, lateCap: number): void => {
        runner.caps.push(cap);
        runner.lateCaps.push(lateCap);
      };
      setIdle = (idle: boolean): number => runner.idle.push(idle);
    },
  }),
};

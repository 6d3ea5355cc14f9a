/** A machine that does as it is told, in the place of lib/machine/machine, which nothing here may import: the mock of it is made from this. */
import type { RunEnd } from '../../../lib/hypervisor/end';
import type { Console } from '../../../lib/machine/console';
import { ConsolePort } from '../../../lib/machine/console-port';
import type { MachineOptions } from '../../../lib/machine/machine';

export const made: ScriptedMachine[] = [];
/** What the constructor throws. */
export const scripted = { refusal: undefined as unknown };
/** What the guest has read, and how much more it takes. */
export const input = { text: '', room: Infinity };

export class ScriptedMachine {
  readonly port: ConsolePort;
  readonly ended: Promise<RunEnd>;
  readonly statistics = {
    ...{ handled: 3, kinds: { io: 2, mmio: 1, interrupted: 4 }, ports: { '0x3f8': 2 }, pages: { '0xd0000000': 1 }, slices: 5 },
    ...{ entries: 9, interrupted: 0, kicks: 4, taken: 0, guestNs: 1.5e9, javascriptNs: 2.5e8, waitingNs: 0, resets: 2, cpus: 1 },
  };
  readonly vcpu = { getState: () => ({ rip: 0x7c00n }) };
  started = false;
  closed = false;
  #settle!: (end: RunEnd) => void;
  #fail!: (error: unknown) => void;

  constructor(readonly options: MachineOptions) {
    made.push(this);
    this.port = new ConsolePort(options.output);
    if (scripted.refusal) throw scripted.refusal; // eslint-disable-line @typescript-eslint/only-throw-error
    this.ended = new Promise((resolve, reject) => ([this.#settle, this.#fail] = [resolve, reject]));
    this.ended.catch(() => undefined);
    this.port.attach((bytes) => {
      const taken = Math.min(bytes.length, input.room);
      input.text += Buffer.from(bytes.subarray(0, taken)).toString('latin1');
      input.room -= taken;
      return taken;
    });
  }

  get console(): Console {
    return this.port.stream;
  }

  start(): void {
    this.started = true;
  }

  print(text: string): void {
    this.port.deliver(Buffer.from(text), () => undefined);
  }

  end(end: RunEnd): void {
    this.port.finish(end.reason);
    this.#settle(end);
  }

  fail(error: unknown): void {
    this.port.finish('failed');
    this.#fail(error);
  }

  kill(): void {
    if (this.started) this.end({ reason: 'killed' });
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

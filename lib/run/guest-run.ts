/**
 * What a run in progress is, whatever thread the guest runs on: its end, its pauses, and how an exit is served from the VM's buses.
 * inline.ts and threaded.ts decide when the guest is entered.
 */
import type { Width } from '../bus/device';
import type { InterruptSource } from '../bus/interrupts';
import type { PortBus } from '../bus/port-bus';
import { deviceError, devicesOf, placeOf, type Devices } from '../hypervisor/devices';
import type { RunEnd } from '../hypervisor/end';
import type { RunInProgress, RunOptions, Vcpu } from '../hypervisor/vcpu';
import { exitDataSize, exitPage, ExitKind } from '../native/layout';
import { interruptFlag } from '../util/cpu-state';
import { isHaltedForEver } from './halt';
import { serveOther } from './other-exits';

const kindAt = exitPage.kind / 4;
const sizeAt = exitPage.size / 4;
const countAt = exitPage.count / 4;
const directionAt = exitPage.direction / 4;
const subcodeAt = exitPage.subcode / 4;
const addressAt = exitPage.address / 4;
const portAt = exitPage.port / 4;
const readyAt = exitPage.interruptReady / 4;
const windowAt = exitPage.requestWindow / 4;
const detailAt = exitPage.detail / 8;
const data32 = exitPage.data / 4;

/** Exits with a reply that are no accesses. */
const repliedTo: readonly number[] = [ExitKind.Msr, ExitKind.Hypercall, ExitKind.Hyperv, ExitKind.Xen];

export abstract class GuestRun implements RunInProgress {
  readonly result: Promise<RunEnd>;
  protected readonly devices: Devices;
  protected readonly ports: PortBus;
  protected readonly u8: Uint8Array;
  protected readonly u32: Uint32Array;
  protected readonly u64: BigUint64Array;
  /** The interrupt controllers in user space, if that is where they are: their INTR leads to the boot processor, the vCPU with the lowest number. */
  protected readonly source: InterruptSource | undefined;
  /** A handler of this vCPU's exits may be on the stack. */
  protected inSlice = false;
  /** The guest is not to be entered: set with every end, error and reason to wait, so that the hot path looks at one field. */
  protected over = false;
  /** The controllers of ours have or had an interrupt: to be looked at before the next entry. */
  protected interrupt = false;
  protected settled = false;
  /** A handler's promise has the reply to the exit in progress. */
  protected parked = false;
  /** HLT with interrupts on: the controllers of ours wake it. */
  protected halted = false;
  protected paused: boolean;
  /** What handlers of memory-mapped I/O get: a promise that outlives this run is not to reach the exit page, which later runs use. */
  readonly #words = new Uint32Array(2);
  readonly #bytes = new Uint8Array(this.#words.buffer);
  private readonly signal: AbortSignal | undefined;
  #resolve!: (end: RunEnd) => void;
  #reject!: (error: unknown) => void;
  #end: RunEnd | undefined;
  #error: { value: unknown } | undefined;

  constructor(
    protected readonly vcpu: Vcpu,
    { signal, paused = false }: RunOptions,
  ) {
    this.signal = signal;
    this.paused = paused;
    this.devices = devicesOf(vcpu.vm);
    this.devices.runs.add(this);
    this.ports = vcpu.vm.ports;
    this.u8 = new Uint8Array(vcpu.shared);
    this.u32 = new Uint32Array(vcpu.shared);
    this.u64 = new BigUint64Array(vcpu.shared);
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { vcpus, userIrqchip } = vcpu.vm;
    this.source = vcpus.every(({ id }) => id >= vcpu.id) ? userIrqchip?.source : undefined;
    signal?.addEventListener('abort', this.#abort);
    if (this.source) {
      this.interrupt = true;
      this.source.onPending = this.#onPending;
    }
  }

  abstract pause(): void;
  abstract setReferenced(referenced: boolean): void;
  abstract isHalted(several: boolean): boolean;
  /** The guest may be entered again. */
  protected abstract wake(): void;
  /** An end was set while no handler runs: gets the guest out of the way and settles. */
  protected abstract leave(): void;
  /** Entering the guest has failed: throws why. */
  protected abstract checkEntry(): void;
  /** The run is over: no slice any more. */
  protected abstract release(): void;

  end(end: RunEnd): void {
    if (this.ended) return;
    this.#end = end;
    this.over = true;
    // Inside a slice the run loop sees it once the handler has returned.
    if (!this.inSlice) this.leave();
  }

  resume(): void {
    if (!this.paused || this.settled) return;
    this.paused = false;
    if (!this.waits) this.wake();
  }

  /** Whether the exit is a read, or a call of the guest's, whose reply its handler has not given yet. */
  get owesReply(): boolean {
    if (this.isServed) return false;
    const kind = this.u32[kindAt];
    return kind === (ExitKind.Io as number) || kind === (ExitKind.Mmio as number) ? this.u32[directionAt] === 0 : repliedTo.includes(kind);
  }

  /** Whether the exit in the page has had its handler. */
  protected get isServed(): boolean {
    return !this.inSlice && !this.parked;
  }

  /** Whether the end is known. */
  protected get ended(): boolean {
    return this.#end !== undefined || this.#error !== undefined;
  }

  /** Whether something has to happen before the guest can go on. */
  protected get waits(): boolean {
    return this.parked || this.halted || this.paused;
  }

  protected interruptPending(): void {
    this.interrupt = true;
    this.halted = false;
    if (!this.waits) this.wake();
  }

  readonly #onPending = (): void => this.interruptPending();
  readonly #abort = (): void => this.fail(this.signal!.reason);

  fail(error: unknown): void {
    if (this.ended) return;
    this.#error = { value: error };
    this.over = true;
    if (!this.inSlice) this.leave();
  }

  /**
   * What a pause promises of registers and memory, once nothing is in its way: neither a handler that is on the stack, as one that pauses its own
   * vCPU, nor a promise that has the reply.
   */
  protected completeIfPaused(): void {
    if (!this.paused || this.parked || this.inSlice || this.ended) return;
    try {
      this.vcpu.complete();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Nobody tells this run anything any more. */
  protected detach(): void {
    this.devices.runs.delete(this);
    this.signal?.removeEventListener('abort', this.#abort);
    // A handler that has closed this vCPU may have begun a run of the next one, which has the pin now.
    if (this.source?.onPending === this.#onPending) this.source.onPending = undefined;
  }

  protected settle(): void {
    if (this.settled) return;
    this.settled = true;
    this.detach();
    try {
      // So that registers and memory are those after the last exit. A read that still waits for its promise has nobody any more who answers.
      if (this.parked) this.#noAnswer();
      this.parked = false;
      if (!this.vcpu.closed) this.vcpu.complete();
    } catch (error) {
      this.#error ??= { value: error };
    }
    this.release();
    if (this.#error) this.#reject(this.#error.value);
    else this.#resolve(this.#end!);
  }

  /** Gives the guest an interrupt that waits, or asks to be told when it takes one. */
  protected deliver(): void {
    const source = this.source;
    if (!source?.pending) {
      this.u32[windowAt] = 0;
      this.interrupt = false;
      return;
    }
    if (this.u32[readyAt] === 0) {
      this.u32[windowAt] = 1;
      return;
    }
    this.vcpu.inject(source.acknowledge());
    this.u32[windowAt] = source.pending ? 1 : 0;
  }

  /** Serves the writes that the guest did not wait for; false when the vCPU has been closed. Whatever else ends the run, the exit is served. */
  protected drainPosted(): boolean {
    const { posted } = this.vcpu.vm;
    try {
      if (posted.active && posted.waiting) posted.drain();
    } catch (error) {
      this.deviceFailed(error, posted.last);
    }
    return !this.vcpu.closed;
  }

  /** A port access: one element, as nearly all are, or a string of them. The hot path has page and bus in its hands. */
  protected access(port: number, u32: Uint32Array, bus: PortBus): void {
    if (u32[countAt] !== 1) return this.#string(port);
    const size = u32[sizeAt] as Width;
    try {
      if (u32[directionAt] !== 0) {
        const pending = bus.write(port, u32[data32], size); // which takes the low bytes
        if (pending !== undefined) this.park(pending, () => undefined);
      } else {
        const value = bus.read(port, size);
        if (typeof value === 'number') u32[data32] = value;
        else this.park(value, (settled) => (u32[data32] = settled), this.#noAnswer);
      }
    } catch (error) {
      this.#accessFailed(error);
    }
  }

  /** A string of elements, one after the other, each a transfer of its own on the bus. */
  #string(port: number): void {
    const u32 = this.u32;
    const size = u32[sizeAt] as Width;
    const count = Math.min(u32[countAt], exitDataSize / size);
    const input = u32[directionAt] === 0;
    const bytes = Buffer.from(this.vcpu.shared, exitPage.data, size * count);
    if (input) bytes.fill(0xff); // elements that nobody is asked for any more, after an end
    const step = (i: number): void | PromiseLike<unknown> => {
      if (!input) return this.ports.write(port, bytes.readUIntLE(i * size, size), size);
      const value = this.ports.read(port, size);
      if (typeof value !== 'number') return value.then((settled) => this.settled || bytes.writeUIntLE(settled, i * size, size));
      bytes.writeUIntLE(value, i * size, size);
    };
    const rest = async (from: number, first: PromiseLike<unknown>): Promise<void> => {
      await first;
      for (let i = from; i < count && !this.settled; i++) await step(i);
    };
    // An end that a handler brings leaves the rest undone; one that was there before does not.
    const ended = this.ended;
    try {
      for (let i = 0; i < count && this.ended === ended; i++) {
        const pending = step(i);
        if (pending !== undefined) {
          this.park(rest(i + 1, pending), () => undefined);
          return;
        }
      }
    } catch (error) {
      this.#accessFailed(error);
    }
  }

  /** What nobody answers reads as on an open bus, so that the access is complete. A string has what it was begun with. */
  readonly #noAnswer = (): void => {
    const u32 = this.u32;
    const single = u32[kindAt] === (ExitKind.Mmio as number) || (u32[kindAt] === (ExitKind.Io as number) && u32[countAt] === 1);
    if (single && u32[directionAt] === 0) u32[data32] = u32[data32 + 1] = 0xffffffff;
  };

  #accessFailed(error: unknown): void {
    this.#noAnswer();
    this.deviceFailed(error, this.#exitServed());
  }

  /** What the guest waits for, as the exit page has it, until the guest is entered again. */
  #exitServed(): string {
    const u32 = this.u32;
    const { vm } = this.vcpu;
    const written = u32[directionAt] !== 0;
    switch (u32[kindAt]) {
      case ExitKind.Io:
        return `${u32[countAt] !== 1 ? 'string I/O at' : written ? 'OUT to' : 'IN from'} ${placeOf(vm, true, u32[portAt], u32[sizeAt])}`;
      case ExitKind.Mmio:
        return `${written ? 'write to' : 'read from'} ${placeOf(vm, false, this.#address, u32[sizeAt])}`;
      default:
        return `the handler of exits of kind ${this.vcpu.exit.kind}`;
    }
  }

  /** Of the access to memory in the exit page. */
  get #address(): number {
    return this.u32[addressAt] + this.u32[addressAt + 1] * 2 ** 32;
  }

  #mmio(): void {
    const u32 = this.u32;
    const address = this.#address;
    const size = u32[sizeAt];
    this.vcpu.exits.countPage(address);
    const bytes = this.#bytes;
    const words = this.#words;
    words[0] = u32[data32];
    words[1] = u32[data32 + 1];
    const reply = (): void => {
      u32[data32] = words[0];
      u32[data32 + 1] = words[1];
    };
    try {
      const bus = this.vcpu.vm.mmio;
      const pending = u32[directionAt] !== 0 ? bus.writeBytes(address, bytes, size) : bus.readBytes(address, bytes, size);
      if (pending !== undefined) this.park(pending, reply, this.#noAnswer);
      else reply();
    } catch (error) {
      this.#accessFailed(error);
    }
  }

  /** Serves any exit but a port access. */
  protected serve(kind: number): void {
    switch (kind) {
      case ExitKind.None:
        this.checkEntry();
        break;
      case ExitKind.Mmio:
        this.#mmio();
        break;
      case ExitKind.Hlt:
        // Comes here only when the kernel has no controllers.
        if (this.source === undefined || (this.vcpu.getPosition().rflags & interruptFlag) === 0n) this.end({ reason: 'halted' });
        else if (!this.source.pending) {
          this.halted = true;
          this.over = true;
        }
        break;
      case ExitKind.Shutdown:
        this.end({ reason: 'triple-fault', registers: this.vcpu.getState() });
        break;
      case ExitKind.SystemEvent:
        this.end({ reason: (['powered-off', 'reset', 'panicked'] as const)[this.u32[subcodeAt] - 1] ?? 'killed' });
        break;
      case ExitKind.FailEntry:
        this.end({ reason: 'fail-entry', hardwareReason: this.u64[detailAt], registers: this.vcpu.getState() });
        break;
      case ExitKind.InternalError: {
        const length = this.u32[exitPage.instructionLength / 4];
        const instruction = this.u8.slice(exitPage.instruction, exitPage.instruction + length);
        this.end({ reason: 'internal-error', suberror: this.u32[subcodeAt], instruction, registers: this.vcpu.getState() });
        break;
      }
      case ExitKind.IrqWindow:
        break;
      default:
        this.#serveOther();
    }
  }

  #serveOther(): void {
    const { kind } = this.vcpu.exit;
    try {
      const served = serveOther(this.vcpu);
      if (served === undefined) return;
      if ('end' in served) this.end(served.end);
      else this.park(served.pending, () => undefined);
    } catch (error) {
      this.deviceFailed(error, `the handler of exits of kind ${kind}`);
    }
  }

  /** The handler's answer comes later: the vCPU waits, the event loop goes on. `rejected` answers when it never does. */
  protected park<T>(pending: PromiseLike<T>, reply: (value: T) => void, rejected: () => void = () => undefined): void {
    this.parked = true;
    this.over = true;
    pending.then(
      (value) => {
        if (this.settled) return;
        reply(value);
        this.parked = false;
        if (this.waits) this.completeIfPaused();
        else this.wake();
      },
      (error: unknown) => {
        if (this.ended || this.settled) return;
        rejected();
        this.parked = false;
        this.deviceFailed(error, this.#exitServed());
      },
    );
  }

  protected deviceFailed(cause: unknown, what: string): void {
    if (this.ended || this.settled) return;
    this.fail(deviceError(cause, what, this.#rip()));
  }

  /** Undefined where the device does not tell: that is not to hide why it was asked. */
  #rip(): bigint | undefined {
    try {
      return this.vcpu.getPosition().rip;
    } catch {
      return undefined;
    }
  }

  /** As {@link isHaltedForEver}; where the device does not tell, the run has failed. */
  protected staysHalted(several: boolean): boolean {
    try {
      return isHaltedForEver(this.vcpu, several);
    } catch (error) {
      this.fail(error);
      return false;
    }
  }
}

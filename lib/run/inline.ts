/**
 * Inline mode: the vCPU runs on the JavaScript thread that owns its devices, in slices between the turns of the event loop.
 * native/binding/loop.cc decides when a slice begins and ends; this file serves the exits inside one.
 */
import type { Width } from '../bus/device';
import type { InterruptSource } from '../bus/interrupts';
import type { PortBus } from '../bus/port-bus';
import type { RunEnd } from '../hypervisor/end';
import type { RunInProgress, RunOptions, Vcpu } from '../hypervisor/vcpu';
import { addon, Next, type NativeSliceRunner } from '../native/addon';
import { exitDataSize, exitPage, ExitKind, InterruptReason } from '../native/layout';
import { HaxError } from '../util/errors';
import { hex } from '../util/numbers';

/** The longest slice while the guest exits, nanoseconds: what a callback that the loop cannot see may have to wait. */
const shortCap = 10e6;
/** A guest that never exits, most often because it is halted, is looked at less and less often; the loop's events still end its slices. */
const longCap = 160e6;
/** How often a guest that does not exit is asked whether anything can wake it, milliseconds. */
const haltCheckInterval = 100;
/** RFLAGS.IF, Intel SDM vol. 1, 3.4.3.3. */
const interruptFlag = 0x200n;

// Local copies: reading them through the module object would cost the hot path.
const io: number = ExitKind.Io;
const interrupted: number = ExitKind.Interrupted;
const kindAt = exitPage.kind / 4;
const portAt = exitPage.port / 4;
const sizeAt = exitPage.size / 4;
const countAt = exitPage.count / 4;
const directionAt = exitPage.direction / 4;
const subcodeAt = exitPage.subcode / 4;
const addressAt = exitPage.address / 4;
const rawCodeAt = exitPage.rawCode / 4;
const readyAt = exitPage.interruptReady / 4;
const windowAt = exitPage.requestWindow / 4;
const data8 = exitPage.data;
const data16 = exitPage.data / 2;
const data32 = exitPage.data / 4;
const detailAt = exitPage.detail / 8;

export function runInline(vcpu: Vcpu, options: RunOptions): RunInProgress {
  return new InlineRun(vcpu, options.signal);
}

class InlineRun implements RunInProgress {
  readonly result: Promise<RunEnd>;
  readonly #vcpu: Vcpu;
  readonly #ports: PortBus;
  readonly #u8: Uint8Array;
  readonly #u16: Uint16Array;
  readonly #u32: Uint32Array;
  readonly #u64: BigUint64Array;
  readonly #runner: NativeSliceRunner;
  /** The interrupt controllers in user space, if that is where they are. */
  readonly #source: InterruptSource | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #enter = addon().run;
  #resolve!: (end: RunEnd) => void;
  #reject!: (error: unknown) => void;
  #end: RunEnd | undefined;
  #error: { value: unknown } | undefined;
  #inSlice = false;
  /** The slice is over: set with every end, error and reason to wait, so that the hot path looks at one field. */
  #over = false;
  /** The controllers of ours have or had an interrupt: to be looked at before the next entry. */
  #interrupt = false;
  #settled = false;
  /** A handler's promise has the reply to the exit in progress. */
  #parked = false;
  /** HLT with interrupts on: the controllers of ours wake it. */
  #halted = false;
  #paused = false;
  #cap = shortCap;
  #lastHaltCheck = performance.now();

  constructor(vcpu: Vcpu, signal: AbortSignal | undefined) {
    this.#vcpu = vcpu;
    this.#ports = vcpu.vm.ports;
    this.#u8 = new Uint8Array(vcpu.shared);
    this.#u16 = new Uint16Array(vcpu.shared);
    this.#u32 = new Uint32Array(vcpu.shared);
    this.#u64 = new BigUint64Array(vcpu.shared);
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#source = vcpu.vm.userIrqchip?.source;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#abort);
    this.#runner = new (addon().SliceRunner)(vcpu.native, () => this.#slice(), this.#cap);
    if (this.#source) {
      this.#interrupt = true;
      this.#source.onPending = this.#interruptPending.bind(this);
    }
    this.#runner.start();
  }

  end(end: RunEnd): void {
    if (this.#end || this.#error) return;
    this.#end = end;
    this.#over = true;
    // Inside a slice the loop below sees it once the handler has returned.
    if (!this.#inSlice) this.#settle();
  }

  pause(): void {
    if (this.#paused || this.#settled) return;
    this.#paused = true;
    this.#over = true;
    // No slice is in progress while other JavaScript runs, but a handler may pause its own vCPU: its reply is not there yet.
    if (!this.#inSlice && !this.#parked) this.#vcpu.complete();
  }

  resume(): void {
    if (!this.#paused || this.#settled) return;
    this.#paused = false;
    this.#wake();
  }

  setReferenced(referenced: boolean): void {
    this.#runner.setReferenced(referenced);
  }

  #interruptPending(): void {
    this.#interrupt = true;
    this.#halted = false;
    this.#wake();
  }

  readonly #abort = (): void => this.#fail(this.#signal!.reason);

  #fail(error: unknown): void {
    if (this.#end || this.#error) return;
    this.#error = { value: error };
    this.#over = true;
    if (!this.#inSlice) this.#settle();
  }

  #settle(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#runner.stop();
    this.#signal?.removeEventListener('abort', this.#abort);
    if (this.#source) this.#source.onPending = undefined;
    try {
      // So that registers and memory are those after the last exit; a reply that is still awaited cannot be taken.
      if (!this.#parked && !this.#vcpu.closed) this.#vcpu.complete();
    } catch (error) {
      this.#error ??= { value: error };
    }
    if (this.#error) this.#reject(this.#error.value);
    else this.#resolve(this.#end!);
  }

  #slice(): Next {
    this.#vcpu.exits.slices++;
    this.#inSlice = true;
    let handled = 0;
    try {
      if (!this.#waits) {
        this.#over = false;
        handled = this.#runUntilYield();
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#inSlice = false;
    if (this.#end || this.#error) {
      this.#settle();
      return Next.End;
    }
    if (this.#waits) return Next.Park;
    this.#adapt(handled);
    return this.#settled ? Next.End : Next.GoOn;
  }

  /** Serves exits until the slice ends; how many there were. The hot path: one function for V8 to compile, and few memory accesses. */
  #runUntilYield(): number {
    const u32 = this.#u32;
    const bus = this.#ports;
    const { kinds, ports } = this.#vcpu.exits;
    const enter = this.#enter;
    for (let handled = 0; ; handled++) {
      if (this.#interrupt) this.#deliver();
      enter();
      const kind = u32[kindAt];
      if (kind === io) {
        const port = u32[portAt];
        ports[port]++;
        if (u32[countAt] !== 1) {
          this.#string(port);
        } else {
          const size = u32[sizeAt] as Width;
          try {
            if (u32[directionAt] !== 0) {
              const value = size === 1 ? this.#u8[data8] : size === 2 ? this.#u16[data16] : u32[data32];
              const pending = bus.write(port, value, size);
              if (pending !== undefined) this.#park(pending, () => undefined);
            } else {
              const value = bus.read(port, size);
              if (typeof value === 'number') u32[data32] = value;
              else this.#park(value, (settled) => (u32[data32] = settled));
            }
          } catch (error) {
            this.#portFailed(error, port);
          }
        }
      } else {
        kinds[kind]++;
        if (kind === interrupted) return handled;
        this.#other(kind);
      }
      if (this.#over) return handled;
    }
  }

  #portFailed(error: unknown, port: number): void {
    this.#deviceFailed(error, `${this.#u32[directionAt] !== 0 ? 'OUT to' : 'IN from'} port ${hex(port)}`);
  }

  /** Gives the guest an interrupt that waits, or asks to be told when it takes one. */
  #deliver(): void {
    const source = this.#source;
    if (!source?.pending) {
      this.#u32[windowAt] = 0;
      this.#interrupt = false;
      return;
    }
    if (this.#u32[readyAt] === 0) {
      this.#u32[windowAt] = 1;
      return;
    }
    this.#vcpu.inject(source.acknowledge());
    this.#u32[readyAt] = 0;
    this.#u32[windowAt] = source.pending ? 1 : 0;
  }

  /** Whether something has to happen before the guest can go on. */
  get #waits(): boolean {
    return this.#parked || this.#halted || this.#paused;
  }

  #wake(): void {
    if (!this.#waits) this.#runner.wake();
  }

  /** INS and OUTS: one element after the other, each a transfer of its own on the bus. */
  #string(port: number): void {
    const u32 = this.#u32;
    const size = u32[sizeAt] as Width;
    const count = Math.min(u32[countAt], exitDataSize / size);
    const input = u32[directionAt] === 0;
    const bytes = Buffer.from(this.#vcpu.shared, exitPage.data, size * count);
    const step = (i: number): void | PromiseLike<unknown> => {
      if (!input) return this.#ports.write(port, bytes.readUIntLE(i * size, size), size);
      const value = this.#ports.read(port, size);
      if (typeof value !== 'number') return value.then((settled) => bytes.writeUIntLE(settled, i * size, size));
      bytes.writeUIntLE(value, i * size, size);
    };
    const rest = async (from: number, first: PromiseLike<unknown>): Promise<void> => {
      await first;
      for (let i = from; i < count && !this.#settled; i++) await step(i);
    };
    try {
      for (let i = 0; i < count && !this.#end; i++) {
        const pending = step(i);
        if (pending !== undefined) {
          this.#park(rest(i + 1, pending), () => undefined);
          return;
        }
      }
    } catch (error) {
      this.#deviceFailed(error, `string I/O at port ${hex(port)}`);
    }
  }

  #mmio(): void {
    const u32 = this.#u32;
    const address = u32[addressAt] + u32[addressAt + 1] * 2 ** 32;
    const size = u32[sizeAt];
    this.#vcpu.exits.countPage(address);
    const bytes = this.#u8.subarray(exitPage.data, exitPage.data + 8);
    try {
      const bus = this.#vcpu.vm.mmio;
      const pending = u32[directionAt] !== 0 ? bus.writeBytes(address, bytes, size) : bus.readBytes(address, bytes, size);
      if (pending !== undefined) this.#park(pending, () => undefined);
    } catch (error) {
      this.#deviceFailed(error, `${u32[directionAt] !== 0 ? 'write to' : 'read from'} address ${hex(address)}`);
    }
  }

  #other(kind: number): void {
    switch (kind) {
      case ExitKind.Mmio:
        this.#mmio();
        break;
      case ExitKind.Hlt:
        // Comes here only when the kernel has no controllers.
        if (this.#source === undefined || (this.#vcpu.getPosition().rflags & interruptFlag) === 0n) this.end({ reason: 'halted' });
        else if (!this.#source.pending) {
          this.#halted = true;
          this.#over = true;
        }
        break;
      case ExitKind.Shutdown:
        this.end({ reason: 'triple-fault', registers: this.#vcpu.getState() });
        break;
      case ExitKind.SystemEvent:
        this.end({ reason: (['powered-off', 'reset', 'panicked'] as const)[this.#u32[subcodeAt] - 1] ?? 'killed' });
        break;
      case ExitKind.FailEntry:
        this.end({ reason: 'fail-entry', hardwareReason: this.#u64[detailAt], registers: this.#vcpu.getState() });
        break;
      case ExitKind.InternalError: {
        const length = this.#u32[exitPage.instructionLength / 4];
        const instruction = this.#u8.slice(exitPage.instruction, exitPage.instruction + length);
        this.end({ reason: 'internal-error', suberror: this.#u32[subcodeAt], instruction, registers: this.#vcpu.getState() });
        break;
      }
      case ExitKind.IrqWindow:
      case ExitKind.Msr: // unanswered: the guest gets #GP
      case ExitKind.Hypercall: // unanswered: the guest reads -1
        break;
      default:
        this.end({
          reason: 'unhandled-exit',
          kind: this.#vcpu.exit.kind,
          rawCode: this.#u32[rawCodeAt],
          registers: this.#vcpu.getState(),
        });
    }
  }

  /** The handler's answer comes later: the vCPU waits, the event loop goes on. */
  #park<T>(pending: PromiseLike<T>, reply: (value: T) => void): void {
    this.#parked = true;
    this.#over = true;
    pending.then(
      (value) => {
        if (this.#settled) return;
        reply(value);
        this.#parked = false;
        this.#wake();
      },
      (error: unknown) => this.#deviceFailed(error, 'a promise of its handler'),
    );
  }

  #deviceFailed(cause: unknown, what: string): void {
    if (this.#end || this.#error || this.#settled) return;
    const { rip } = this.#vcpu.getPosition();
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.#fail(new HaxError('ERR_HAX_DEVICE_FAILED', `${what} failed at guest rip ${hex(rip)}: ${reason}`, { rip, cause }));
  }

  /** After a slice that was ended from outside. */
  #adapt(handled: number): void {
    const quiet = handled === 0 && this.#u32[subcodeAt] === InterruptReason.Slice;
    const cap = quiet ? Math.min(this.#cap * 2, longCap) : shortCap;
    if (cap !== this.#cap) {
      this.#cap = cap;
      this.#runner.setCap(cap);
    }
    const now = performance.now();
    if (!quiet || now - this.#lastHaltCheck < haltCheckInterval) return;
    this.#lastHaltCheck = now;
    // With the kernel's controllers HLT does not exit: it sleeps inside KVM_RUN, for ever when interrupts are off.
    if (this.#vcpu.vm.hasKernelIrqchip && this.#vcpu.mpState === 'halted' && (this.#vcpu.getPosition().rflags & interruptFlag) === 0n) {
      this.end({ reason: 'halted' });
    }
  }
}

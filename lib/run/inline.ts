/**
 * Inline mode: the vCPU runs on the JavaScript thread that owns its devices, in slices between the turns of the event loop.
 * native/binding/loop.cc and loop_context.cc decide when a slice begins and ends; this file serves the exits inside one.
 */
import type { ExitTrack } from '../hypervisor/exit-track';
import type { RunInProgress, RunOptions, Vcpu } from '../hypervisor/vcpu';
import { addon, Next, type NativeSliceRunner } from '../native/addon';
import { exitPage, ExitKind, InterruptReason } from '../native/layout';
import { nowNs } from '../util/now';
import { GuestRun } from './guest-run';
import { isHalted } from './halt';
import { PlainSliceRunner } from './plain-slices';

/** The longest slice while the guest exits, nanoseconds: what a callback that the loop cannot see may have to wait. */
const shortCap = 10e6;
/**
 * The deadline of a slice after one that a look at the clock between two exits has ended, nanoseconds: such a look is expected again at the
 * shortest cap, and the deadline is for the guest that exits no more.
 */
const lateCap = 25e6;
/**
 * A guest that never exits, most often because it is halted, is looked at ten times less often after each such slice, up to this; the loop's
 * events still end its slices. Being taken out costs more than what is looked for is worth, on a slow host milliseconds.
 */
const longCap = 480e6;
/** How often a guest that does not exit is asked whether anything can wake it, nanoseconds. */
const haltCheckInterval = 100e6;

/** Runs in progress on this thread, with those that are paused or parked. */
let runs = 0;

// Local copies: reading them through the module object would cost the hot path.
const io: number = ExitKind.Io;
const interrupted: number = ExitKind.Interrupted;
const kindAt = exitPage.kind / 4;
const portAt = exitPage.port / 4;
const subcodeAt = exitPage.subcode / 4;

export function runInline(vcpu: Vcpu, options: RunOptions): RunInProgress {
  return new InlineRun(vcpu, options);
}

function tracedEntry(enter: () => void, track: ExitTrack): () => void {
  return () => {
    track.entering();
    enter();
    track.exited();
  };
}

class InlineRun extends GuestRun {
  readonly #runner: NativeSliceRunner;
  readonly #enter: () => void;
  #cap = shortCap;
  #idle = false;
  /** Taken out of HLT for an interrupt, and not in the guest since. */
  #woken = false;
  #lastHaltCheck = nowNs();
  /** The slices from now on look for posted writes: this one ends, so that the hot path need not ask whether they do. */
  readonly #startsToPost = (): void => {
    this.over = true;
    this.#setCap(shortCap);
  };

  constructor(vcpu: Vcpu, options: RunOptions) {
    super(vcpu, options);
    const { run, loopIsAccessible, SliceRunner } = addon();
    const Runner = loopIsAccessible ? SliceRunner : PlainSliceRunner;
    const track = options.trace?.track(vcpu);
    // Bound: the interpreter would run a function around it, which costs microseconds as cold as it is each time (docs/performance.md).
    const own: () => Next = this.#slice.bind(this);
    // A trace goes around entry and slice: the loop between them asks nothing.
    const slice = track
      ? (): Next => {
          const next = own();
          track.left(!this.parked);
          return next;
        }
      : own;
    this.#enter = track ? tracedEntry(run, track) : run;
    try {
      this.#runner = new Runner(vcpu.native, slice, shortCap, this.#lateCap);
      this.#runner.start();
    } catch (error) {
      this.detach();
      throw error;
    }
    runs++;
    vcpu.vm.posted.onActive.add(this.#startsToPost);
  }

  override pause(): void {
    if (this.paused || this.settled) return;
    this.paused = true;
    this.over = true;
    this.completeIfPaused();
  }

  override setReferenced(referenced: boolean): void {
    this.#runner.setReferenced(referenced);
  }

  override isHalted(several: boolean): boolean {
    return !this.waits && this.staysHalted(several);
  }

  protected override wake(): void {
    this.#runner.wake();
  }

  protected override interruptPending(): void {
    this.#woken ||= this.halted;
    super.interruptPending();
  }

  /** No slice is in progress while other JavaScript runs. */
  protected override leave(): void {
    this.settle();
  }

  protected override checkEntry(): void {
    addon().checkRun();
  }

  protected override release(): void {
    runs--;
    this.vcpu.vm.posted.onActive.delete(this.#startsToPost);
    this.#runner.stop();
  }

  /**
   * Serves exits until the slice ends. The hot path: one function for V8 to compile, with the beginning and the end of the slice, for which the
   * interpreter would take 20 µs, as cold as they are; and few objects, since after an exit of a device each is a page that the processor has
   * forgotten (docs/performance.md). What may throw is called inside a `try` elsewhere: V8 12 makes no fast calls inside one.
   */
  #slice(): Next {
    const { u32, ports: bus } = this;
    const { exits, vm } = this.vcpu;
    const { kinds, ports } = exits;
    const { posted } = vm;
    const enter = this.#enter;
    const posts = posted.active;
    let handled = 0;
    exits.slices++;
    this.inSlice = this.devices.serving = true;
    if (this.#woken && !this.waits) this.#lookAtInterrupt();
    if (!this.waits) {
      // The first exit ends a long slice: what its handler leaves to promises and ticks is not to wait for the rest.
      this.over = this.#cap > shortCap;
      for (;;) {
        if (this.interrupt && !this.#delivers()) break;
        enter();
        if (posts && posted.waiting) {
          handled++; // no quiet slice
          if (!this.drainPosted()) break;
        }
        const kind = u32[kindAt];
        if (kind === io) {
          const port = u32[portAt];
          ports[port]++;
          this.access(port, u32, bus);
        } else {
          kinds[kind]++;
          if (kind === interrupted) break;
          this.#serve(kind);
        }
        handled++;
        if (this.over) break;
      }
    }
    this.inSlice = this.devices.serving = false;
    exits.carry(u32[portAt]);
    if (this.ended) this.settle();
    else if (this.waits) this.completeIfPaused();
    else if (handled === 0 || this.#cap !== shortCap || this.#idle) this.#adapt(handled);
    return this.settled ? Next.End : this.waits ? Next.Park : Next.GoOn;
  }

  /** An interrupt that was taken back before the guest could have it has woken nobody. */
  #lookAtInterrupt(): void {
    this.#woken = false;
    this.halted = !this.source!.pending;
  }

  /** False: it could not. */
  #delivers(): boolean {
    try {
      this.deliver();
      return true;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  #serve(kind: number): void {
    try {
      this.serve(kind);
    } catch (error) {
      this.fail(error);
    }
  }

  /** After a slice that was ended from outside. */
  #adapt(handled: number): void {
    const quiet = handled === 0 && this.u32[subcodeAt] === InterruptReason.Slice;
    const cap = quiet && !this.vcpu.vm.posted.active ? Math.min(this.#cap * 10, longCap) : shortCap;
    if (cap !== this.#cap) this.#setCap(cap);
    // Alone it is asked less often, below: a boot has a hundred quiet slices.
    const idle = quiet && runs > 1 && this.#sleeps();
    if (idle !== this.#idle) this.#runner.setIdle((this.#idle = idle));
    if (!quiet) return;
    const now = nowNs();
    if (now - this.#lastHaltCheck < haltCheckInterval) return;
    this.#lastHaltCheck = now;
    const all = [...this.devices.runs];
    if (all.every((run) => run.isHalted(all.length > 1))) for (const run of all) run.end({ reason: 'halted' });
  }

  /** Where the device does not tell, the run has failed. */
  #sleeps(): boolean {
    try {
      return isHalted(this.vcpu);
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  /** Posted writes are promised to arrive after the shortest cap. */
  get #lateCap(): number {
    return this.#cap === shortCap && !this.vcpu.vm.posted.active ? lateCap : this.#cap;
  }

  #setCap(cap: number): void {
    this.#cap = cap;
    this.#runner.setCap(cap, this.#lateCap);
  }
}

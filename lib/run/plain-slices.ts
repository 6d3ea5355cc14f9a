/**
 * Slices for runtimes that hide their event loop: none ends because the loop has work, so each is short, and the loop gets a turn after it.
 * Timers and sockets wait for up to a millisecond then, and a guest that does nothing is looked at a thousand times a second.
 */
import { addon, Next, type NativeSliceRunner, type NativeVcpu } from '../native/addon';

/** Nanoseconds. */
const sliceLength = 1e6;

/** A turn of the loop. One that keeps nobody alive is a timer, since an immediate of that kind waits until something else wakes the loop. */
type Turn = { readonly immediate: NodeJS.Immediate } | { readonly timer: NodeJS.Timeout };

export class PlainSliceRunner implements NativeSliceRunner {
  #turn: Turn | undefined;
  /** Keeps the process alive, also while the guest waits and no turn comes. */
  #alive: NodeJS.Timeout | undefined;
  #ended = false;
  #referenced = true;
  #woken = false;

  constructor(
    private readonly vcpu: NativeVcpu,
    private readonly slice: () => Next,
    private cap: number,
  ) {}

  /** Throws where the device of the deadlines cannot be made, as nobody could when a slice begins. */
  start(): void {
    addon().plainSlice(this.vcpu, () => Next.Park, 0);
    this.#alive = setInterval(() => undefined, 2 ** 30);
    this.#schedule();
  }

  stop(): void {
    this.#ended = true;
    clearInterval(this.#alive);
    this.#cancel();
  }

  /** Also from inside a slice: then the park that it returns is void. */
  wake(): void {
    this.#woken = true;
    this.#schedule();
  }

  setReferenced(referenced: boolean): void {
    this.#referenced = referenced;
    if (referenced) this.#alive?.ref();
    else this.#alive?.unref();
    if (!this.#turn) return;
    this.#cancel();
    this.#schedule();
  }

  setCap(cap: number): void {
    this.cap = cap;
  }

  /** All have short ones. */
  setIdle(): void {
    // Nothing to do.
  }

  #schedule(): void {
    if (this.#ended || this.#turn) return;
    const run = (): void => this.#runSlice();
    this.#turn = this.#referenced ? { immediate: setImmediate(run) } : { timer: setTimeout(run, 0).unref() };
  }

  #cancel(): void {
    if (!this.#turn) return;
    if ('timer' in this.#turn) clearTimeout(this.#turn.timer);
    else clearImmediate(this.#turn.immediate);
    this.#turn = undefined;
  }

  #runSlice(): void {
    this.#turn = undefined;
    this.#woken = false;
    const next = addon().plainSlice(this.vcpu, this.slice, Math.min(this.cap, sliceLength));
    if (next === Next.GoOn || this.#woken) this.#schedule();
  }
}

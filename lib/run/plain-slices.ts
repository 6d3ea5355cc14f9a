/**
 * Slices for runtimes that hide their event loop: none ends because the loop has work, so each is short, and the loop gets a turn after it.
 * Timers and sockets wait for up to a millisecond then, and a guest that does nothing is looked at a thousand times a second.
 */
import { addon, Next, type NativeSliceRunner, type NativeVcpu } from '../native/addon';

/** Nanoseconds. */
const sliceLength = 1e6;

export class PlainSliceRunner implements NativeSliceRunner {
  #turn: NodeJS.Immediate | undefined;
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
    this.#schedule();
  }

  stop(): void {
    this.#ended = true;
    clearImmediate(this.#turn);
    this.#turn = undefined;
  }

  /** Also from inside a slice: then the park that it returns is void. */
  wake(): void {
    this.#woken = true;
    this.#schedule();
  }

  setReferenced(referenced: boolean): void {
    this.#referenced = referenced;
    if (referenced) this.#turn?.ref();
    else this.#turn?.unref();
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
    this.#turn = setImmediate(() => this.#runSlice());
    if (!this.#referenced) this.#turn.unref();
  }

  #runSlice(): void {
    this.#turn = undefined;
    this.#woken = false;
    const next = addon().plainSlice(this.vcpu, this.slice, Math.min(this.cap, sliceLength));
    if (next === Next.GoOn || this.#woken) this.#schedule();
  }
}

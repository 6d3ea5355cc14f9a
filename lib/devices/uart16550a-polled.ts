/**
 * The output of a 16550A by a driver that polls: for each byte a look at LSR, then a write to THR. After enough of them both can be saved.
 */
import type { Clock, Timer } from '../time/clock';

/** Bytes that a guest has to send without interrupts before its writes are worth posting: posting and unposting cost calls of the kernel. */
const postAfter = 256;
/** Nanoseconds. */
const quietAfter = 100e6;

export class PolledOutput {
  /** See {@link Uart16550.onPostable}. */
  onPostable: ((postable: boolean) => void) | undefined;
  /** See {@link Uart16550.onLineStatus}. */
  onLineStatus: ((steady: boolean) => void) | undefined;
  /** Bytes sent since the transmitter was last anything but a plain output; it stays one until its interrupt is used. */
  #sent = 0;
  #posted = false;
  #possible = true;
  #quiet: Timer | undefined;
  #steady = false;

  /** `isSteady`: nothing has been received and the output takes all it gets, so that each look at LSR gives the same and has no effect. */
  constructor(
    private readonly clock: Clock | undefined,
    private readonly isSteady: () => boolean,
  ) {}

  /** A byte has been written to THR. */
  sent(): void {
    if (!this.#possible || ++this.#sent !== postAfter) return;
    this.#posted = true;
    this.onPostable?.(true);
    this.update();
    this.#endWhenQuiet();
  }

  /** What isSteady() looks at may have changed. */
  update(): void {
    const steady = this.#posted && this.isSteady();
    if (steady === this.#steady) return;
    this.#steady = steady;
    this.onLineStatus?.(steady);
  }

  /** Accesses are ordinary ones again. */
  end(): void {
    this.#sent = 0;
    if (!this.#posted) return;
    this.#posted = false;
    this.update();
    this.#quiet?.cancel();
    this.onPostable?.(false);
  }

  /** The same, and whether it may begin anew. */
  allow(possible: boolean): void {
    this.end();
    this.#possible = possible;
  }

  #endWhenQuiet(): void {
    const { clock } = this;
    const sent = this.#sent;
    this.#quiet = clock?.at(clock.now() + quietAfter, () => (this.#sent === sent ? this.end() : this.#endWhenQuiet()));
  }
}

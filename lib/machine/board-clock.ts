import type { Clock, Timer } from '../time/clock';

/** The clock of a board's devices: what they have asked to be called for ends with the board, also what asks anew each time. */
export class BoardClock implements Clock {
  readonly #timers = new Set<Timer>();

  constructor(private readonly clock: Clock) {}

  now(): number {
    return this.clock.now();
  }

  at(deadline: number, callback: () => void): Timer {
    const own = this.clock.at(deadline, () => {
      this.#timers.delete(timer);
      callback();
    });
    const timer = {
      cancel: () => {
        this.#timers.delete(timer);
        own.cancel();
      },
    };
    this.#timers.add(timer);
    return timer;
  }

  /** Nothing that was asked for comes any more. */
  close(): void {
    for (const timer of this.#timers) timer.cancel();
  }
}

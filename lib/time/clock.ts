import { shown } from '../util/check';
import { invalidArgument } from '../util/errors';

/**
 * Time as devices see it: monotonic nanoseconds and one-shot timers. Devices never look at the wall clock or at setTimeout,
 * so that a ManualClock makes them deterministic.
 */
export interface Clock {
  /** Nanoseconds since an arbitrary start; never goes back. A safe integer for about 104 days. */
  now(): number;
  /**
   * Calls back once at or after `deadline` (same scale as now()); a deadline in the past means as soon as possible, Infinity never. Throws
   * ERR_HAX_INVALID_ARGUMENT for one that is no number.
   */
  at(deadline: number, callback: () => void): Timer;
}

/** A call that has been asked for. */
export interface Timer {
  /** Idempotent; after it the callback will not come. */
  cancel(): void;
}

/** The host's monotonic clock; timers are Node's and do not keep the process alive. */
export class RealClock implements Clock {
  readonly #origin = process.hrtime.bigint();

  now(): number {
    return Number(process.hrtime.bigint() - this.#origin);
  }

  at(deadline: number, callback: () => void): Timer {
    checkTimer(deadline, callback);
    // Node rounds down to whole milliseconds and caps at 2^31 - 1 ms: look again when it fires.
    const longest = 2 ** 31 - 1;
    let handle: NodeJS.Timeout;
    const arm = (): void => {
      const remaining = deadline - this.now();
      handle = setTimeout(
        () => {
          if (this.now() >= deadline) callback();
          else arm();
        },
        Math.min(Math.max(Math.ceil(remaining / 1e6), 0), longest),
      );
      handle.unref();
    };
    arm();
    return { cancel: () => clearTimeout(handle) };
  }
}

/** A clock that stands still until advanced, in whole nanoseconds; callbacks run inside advance(), in order of their deadlines. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #timers = new Set<{ deadline: number; sequence: number; callback: () => void }>();
  #sequence = 0;

  now(): number {
    return this.#now;
  }

  at(deadline: number, callback: () => void): Timer {
    checkTimer(deadline, callback);
    const timer = { deadline: Math.max(Math.ceil(deadline), this.#now), sequence: this.#sequence++, callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  /**
   * Moves time forward by `ns`, rounded; timers set by callbacks fire too when they fall due within the same step. A callback may advance it
   * further.
   */
  advance(ns: number): void {
    if (!(ns >= 0 && ns < Infinity)) throw invalidArgument(`advance() takes nanoseconds from 0 on, not ${shown(ns)}`);
    const end = Math.round(this.#now + ns);
    for (;;) {
      let next: { deadline: number; sequence: number; callback: () => void } | undefined;
      for (const timer of this.#timers) {
        if (
          timer.deadline <= end &&
          (!next || timer.deadline < next.deadline || (timer.deadline === next.deadline && timer.sequence < next.sequence))
        ) {
          next = timer;
        }
      }
      if (!next) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.deadline);
      next.callback();
    }
    this.#now = Math.max(this.#now, end);
  }
}

/** No time is at or after NaN: a clock would look for it for ever. */
function checkTimer(deadline: unknown, callback: unknown): void {
  if (typeof deadline !== 'number' || Number.isNaN(deadline)) throw invalidArgument(`a deadline is in nanoseconds, not ${shown(deadline)}`);
  if (typeof callback !== 'function') throw invalidArgument(`what a clock calls back is a function, not ${shown(callback)}`);
}

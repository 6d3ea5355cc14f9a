/** Taken now: fake timers of a test put a clock that stands still in its place, and no run would see any more that its guest has halted. */
const { hrtime } = process;

/**
 * Nanoseconds of the host's monotonic clock, for differences. Not of `performance`: the first look at that loads a part of Node, which takes as
 * long as making the machine's vCPU.
 */
export function nowNs(): number {
  return Number(hrtime.bigint());
}

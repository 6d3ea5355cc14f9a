/**
 * Nanoseconds of the host's monotonic clock, for differences. Not of `performance`: the first look at that loads a part of Node, which takes as
 * long as making the machine's vCPU.
 */
export function nowNs(): number {
  return Number(process.hrtime.bigint());
}

/** How two inline runs share their thread. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Vcpu } from 'node-hax';
import type { Backend, Made } from './hosts';

/** So long that the cap of a guest that never exits is the longest, slices. */
const settled = 8;
/** Of the other guest's time, nanoseconds. */
const watched = 500e6;

/** A guest that writes to port 0x10 for ever. */
export const writesForEver = (backend: Backend): Made =>
  backend.name === 'null' ? backend.program({ kind: 'out', port: 0x10, times: 2 ** 31 }) : backend.guest('real', '1: out 0x10, al; jmp 1b');

/**
 * Runs a guest that writes to a port for ever beside `other`, which has run alone until its slices were long and never exits. What the
 * first has had of the thread's time for each part of the other's.
 */
export async function shareBeside(other: Vcpu, backend: Backend): Promise<number> {
  const { vm, vcpu } = writesForEver(backend);
  const runs = [other.run()];
  while (other.exits.snapshot().slices < settled) await delay(5);
  const before = other.counters.guestNs;
  // No timer looks on: it would end the slices.
  const write = (): void => {
    if (other.counters.guestNs - before < watched) return;
    other.stop();
    vcpu.stop();
  };
  vm.ports.add({ at: 0x10, length: 1 }, { read: () => 0, write });
  runs.push(vcpu.run());
  await Promise.all(runs);
  const { guestNs, javascriptNs } = vcpu.counters;
  return (guestNs + javascriptNs) / (other.counters.guestNs - before);
}

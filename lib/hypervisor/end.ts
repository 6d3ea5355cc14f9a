import { checkObject } from '../util/check';
import type { CpuState } from '../util/cpu-state';

/** Why a guest came to its end. */
export type RunEnd =
  /** The guest powered the machine off. */
  | { readonly reason: 'powered-off' }
  /** The guest asked for a reset. */
  | { readonly reason: 'reset' }
  /** HLT with interrupts off and nothing able to wake it. */
  | { readonly reason: 'halted' }
  /** The guest reported a panic of its own. */
  | { readonly reason: 'panicked' }
  /** A fault in the handler of a fault in a handler: the processor shut down. */
  | { readonly reason: 'triple-fault'; readonly registers?: CpuState }
  /** The processor refused the guest's state; `hardwareReason` is the vendor's code. */
  | { readonly reason: 'fail-entry'; readonly hardwareReason: bigint; readonly registers?: CpuState }
  /** The hypervisor gave up; suberror 1 is an instruction that it could not emulate, and `instruction` its bytes. */
  | { readonly reason: 'internal-error'; readonly suberror: number; readonly instruction: Uint8Array; readonly registers?: CpuState }
  /** An exit that nobody handles. */
  | { readonly reason: 'unhandled-exit'; readonly kind: string; readonly rawCode: number; readonly registers?: CpuState }
  /** Stopped from outside. */
  | { readonly reason: 'killed' }
  /** A debug-exit device was written; `status` is what the guest asks the process to exit with. */
  | { readonly reason: 'exit-code'; readonly status: number };

/** The words for why a run ended. */
export type EndReason = RunEnd['reason'];

/** True for the ends that mean that the guest crashed. */
export function isCrash(end: RunEnd): boolean {
  checkObject(end, 'the end of a run');
  return ['panicked', 'triple-fault', 'fail-entry', 'internal-error', 'unhandled-exit'].includes(end.reason);
}

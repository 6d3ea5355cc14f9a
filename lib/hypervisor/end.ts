import { checkObject } from '../util/check';
import type { CpuState } from '../util/cpu-state';

/** Why a guest came to its end. */
export type RunEnd =
  | {
      /** The guest powered the machine off. */
      readonly reason: 'powered-off';
    }
  | {
      /** The guest asked for a reset. */
      readonly reason: 'reset';
    }
  | {
      /** HLT with interrupts off and nothing able to wake it. */
      readonly reason: 'halted';
    }
  | {
      /** The guest reported a panic of its own. */
      readonly reason: 'panicked';
    }
  | {
      /** A fault in the handler of a fault in a handler: the processor shut down. */
      readonly reason: 'triple-fault';
      /** Registers of the vCPU at that moment. */
      readonly registers?: CpuState;
    }
  | {
      /** The processor refused the guest's state. */
      readonly reason: 'fail-entry';
      /** The vendor's code; see {@link FailEntryExit.hardwareReason}. */
      readonly hardwareReason: bigint;
      /** The state refused. */
      readonly registers?: CpuState;
    }
  | {
      /** The hypervisor gave up. */
      readonly reason: 'internal-error';
      /** KVM_INTERNAL_ERROR_…; 1 is an instruction that it could not emulate. */
      readonly suberror: number;
      /** The instruction's bytes, 15 at most; empty where the hypervisor gives none. */
      readonly instruction: Uint8Array;
      /** Registers of the vCPU at that moment. */
      readonly registers?: CpuState;
    }
  | {
      /** An exit that nobody handles. */
      readonly reason: 'unhandled-exit';
      /** Its kind, as {@link Exit} has it. */
      readonly kind: string;
      /** The backend's own number of the exit. */
      readonly rawCode: number;
      /** Registers of the vCPU at that moment. */
      readonly registers?: CpuState;
    }
  | {
      /** Stopped from outside. */
      readonly reason: 'killed';
    }
  | {
      /** A debug-exit device was written. */
      readonly reason: 'exit-code';
      /** What the guest asks the process to exit with. */
      readonly status: number;
    };

/** The words for why a run ended. */
export type EndReason = RunEnd['reason'];

/** True for the ends that mean that the guest crashed. */
export function isCrash(end: RunEnd): boolean {
  checkObject(end, 'the end of a run');
  return ['panicked', 'triple-fault', 'fail-entry', 'internal-error', 'unhandled-exit'].includes(end.reason);
}

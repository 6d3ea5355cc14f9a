/** What a machine in a worker and the thread that drives it say to each other. Everything here can be cloned. */
import type { RunEnd } from '../hypervisor/end';
import type { UnclaimedAccess } from '../bus/unclaimed';
import { reasonOf } from '../util/check';
import { HaxError, type HaxErrorCode } from '../util/errors';
import type { MachineOptions, MachineState } from './machine';

/** The options that make sense in another thread as they are. */
export type ClonedOptions = Omit<MachineOptions, 'signal' | 'onProgress' | 'onUnclaimed' | 'output' | 'debugConsole' | 'trace'>;

export interface WorkerStart {
  readonly options: ClonedOptions;
  readonly setup: { readonly module: string; readonly data: unknown } | undefined;
  readonly listens: { readonly progress: boolean; readonly unclaimed: boolean };
}

/** Calls that are answered. */
export type Call = 'pause' | 'resume' | 'statistics' | 'registers';

export type ToWorker =
  | { readonly kind: 'call'; readonly id: number; readonly call: Call; readonly vcpu: number }
  | { readonly kind: 'kill' }
  | { readonly kind: 'input'; readonly bytes: Uint8Array }
  /** So much output has been taken. */
  | { readonly kind: 'taken'; readonly bytes: number };

export type FromWorker =
  | { readonly kind: 'started'; readonly state: MachineState }
  | { readonly kind: 'failed'; readonly error: PackedError }
  | { readonly kind: 'reply'; readonly id: number; readonly value: unknown; readonly error?: PackedError }
  | { readonly kind: 'output'; readonly bytes: Uint8Array }
  /** So much input has reached the guest. */
  | { readonly kind: 'taken'; readonly bytes: number }
  | { readonly kind: 'reset' }
  | { readonly kind: 'progress'; readonly name: string; readonly done: number; readonly total: number }
  | { readonly kind: 'unclaimed'; readonly access: UnclaimedAccess }
  | { readonly kind: 'ended'; readonly state: MachineState; readonly end?: RunEnd; readonly error?: PackedError };

/** So that what a setup module sends over the same port is not taken for ours. */
export interface Envelope {
  readonly nodeHax: FromWorker;
}

/** How much may be on its way in each direction before the other side has taken it. */
export const window = 65536;

/** An error without what cloning loses or refuses. */
export interface PackedError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code?: HaxErrorCode;
  readonly operation?: string | undefined;
  readonly errno?: number | undefined;
  readonly backend?: string | undefined;
  readonly hint?: string | undefined;
  readonly rip?: bigint | undefined;
  readonly cause?: PackedError;
}

/** Causes of causes that travel with an error; they may go round in a circle. */
const maxCauses = 8;

export function packError(error: unknown, causes = maxCauses): PackedError {
  if (!(error instanceof Error)) return { name: 'Error', message: reasonOf(error), stack: undefined };
  const { name, message, stack, cause } = error;
  const common = { name, message, stack, ...(cause === undefined || causes === 0 ? {} : { cause: packError(cause, causes - 1) }) };
  if (!(error instanceof HaxError)) return common;
  const { code, operation, errno, backend, hint, rip } = error;
  return { ...common, code, operation, errno, backend, hint, rip };
}

export function unpackError(packed: PackedError): Error {
  const cause = packed.cause && unpackError(packed.cause);
  const { code, message, stack } = packed;
  const error = code ? new HaxError(code, message, { ...packed, cause }) : new Error(message, cause && { cause });
  if (stack !== undefined) error.stack = stack;
  return error;
}

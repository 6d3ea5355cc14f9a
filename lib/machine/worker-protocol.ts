/** What a machine in a worker and the thread that drives it say to each other. Everything here can be cloned. */
import { types } from 'node:util';
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
  | { readonly kind: 'failed'; readonly error: Packed }
  | { readonly kind: 'reply'; readonly id: number; readonly value: unknown; readonly error?: Packed }
  | { readonly kind: 'output'; readonly bytes: Uint8Array }
  /** So much input has reached the guest. */
  | { readonly kind: 'taken'; readonly bytes: number }
  | { readonly kind: 'reset' }
  | { readonly kind: 'progress'; readonly name: string; readonly done: number; readonly total: number }
  | { readonly kind: 'unclaimed'; readonly access: UnclaimedAccess }
  | { readonly kind: 'ended'; readonly state: MachineState; readonly end?: RunEnd; readonly error?: Packed };

/** So that what a setup module sends over the same port is not taken for ours. */
export interface Envelope {
  readonly nodeHax: FromWorker;
}

/** How much may be on its way in each direction before the other side has taken it. */
export const window = 65536;

/** An error without what cloning loses or refuses. */
interface PackedError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** For a HaxError. */
  readonly hax?: HaxErrorCode;
  /** What it has of its own, as far as it is plain: `code`, `errno`, `path` and such. */
  readonly own: Readonly<Record<string, PropertyDescriptor>>;
  readonly cause?: Packed;
}

/** Something thrown: an error, or a value that was thrown in the place of one. */
export type Packed = { readonly error: PackedError } | { readonly value: unknown };

/** Causes of causes that travel with an error; they may go round in a circle. */
const maxCauses = 8;
/** Of these there is more to tell. */
const otherwise = ['message', 'stack', 'cause'];
const plainTypes = ['string', 'number', 'bigint', 'boolean'];

export function packError(thrown: unknown, causes = maxCauses): Packed {
  if (!(thrown instanceof Error || types.isNativeError(thrown))) return packValue(thrown);
  const { name, stack, cause } = thrown as Partial<Record<keyof Error, unknown>>;
  const own = Object.entries(Object.getOwnPropertyDescriptors(thrown)).filter(
    ([key, { value }]) => plainTypes.includes(typeof value) && !otherwise.includes(key),
  );
  return {
    error: {
      name: typeof name === 'string' ? name : 'Error',
      message: reasonOf(thrown),
      stack: typeof stack === 'string' ? stack : undefined,
      ...(thrown instanceof HaxError && { hax: thrown.code }),
      own: Object.fromEntries(own),
      ...(cause !== undefined && causes > 0 && { cause: packError(cause, causes - 1) }),
    },
  };
}

/** What cannot be cloned travels as an error that shows it. */
function packValue(value: unknown): Packed {
  try {
    return { value: structuredClone(value) };
  } catch {
    return { error: { name: 'Error', message: reasonOf(value), stack: undefined, own: {} } };
  }
}

export function unpackError(packed: Packed): unknown {
  if (!('error' in packed)) return packed.value;
  const { name, message, stack, hax, own, cause } = packed.error;
  const options = cause && { cause: unpackError(cause) };
  const error = hax ? new HaxError(hax, message, options) : new Error(message, options);
  if (stack !== undefined) error.stack = stack;
  Object.defineProperties(error, own);
  if (error.name !== name) Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true });
  return error;
}

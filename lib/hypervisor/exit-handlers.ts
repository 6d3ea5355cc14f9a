import { removable, type Removable } from '../bus/claim';
import { shown } from '../util/check';
import { HaxError, invalidArgument } from '../util/errors';
import type { Exit } from './exit';

/** Exits that a program may serve while run() has the vCPU. The others are the buses' or the end of the guest. */
export const servedKinds = [
  'msr',
  'hypercall',
  'hyperv',
  'xen',
  'debug',
  'exception',
  'memory-fault',
  'dirty-ring-full',
  'ioapic-eoi',
  'set-tpr',
  'tpr-access',
  'nmi',
  'bus-lock',
  'notify',
  'unknown',
] as const;

/** The kinds of exit that onExit() takes a handler for. */
export type ServedKind = (typeof servedKinds)[number];

/**
 * Serves one exit; the guest goes on when it returns, or when the promise that it gives has settled. Replies (`value`, `fault`, `result`)
 * are set on the exit itself, which is valid until then. What it throws ends the run with ERR_HAX_DEVICE_FAILED; `vcpu.stop()` ends it too.
 */
export type ExitHandler<K extends ServedKind = ServedKind> = (exit: Exit & { readonly kind: K }) => void | PromiseLike<void>;

/** The handlers of one vCPU, at most one a kind. */
export class ExitHandlers {
  readonly #handlers = new Map<string, ExitHandler>();

  add<K extends ServedKind>(kind: K, handler: ExitHandler<K>): Removable {
    if (!servedKinds.includes(kind)) throw invalidArgument(`exits that can be served are ${servedKinds.join(', ')}, not ${shown(kind)}`);
    if (typeof handler !== 'function') throw invalidArgument(`a handler of exits is a function, not ${shown(handler)}`);
    if (this.#handlers.has(kind)) throw new HaxError('ERR_HAX_OVERLAP', `exits of kind ${kind} have a handler already: remove() it first`);
    this.#handlers.set(kind, handler as ExitHandler);
    return removable(() => this.#handlers.delete(kind));
  }

  get(kind: string): ExitHandler | undefined {
    return this.#handlers.get(kind);
  }
}

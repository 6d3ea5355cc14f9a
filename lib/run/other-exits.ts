import type { RunEnd } from '../hypervisor/end';
import type { ExitHandler, ServedKind } from '../hypervisor/exit-handlers';
import type { Vcpu } from '../hypervisor/vcpu';
import { exitPage } from '../native/layout';

/** KVM_NOTIFY_CONTEXT_INVALID: the guest's state was lost, it cannot go on. */
const contextInvalid = 1n;

/**
 * What becomes of exits that the program does not serve: the guest goes on where nothing is lost by it, with the reply that the exit page
 * has from the start (an MSR gives #GP, a hypercall the error for an unknown one).
 */
const goesOn: Record<ServedKind, boolean> = {
  msr: true,
  hypercall: true,
  hyperv: true,
  xen: true,
  // Notices: the kernel has done what there was to do.
  'ioapic-eoi': true,
  'set-tpr': true,
  'tpr-access': true,
  nmi: true,
  'bus-lock': true,
  notify: true,
  // Nobody harvests the ring, fixes the fault or knows what the exit wants: it would come again at once, for ever.
  'dirty-ring-full': false,
  'memory-fault': false,
  debug: false,
  exception: false,
  unknown: false,
};

/**
 * Serves the exit in the vCPU's page that is neither an access to a device nor an end by itself: by the handler that the program has
 * registered with `vcpu.onExit()`, else by the table above. The end of the run, a promise to wait for, or undefined to go on.
 */
export function serveOther(vcpu: Vcpu): { end: RunEnd } | { pending: PromiseLike<void> } | undefined {
  const { exit } = vcpu;
  const kind = exit.kind as ServedKind;
  const handler: ExitHandler | undefined = vcpu.exitHandlers.get(kind);
  if (handler) {
    const pending = handler(exit as never);
    return typeof pending?.then === 'function' ? { pending } : undefined;
  }
  if (goesOn[kind] && !(exit.kind === 'notify' && exit.flags & contextInvalid)) return undefined;
  const rawCode = new Uint32Array(vcpu.shared)[exitPage.rawCode / 4];
  return { end: { reason: 'unhandled-exit', kind, rawCode, registers: vcpu.getState() } };
}

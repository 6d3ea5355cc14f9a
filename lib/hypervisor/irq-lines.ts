/** Lines of the kernel's interrupt controllers. It takes the level of one that leads nowhere, and says nothing. */
import type { IrqLine } from '../bus/irq-line';
import { HaxError } from '../util/errors';

/** KVM_SET_GSI_ROUTING, _IOW(KVMIO, 0x6a, struct kvm_irq_routing) (Documentation/virt/kvm/api.rst, 4.52). */
export const setGsiRouting = 0x4008ae6a;
/** Of struct kvm_irq_routing, where its number of entries is first, and of an entry, where the line is first. */
const headSize = 8;
const entrySize = 48;

/** Of the kernel's IOAPIC, to whose pins lines lead at first, the first 16 to the PICs too. */
const pins = 24;

/** The lines that a struct kvm_irq_routing names, which the kernel has taken. */
export function routedLines(routing: Uint8Array): ReadonlySet<number> {
  const view = new DataView(routing.buffer, routing.byteOffset, routing.byteLength);
  const lines = new Set<number>();
  for (let at = headSize, left = view.getUint32(0, true); left > 0 && at + entrySize <= routing.length; at += entrySize, left--)
    lines.add(view.getUint32(at, true));
  return lines;
}

/** Throws ERR_HAX_INVALID_ARGUMENT where a line has no pin, or no route since there are routes. */
export function checkLeads(line: number, routed: ReadonlySet<number> | undefined): void {
  if (routed ? routed.has(line) : line < pins) return;
  const message = routed
    ? `interrupt line ${line} leads nowhere: KVM_SET_GSI_ROUTING has given it no route`
    : `interrupt line ${line} leads nowhere: the kernel's interrupt controllers have the lines 0 to ${pins - 1}`;
  throw new HaxError('ERR_HAX_INVALID_ARGUMENT', message, {
    hint: 'Use a line that there is, or give this one a route with vm.kvm.setGsiRouting() first.',
  });
}

/** Tells the kernel changes only: a call of it costs microseconds and levels repeat. */
export class KernelIrqLine implements IrqLine {
  #level = false;

  constructor(private readonly write: (level: boolean) => void) {}

  set(level: boolean): void {
    if (level === this.#level) return;
    this.write(level);
    this.#level = level;
  }

  /** KVM's own call has set it. */
  wasSet(level: boolean): void {
    this.#level = level;
  }
}

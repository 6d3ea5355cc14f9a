import { installRunDriver } from '../hypervisor/vcpu';
import { installUserIrqchip } from '../hypervisor/vm';
import { runInline } from '../run/inline';
import { makeUserIrqchip } from './user-irqchip';

/** Gives the hypervisor layer what it must not know: the run loop, and the controllers of VMs with `irqchip: 'user'`. Idempotent. */
export function install(): void {
  installRunDriver(runInline);
  installUserIrqchip(makeUserIrqchip);
}

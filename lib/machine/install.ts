import { installRunDriver } from '../hypervisor/vcpu';
import { installUserIrqchip } from '../hypervisor/vm';
import { runGuest } from '../run/run';
import { loadUserIrqchip } from './load';

/** Gives the hypervisor layer what it must not know: the run loop, and the controllers of VMs with `irqchip: 'user'`. Idempotent. */
export function install(): void {
  installRunDriver(runGuest);
  installUserIrqchip((vm) => loadUserIrqchip().makeUserIrqchip(vm));
}

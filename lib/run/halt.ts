import type { Vcpu } from '../hypervisor/vcpu';
import { interruptFlag } from '../util/cpu-state';

/** Whether the guest sleeps inside KVM_RUN, until an interrupt comes. Not to be asked while the guest runs. */
export function isHalted(vcpu: Vcpu): boolean {
  return vcpu.vm.hasKernelIrqchip && vcpu.mpState === 'halted';
}

/**
 * With the kernel's controllers HLT does not exit: it sleeps inside KVM_RUN, for ever when interrupts are off. `several`: an application
 * processor that waits for its start-up IPI counts too. Not to be asked while the guest runs.
 */
export function isHaltedForEver(vcpu: Vcpu, several = false): boolean {
  if (!vcpu.vm.hasKernelIrqchip) return false;
  const state = vcpu.mpState;
  if (several && (state === 'uninitialized' || state === 'init-received')) return true;
  return state === 'halted' && (vcpu.getPosition().rflags & interruptFlag) === 0n;
}

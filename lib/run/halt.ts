import type { Vcpu } from '../hypervisor/vcpu';

/** RFLAGS.IF, Intel SDM vol. 1, 3.4.3.3. */
export const interruptFlag = 0x200n;

/**
 * With the kernel's controllers HLT does not exit: it sleeps inside KVM_RUN, for ever when interrupts are off. Not to be asked while the
 * guest runs.
 */
export function isHaltedForEver(vcpu: Vcpu): boolean {
  return vcpu.vm.hasKernelIrqchip && vcpu.mpState === 'halted' && (vcpu.getPosition().rflags & interruptFlag) === 0n;
}

import type { Vcpu } from '../hypervisor/vcpu';
import { interruptFlag } from '../util/cpu-state';

/** KVM_GET_VCPU_EVENTS (api.rst 4.31) and bytes of struct kvm_vcpu_events. */
const getVcpuEvents = 0x8040ae9f;
const sizeOfEvents = 64;
const nmiPendingAt = 13;
const nmiMaskedAt = 14;
const smiPendingAt = 25;

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
  return state === 'halted' && (vcpu.getPosition().rflags & interruptFlag) === 0n && !hasEvent(vcpu);
}

/** An NMI or an SMI that another vCPU or the program has sent since: it is halted until it is in the guest again. */
function hasEvent(vcpu: Vcpu): boolean {
  const events = new Uint8Array(sizeOfEvents);
  vcpu.native.ioctl(getVcpuEvents, events);
  return (events[nmiPendingAt] !== 0 && events[nmiMaskedAt] === 0) || events[smiPendingAt] !== 0;
}

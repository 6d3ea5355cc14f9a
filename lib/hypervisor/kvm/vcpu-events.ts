import { checkBytes, shown } from '../../util/check';
import { invalidArgument } from '../../util/errors';
import { checkInteger } from '../../util/numbers';
import { checkScalar, decode, encode, type Input } from './codec';
import { adopt } from './eventfd';
import {
  capabilities,
  type CapabilityName,
  type KvmGuestDebug,
  type KvmTranslation,
  type KvmVcpuEvents,
  type KvmX86Mce,
} from './generated/uapi';
import { KvmStats } from './stats';
import { VcpuStateCalls } from './vcpu-state';

/** Interrupts and exceptions of a vCPU, debugging it, and what else of KVM's vCPU calls is not state. */
export abstract class VcpuEventCalls extends VcpuStateCalls {
  /** KVM_GET_VCPU_EVENTS (4.31): pending and injected exceptions, interrupts, NMIs and SMIs. */
  getVcpuEvents(): KvmVcpuEvents {
    return this.read('KVM_GET_VCPU_EVENTS', 'kvm_vcpu_events');
  }

  /** KVM_SET_VCPU_EVENTS (4.32): `flags` tells which of the optional parts count, KVM_VCPUEVENT_VALID_…. */
  setVcpuEvents(events: Input<KvmVcpuEvents>): void {
    this.write('KVM_SET_VCPU_EVENTS', 'kvm_vcpu_events', events);
  }

  /** KVM_NMI (4.64): an NMI at the next entry. */
  nmi(): void {
    this.call('KVM_NMI', 0);
  }

  /** KVM_SMI (4.96): a system management interrupt at the next entry. */
  smi(): void {
    this.call('KVM_SMI', 0);
  }

  /** KVM_INTERRUPT (4.16): vector `irq`, while the guest takes interrupts. ENXIO: the interrupt controllers are the kernel's. */
  interrupt(irq: number): void {
    this.write('KVM_INTERRUPT', 'kvm_interrupt', { irq });
  }

  /**
   * KVM_SET_GUEST_DEBUG (4.87): exits of kind `debug`. `control` is KVM_GUESTDBG_ENABLE with KVM_GUESTDBG_SINGLESTEP, _USE_HW_BP or
   * _USE_SW_BP; `debugreg` 0 to 3 are addresses and 7 is DR7. EBUSY: an exception is pending.
   */
  setGuestDebug(debug: Input<KvmGuestDebug>): void {
    this.write('KVM_SET_GUEST_DEBUG', 'kvm_guest_debug', debug);
  }

  /** KVM_TRANSLATE (4.15): the guest-physical address behind a linear one, by the vCPU's page tables. */
  translate(linearAddress: number | bigint): KvmTranslation {
    // No answer of the kernel's, so that one is told from none.
    const value = { linear_address: linearAddress, physical_address: 0, valid: 0xff, writeable: 0xff, usermode: 0xff };
    const bytes = encode('kvm_translation', value);
    this.call('KVM_TRANSLATE', bytes);
    return decode('kvm_translation', bytes);
  }

  /** KVM_KVMCLOCK_CTRL (4.70): tells a guest with kvmclock that it was stopped. EINVAL: the guest does not use kvmclock. */
  kvmclockCtrl(): void {
    this.call('KVM_KVMCLOCK_CTRL', 0);
  }

  /**
   * KVM_SET_SIGNAL_MASK (4.21): signals (1 to 64) that are blocked while the guest runs instead of the thread's own mask; undefined: that
   * mask again. With the kick's signal blocked (41 on Linux unless HAX_KICK_SIGNAL says otherwise) a kick waits for the next exit.
   */
  setSignalMask(blocked: readonly number[] | undefined): void {
    if (blocked === undefined) {
      this.call('KVM_SET_SIGNAL_MASK', null);
      return;
    }
    if (!Array.isArray(blocked)) throw invalidArgument(`setSignalMask() takes a list of signals, not ${shown(blocked)}`);
    let set = 0n;
    for (const signal of blocked as readonly number[]) set |= 1n << BigInt(checkInteger(signal, 'a signal', 1, 64) - 1);
    const bytes = new Uint8Array(12);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 8, true);
    view.setBigUint64(4, set, true);
    this.call('KVM_SET_SIGNAL_MASK', bytes);
  }

  /** KVM_X86_SETUP_MCE (4.105): MCG_CAP; the low byte is the number of banks. EINVAL: bits that x86GetMceCapSupported() lacks. */
  x86SetupMce(mcgCap: number | bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, checkScalar(mcgCap, 'u64', 'MCG_CAP'), true);
    this.call('KVM_X86_SETUP_MCE', bytes);
  }

  /** KVM_X86_SET_MCE (4.106): a machine check. */
  x86SetMce(mce: Input<KvmX86Mce>): void {
    this.write('KVM_X86_SET_MCE', 'kvm_x86_mce', mce);
  }

  /** KVM_TPR_ACCESS_REPORTING: exits of kind `tpr-access` on or off. EINVAL: the local APIC is not the kernel's. */
  tprAccessReporting(enabled: boolean): void {
    this.write('KVM_TPR_ACCESS_REPORTING', 'kvm_tpr_access_ctl', { enabled: enabled ? 1 : 0 });
  }

  /** KVM_SET_VAPIC_ADDR: guest-physical address of the page that a guest's TPR patches use. EINVAL: the local APIC is not the kernel's. */
  setVapicAddr(address: number | bigint): void {
    this.write('KVM_SET_VAPIC_ADDR', 'kvm_vapic_addr', { vapic_addr: address });
  }

  /** KVM_ENABLE_CAP (4.37) for one vCPU, for example KVM_CAP_HYPERV_SYNIC. */
  enableCap(cap: CapabilityName, args: readonly (number | bigint)[] = [], flags = 0): void {
    this.extensions.require(cap, 'KVM_ENABLE_CAP');
    this.write('KVM_ENABLE_CAP', 'kvm_enable_cap', { cap: capabilities[cap], flags, args });
  }

  /** KVM_GET_STATS_FD (4.133): counters of the vCPU, decoded. */
  getStatsFd(): KvmStats {
    return new KvmStats(adopt(this.call('KVM_GET_STATS_FD', 0)));
  }

  /** KVM_PRE_FAULT_MEMORY (4.143): fills the second-level page tables for a range. What is left of it: EINTR and EAGAIN stop it half way. */
  preFaultMemory(gpa: number | bigint, size: number | bigint): { gpa: bigint; size: bigint } {
    const bytes = encode('kvm_pre_fault_memory', { gpa, size });
    this.call('KVM_PRE_FAULT_MEMORY', bytes);
    const left = decode('kvm_pre_fault_memory', bytes);
    return { gpa: left.gpa, size: left.size };
  }

  /** KVM_HAS_DEVICE_ATTR (4.81) of a vCPU: KVM_VCPU_TSC_CTRL 0, KVM_VCPU_TSC_OFFSET 0. */
  hasDeviceAttr(group: number, attr: number | bigint): boolean {
    return this.askAttribute(group, attr);
  }

  /** KVM_GET_DEVICE_ATTR (4.80) of a vCPU. */
  getDeviceAttr(group: number, attr: number | bigint, size: number): Uint8Array {
    return this.readAttribute(group, attr, size);
  }

  /** KVM_SET_DEVICE_ATTR (4.80) of a vCPU. */
  setDeviceAttr(group: number, attr: number | bigint, value: Uint8Array): void {
    checkBytes(value, 'value of an attribute');
    this.writeAttribute(group, attr, value);
  }
}

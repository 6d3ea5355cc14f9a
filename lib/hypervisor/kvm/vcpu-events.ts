import { shown } from '../../util/check';
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
  /**
   * KVM_GET_VCPU_EVENTS (4.31, Linux 2.6.33): pending and injected exceptions, interrupts, NMIs and SMIs.
   *
   * Errors: none of its own.
   */
  getVcpuEvents(): KvmVcpuEvents {
    return this.read('KVM_GET_VCPU_EVENTS', 'kvm_vcpu_events');
  }

  /**
   * KVM_SET_VCPU_EVENTS (4.32, Linux 2.6.33): `flags` tells which of the optional parts count, KVM_VCPUEVENT_VALID_….
   *
   * Errors: EINVAL, another flag, a part that the kernel has not, or an exception above 31 or an NMI as one.
   */
  setVcpuEvents(events: Input<KvmVcpuEvents>): void {
    this.write('KVM_SET_VCPU_EVENTS', 'kvm_vcpu_events', events);
  }

  /**
   * KVM_NMI (4.64, Linux 2.6.30): an NMI at the next entry.
   *
   * Errors: none of its own.
   */
  nmi(): void {
    this.call('KVM_NMI', 0);
  }

  /**
   * KVM_SMI (4.96, Linux 4.2): a system management interrupt at the next entry.
   *
   * Errors: none of its own.
   */
  smi(): void {
    this.call('KVM_SMI', 0);
  }

  /**
   * KVM_INTERRUPT (4.16, Linux 2.6.20): vector `irq`, 0 to 255, while the guest takes interrupts.
   *
   * Errors: EINVAL, no vector; EEXIST, one waits already; ENXIO, the interrupt controllers are the kernel's.
   */
  interrupt(irq: number): void {
    this.write('KVM_INTERRUPT', 'kvm_interrupt', { irq });
  }

  /**
   * KVM_SET_GUEST_DEBUG (4.87, Linux 2.6.29): exits of kind `debug`. `control` is KVM_GUESTDBG_ENABLE with KVM_GUESTDBG_SINGLESTEP,
   * _USE_HW_BP or _USE_SW_BP; `arch.debugreg` 0 to 3 are linear addresses and 7 is DR7. 0 and zeros end it.
   *
   * Errors: EBUSY, _INJECT_DB or _INJECT_BP while an exception is pending.
   */
  setGuestDebug(debug: Input<KvmGuestDebug>): void {
    this.write('KVM_SET_GUEST_DEBUG', 'kvm_guest_debug', debug);
  }

  /**
   * KVM_TRANSLATE (4.15, Linux 2.6.20): the guest-physical address behind a linear one, by the vCPU's page tables; `valid` 0 where there
   * is none.
   *
   * Errors: none of its own.
   */
  translate(linearAddress: number | bigint): KvmTranslation {
    // No answer of the kernel's, so that one is told from none.
    const value = { linear_address: linearAddress, physical_address: 0, valid: 0xff, writeable: 0xff, usermode: 0xff };
    const bytes = encode('kvm_translation', value);
    this.call('KVM_TRANSLATE', bytes);
    return decode('kvm_translation', bytes);
  }

  /**
   * KVM_KVMCLOCK_CTRL (4.70, Linux 3.5): tells a guest with kvmclock that it was stopped, so that its watchdogs keep quiet.
   *
   * Errors: EINVAL, the guest does not use kvmclock.
   */
  kvmclockCtrl(): void {
    this.call('KVM_KVMCLOCK_CTRL', 0);
  }

  /**
   * KVM_SET_SIGNAL_MASK (4.21, Linux 2.6.22): signals (1 to 64) that are blocked while the guest runs instead of the thread's own mask;
   * undefined: that mask again. With the kick's signal blocked (41 on Linux unless HAX_KICK_SIGNAL says otherwise) a kick waits for the
   * next exit.
   *
   * Errors: none of its own.
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

  /**
   * KVM_X86_SETUP_MCE (4.105, Linux 2.6.31): MCG_CAP; the low byte is the number of banks, at most KVM_CAP_MCE.
   *
   * Errors: EINVAL, more banks, or bits that x86GetMceCapSupported() lacks.
   */
  x86SetupMce(mcgCap: number | bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, checkScalar(mcgCap, 'u64', 'MCG_CAP'), true);
    this.call('KVM_X86_SETUP_MCE', bytes);
  }

  /**
   * KVM_X86_SET_MCE (4.106, Linux 2.6.31): a machine check in `bank`. One that is uncorrected (status bit 61) raises #MC; while one is in
   * progress, the guest shuts down.
   *
   * Errors: EINVAL, no such bank, or status without VAL (bit 63).
   */
  x86SetMce(mce: Input<KvmX86Mce>): void {
    this.write('KVM_X86_SET_MCE', 'kvm_x86_mce', mce);
  }

  /**
   * KVM_TPR_ACCESS_REPORTING (Linux 2.6.25, in no section): exits of kind `tpr-access` on or off.
   *
   * Errors: EINVAL, the local APIC is not the kernel's.
   */
  tprAccessReporting(enabled: boolean): void {
    this.write('KVM_TPR_ACCESS_REPORTING', 'kvm_tpr_access_ctl', { enabled: enabled ? 1 : 0 });
  }

  /**
   * KVM_SET_VAPIC_ADDR (Linux 2.6.25, in no section): guest-physical address of the page that a guest's TPR patches use; 0 for none.
   *
   * Errors: EINVAL, the local APIC is not the kernel's.
   */
  setVapicAddr(address: number | bigint): void {
    this.write('KVM_SET_VAPIC_ADDR', 'kvm_vapic_addr', { vapic_addr: address });
  }

  /**
   * KVM_ENABLE_CAP (4.37, Linux 4.5) for one vCPU, for example KVM_CAP_HYPERV_SYNIC2: up to four arguments.
   *
   * Errors: EINVAL, not one that can be enabled for a vCPU, or flags.
   */
  enableCap(cap: CapabilityName, args: readonly (number | bigint)[] = [], flags = 0): void {
    this.extensions.require(cap, 'KVM_ENABLE_CAP');
    this.write('KVM_ENABLE_CAP', 'kvm_enable_cap', { cap: capabilities[cap], flags, args });
  }

  /**
   * KVM_GET_STATS_FD (4.133, Linux 5.14): counters of the vCPU, decoded.
   *
   * Errors: EMFILE or ENFILE, no descriptor left.
   */
  getStatsFd(): KvmStats {
    return new KvmStats(adopt(this.call('KVM_GET_STATS_FD', 0)));
  }

  /**
   * KVM_PRE_FAULT_MEMORY (4.143, Linux 6.11): fills the second-level page tables for `size` bytes from `gpa` on, multiples of 4096. What
   * is left of it: a signal stops it half way.
   *
   * Errors: EINTR and EAGAIN, nothing was done; EINVAL, unaligned; ENOENT, no slot there; EOPNOTSUPP, the guest has shadow page tables.
   */
  preFaultMemory(
    gpa: number | bigint,
    size: number | bigint,
  ): {
    /** Guest-physical address of what is left. */
    gpa: bigint;
    /** Bytes that are left; 0: all is done. */
    size: bigint;
  } {
    const bytes = encode('kvm_pre_fault_memory', { gpa, size });
    this.call('KVM_PRE_FAULT_MEMORY', bytes);
    const left = decode('kvm_pre_fault_memory', bytes);
    return { gpa: left.gpa, size: left.size };
  }

  /**
   * KVM_HAS_DEVICE_ATTR (4.81, Linux 5.16) of a vCPU: group KVM_VCPU_TSC_CTRL 0 has attribute KVM_VCPU_TSC_OFFSET 0, 8 bytes, ticks.
   *
   * Errors: none; what the kernel refuses is false.
   */
  hasDeviceAttr(group: number, attr: number | bigint): boolean {
    return this.askAttribute(group, attr);
  }

  /**
   * KVM_GET_DEVICE_ATTR (4.80, Linux 5.16) of a vCPU: the attribute's value, `size` bytes.
   *
   * Errors: ENXIO, there is no such attribute.
   */
  getDeviceAttr(group: number, attr: number | bigint, size: number): Uint8Array {
    return this.readAttribute(group, attr, size);
  }

  /**
   * KVM_SET_DEVICE_ATTR (4.80, Linux 5.16) of a vCPU: the attribute's value.
   *
   * Errors: ENXIO, there is no such attribute.
   */
  setDeviceAttr(group: number, attr: number | bigint, value: Uint8Array): void {
    this.writeAttribute(group, attr, value);
  }
}

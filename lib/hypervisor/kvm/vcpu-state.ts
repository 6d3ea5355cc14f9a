import { checkBytes, shown } from '../../util/check';
import { invalidArgument } from '../../util/errors';
import { checkInteger } from '../../util/numbers';
import { KvmCalls } from './base';
import { decode, decodeList, encodeList, sizeOf, type Input } from './codec';
import type {
  KvmCpuidEntry2,
  KvmDebugregs,
  KvmFpu,
  KvmMsrEntry,
  KvmNestedState,
  KvmRegs,
  KvmSregs,
  KvmSregs2,
  KvmXcrs,
} from './generated/uapi';
import { packMsrs } from './system';

const xsaveSize = 4096;
const lapicSize = 1024;

/** Registers of a vCPU in the kernel's own structures, for what {@link Vcpu.getState} does not show. */
export abstract class VcpuStateCalls extends KvmCalls {
  /**
   * KVM_GET_REGS (4.11, Linux 2.6.20): the general registers with rip and rflags, 64 bits each.
   *
   * Errors: none of its own.
   */
  getRegs(): KvmRegs {
    return this.read('KVM_GET_REGS', 'kvm_regs');
  }

  /**
   * KVM_SET_REGS (4.12, Linux 2.6.20): all of them; a pending exception is forgotten.
   *
   * Errors: none of its own.
   */
  setRegs(regs: Input<KvmRegs>): void {
    this.write('KVM_SET_REGS', 'kvm_regs', regs);
  }

  /**
   * KVM_GET_SREGS (4.13, Linux 2.6.20): segments, tables, control registers, EFER and the APIC's base; `interrupt_bitmap` has the bit of
   * an injected interrupt.
   *
   * Errors: none of its own.
   */
  getSregs(): KvmSregs {
    return this.read('KVM_GET_SREGS', 'kvm_sregs');
  }

  /**
   * KVM_SET_SREGS (4.14, Linux 2.6.20): all of them; limits are in bytes whatever the granularity.
   *
   * Errors: EINVAL, a state that no processor can be in.
   */
  setSregs(sregs: Input<KvmSregs>): void {
    this.write('KVM_SET_SREGS', 'kvm_sregs', sregs);
  }

  /**
   * KVM_GET_SREGS2 (4.131, Linux 5.14): as getSregs(), with the page directory pointers of PAE. `flags` KVM_SREGS2_FLAGS_PDPTRS_VALID 1:
   * they are valid.
   *
   * Errors: none of its own.
   */
  getSregs2(): KvmSregs2 {
    return this.read('KVM_GET_SREGS2', 'kvm_sregs2');
  }

  /**
   * KVM_SET_SREGS2 (4.132, Linux 5.14): the state of getSregs2().
   *
   * Errors: EINVAL, another flag, or a state that no processor can be in.
   */
  setSregs2(sregs: Input<KvmSregs2>): void {
    this.write('KVM_SET_SREGS2', 'kvm_sregs2', sregs);
  }

  /**
   * KVM_GET_FPU (4.22, Linux 2.6.20): x87 and SSE in the format of FXSAVE. The kernel leaves `mxcsr` out; use getXsave().
   *
   * Errors: none of its own.
   */
  getFpu(): KvmFpu {
    return this.read('KVM_GET_FPU', 'kvm_fpu');
  }

  /**
   * KVM_SET_FPU (4.23, Linux 2.6.20): the state of getFpu(); `mxcsr` is ignored.
   *
   * Errors: none of its own.
   */
  setFpu(fpu: Input<KvmFpu>): void {
    this.write('KVM_SET_FPU', 'kvm_fpu', fpu);
  }

  /**
   * KVM_GET_XSAVE (4.42, Linux 2.6.36): the first 4096 bytes of the XSAVE area (Intel SDM vol. 1, 13.4).
   *
   * Errors: none of its own.
   */
  getXsave(): Uint8Array {
    const bytes = new Uint8Array(xsaveSize);
    this.call('KVM_GET_XSAVE', bytes);
    return bytes;
  }

  /**
   * KVM_SET_XSAVE (4.43, Linux 2.6.36): an area of getXsave() or getXsave2().
   *
   * Errors: EINVAL, components that the vCPU has not.
   */
  setXsave(area: Uint8Array): void {
    checkBytes(area, 'an XSAVE area');
    const size = Math.max(xsaveSize, this.extensions.value('KVM_CAP_XSAVE2'));
    if (area.length !== xsaveSize && area.length !== size) {
      throw invalidArgument(`an XSAVE area has ${xsaveSize}${size > xsaveSize ? ` or ${size}` : ''} bytes, not ${area.length}`);
    }
    // The kernel reads as much as the vCPU's components take, whatever is given.
    const bytes = new Uint8Array(size);
    bytes.set(area);
    this.call('KVM_SET_XSAVE', bytes);
  }

  /**
   * KVM_GET_XSAVE2 (4.134, Linux 5.17): the whole area, as many bytes as KVM_CAP_XSAVE2 reports.
   *
   * Errors: none of its own.
   */
  getXsave2(): Uint8Array {
    const bytes = new Uint8Array(Math.max(xsaveSize, this.extensions.value('KVM_CAP_XSAVE2')));
    this.call('KVM_GET_XSAVE2', bytes);
    return bytes;
  }

  /**
   * KVM_GET_XCRS (4.44, Linux 2.6.36): the extended control registers; XCR0 is the only one.
   *
   * Errors: EINVAL, the processor has no XSAVE.
   */
  getXcrs(): KvmXcrs {
    return this.read('KVM_GET_XCRS', 'kvm_xcrs');
  }

  /**
   * KVM_SET_XCRS (4.45, Linux 2.6.36): at most 16, of which the kernel takes number 0.
   *
   * Errors: EINVAL, bits that the vCPU's CPUID has not, or flags.
   */
  setXcrs(xcrs: Input<KvmXcrs>): void {
    this.write('KVM_SET_XCRS', 'kvm_xcrs', xcrs);
  }

  /**
   * KVM_GET_DEBUGREGS (4.33, Linux 2.6.35): DR0 to DR3, DR6 and DR7; the guest's own, not those of {@link VcpuEventCalls.setGuestDebug}.
   *
   * Errors: none of its own.
   */
  getDebugregs(): KvmDebugregs {
    return this.read('KVM_GET_DEBUGREGS', 'kvm_debugregs');
  }

  /**
   * KVM_SET_DEBUGREGS (4.34, Linux 2.6.35): the same; `flags` is 0.
   *
   * Errors: EINVAL, flags, or DR6 or DR7 above 32 bits.
   */
  setDebugregs(debugregs: Input<KvmDebugregs>): void {
    this.write('KVM_SET_DEBUGREGS', 'kvm_debugregs', debugregs);
  }

  /**
   * KVM_GET_MP_STATE (4.38, Linux 2.6.26): a KVM_MP_STATE_….
   *
   * Errors: none of its own.
   */
  getMpState(): number {
    return this.read('KVM_GET_MP_STATE', 'kvm_mp_state').mp_state;
  }

  /**
   * KVM_SET_MP_STATE (4.39, Linux 2.6.26): a KVM_MP_STATE_….
   *
   * Errors: EINVAL, not one, or one that needs the kernel's local APIC.
   */
  setMpState(state: number): void {
    this.write('KVM_SET_MP_STATE', 'kvm_mp_state', { mp_state: state });
  }

  /**
   * KVM_GET_LAPIC (4.57, Linux 2.6.24): the local APIC's 1024-byte register page.
   *
   * Errors: EINVAL, it is not the kernel's.
   */
  getLapic(): Uint8Array {
    const bytes = new Uint8Array(lapicSize);
    this.call('KVM_GET_LAPIC', bytes);
    return bytes;
  }

  /**
   * KVM_SET_LAPIC (4.58, Linux 2.6.24): the page of getLapic(), 1024 bytes.
   *
   * Errors: EINVAL, it is not the kernel's.
   */
  setLapic(registers: Uint8Array): void {
    checkBytes(registers, 'a register page');
    if (registers.length !== lapicSize) throw invalidArgument(`a register page has ${lapicSize} bytes, not ${registers.length}`);
    this.call('KVM_SET_LAPIC', registers);
  }

  /**
   * KVM_GET_MSRS (4.18, Linux 2.6.20): those before the first that is refused; at most 255.
   *
   * Errors: none of its own.
   */
  getMsrs(indices: readonly number[]): KvmMsrEntry[] {
    if (!Array.isArray(indices)) throw invalidArgument(`getMsrs() takes a list of indices, not ${shown(indices)}`);
    const bytes = packMsrs(Array.from(indices as number[], (index) => ({ index, data: 0n })));
    return decodeList('kvm_msr_entry', bytes, sizeOf('kvm_msrs'), this.call('KVM_GET_MSRS', bytes));
  }

  /**
   * KVM_SET_MSRS (4.19, Linux 2.6.20): how many were set; the next one was refused. At most 255.
   *
   * Errors: none of its own.
   */
  setMsrs(entries: readonly Input<KvmMsrEntry>[]): number {
    if (!Array.isArray(entries)) throw invalidArgument(`setMsrs() takes a list, not ${shown(entries)}`);
    return this.call('KVM_SET_MSRS', packMsrs(entries as Input<KvmMsrEntry>[]));
  }

  /**
   * KVM_GET_CPUID2 (Linux 2.6.25, in no section): the guest's table.
   *
   * Errors: none of its own.
   */
  getCpuid2(): KvmCpuidEntry2[] {
    const { bytes, count } = this.readList('KVM_GET_CPUID2', sizeOf('kvm_cpuid2'), sizeOf('kvm_cpuid_entry2'), 128);
    return decodeList('kvm_cpuid_entry2', bytes, sizeOf('kvm_cpuid2'), count);
  }

  /**
   * KVM_SET_CPUID2 (4.20, Linux 2.6.25): before the first entry; at most 256 leaves.
   *
   * Errors: EINVAL, changed after it; E2BIG, more than the kernel takes.
   */
  setCpuid2(entries: readonly Input<KvmCpuidEntry2>[]): void {
    if (!Array.isArray(entries)) throw invalidArgument(`setCpuid2() takes a list, not ${shown(entries)}`);
    const list = Array.from(entries as KvmCpuidEntry2[]);
    checkInteger(list.length, 'number of CPUID entries', 0, 256);
    this.call('KVM_SET_CPUID2', encodeList('kvm_cpuid2', { nent: list.length }, 'kvm_cpuid_entry2', list));
  }

  /**
   * KVM_GET_SUPPORTED_HV_CPUID (4.118, Linux 5.0) of a vCPU, which depends on what was enabled for it; the kernel prefers the system's.
   *
   * Errors: none of its own.
   */
  getSupportedHvCpuid(): KvmCpuidEntry2[] {
    const { bytes, count } = this.readList('KVM_GET_SUPPORTED_HV_CPUID', sizeOf('kvm_cpuid2'), sizeOf('kvm_cpuid_entry2'), 128);
    return decodeList('kvm_cpuid_entry2', bytes, sizeOf('kvm_cpuid2'), count);
  }

  /**
   * KVM_GET_TSC_KHZ (4.56, Linux 2.6.39): the guest's, in kilohertz.
   *
   * Errors: EIO, the host's is not stable.
   */
  getTscKhz(): number {
    return this.call('KVM_GET_TSC_KHZ', 0);
  }

  /**
   * KVM_SET_TSC_KHZ (4.55, Linux 2.6.39): kilohertz; 0 is the host's.
   *
   * Errors: EINVAL, a lower rate than the host's without KVM_CAP_TSC_CONTROL; a higher one is made by jumps then.
   */
  setTscKhz(kilohertz: number): void {
    this.call('KVM_SET_TSC_KHZ', checkInteger(kilohertz, 'TSC frequency in kHz', 0, 0xffffffff));
  }

  /**
   * KVM_GET_NESTED_STATE (4.114, Linux 4.19): what a guest's own hypervisor has; `bytes` is the whole of it, for setNestedState().
   *
   * Errors: none of its own; there is room for as much as KVM_CAP_NESTED_STATE reports, so E2BIG never comes.
   */
  getNestedState(): KvmNestedState & {
    /** The whole state, `size` bytes, header included. */
    bytes: Uint8Array;
  } {
    const bytes = new Uint8Array(Math.max(sizeOf('kvm_nested_state'), this.extensions.value('KVM_CAP_NESTED_STATE')));
    new DataView(bytes.buffer).setUint32(4, bytes.length, true);
    this.call('KVM_GET_NESTED_STATE', bytes);
    const state = decode('kvm_nested_state', bytes);
    return { ...state, bytes: bytes.slice(0, state.size) };
  }

  /**
   * KVM_SET_NESTED_STATE (4.115, Linux 4.19): the `bytes` of getNestedState().
   *
   * Errors: EINVAL, a state that no processor can be in, or of another vendor's.
   */
  setNestedState(bytes: Uint8Array): void {
    checkBytes(bytes, 'a nested state');
    if (bytes.length < sizeOf('kvm_nested_state') || decode('kvm_nested_state', bytes).size > bytes.length) {
      throw invalidArgument(
        `a nested state has the ${sizeOf('kvm_nested_state')} bytes of its header and as many as that says, not ${bytes.length}`,
      );
    }
    this.call('KVM_SET_NESTED_STATE', bytes);
  }
}

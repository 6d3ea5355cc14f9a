import { shown } from '../../util/check';
import { HaxError, invalidArgument } from '../../util/errors';
import { checkInteger } from '../../util/numbers';
import type { Hypervisor } from '../hypervisor';
import { Extensions, KvmCalls } from './base';
import { decodeList, encodeList, sizeOf, type Input } from './codec';
import { capabilities, type CapabilityName, type KvmCpuidEntry2, type KvmMsrEntry } from './generated/uapi';

/** Throws ERR_HAX_UNSUPPORTED unless the backend is KVM. */
export function requireKvm(backend: string, what: string): void {
  if (backend !== 'kvm') throw new HaxError('ERR_HAX_UNSUPPORTED', `${what}.kvm needs the backend kvm, not ${backend}`, { backend });
}

/**
 * KVM's calls on /dev/kvm: `hypervisor.kvm`. Sections are those of the kernel's Documentation/virt/kvm/api.rst, as Linux 6.11 numbers
 * them.
 *
 * Every call throws ERR_HAX_INVALID_ARGUMENT for what does not fit, ERR_HAX_UNSUPPORTED with the capability's name where the kernel
 * lacks the call, ERR_HAX_IOCTL with the errno where it refuses, and ERR_HAX_CLOSED after close().
 */
export class KvmSystem extends KvmCalls {
  constructor(hypervisor: Hypervisor) {
    requireKvm(hypervisor.capabilities.backend, 'hypervisor');
    super(hypervisor, 'system', new Extensions(hypervisor));
  }

  /**
   * KVM_GET_API_VERSION (4.1, Linux 2.6.20): 12, the only version there has been since.
   *
   * Errors: none of its own.
   */
  getApiVersion(): number {
    return this.call('KVM_GET_API_VERSION', 0);
  }

  /**
   * KVM_CHECK_EXTENSION (4.4, Linux 2.6.20): 0 when the kernel lacks the capability, else 1 or the number that it stands for. docs/kvm-
   * calls.md lists them with their meaning.
   *
   * Errors: none of its own; ERR_HAX_INVALID_ARGUMENT for a name that is not in that list.
   */
  checkExtension(name: CapabilityName): number {
    const value = this.extensions.value(name);
    this.call('KVM_CHECK_EXTENSION', capabilities[name]);
    return value;
  }

  /** Every capability that this kernel reports, with its value. */
  extensionsPresent(): Partial<Record<CapabilityName, number>> {
    const names = Object.keys(capabilities) as CapabilityName[];
    const values = names.map((name): [CapabilityName, number] => [name, this.extensions.value(name)]);
    return Object.fromEntries(values.filter(([, value]) => value !== 0));
  }

  /**
   * KVM_GET_VCPU_MMAP_SIZE (4.5, Linux 2.6.22): bytes of a vCPU's shared pages, struct kvm_run first.
   *
   * Errors: none of its own.
   */
  getVcpuMmapSize(): number {
    return this.call('KVM_GET_VCPU_MMAP_SIZE', 0);
  }

  /**
   * KVM_GET_SUPPORTED_CPUID (4.46, Linux 2.6.25): the CPUID leaves that processor and kernel both support, for {@link KvmVcpu.setCpuid2}.
   * Leaves that depend on the processor that answers (1, 0xb, 0x1f) differ from call to call.
   *
   * Errors: none of its own; the list is asked for with ever more room, so E2BIG never comes.
   */
  getSupportedCpuid(): KvmCpuidEntry2[] {
    return this.#cpuid('KVM_GET_SUPPORTED_CPUID');
  }

  /**
   * KVM_GET_EMULATED_CPUID (4.88, Linux 3.13): leaves of features that the kernel emulates where the processor lacks them.
   *
   * Errors: none of its own.
   */
  getEmulatedCpuid(): KvmCpuidEntry2[] {
    return this.#cpuid('KVM_GET_EMULATED_CPUID');
  }

  /**
   * KVM_GET_SUPPORTED_HV_CPUID (4.118, Linux 5.11): leaves 0x40000000 and up of a Hyper-V guest, all that the kernel can offer.
   *
   * Errors: none of its own.
   */
  getSupportedHvCpuid(): KvmCpuidEntry2[] {
    return this.#cpuid('KVM_GET_SUPPORTED_HV_CPUID');
  }

  /**
   * KVM_GET_MSR_INDEX_LIST (4.3, Linux 2.6.20): MSRs worth saving and restoring, without the banks of machine checks.
   *
   * Errors: none of its own.
   */
  getMsrIndexList(): number[] {
    return this.#indices('KVM_GET_MSR_INDEX_LIST');
  }

  /**
   * KVM_GET_MSR_FEATURE_INDEX_LIST (4.3, Linux 4.16): MSRs that tell features, for {@link getMsrs} here.
   *
   * Errors: none of its own.
   */
  getMsrFeatureIndexList(): number[] {
    return this.#indices('KVM_GET_MSR_FEATURE_INDEX_LIST');
  }

  /**
   * KVM_GET_MSRS (4.18, Linux 4.16) of the system: feature MSRs as guests may get them, at most 255; those before the first unknown
   * index.
   *
   * Errors: none of its own.
   */
  getMsrs(indices: readonly number[]): KvmMsrEntry[] {
    if (!Array.isArray(indices)) throw invalidArgument(`getMsrs() takes a list of indices, not ${shown(indices)}`);
    const bytes = packMsrs(Array.from(indices as number[], (index) => ({ index, data: 0n })));
    return decodeList('kvm_msr_entry', bytes, sizeOf('kvm_msrs'), this.call('KVM_GET_MSRS', bytes));
  }

  /**
   * KVM_X86_GET_MCE_CAP_SUPPORTED (4.104, Linux 2.6.31): MCG_CAP as {@link KvmVcpu.x86SetupMce} takes it; the low byte, the number of
   * banks, is left to the caller.
   *
   * Errors: none of its own.
   */
  x86GetMceCapSupported(): bigint {
    const bytes = new Uint8Array(8);
    this.call('KVM_X86_GET_MCE_CAP_SUPPORTED', bytes);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  }

  /**
   * KVM_HAS_DEVICE_ATTR (4.81, Linux 5.17) of the system: whether there is the attribute.
   *
   * Errors: none; what the kernel refuses is false.
   */
  hasDeviceAttr(group: number, attr: number | bigint): boolean {
    return this.askAttribute(group, attr);
  }

  /**
   * KVM_GET_DEVICE_ATTR (4.80, Linux 5.17) of the system: group 0, attribute KVM_X86_XCOMP_GUEST_SUPP, has 8 bytes, the components of
   * XSAVE.
   *
   * Errors: ENXIO, there is no such attribute.
   */
  getDeviceAttr(group: number, attr: number | bigint, size: number): Uint8Array {
    return this.readAttribute(group, attr, size);
  }

  #cpuid(request: 'KVM_GET_SUPPORTED_CPUID' | 'KVM_GET_EMULATED_CPUID' | 'KVM_GET_SUPPORTED_HV_CPUID'): KvmCpuidEntry2[] {
    const { bytes, count } = this.readList(request, sizeOf('kvm_cpuid2'), sizeOf('kvm_cpuid_entry2'), 128);
    return decodeList('kvm_cpuid_entry2', bytes, sizeOf('kvm_cpuid2'), count);
  }

  #indices(request: 'KVM_GET_MSR_INDEX_LIST' | 'KVM_GET_MSR_FEATURE_INDEX_LIST'): number[] {
    const { bytes, count } = this.readList(request, 4, 4, 256);
    const view = new DataView(bytes.buffer);
    return Array.from({ length: count }, (_, i) => view.getUint32(4 + 4 * i, true));
  }
}

/** struct kvm_msrs with its entries; the kernel takes fewer than its MAX_IO_MSRS, 256. */
export function packMsrs(entries: readonly Input<KvmMsrEntry>[]): Uint8Array {
  const list = Array.from(entries);
  checkInteger(list.length, 'the number of MSRs', 0, 255);
  return encodeList('kvm_msrs', { nmsrs: list.length }, 'kvm_msr_entry', list);
}

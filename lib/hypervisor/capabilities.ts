import { HaxError } from '../util/errors';

/** One thing that a device can or cannot do. */
export interface Capability {
  /** It can. */
  readonly available: boolean;
  /** 0 when absent; 1, or the number that the device states. */
  readonly value: number;
  /** Why it is absent. */
  readonly reason?: string;
}

/**
 * What `hypervisor.capabilities` tells. KVM's names in brackets.
 *
 * - `immediateExit` — entries can be cancelled without a race (KVM_CAP_IMMEDIATE_EXIT)
 * - `kernelIrqchip` — PIC, IOAPIC and local APICs in the kernel (KVM_CAP_IRQCHIP)
 * - `splitIrqchip` — local APICs only (KVM_CAP_SPLIT_IRQCHIP)
 * - `pit` — the 8254 in the kernel (KVM_CAP_PIT2)
 * - `readOnlyMemory` — ROM regions whose writes exit (KVM_CAP_READONLY_MEM)
 * - `mpState` — halted and waiting states can be read and set (KVM_CAP_MP_STATE)
 * - `extendedCpuid` — the guest's CPUID can be set (KVM_CAP_EXT_CPUID)
 * - `tssAddress`, `identityMapAddress` — the pages that Intel's VMX needs can be placed
 * - `tscDeadlineTimer` — the kernel's local APIC has that mode
 * - `ioUring` — the kernel's io_uring ends the slices of inline mode, without a thread that watches the event loop (docs/run-loop.md)
 * - `maxVcpus`, `recommendedVcpus`, `memorySlots` — limits of one VM
 *
 * HAXM has more: `ept`, `unrestrictedGuest`, `fastMmio`, `ramProtection`, `debug`, `implicitRamBlock` (bits of HAX_IOCTL_CAPABILITY),
 * `maxVms`, `cr8` (a task priority), `vcpuCpuid` (each vCPU has a table of its own) and `memoryQuota` (bytes).
 */
export type FeatureName = KvmFeatureName | HaxmFeatureName;

/** What HAXM alone has a word for. */
export type HaxmFeatureName =
  | 'ept'
  | 'unrestrictedGuest'
  | 'fastMmio'
  | 'ramProtection'
  | 'debug'
  | 'implicitRamBlock'
  | 'maxVms'
  | 'memoryQuota'
  | 'cr8'
  | 'vcpuCpuid';

/** What each backend has a word for. */
export type KvmFeatureName =
  | 'immediateExit'
  | 'kernelIrqchip'
  | 'splitIrqchip'
  | 'pit'
  | 'readOnlyMemory'
  | 'mpState'
  | 'extendedCpuid'
  | 'tssAddress'
  | 'identityMapAddress'
  | 'tscDeadlineTimer'
  | 'ioUring'
  | 'maxVcpus'
  | 'recommendedVcpus'
  | 'memorySlots';

/** What an opened device is and can do. */
export interface Capabilities {
  /** `kvm`, `haxm`. */
  readonly backend: string;
  /** The opened node. */
  readonly device: string;
  /** KVM_GET_API_VERSION, or HAXM's current version. */
  readonly apiVersion: number;
  /** What the backend has a word for; `features.debug` is undefined on KVM. */
  readonly features: Readonly<Record<KvmFeatureName, Capability> & Partial<Record<HaxmFeatureName, Capability>>>;
}

/** Throws ERR_HAX_UNSUPPORTED with the device's reason unless the feature is there. */
export function requireFeature(capabilities: Capabilities, name: FeatureName): void {
  const feature = capabilities.features[name];
  if (feature?.available) return;
  throw new HaxError('ERR_HAX_UNSUPPORTED', `${capabilities.backend} lacks ${name}${feature?.reason ? `: ${feature.reason}` : ''}`, {
    backend: capabilities.backend,
  });
}

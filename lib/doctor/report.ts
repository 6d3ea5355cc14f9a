/** What doctor() found out. Plain data: JSON.stringify() loses nothing of it. */
import type { FeatureName, Capability } from '../hypervisor/capabilities';

export type Severity = 'error' | 'warning' | 'info';

export type FindingCode =
  | 'addon-missing'
  | 'api-version'
  | 'container'
  | 'device-node'
  | 'haxm-blocked'
  | 'haxm-refused'
  | 'kernel-too-old'
  | 'module-missing'
  | 'nested'
  | 'no-permission'
  | 'no-virtualization'
  | 'open-failed'
  | 'platform'
  | 'software-kvm'
  | 'vm-refused';

export interface Finding {
  severity: Severity;
  code: FindingCode;
  message: string;
  /** What to do about it; empty where there is nothing to do. */
  remedy: string;
  /** The page that tells more, `node-hax/docs/errors/….md`; absent where there is none. */
  page?: string;
}

export interface HostReport {
  platform: string;
  arch: string;
  /** The running kernel's release. */
  kernel: string;
  node: string;
  /** The processor's name as the kernel gives it; empty where it gives none. */
  processor: string;
  /** The processor's own virtualization as this kernel sees it, or null. */
  virtualization: 'vmx' | 'svm' | null;
  /** The container that this process runs in, as far as can be told. */
  container: string | null;
}

export interface HaxmReport {
  device: string;
  present: boolean;
  /** It was opened and a VM was made on it. */
  usable: boolean;
  /** What is in the way; empty when nothing is. */
  blockedBy: string;
  /** 0 until it has been opened. */
  apiVersion: number;
  /** What HAX_IOCTL_CAPABILITY answered, and the names of the bits; null until it has been opened. */
  words: { wstatus: number; winfo: number; bits: string[] } | null;
  /** Capabilities and limits by name; empty until it has been opened. */
  features: Partial<Record<FeatureName, Capability>>;
}

export interface KvmReport {
  device: string;
  present: boolean;
  /** It was opened and a VM was made on it. */
  usable: boolean;
  /** No VT-x or SVM under it: guest code outside 64-bit user mode goes through an instruction emulator. */
  software: boolean;
  /** The modules behind it: kvm, kvm_intel, kvm_amd, kvm_pvm. */
  modules: string[];
  /** 0 until it has been opened. */
  apiVersion: number;
  /** Capabilities and limits by name; empty until it has been opened. */
  features: Partial<Record<FeatureName, Capability>>;
}

export interface DoctorReport {
  /** Of node-hax. */
  version: string;
  /** A VM can be created. */
  ok: boolean;
  /** Whether an unmodified Linux can run as a guest here, and why or why not. */
  linux: { ok: boolean; reason: string };
  host: HostReport;
  addon: { ok: boolean };
  haxm: HaxmReport;
  kvm: KvmReport;
  findings: Finding[];
}

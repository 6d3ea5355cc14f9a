/** What doctor() found out. Plain data: JSON.stringify() loses nothing of it. */
import type { FeatureName, Capability } from '../hypervisor/capabilities';

/** `error`: no VM, or none of that device; `warning`: it works, but not as it could; `info`: good to know. */
export type Severity = 'error' | 'warning' | 'info';

/** What was found, for programs; texts are for people and may change. */
export type FindingCode =
  | 'addon-missing'
  | 'api-version'
  | 'container'
  | 'device-node'
  | 'environment'
  | 'haxm-blocked'
  | 'haxm-refused'
  | 'kernel-too-old'
  | 'module-missing'
  | 'nested'
  | 'no-real-mode'
  | 'no-permission'
  | 'no-virtualization'
  | 'open-failed'
  | 'platform'
  | 'software-kvm'
  | 'vm-refused';

/** One thing that doctor() found. */
export interface Finding {
  /** How bad it is. */
  severity: Severity;
  /** What it is. */
  code: FindingCode;
  /** One sentence that names the thing. */
  message: string;
  /** What to do about it; empty where there is nothing to do. */
  remedy: string;
  /** The page that tells more, `node-hax/docs/errors/….md`; absent where there is none. */
  page?: string;
}

/** The host, as this process sees it. */
export interface HostReport {
  /** process.platform. */
  platform: string;
  /** process.arch. */
  arch: string;
  /** The running kernel's release. */
  kernel: string;
  /** Node's version, without the v. */
  node: string;
  /** The processor's name as the kernel gives it; empty where it gives none. */
  processor: string;
  /** The processor's own virtualization as this kernel sees it, or null. */
  virtualization: 'vmx' | 'svm' | null;
  /** The container that this process runs in, as far as can be told. */
  container: string | null;
}

/** /dev/HAX. */
export interface HaxmReport {
  /** Path of the node. */
  device: string;
  /** The node exists. */
  present: boolean;
  /** It was asked to open: the addon loaded, and no variable of the environment was in the way. */
  tried: boolean;
  /** It was opened and a VM was made on it. */
  usable: boolean;
  /** What is in the way; empty when nothing is. */
  blockedBy: string;
  /** 0 until it has been opened. */
  apiVersion: number;
  /** What HAX_IOCTL_CAPABILITY answered, and the names of the bits; null until it has been opened. */
  words: {
    /** Bit 0: the driver works; bit 1: a quota of memory is set. */
    wstatus: number;
    /** While it works its features; else bit 0: no VT-x, bit 1: no NX. */
    winfo: number;
    /** Names of the bits that are set. */
    bits: string[];
  } | null;
  /** Capabilities and limits by name; empty until it has been opened. */
  features: Partial<Record<FeatureName, Capability>>;
}

/** /dev/kvm. */
export interface KvmReport {
  /** Path of the node. */
  device: string;
  /** The node exists. */
  present: boolean;
  /** It was asked to open: the addon loaded, and no variable of the environment was in the way. */
  tried: boolean;
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

/** All of it: `hax doctor --json` prints one. */
export interface DoctorReport {
  /** Of node-hax. */
  version: string;
  /** A VM can be created, on the device that HAX_BACKEND names where it is set. */
  ok: boolean;
  /** Whether an unmodified Linux can run as a guest here, and why or why not. */
  linux: {
    /** It can. */
    ok: boolean;
    /** Why or why not, one sentence. */
    reason: string;
  };
  /** Where it was asked. */
  host: HostReport;
  /** Whether the native part loaded; if not, a finding says why. */
  addon: {
    /** It loaded. */
    ok: boolean;
  };
  /** The device that is tried first. */
  haxm: HaxmReport;
  /** The device that is tried second. */
  kvm: KvmReport;
  /** In the order of looking; empty when there is nothing to say. */
  findings: Finding[];
}

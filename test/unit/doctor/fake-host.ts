import type { Capabilities } from '../../../lib/hypervisor/capabilities';
import { unpackCapability } from '../../../lib/hypervisor/haxm/structures';
import type { FileStat, HostProbe, OpenedDevice, OpenedHaxm, User } from '../../../lib/doctor/probe';

const feature = (value: number): { available: boolean; value: number; reason?: string } =>
  value > 0 ? { available: true, value } : { available: false, value, reason: 'this kernel reports none' };

export const capabilities: Capabilities = {
  backend: 'kvm',
  device: '/dev/kvm',
  apiVersion: 12,
  features: {
    immediateExit: feature(1),
    kernelIrqchip: feature(1),
    splitIrqchip: feature(1),
    pit: feature(1),
    readOnlyMemory: feature(1),
    mpState: feature(1),
    extendedCpuid: feature(1),
    tssAddress: feature(1),
    identityMapAddress: feature(1),
    tscDeadlineTimer: feature(0),
    ioUring: feature(1),
    maxVcpus: feature(1024),
    recommendedVcpus: feature(2),
    memorySlots: feature(32764),
  },
};

export const haxmCapabilities = {
  backend: 'haxm',
  device: '/dev/HAX',
  apiVersion: 4,
  features: { ept: feature(1), unrestrictedGuest: feature(1), ramProtection: feature(1), maxVms: feature(64), kernelIrqchip: feature(0) },
} as unknown as Capabilities;

export function cpuinfo(flags: string, vendor = 'GenuineIntel'): string {
  return `processor\t: 0\nvendor_id\t: ${vendor}\nmodel name\t: Example CPU\nflags\t\t: fpu ${flags} sse2\n`;
}

/** A host that doctor() is shown: a healthy Intel one with KVM, except for what is given. */
export interface FakeHostOptions extends Partial<Omit<HostProbe, 'user' | 'read' | 'stat' | 'openKvm' | 'openHaxm'>> {
  cpuinfo?: string;
  modules?: string[];
  user?: User;
  files?: Record<string, string>;
  nodes?: Record<string, FileStat>;
  /** Instead of opening. */
  failure?: Error;
  /** Instead of creating a VM. */
  refusal?: Error;
  capabilities?: Capabilities;
  /** The same for /dev/HAX. */
  haxmFailure?: Error;
  haxmRefusal?: Error;
  /** Instead of reading a vCPU's registers. */
  haxmVcpuRefusal?: Error;
}

export class FakeHost implements HostProbe {
  readonly version = '1.2.3';
  readonly platform: string;
  readonly arch = 'x64';
  readonly kernel = '6.1.0';
  readonly node = '20.0.0';
  readonly kvmDevice: string;
  readonly haxmDevice = '/dev/HAX';
  readonly backend: string | undefined;
  /** Descriptors that doctor() has not given back. */
  open = 0;
  readonly #options: FakeHostOptions;

  constructor(options: FakeHostOptions = {}) {
    this.#options = options;
    this.platform = options.platform ?? 'linux';
    this.backend = options.backend;
    this.kvmDevice = options.kvmDevice ?? '/dev/kvm';
  }

  user(): User {
    return this.#options.user ?? { name: 'root', uid: 0, groups: [0] };
  }

  read(file: string): string | undefined {
    if (file === '/proc/cpuinfo') return this.#options.cpuinfo ?? cpuinfo('vmx');
    return this.#options.files?.[file];
  }

  stat(path: string): FileStat | undefined {
    const module = /^\/sys\/module\/(.*)$/.exec(path)?.[1];
    const modules = this.#options.modules ?? ['kvm', 'kvm_intel'];
    if (module) return modules.includes(module) ? { mode: 0o755, uid: 0, gid: 0 } : undefined;
    if (this.#options.files && path in this.#options.files) return { mode: 0o644, uid: 0, gid: 0 };
    return (this.#options.nodes ?? { '/dev/kvm': { mode: 0o660, uid: 0, gid: 104 } })[path];
  }

  openKvm(): OpenedDevice {
    return this.#opened(this.#options.failure, this.#options.refusal, this.#options.capabilities ?? capabilities);
  }

  openHaxm(): OpenedHaxm {
    // As the driver answered: docs/backends/haxm.md.
    const words = Buffer.from('0300ff03000000000000000000000100', 'hex');
    const opened = this.#opened(this.#options.haxmFailure, this.#options.haxmRefusal, haxmCapabilities);
    const setState = (): void => {
      if (this.#options.haxmVcpuRefusal) throw this.#options.haxmVcpuRefusal;
    };
    return {
      ...opened,
      createVm: () => ({ ...opened.createVm(), createVcpu: () => ({ setState }) }),
      haxm: { capability: () => unpackCapability(words) },
    };
  }

  #opened(failure: Error | undefined, refusal: Error | undefined, can: Capabilities): OpenedDevice {
    if (failure) throw failure;
    this.open++;
    return {
      capabilities: can,
      createVm: () => {
        if (refusal) throw refusal;
        this.open++;
        return { close: () => void this.open-- };
      },
      close: () => void this.open--,
    };
  }
}

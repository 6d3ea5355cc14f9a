import type { Capabilities } from '../../../lib/hypervisor/capabilities';
import type { FileStat, HostProbe, OpenedDevice, User } from '../../../lib/doctor/probe';

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
    maxVcpus: feature(1024),
    recommendedVcpus: feature(2),
    memorySlots: feature(32764),
  },
};

export function cpuinfo(flags: string, vendor = 'GenuineIntel'): string {
  return `processor\t: 0\nvendor_id\t: ${vendor}\nmodel name\t: Example CPU\nflags\t\t: fpu ${flags} sse2\n`;
}

/** A host that doctor() is shown: a healthy Intel one with KVM, except for what is given. */
export interface FakeHostOptions extends Partial<Omit<HostProbe, 'user' | 'read' | 'stat' | 'openKvm'>> {
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
}

export class FakeHost implements HostProbe {
  readonly version = '1.2.3';
  readonly platform: string;
  readonly arch = 'x64';
  readonly kernel = '6.1.0';
  readonly node = '20.0.0';
  readonly kvmDevice: string;
  readonly haxmDevice = '/dev/HAX';
  /** Descriptors that doctor() has not given back. */
  open = 0;
  readonly #options: FakeHostOptions;

  constructor(options: FakeHostOptions = {}) {
    this.#options = options;
    this.platform = options.platform ?? 'linux';
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
    if (this.#options.failure) throw this.#options.failure;
    this.open++;
    return {
      capabilities: this.#options.capabilities ?? capabilities,
      createVm: () => {
        if (this.#options.refusal) throw this.#options.refusal;
        this.open++;
        return { close: () => void this.open-- };
      },
      close: () => void this.open--,
    };
  }
}

/** What the host's own files tell about virtualization. */
import type { HostProbe } from './probe';
import type { HostReport } from './report';

/** Each with what it says of the container's kind, or of there being one. */
const containerFiles = [
  ['/.dockerenv', 'docker'],
  ['/run/.containerenv', 'podman'],
] as const;

const kvmModules = ['kvm', 'kvm_intel', 'kvm_amd', 'kvm_pvm'] as const;

function cpuinfoLine(cpuinfo: string, name: string): string {
  return new RegExp(`^${name}\\s*:\\s*(.*)$`, 'm').exec(cpuinfo)?.[1] ?? '';
}

function container(probe: HostProbe): string | null {
  for (const [file, kind] of containerFiles) if (probe.stat(file)) return kind;
  const told = probe.read('/run/systemd/container')?.trim();
  if (told) return told;
  const control = probe.read('/proc/1/cgroup') ?? '';
  return /\b(docker|kubepods|lxc|libpod)\b/.exec(control)?.[1] ?? null;
}

export function describeHost(probe: HostProbe): HostReport & { cpuFlags: ReadonlySet<string> } {
  const cpuinfo = probe.read('/proc/cpuinfo') ?? '';
  const cpuFlags = new Set(cpuinfoLine(cpuinfo, 'flags').split(' '));
  return {
    platform: probe.platform,
    arch: probe.arch,
    kernel: probe.kernel,
    node: probe.node,
    processor: cpuinfoLine(cpuinfo, 'model name'),
    virtualization: cpuFlags.has('vmx') ? 'vmx' : cpuFlags.has('svm') ? 'svm' : null,
    container: container(probe),
    cpuFlags,
  };
}

/** The KVM modules in the running kernel, built in or loaded. */
export function loadedModules(probe: HostProbe): string[] {
  return kvmModules.filter((name) => probe.stat(`/sys/module/${name}`));
}

/** The module that this processor needs. */
export function moduleFor(probe: HostProbe): 'kvm_intel' | 'kvm_amd' {
  return /AMD|Hygon/.test(cpuinfoLine(probe.read('/proc/cpuinfo') ?? '', 'vendor_id')) ? 'kvm_amd' : 'kvm_intel';
}

/** A group's name and members, out of /etc/group. */
export function groupById(probe: HostProbe, gid: number): { name: string; members: string[] } | undefined {
  for (const line of (probe.read('/etc/group') ?? '').split('\n')) {
    const [name, , id, members] = line.split(':');
    if (name && id === String(gid)) return { name, members: (members ?? '').split(',').filter(Boolean) };
  }
  return undefined;
}

/** From what went wrong to what to do about it. */
import { errorPage, HaxError, type HaxErrorCode } from '../util/errors';
import { groupById, loadedModules, moduleFor } from './host';
import type { HostProbe } from './probe';
import type { Finding, FindingCode, HaxmReport, HostReport, KvmReport } from './report';

export const correctVariable = 'Correct the variable, or unset it.';

/** The code that a program would see, whose page tells more; those without one work. */
const codes: Partial<Record<FindingCode, HaxErrorCode>> = {
  'addon-missing': 'ERR_HAX_NO_ADDON',
  'api-version': 'ERR_HAX_API_VERSION',
  container: 'ERR_HAX_NO_DEVICE',
  'device-node': 'ERR_HAX_NO_DEVICE',
  'haxm-blocked': 'ERR_HAX_NO_DEVICE',
  'haxm-refused': 'ERR_HAX_IOCTL',
  'kernel-too-old': 'ERR_HAX_UNSUPPORTED',
  'module-missing': 'ERR_HAX_NO_DEVICE',
  'no-permission': 'ERR_HAX_NO_PERMISSION',
  'no-virtualization': 'ERR_HAX_NO_DEVICE',
  'open-failed': 'ERR_HAX_IOCTL',
  platform: 'ERR_HAX_NO_DEVICE',
  'vm-refused': 'ERR_HAX_IOCTL',
};

/** The finding with the page about it, unless it has one. */
export function withPage(finding: Finding): Finding {
  const code = codes[finding.code];
  return code ? { page: errorPage(code), ...finding } : finding;
}

/** Why there is no device, the nearest cause first. */
export function explainMissing(probe: HostProbe, host: HostReport, device: string): Finding {
  if (probe.platform !== 'linux') {
    return {
      severity: 'error',
      code: 'platform',
      message: `node-hax ${probe.version} knows no hypervisor of ${probe.platform}.`,
      remedy: 'Use a Linux host with /dev/kvm.',
    };
  }
  const modules = loadedModules(probe);
  if (modules.length > 0 && host.container) {
    return {
      severity: 'error',
      code: 'container',
      message: `The kernel has KVM, but this ${host.container} container does not have ${device}.`,
      remedy: `Start the container with the device: docker run --device ${device} …`,
    };
  }
  if (!host.virtualization && modules.length < 2) {
    return {
      severity: 'error',
      code: 'no-virtualization',
      message: `There is no working ${device}, and the processor shows neither VT-x (vmx) nor SVM (svm).`,
      remedy: 'Switch VT-x or AMD-V on in the firmware; where this host is itself a VM, switch on nested virtualization for it.',
    };
  }
  if (modules.length < 2) {
    const module = moduleFor(probe);
    return {
      severity: 'error',
      code: 'module-missing',
      message: `There is no working ${device}: the module ${module} is not loaded.`,
      remedy: `As root: modprobe ${module} (when it refuses, dmesg says why; often the firmware has virtualization switched off).`,
    };
  }
  return {
    severity: 'error',
    code: 'device-node',
    message: `The modules ${modules.join(' and ')} are loaded, but ${device} does not work.`,
    remedy: `As root: rm -f ${device}; mknod -m 660 ${device} c 10 232; chgrp kvm ${device}`,
  };
}

function octal(mode: number): string {
  return `0${mode.toString(8)}`;
}

/** What a user without permission has to do: the exact commands. */
export function explainPermission(probe: HostProbe, host: HostReport, device: string, owner = 'kvm'): Finding {
  const user = probe.user();
  const finding = (message: string, remedy: string): Finding => ({ severity: 'error', code: 'no-permission', message, remedy });
  const file = probe.stat(device);
  if (user.uid === 0 || !file) {
    // HAXM's driver makes a node for each VM and vCPU, which has to appear in the container.
    const how =
      owner === 'haxm' ? "the host's /dev: docker run --privileged -v /dev:/dev …" : `the device: docker run --device ${device} …`;
    return host.container
      ? finding(`This ${host.container} container may not use ${device}.`, `Start it with ${how}`)
      : finding(`The kernel refuses ${device} to ${user.name}.`, 'Look for a security module or a device cgroup that forbids it.');
  }
  const group = groupById(probe, file.gid);
  const whose = `${device} belongs to group ${group?.name ?? file.gid} with mode ${octal(file.mode)}`;
  if ((file.mode & 0o060) !== 0o060 || !group || group.name === 'root') {
    return finding(
      `${user.name} may not open ${device}: ${whose}, which gives no group of ordinary users access.`,
      `As root: groupadd -f ${owner}; chgrp ${owner} ${device}; chmod 660 ${device}; usermod -aG ${owner} ${user.name}; then log in again.`,
    );
  }
  if (group.members.includes(user.name) && !user.groups.includes(file.gid)) {
    return finding(
      `${user.name} may not open ${device}: this session began before ${user.name} joined the group ${group.name}.`,
      `Log in again, or run: newgrp ${group.name}`,
    );
  }
  return finding(
    `${user.name} may not open ${device}: ${whose}, and ${user.name} is not in it.`,
    `As root: usermod -aG ${group.name} ${user.name}; then log in again.`,
  );
}

/** Whether the device itself was reached: without the addon, or with a wrong HAX_KICK_SIGNAL, it is not. */
export function wasTried(error: unknown): boolean {
  return !(error instanceof HaxError && (error.code === 'ERR_HAX_NO_ADDON' || error.code === 'ERR_HAX_INVALID_ARGUMENT'));
}

/** What HAX_BACKEND means here, where it is set: without a name of its own every program opens that device or fails. */
export function explainBackend({ backend }: HostProbe, devices: readonly (HaxmReport | KvmReport)[]): Finding | undefined {
  if (backend === undefined) return undefined;
  const finding = (severity: Finding['severity'], message: string, remedy: string): Finding => ({
    severity,
    code: 'environment',
    message: `HAX_BACKEND=${backend} ${message}`,
    remedy,
  });
  const asked = devices[['haxm', 'kvm'].indexOf(backend)];
  if (!asked) {
    const what = backend === 'null' ? 'is a device for tests, which runs no guest' : 'is no hypervisor that node-hax knows';
    return { ...finding('error', `${what}.`, 'Set HAX_BACKEND to kvm or haxm, or unset it.'), page: errorPage('ERR_HAX_UNKNOWN_BACKEND') };
  }
  if (asked.usable) return finding('info', `asks for ${asked.device} alone.`, '');
  const usesOther = devices.some(({ usable }) => usable) ? 'Unset HAX_BACKEND.' : '';
  return { ...finding('error', `asks for ${asked.device} alone, which cannot be used.`, usesOther), page: errorPage('ERR_HAX_NO_DEVICE') };
}

/** A finding for what opening the device threw. */
export function explainFailure(error: unknown, probe: HostProbe, host: HostReport, device: string): Finding {
  if (!(error instanceof HaxError)) throw error;
  const { code, message, hint } = error;
  if (code === 'ERR_HAX_NO_DEVICE') return explainMissing(probe, host, device);
  if (code === 'ERR_HAX_NO_PERMISSION') return explainPermission(probe, host, device);
  if (code === 'ERR_HAX_NO_ADDON') return { severity: 'error', code: 'addon-missing', message, remedy: hint };
  if (code === 'ERR_HAX_API_VERSION') return { severity: 'error', code: 'api-version', message, remedy: hint };
  if (code === 'ERR_HAX_UNSUPPORTED') return { severity: 'error', code: 'kernel-too-old', message, remedy: 'Use Linux 4.11 or newer.' };
  if (code === 'ERR_HAX_INVALID_ARGUMENT') {
    return { severity: 'error', code: 'environment', message, remedy: correctVariable, page: errorPage(code) };
  }
  return { severity: 'error', code: 'open-failed', message, remedy: hint, page: errorPage(code) };
}

/** A finding for a device that opens but makes no VM. */
export function explainRefusal(error: unknown, device: string): Finding {
  if (!(error instanceof HaxError)) throw error;
  return {
    severity: 'error',
    code: 'vm-refused',
    message: `${device} opens, but makes no VM: ${error.message}`,
    remedy: 'Look for another hypervisor that holds the processor (VirtualBox does), and in dmesg.',
  };
}

import { explainBackend, explainFailure, explainRefusal, wasTried, withPage } from './findings';
import { tryHaxm } from './haxm';
import { describeHost, loadedModules } from './host';
import { thisHost, type HostProbe, type OpenedDevice } from './probe';
import type { DoctorReport, Finding, HaxmReport, HostReport, KvmReport } from './report';

/** Opens the device and makes a VM; fills in what they tell, and returns what is wrong. */
function tryKvm(probe: HostProbe, host: HostReport, kvm: KvmReport): Finding | undefined {
  let opened: OpenedDevice;
  try {
    opened = probe.openKvm();
  } catch (error) {
    kvm.tried = wasTried(error);
    return explainFailure(error, probe, host, kvm.device);
  }
  kvm.tried = true;
  try {
    kvm.apiVersion = opened.capabilities.apiVersion;
    kvm.features = opened.capabilities.features;
    opened.createVm().close();
    kvm.usable = true;
    return undefined;
  } catch (error) {
    return explainRefusal(error, kvm.device);
  } finally {
    opened.close();
  }
}

function isSoftware(host: HostReport, modules: readonly string[]): boolean {
  return !host.virtualization || (modules.includes('kvm_pvm') && !modules.includes('kvm_intel') && !modules.includes('kvm_amd'));
}

function judgeLinux(host: HostReport, haxm: HaxmReport, kvm: KvmReport): DoctorReport['linux'] {
  if (haxm.usable && !haxm.features.unrestrictedGuest?.available)
    return { ok: false, reason: `${haxm.device} is tried first, and runs no guest in real mode on this processor` };
  if (haxm.usable) return { ok: true, reason: `${haxm.device} runs it with the kernel parameters noapic nolapic` };
  if (!kvm.usable) return { ok: false, reason: `no VM can be created on ${kvm.device}` };
  if (kvm.software) {
    return { ok: false, reason: `${kvm.device} is a software KVM, whose instruction emulator lacks what Linux needs (paging, SSE)` };
  }
  if (!kvm.features.kernelIrqchip?.available) return { ok: false, reason: `${kvm.device} has no interrupt controller in the kernel` };
  return { ok: true, reason: `${kvm.device} uses the processor's virtualization (${String(host.virtualization)})` };
}

/** Looks at this host: which hypervisor devices exist, whether they work, what is wrong and what to do about it. Never throws for what it finds. */
export function doctor(probe: HostProbe = thisHost()): DoctorReport {
  const { cpuFlags, ...host } = describeHost(probe);
  const modules = loadedModules(probe);
  const kvm: KvmReport = {
    device: probe.kvmDevice,
    present: probe.stat(probe.kvmDevice) !== undefined,
    tried: false,
    usable: false,
    software: false,
    modules,
    apiVersion: 0,
    features: {},
  };
  const haxm: HaxmReport = {
    device: probe.haxmDevice,
    present: probe.stat(probe.haxmDevice) !== undefined,
    tried: false,
    usable: false,
    blockedBy: '',
    apiVersion: 0,
    words: null,
    features: {},
  };
  const findings: Finding[] = [];

  const blocked = tryHaxm(probe, host, haxm);
  if (blocked) findings.push(blocked);
  const problem = tryKvm(probe, host, kvm);
  // One device is enough, unless HAX_BACKEND names the other.
  if (problem) findings.push(haxm.usable && probe.backend !== 'kvm' ? { ...problem, severity: 'info' } : problem);
  kvm.software = kvm.usable && isSoftware(host, modules);
  if (kvm.software) {
    findings.push({
      severity: 'warning',
      code: 'software-kvm',
      message: `${kvm.device} is a software KVM: only 64-bit user-mode code runs natively, everything else goes through an instruction emulator.`,
      remedy: 'Small guests run; for Linux, or for figures that mean something, use a host with VT-x or SVM.',
    });
  }
  if (kvm.usable && !kvm.software && cpuFlags.has('hypervisor')) {
    findings.push({
      severity: 'info',
      code: 'nested',
      message: 'This host is itself a VM: virtualization is nested, and every exit costs several times more.',
      remedy: '',
    });
  }
  const asked = explainBackend(probe, [haxm, kvm]);
  if (asked) findings.push(asked);
  const inTheWay = asked?.severity === 'error';
  return {
    version: probe.version,
    ok: !inTheWay && (haxm.usable || kvm.usable),
    linux: inTheWay
      ? { ok: false, reason: asked.message.replace(/\.$/, '') }
      : judgeLinux(host, { ...haxm, usable: haxm.usable && probe.backend !== 'kvm' }, kvm),
    host,
    addon: { ok: ![blocked, problem].some((finding) => finding?.code === 'addon-missing') },
    haxm,
    kvm,
    findings: findings.map(withPage),
  };
}

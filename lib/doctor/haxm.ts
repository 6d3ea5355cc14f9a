/** /dev/HAX: what it can do, what blocks it, and what to do about that. */
import { HaxError } from '../util/errors';
import { correctVariable, explainPermission, wasTried } from './findings';
import type { HostProbe, OpenedHaxm } from './probe';
import type { Finding, HaxmReport, HostReport } from './report';

const manual = 'docs/backends/haxm.md tells where to get the driver and how to build it';

/** Why there is no /dev/HAX: one line, because a host without HAXM is nothing to put right. */
export function whyNoHaxm(probe: HostProbe, host: HostReport): string {
  if (probe.platform !== 'linux') return `there is no ${probe.haxmDevice}`;
  if (probe.stat('/sys/module/haxm')) return 'the module haxm is loaded, but its node is not there';
  if (host.virtualization === 'svm') return 'HAXM needs an Intel processor with VT-x';
  if (host.virtualization === null) return 'the processor shows no VT-x';
  return 'the module haxm is not loaded';
}

function error(
  code: 'haxm-blocked' | 'haxm-refused' | 'open-failed' | 'api-version' | 'addon-missing' | 'environment',
  message: string,
  remedy: string,
): Finding {
  return { severity: 'error', code, message, remedy };
}

/** Who else may hold VT-x. */
function owners(probe: HostProbe): string[] {
  return ['kvm_intel', 'vboxdrv', 'vmmon'].filter((name) => probe.stat(`/sys/module/${name}`));
}

function explainOpen(thrown: unknown, probe: HostProbe, host: HostReport): Finding {
  if (!(thrown instanceof HaxError)) throw thrown;
  const { code, message, hint } = thrown;
  const device = probe.haxmDevice;
  if (code === 'ERR_HAX_NO_PERMISSION') return explainPermission(probe, host, device, 'haxm');
  if (code === 'ERR_HAX_NO_ADDON') return error('addon-missing', message, hint);
  if (code === 'ERR_HAX_API_VERSION') return error('api-version', message, `Install HAXM 7.8.0: ${manual}.`);
  if (code === 'ERR_HAX_UNSUPPORTED') {
    return error(
      'haxm-blocked',
      message,
      'Switch VT-x and NX (execute disable) on in the firmware, and unload other hypervisors before the module haxm.',
    );
  }
  if (code === 'ERR_HAX_NO_DEVICE') return error('haxm-blocked', message, `As root: modprobe -r haxm; modprobe haxm (${manual}).`);
  if (code === 'ERR_HAX_INVALID_ARGUMENT') return error('environment', message, correctVariable);
  return error('open-failed', message, hint);
}

function explainNoVm(thrown: unknown, probe: HostProbe): Finding {
  if (!(thrown instanceof HaxError)) throw thrown;
  const message = `${probe.haxmDevice} opens, but makes no VM that runs: ${thrown.message}`;
  const others = owners(probe);
  if (thrown.code === 'ERR_HAX_UNSUPPORTED') return error('haxm-refused', message, 'Use another host: no setting changes that.');
  return others.length > 0
    ? error('haxm-refused', message, `Another hypervisor may own VT-x. As root, with its guests stopped: modprobe -r ${others.join(' ')}`)
    : error('haxm-refused', message, 'dmesg says why; VMs that were made and never opened stay until the module is loaded anew.');
}

/**
 * The driver makes VMs while another hypervisor owns VT-x; its vCPUs cannot be loaded then. Setting registers tries it: GET_REGS gives those
 * of a new vCPU without, and never fails.
 */
function tryVm(opened: OpenedHaxm): void {
  const vm = opened.createVm();
  try {
    vm.createVcpu().setState({});
  } finally {
    vm.close();
  }
}

/** Without unrestricted guests RUN of real mode is no entry, and most guests begin in it or come through it. */
const noRealMode = (device: string): Finding => ({
  severity: 'warning',
  code: 'no-real-mode',
  message: `${device} runs no guest in real mode, in which most begin: the processor lacks unrestricted guest mode.`,
  remedy: 'Use /dev/kvm here (--backend kvm, or HAX_BACKEND=kvm), or a newer processor.',
});

/** Opens the device and makes a VM; fills in what they tell. A finding for a device that is there and does not work, or not for all guests. */
export function tryHaxm(probe: HostProbe, host: HostReport, haxm: HaxmReport): Finding | undefined {
  if (!haxm.present) {
    haxm.blockedBy = whyNoHaxm(probe, host);
    return undefined;
  }
  let opened: OpenedHaxm;
  try {
    opened = probe.openHaxm();
  } catch (thrown) {
    haxm.tried = wasTried(thrown);
    const finding = explainOpen(thrown, probe, host);
    haxm.blockedBy = finding.message;
    return finding;
  }
  haxm.tried = true;
  try {
    haxm.apiVersion = opened.capabilities.apiVersion;
    haxm.features = opened.capabilities.features;
    const { wstatus, winfo, features } = opened.haxm.capability();
    haxm.words = { wstatus, winfo, bits: Object.entries(features).flatMap(([name, there]) => (there ? [name] : [])) };
    tryVm(opened);
    haxm.usable = true;
    return haxm.features.unrestrictedGuest?.available ? undefined : noRealMode(probe.haxmDevice);
  } catch (thrown) {
    const finding = explainNoVm(thrown, probe);
    haxm.blockedBy = finding.message;
    return finding;
  } finally {
    opened.close();
  }
}

/** The requests of /dev/HAX, as `hypervisor.haxm`. */
import { HaxError } from '../../util/errors';
import { requireFeature, type Capabilities } from '../capabilities';
import { Checker, type Unsigned } from './check';
import { makeNode, vmPath, type HaxmNode } from './node';
import { code, requests, type Request } from './requests';
import { structure, unpackCapability, unpackVersion, type HaxmCapability, type HaxmVersion } from './structures';

/** An object that has the raw call of its node. */
export interface RawCaller {
  ioctl(request: number, argument?: number | Uint8Array): number;
}

const ENOMEM = 12;
const EINVAL = 22;

/** What the driver answers to everything that is in the way of these. */
const reasons: Partial<Record<string, { readonly errno: number; readonly reason: string }>> = {
  [requests.createVm.name]: { errno: ENOMEM, reason: 'the driver has no room for another VM, no minor number for its node, or no memory' },
  [requests.vcpuCreate.name]: {
    errno: EINVAL,
    reason: 'the driver has no memory for the vCPU, or the kernel no minor number for its node',
  },
};

/** Makes the request; an error of the driver's names it. */
export function send(node: RawCaller, request: Request, argument?: Uint8Array): number {
  try {
    return node.ioctl(code(request), argument);
  } catch (error) {
    if (!(error instanceof HaxError) || error.errno === undefined) throw error;
    const known = reasons[request.name];
    const explained = known?.errno === error.errno;
    const message = explained ? `${request.name} failed: ${known.reason}` : error.message.replace(/^ioctl/, request.name);
    const details = { operation: request.name, errno: error.errno, backend: 'haxm', cause: error };
    throw new HaxError(explained ? 'ERR_HAX_IOCTL' : error.code, message, details);
  }
}

/** Throws ERR_HAX_UNSUPPORTED unless the backend is HAXM. */
export function requireHaxm(capabilities: Capabilities): void {
  if (capabilities.backend === 'haxm') return;
  throw new HaxError('ERR_HAX_UNSUPPORTED', `HAXM's own calls are not there: this is ${capabilities.backend}`, {
    backend: capabilities.backend,
    hint: "Open the hypervisor with backend: 'haxm'.",
  });
}

/** A quota of guest memory for all VMs together. */
export interface MemlimitOptions {
  /** Whether there is a quota. */
  enabled: boolean;
  /** MiB; needed and not 0 while enabled. */
  megabytes?: Unsigned | undefined;
}

/** HAXM's calls of /dev/HAX: `hypervisor.haxm`. */
export class HaxmSystem {
  constructor(private readonly hypervisor: RawCaller & { readonly capabilities: Capabilities; readonly vms: readonly unknown[] }) {
    requireHaxm(hypervisor.capabilities);
  }

  /** HAX_IOCTL_VERSION: the versions of the interface that the driver speaks. */
  version(): HaxmVersion {
    const bytes = structure(8);
    send(this.hypervisor, requests.version, bytes);
    return unpackVersion(bytes);
  }

  /** HAX_IOCTL_CAPABILITY, decoded. */
  capability(): HaxmCapability {
    const bytes = structure(16);
    send(this.hypervisor, requests.capability, bytes);
    return unpackCapability(bytes);
  }

  /** HAX_IOCTL_SET_MEMLIMIT: what capability() reports as the quota, for the whole machine. Not while any VM exists; the driver says EINVAL. */
  setMemlimit(options: MemlimitOptions): void {
    const check = new Checker(requests.setMemlimit);
    const { enabled, megabytes = 0 } = check.object(options, 'what setMemlimit() takes');
    if (typeof enabled !== 'boolean') check.refuse('enabled must be true or false');
    const limit = check.unsigned(megabytes, 'megabytes', 44);
    if (enabled && limit === 0n) check.refuse('megabytes must not be 0 while the limit is enabled');
    if (this.hypervisor.vms.length > 0) check.refuse('the limit cannot change while VMs exist: close them first');
    send(this.hypervisor, requests.setMemlimit, structure(16, [0, 1, enabled ? 1n : 0n], [8, 8, limit]));
  }

  /** HAX_IOCTL_CREATE_VM and nothing else: a VM that only holds its number, until close(). `hypervisor.createVm()` makes one that runs. */
  createVm(): HaxmNode {
    // Observed: without EPT the driver's first VM crashes the kernel.
    requireFeature(this.hypervisor.capabilities, 'ept');
    const create = (): number => {
      const bytes = structure(4);
      send(this.hypervisor, requests.createVm, bytes);
      return bytes.readUInt32LE(0);
    };
    return makeNode(create, vmPath);
  }
}

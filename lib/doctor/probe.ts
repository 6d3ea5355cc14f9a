import { readFileSync, statSync } from 'node:fs';
import * as os from 'node:os';
import type { Capabilities } from '../hypervisor/capabilities';
import type { HaxmCapability } from '../hypervisor/haxm/structures';
import { Hypervisor } from '../hypervisor/hypervisor';
import { backendOfEnvironment } from '../util/backend';

export interface FileStat {
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
}

export interface User {
  name: string;
  uid: number;
  /** The group ids that this process has. */
  groups: readonly number[];
}

/** An opened device, as far as doctor() uses it. */
export interface OpenedDevice {
  readonly capabilities: Capabilities;
  createVm(): { close(): void };
  close(): void;
}

/** An opened /dev/HAX. */
export interface OpenedHaxm extends OpenedDevice {
  createVm(): { createVcpu(): { setState(state: object): void }; close(): void };
  readonly haxm: { capability(): Pick<HaxmCapability, 'wstatus' | 'winfo' | 'features'> };
}

/** Everything that doctor() looks at, so that tests can show it any host. */
export interface HostProbe {
  readonly version: string;
  readonly platform: string;
  readonly arch: string;
  readonly kernel: string;
  readonly node: string;
  readonly kvmDevice: string;
  readonly haxmDevice: string;
  /** HAX_BACKEND, where it is set. */
  readonly backend: string | undefined;
  user(): User;
  /** A small text file, or undefined where it cannot be read. */
  read(file: string): string | undefined;
  /** Owner and permissions, or undefined where there is nothing. */
  stat(path: string): FileStat | undefined;
  /** Opens KVM; throws a HaxError. */
  openKvm(): OpenedDevice;
  /** Opens HAXM; throws a HaxError. */
  openHaxm(): OpenedHaxm;
}

function orUndefined<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

/** The host that this process runs on. */
export function thisHost(): HostProbe {
  return {
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    version: (require('../../package.json') as { version: string }).version,
    platform: process.platform,
    arch: process.arch,
    kernel: os.release(),
    node: process.versions.node,
    kvmDevice: process.env.HAX_KVM_DEVICE || '/dev/kvm',
    haxmDevice: '/dev/HAX',
    backend: backendOfEnvironment(),
    user() {
      const uid = process.getuid?.() ?? -1;
      // A container's user may have a number and no name.
      const name = orUndefined(() => os.userInfo().username) ?? String(uid);
      return { name, uid, groups: process.getgroups?.() ?? [] };
    },
    read: (file) => orUndefined(() => readFileSync(file, 'utf8')),
    stat(path) {
      const found = orUndefined(() => statSync(path));
      return found && { mode: found.mode & 0o777, uid: found.uid, gid: found.gid };
    },
    openKvm: () => Hypervisor.open({ backend: 'kvm' }),
    openHaxm: () => Hypervisor.open({ backend: 'haxm' }),
  };
}

import { nameless } from '../bus/claim';
import { reasonOf } from '../util/check';
import { HaxError } from '../util/errors';
import { hex } from '../util/numbers';
import type { RunEnd } from './end';
import type { VirtualMachine } from './vm';

/** The devices of a VM, which serve one access after the other, whatever threads its vCPUs run on and however the accesses come. */
export interface Devices {
  /** A handler may be on the stack: an exit that comes meanwhile waits until it has returned. */
  serving: boolean;
  /** The VM's runs, which a handler's error ends. */
  readonly runs: Set<DevicesRun>;
}

/** A run, as its devices and the other runs of its VM know it. */
export interface DevicesRun {
  fail(error: HaxError): void;
  end(end: RunEnd): void;
  /** Whether nothing but another vCPU of `several` can wake its guest. */
  isHalted(several: boolean): boolean;
}

const devices = new WeakMap<VirtualMachine, Devices>();

export function devicesOf(vm: VirtualMachine): Devices {
  let found = devices.get(vm);
  if (!found) devices.set(vm, (found = { serving: false, runs: new Set() }));
  return found;
}

/** A port or an address as messages name it, with the owners of the `size` ports or bytes from it on: the one that failed is among them. */
export function placeOf(vm: VirtualMachine, port: boolean, address: number, size: number): string {
  const bus = port ? vm.ports : vm.mmio;
  const owners = new Set<string>();
  for (let i = 0; i < size; i++) {
    const owner = bus.ownerOf(address + i);
    if (owner !== undefined && owner !== nameless) owners.add(owner);
  }
  return `${port ? 'port' : 'address'} ${hex(address)}${owners.size > 0 ? ` (${[...owners].join(', ')})` : ''}`;
}

/** What a run ends with when a handler threw `cause`, at an exit at `rip` or at none. */
export function deviceError(cause: unknown, what: string, rip?: bigint): HaxError {
  const where = rip === undefined ? '' : ` at guest rip ${hex(rip)}`;
  return new HaxError('ERR_HAX_DEVICE_FAILED', `${what} failed${where}: ${reasonOf(cause)}`, { rip, cause });
}

/**
 * A handler that no exit has called threw `cause`: nobody knows which vCPU it was called for, so it ends all runs of the VM. Where there is none
 * it is thrown.
 */
export function failRuns(vm: VirtualMachine, cause: unknown, what: string): void {
  const { runs } = devicesOf(vm);
  if (runs.size === 0) throw cause;
  const error = deviceError(cause, what);
  for (const run of runs) run.fail(error);
}

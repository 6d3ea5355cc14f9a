/** A VM or vCPU that the driver has made for a raw call, opened at once: one that was never opened would outlive the process. */
import { closeSync, openSync } from 'node:fs';
import { devNull } from 'node:os';
import { HaxError } from '../../util/errors';

const open = new FinalizationRegistry<number>((descriptor) => closeSync(descriptor));

/** As in native/backends/haxm/vm.cc: how often, and how many milliseconds apart, a node that has just been made is tried. */
const openTries = 200;
const openPause = 5;

/** A VM or vCPU of a raw call, open until close(). */
export class HaxmNode {
  #descriptor: number | undefined;

  constructor(
    /** The number that the driver gave it. */
    readonly id: number,
    /** The node, for example /dev/hax_vm/vm00. */
    readonly path: string,
  ) {
    this.#descriptor = openMade(path);
    open.register(this, this.#descriptor, this);
  }

  /** Whether close() was called. */
  get closed(): boolean {
    return this.#descriptor === undefined;
  }

  /** The driver forgets it. Idempotent. */
  close(): void {
    if (this.#descriptor === undefined) return;
    open.unregister(this);
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  /** As close(). */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Has `create` make the object and opens its node. */
export function makeNode(create: () => number, pathOf: (id: number) => string): HaxmNode {
  // So that opening will not fail for want of a descriptor.
  const reserve = openOr(devNull, (why) => `there is no descriptor left for a node: ${why}`);
  let id: number;
  try {
    id = create();
  } finally {
    closeSync(reserve);
  }
  return new HaxmNode(id, pathOf(id));
}

/** `retry` is asked after each failure. */
function openOr(path: string, message: (why: string) => string, retry: (why: string) => boolean = () => false): number {
  for (;;) {
    try {
      return openSync(path, 'r+');
    } catch (cause) {
      const { code = 'unknown', errno = 0 } = cause as NodeJS.ErrnoException;
      if (!retry(code)) throw new HaxError('ERR_HAX_IOCTL', message(code), { operation: 'open', errno: -errno, backend: 'haxm', cause });
    }
  }
}

/** Another program may make the node or give it its owner, and need a moment. */
function openMade(path: string): number {
  let tries = 1;
  const mayCome = (why: string): boolean => {
    if ((why !== 'ENOENT' && why !== 'EACCES') || tries++ === openTries) return false;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, openPause);
    return true;
  };
  return openOr(path, (why) => `${path} has been made, but cannot be opened: ${why}; the driver keeps it`, mayCome);
}

const two = (id: number): string => String(id).padStart(2, '0');

export function vmPath(vm: number): string {
  return process.platform === 'win32' ? `\\\\.\\hax_vm${two(vm)}` : `/dev/hax_vm/vm${two(vm)}`;
}

export function vcpuPath(vm: number, vcpu: number): string {
  return process.platform === 'win32' ? `\\\\.\\hax_vm${two(vm)}_vcpu${two(vcpu)}` : `/dev/hax_vm${two(vm)}/vcpu${two(vcpu)}`;
}

/** A VM or vCPU that the driver has made for a raw call, opened at once: one that was never opened would outlive the process. */
import { closeSync, openSync } from 'node:fs';

const open = new FinalizationRegistry<number>((descriptor) => closeSync(descriptor));

export class HaxmNode {
  #descriptor: number | undefined;

  constructor(
    /** The number that the driver gave it. */
    readonly id: number,
    readonly path: string,
  ) {
    this.#descriptor = openSync(path, 'r+');
    open.register(this, this.#descriptor, this);
  }

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

  [Symbol.dispose](): void {
    this.close();
  }
}

const two = (id: number): string => String(id).padStart(2, '0');

export function vmPath(vm: number): string {
  return process.platform === 'win32' ? `\\\\.\\hax_vm${two(vm)}` : `/dev/hax_vm/vm${two(vm)}`;
}

export function vcpuPath(vm: number, vcpu: number): string {
  return process.platform === 'win32' ? `\\\\.\\hax_vm${two(vm)}_vcpu${two(vcpu)}` : `/dev/hax_vm${two(vm)}/vcpu${two(vcpu)}`;
}

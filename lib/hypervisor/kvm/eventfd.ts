import { constants } from 'node:buffer';
import { addon, type NativeDescriptor } from '../../native/addon';
import { shown } from '../../util/check';
import { HaxError, invalidArgument } from '../../util/errors';
import { checkInteger } from '../../util/numbers';
import { checkScalar } from './codec';

/** A descriptor that a call of KVM returned. close() lets go of it; what the kernel still uses lives on there. */
export class KvmDescriptor {
  #native: NativeDescriptor | undefined;

  constructor(native: NativeDescriptor) {
    this.#native = native;
  }

  /** Throws ERR_HAX_CLOSED after close(). */
  get native(): NativeDescriptor {
    if (!this.#native) throw new HaxError('ERR_HAX_CLOSED', 'this descriptor has been closed');
    return this.#native;
  }

  /** The number that the kernel's structures take. */
  get fd(): number {
    return this.native.number();
  }

  /** Whether close() was called. */
  get closed(): boolean {
    return this.#native === undefined;
  }

  /** The bytes from `offset` on, shared with whoever else has them; both multiples of 4096. They stay valid after close(). */
  map(offset: number, size: number): Uint8Array {
    checkInteger(size, 'size of a mapping', 0, constants.MAX_LENGTH);
    return new Uint8Array(this.native.map(offset, size));
  }

  /** Closes the descriptor. Idempotent. */
  close(): void {
    this.#native?.close();
    this.#native = undefined;
  }

  /** As close(). */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** The number of a descriptor for a structure of the kernel's. `name` goes into the message of ERR_HAX_INVALID_ARGUMENT. */
export function fdOf(descriptor: unknown, name: string): number {
  if (!(descriptor instanceof KvmDescriptor)) throw invalidArgument(`${name} must be an EventFd, not ${shown(descriptor)}`);
  return descriptor.fd;
}

/** Takes over a descriptor number that an ioctl has just returned. */
export function adopt(number: number): KvmDescriptor {
  return new KvmDescriptor(addon().adoptDescriptor(number));
}

/** An eventfd (eventfd(2)): a 64-bit counter for {@link KvmVm.irqfd} and {@link KvmVm.ioeventfd}. It never blocks. */
export class EventFd extends KvmDescriptor {
  constructor(initial = 0) {
    super(addon().openEventfd(Number(checkScalar(initial, 'u32', 'start of an eventfd'))));
  }

  /** Adds to the counter; an irqfd injects its interrupt. Throws ERR_HAX_IOCTL where it would pass 2^64 - 2. */
  signal(value: number | bigint = 1n): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, checkScalar(value, 'u64', 'what is added to an eventfd'), true);
    this.native.write(bytes);
  }

  /** The counter, which becomes 0; 0n when nothing was signalled. */
  read(): bigint {
    const bytes = new Uint8Array(8);
    return this.native.read(bytes) === 8 ? new DataView(bytes.buffer).getBigUint64(0, true) : 0n;
  }
}

/** Anonymous shared memory (memfd_create(2)) of a fixed size in bytes, a multiple of 4096. */
export class MemFd extends KvmDescriptor {
  /** The memory itself. */
  readonly bytes: Uint8Array;

  constructor(size: number) {
    super(addon().openMemfd(checkInteger(size, 'size of a memfd', 0, constants.MAX_LENGTH)));
    try {
      this.bytes = this.map(0, size);
    } catch (error) {
      this.close();
      throw error;
    }
  }
}

/** Zero-filled, page-aligned memory of the host for guest memory; freed when nobody refers to it any more. */
export function allocateMemory(size: number): Uint8Array {
  checkInteger(size, 'size of memory', 0, constants.MAX_LENGTH);
  return new Uint8Array(addon().allocateMemory(size).buffer(0, size));
}

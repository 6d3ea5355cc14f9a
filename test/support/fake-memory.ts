import type { GuestMemoryAccess } from '../../lib/memory/guest-memory';
import { HaxError } from '../../lib/util/errors';

/** Guest memory without a guest: zeroed bytes from address 0, no wider than what was asked for. */
export class FakeMemory implements GuestMemoryAccess {
  readonly bytes: Buffer;

  constructor(size: number) {
    this.bytes = Buffer.alloc(size);
  }

  write(gpa: number, bytes: Uint8Array): void {
    this.#check(gpa, bytes.length);
    this.bytes.set(bytes, gpa);
  }

  read(gpa: number, length: number): Buffer {
    this.#check(gpa, length);
    return Buffer.from(this.bytes.subarray(gpa, gpa + length));
  }

  /** The text up to the next NUL. */
  string(gpa: number): string {
    return this.bytes.toString('utf8', gpa, this.bytes.indexOf(0, gpa));
  }

  #check(gpa: number, length: number): void {
    if (!(gpa >= 0 && length >= 0 && gpa + length <= this.bytes.length)) {
      throw new HaxError('ERR_HAX_MEMORY', `no memory at 0x${gpa.toString(16)}+0x${length.toString(16)}`);
    }
  }
}

import { checkScalar, decode, encodeAt, offsetOf, sizeOf, type Input } from './codec';
import { constants, type StructName, type KvmCoalescedMmio, type KvmRegs, type KvmSregs, type KvmVcpuEvents } from './generated/uapi';

const dirty = constants.KVM_DIRTY_GFN_F_DIRTY;
const reset = constants.KVM_DIRTY_GFN_F_RESET;
/** Offset of CR8 in struct kvm_run (api.rst 5), which no other structure has and every kernel keeps. */
const cr8At = 16;

/** Index of a 32-bit member that is read and written atomically. */
function wordOf(struct: StructName, member: string): number {
  const at = offsetOf(struct, member);
  // Atomics would round it.
  if (at % 4 !== 0) throw new RangeError(`${struct}.${member} at byte ${at} is not aligned`);
  return at / 4;
}

/** A written page: `offset` counts pages from the start of the slot; the slot's upper half is the address space (SMM). */
export interface DirtyPage {
  /** Bits 0 to 15: the slot; bits 16 to 31: the address space. */
  readonly slot: number;
  /** The page within the slot, counted from 0. */
  readonly offset: bigint;
}

/** A vCPU's ring of written pages (8.29). */
export class DirtyRing {
  /** How many written pages it holds until harvest() takes them. */
  readonly entries: number;
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array<ArrayBuffer>;
  #next = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    this.entries = bytes.length / sizeOf('kvm_dirty_gfn');
  }

  /** Takes what the kernel has put there since the last call and marks it as taken; then {@link VmMemoryCalls.resetDirtyRings}. */
  harvest(): DirtyPage[] {
    const pages: DirtyPage[] = [];
    while (pages.length < this.entries) {
      const at = this.#next * sizeOf('kvm_dirty_gfn');
      const flags = at / 4 + wordOf('kvm_dirty_gfn', 'flags');
      // Order matters: the kernel sets the flag last, and may reuse the entry as soon as it is changed.
      if (Atomics.load(this.#words, flags) !== dirty) break;
      const { slot, offset } = decode('kvm_dirty_gfn', this.#bytes, at);
      pages.push({ slot, offset });
      Atomics.store(this.#words, flags, reset);
      this.#next = (this.#next + 1) % this.entries;
    }
    return pages;
  }
}

/** The ring of coalesced writes (4.116). */
export class CoalescedRing {
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #capacity: number;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    this.#capacity = Math.floor((bytes.length - sizeOf('kvm_coalesced_mmio_ring')) / sizeOf('kvm_coalesced_mmio'));
  }

  /** Takes the writes, oldest first; of `data` the first `len` bytes count. `pio` 1: `phys_addr` is a port. */
  drain(): KvmCoalescedMmio[] {
    const firstAt = wordOf('kvm_coalesced_mmio_ring', 'first');
    const last = Atomics.load(this.#words, wordOf('kvm_coalesced_mmio_ring', 'last')) % this.#capacity;
    let first = Atomics.load(this.#words, firstAt) % this.#capacity;
    const writes: KvmCoalescedMmio[] = [];
    for (; first !== last; first = (first + 1) % this.#capacity) {
      const at = sizeOf('kvm_coalesced_mmio_ring') + first * sizeOf('kvm_coalesced_mmio');
      writes.push(decode('kvm_coalesced_mmio', this.#bytes, at));
    }
    Atomics.store(this.#words, firstAt, first);
    return writes;
  }
}

/** Parts of a vCPU's state that struct kvm_run carries: KVM_SYNC_X86_REGS 1, _SREGS 2, _EVENTS 4. */
export class SyncRegs {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #at = offsetOf('kvm_run', 's') + offsetOf('kvm_run_s', 'regs');

  constructor(
    bytes: Uint8Array,
    /** Ends `vcpu.syncState()`, which sets the same mask. */
    private readonly takeOver: () => void,
  ) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** What the kernel stores here at each exit. Ends `vcpu.syncState()`, which sets the same mask; whichever is last counts. */
  set valid(mask: bigint) {
    checkScalar(mask, 'u64', 'mask of registers');
    this.takeOver();
    this.#view.setBigUint64(offsetOf('kvm_run', 'kvm_valid_regs'), checkScalar(mask, 'u64', 'mask of registers'), true);
  }
  /** The mask that is set now. */
  get valid(): bigint {
    return this.#view.getBigUint64(offsetOf('kvm_run', 'kvm_valid_regs'), true);
  }

  /** What the kernel takes from here at the next entry, which clears it. */
  set dirty(mask: bigint) {
    this.#view.setBigUint64(offsetOf('kvm_run', 'kvm_dirty_regs'), checkScalar(mask, 'u64', 'mask of registers'), true);
    this.#moveCr8();
  }
  /** The mask that is set now. */
  get dirty(): bigint {
    return this.#view.getBigUint64(offsetOf('kvm_run', 'kvm_dirty_regs'), true);
  }

  /** As KVM_GET_REGS gives them, at the last exit; setting them needs bit 1 of `dirty`. */
  get regs(): KvmRegs {
    return decode('kvm_regs', this.#bytes, this.#at + offsetOf('kvm_sync_regs', 'regs'));
  }
  set regs(value: Input<KvmRegs>) {
    encodeAt(this.#bytes, this.#at + offsetOf('kvm_sync_regs', 'regs'), 'kvm_regs', value);
  }
  /** As KVM_GET_SREGS gives them, at the last exit; setting them needs bit 2 of `dirty`. */
  get sregs(): KvmSregs {
    return decode('kvm_sregs', this.#bytes, this.#at + offsetOf('kvm_sync_regs', 'sregs'));
  }
  set sregs(value: Input<KvmSregs>) {
    encodeAt(this.#bytes, this.#at + offsetOf('kvm_sync_regs', 'sregs'), 'kvm_sregs', value);
    this.#moveCr8();
  }
  /** As KVM_GET_VCPU_EVENTS gives them, at the last exit; setting them needs bit 4 of `dirty`. */
  get events(): KvmVcpuEvents {
    return decode('kvm_vcpu_events', this.#bytes, this.#at + offsetOf('kvm_sync_regs', 'events'));
  }
  set events(value: Input<KvmVcpuEvents>) {
    encodeAt(this.#bytes, this.#at + offsetOf('kvm_sync_regs', 'events'), 'kvm_vcpu_events', value);
  }

  /** Without the kernel's local APIC an entry takes CR8 from elsewhere, after the registers, and fails where it has more than four bits. */
  #moveCr8(): void {
    if (!(this.dirty & BigInt(constants.KVM_SYNC_X86_SREGS))) return;
    const { cr8 } = this.sregs;
    if (cr8 <= 15n) this.#view.setBigUint64(cr8At, cr8, true);
  }
}

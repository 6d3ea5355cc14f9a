import { checkBytes, checkObject, shown } from '../../util/check';
import { invalidArgument } from '../../util/errors';
import { checkInteger } from '../../util/numbers';
import { addressOf, KvmCalls } from './base';
import { checkScalar, type Input } from './codec';
import { adopt, KvmDescriptor } from './eventfd';
import type { KvmMemoryAttributes, KvmUserspaceMemoryRegion, KvmUserspaceMemoryRegion2 } from './generated/uapi';

/**
 * Where guest memory lies in this process: bytes, which are kept as long as the slot has them, or an address that the caller answers for.
 * Bytes must start at a page: {@link allocateMemory}, a {@link MemFd}'s or a region's.
 */
export type HostMemory = Uint8Array | bigint | number;

type WithMemory<T> = Omit<Input<T>, 'userspace_addr'> & { readonly userspace_addr: HostMemory };

/** Slots of guest memory, dirty tracking and what else of KVM's VM calls is about memory. */
export abstract class VmMemoryCalls extends KvmCalls {
  /** Bytes that slots use; the kernel knows addresses only. */
  readonly #slots = new Map<number, { readonly memory: HostMemory; readonly size: bigint }>();

  /**
   * KVM_SET_USER_MEMORY_REGION (4.35, Linux 2.6.25): makes, moves, changes (flags only) or with `memory_size` 0 deletes a slot. Addresses
   * and sizes are bytes, multiples of 4096; `slot` is below KVM_CAP_NR_MEMSLOTS. `vm.mapMemory()` takes the lowest free slots, so choose
   * high numbers beside it.
   *
   * Errors: EEXIST, overlaps another slot; EINVAL, unaligned, or no such change.
   */
  setUserMemoryRegion(region: WithMemory<KvmUserspaceMemoryRegion>): void {
    const taken = once(region);
    this.write('KVM_SET_USER_MEMORY_REGION', 'kvm_userspace_memory_region', this.#withAddress(taken));
    this.#keep(taken);
  }

  /**
   * KVM_SET_USER_MEMORY_REGION2 (4.140, Linux 6.8): the same with a guest_memfd behind the slot, from `guest_memfd_offset` bytes on, where
   * flag KVM_MEM_GUEST_MEMFD is set.
   *
   * Errors: as setUserMemoryRegion(); EINVAL also for a range outside the guest_memfd, EBADF for no such descriptor.
   */
  setUserMemoryRegion2(region: WithMemory<KvmUserspaceMemoryRegion2>): void {
    const taken = once(region);
    this.write('KVM_SET_USER_MEMORY_REGION2', 'kvm_userspace_memory_region2', this.#withAddress(taken));
    this.#keep(taken);
  }

  /**
   * KVM_CREATE_GUEST_MEMFD (4.142, Linux 6.8): memory that only guests of this VM reach; `size` bytes, a multiple of 4096. Flags since
   * Linux 6.18, as KVM_CAP_GUEST_MEMFD_FLAGS reports: GUEST_MEMFD_FLAG_MMAP 1, the host may map it ({@link KvmDescriptor.map});
   * GUEST_MEMFD_FLAG_INIT_SHARED 2, and reach its pages.
   *
   * Errors: EINVAL, a size or flags that there are not.
   */
  createGuestMemfd(size: number | bigint, flags: number | bigint = 0): KvmDescriptor {
    return adopt(this.write('KVM_CREATE_GUEST_MEMFD', 'kvm_create_guest_memfd', { size, flags }));
  }

  /**
   * KVM_SET_MEMORY_ATTRIBUTES (4.141, Linux 6.8): whole pages of guest-physical memory, `address` and `size` in bytes, become private
   * (KVM_MEMORY_ATTRIBUTE_PRIVATE 8) or shared (0).
   *
   * Errors: EINVAL, unaligned, or attributes that KVM_CAP_MEMORY_ATTRIBUTES does not report.
   */
  setMemoryAttributes(attributes: Input<KvmMemoryAttributes>): void {
    this.write('KVM_SET_MEMORY_ATTRIBUTES', 'kvm_memory_attributes', attributes);
  }

  /**
   * KVM_GET_DIRTY_LOG (4.8, Linux 2.6.20): one bit for each of `pages` pages of 4096 bytes of a slot with KVM_MEM_LOG_DIRTY_PAGES, set
   * when it was written since the last call, or with KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 since it was cleared. `pages` is the slot's length.
   *
   * Errors: ENOENT, the slot logs nothing; EINVAL, no such slot; ENXIO, the VM has dirty rings instead.
   */
  getDirtyLog(slot: number, pages: number): Uint8Array {
    checkInteger(slot, 'slot', 0, 0xffffffff);
    checkInteger(pages, 'pages of a slot', 1, 2 ** 31);
    // The kernel fills the bitmap of the whole slot: too little room would be written past.
    const known = this.#slots.get(slot)?.size ?? BigInt(this.largestRegion());
    const room = BigInt(pages) > known / 4096n ? BigInt(pages) : known / 4096n;
    const bitmap = new Uint8Array(Number((room + 63n) / 64n) * 8);
    this.lend(bitmap, 'KVM_GET_DIRTY_LOG', 'kvm_dirty_log', { slot, dirty_bitmap: addressOf(bitmap) });
    return bitmap.subarray(0, Math.ceil(pages / 64) * 8);
  }

  /**
   * KVM_CLEAR_DIRTY_LOG (4.117, Linux 5.0), where KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 is enabled: forgets the pages whose bits are set.
   * `firstPage` is a multiple of 64, and so is `pages` unless the range ends with the slot.
   *
   * Errors: ENOENT, the slot logs nothing; EINVAL, not such a multiple, or past the end of the slot.
   */
  clearDirtyLog(slot: number, firstPage: number, pages: number, bitmap: Uint8Array): void {
    checkBytes(bitmap, 'bitmap');
    checkInteger(pages, 'number of pages', 1, 2 ** 31);
    if (bitmap.length * 8 < pages)
      throw invalidArgument(`a bitmap for ${pages} pages has ${Math.ceil(pages / 8)} bytes, not ${bitmap.length}`);
    // The kernel reads whole words.
    const words = new Uint8Array(Math.ceil(pages / 64) * 8);
    words.set(bitmap.subarray(0, words.length));
    const request = { slot, num_pages: pages, first_page: firstPage, dirty_bitmap: addressOf(words) };
    this.lend(words, 'KVM_CLEAR_DIRTY_LOG', 'kvm_clear_dirty_log', request);
  }

  /**
   * KVM_RESET_DIRTY_RINGS (8.29, Linux 5.11): takes back the entries that {@link DirtyRing.harvest} has marked, of all vCPUs; how many
   * those were.
   *
   * Errors: EINVAL, the VM has no dirty rings.
   */
  resetDirtyRings(): number {
    return this.call('KVM_RESET_DIRTY_RINGS', 0);
  }

  /**
   * KVM_SET_TSS_ADDR (4.36, Linux 2.6.25): guest-physical address of three pages below 4 GiB for Intel's real mode.
   *
   * Errors: EINVAL, too close to the end of the address space.
   */
  setTssAddr(address: number): void {
    this.call('KVM_SET_TSS_ADDR', checkInteger(address, 'address of the TSS', 0, 0xffffffff));
  }

  /**
   * KVM_SET_IDENTITY_MAP_ADDR (4.40, Linux 2.6.32): guest-physical address of a page below 4 GiB for Intel's real mode; 0 is the default,
   * 0xfffbc000.
   *
   * Errors: EINVAL, there is a vCPU already.
   */
  setIdentityMapAddr(address: number | bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, checkScalar(address, 'u64', 'address of the identity map'), true);
    this.call('KVM_SET_IDENTITY_MAP_ADDR', bytes);
  }

  /**
   * KVM_SET_NR_MMU_PAGES (Linux 2.6.25, in no section): how many pages of 4096 bytes the shadow page tables may take, at least 64.
   *
   * Errors: EINVAL, fewer than that.
   */
  setNrMmuPages(pages: number): void {
    this.call('KVM_SET_NR_MMU_PAGES', checkInteger(pages, 'number of pages', 0, 0xffffffff));
  }

  /** Bytes of the largest region that the VM has mapped in slots of its own. */
  protected abstract largestRegion(): number;

  #withAddress<R extends { userspace_addr: HostMemory; memory_size: number | bigint }>(region: R): R & { userspace_addr: bigint } {
    const { userspace_addr: memory, memory_size: size } = region;
    if (typeof memory === 'bigint' || typeof memory === 'number')
      return { ...region, userspace_addr: checkScalar(memory, 'u64', 'userspace_addr') };
    checkBytes(memory, 'userspace_addr');
    if (BigInt(memory.length) < checkScalar(size, 'u64', 'memory_size')) {
      throw invalidArgument(`userspace_addr has ${memory.length} bytes, which is less than memory_size ${shown(size)}`);
    }
    return { ...region, userspace_addr: addressOf(memory) };
  }

  #keep({ slot, memory_size, userspace_addr }: { slot: number; memory_size: number | bigint; userspace_addr: HostMemory }): void {
    if (BigInt(memory_size) === 0n) this.#slots.delete(Number(slot));
    else this.#slots.set(Number(slot), { memory: userspace_addr, size: BigInt(memory_size) });
  }
}

/** A copy, read once: what is checked, what the kernel gets and what is kept are to be the same. */
function once<R extends object>(region: R): R {
  checkObject(region, 'a memory region');
  return { ...region };
}

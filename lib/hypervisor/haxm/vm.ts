/** The requests of a VM's node, as `vm.haxm`. */
import { addon } from '../../native/addon';
import { hex, parseSize } from '../../util/numbers';
import { requireFeature, type Capabilities } from '../capabilities';
import { shown } from '../../util/check';
import { Checker, type Unsigned } from './check';
import { contains, HaxmMemory, overlaps, without, type Block } from './memory';
import { makeNode, vcpuPath, type HaxmNode } from './node';
import { ours, requests } from './requests';
import { requireHaxm, send, type RawCaller } from './system';
import { structure } from './structures';

/** Flags of SET_RAM and SET_RAM2. */
export const ramFlags = {
  /** The guest cannot write. */
  rom: 0x01,
  /** `va` need not be in a registered block: a block of its own comes and goes with the mapping. Needs `implicitRamBlock`. */
  standalone: 0x40,
  /** Unmaps; alone, with `va` 0. */
  invalid: 0x80,
} as const;
/** Flags of PROTECT_RAM: everything is forbidden, or nothing. */
export const protectFlags = {
  /** No access: the guest's next one exits with PAGEFAULT. */
  none: 0,
  /** Reads, writes and execution. */
  all: 7,
} as const;

/** SET_RAM and ALLOC_RAM have sizes of 32 bits. */
const shortSize = 32;
const maxVcpus = 16;

/** What HAX_VM_IOCTL_SET_RAM takes: `size` bytes at the guest-physical `paStart`, both multiples of 4096. */
export interface SetRamOptions {
  /** Guest-physical address of the first byte. */
  paStart: Unsigned;
  /** Bytes; in setRam() less than 4 GiB. */
  size: Unsigned;
  /** In a registered block; 0 with the flag 0x80, which unmaps. */
  va: Unsigned;
  /** {@link ramFlags}; 0 by default. */
  flags?: number | undefined;
}

interface RawVm extends RawCaller {
  readonly hypervisor: { readonly capabilities: Capabilities };
  readonly memory: { readonly regions: readonly { readonly gpa: number; readonly size: number; readonly bytes: Uint8Array }[] };
}

/** HAXM's calls of a VM's node: `vm.haxm`. */
export class HaxmVm {
  readonly #vm: RawVm;
  /** Also keeps the memory mapped. */
  readonly #memories: HaxmMemory[] = [];
  #blocks: Block[] = [];
  #highest = 0n;
  readonly #vcpus = new Set<HaxmNode>();

  constructor(vm: RawVm) {
    requireHaxm(vm.hypervisor.capabilities);
    this.#vm = vm;
  }

  /** The driver's number of this VM. */
  get id(): number {
    return this.#numbers().readUInt32LE(0);
  }

  /** Host memory for the calls below. */
  allocate(size: number | string): HaxmMemory {
    const check = new Checker(requests.addRamblock);
    const bytes = Number(check.size(parseSize(size, 'size of guest memory'), 'size'));
    const memory = new HaxmMemory(bytes, addon().allocateMemory(bytes));
    this.#memories.push(memory);
    return memory;
  }

  /** HAX_VM_IOCTL_NOTIFY_QEMU_VERSION: which MMIO exits the client understands; releases from 7.3 do not look at it. */
  notifyQemuVersion(options: { currentVersion: number; leastVersion: number }): void {
    const check = new Checker(requests.notifyQemuVersion);
    const { currentVersion, leastVersion } = check.object(options, 'what notifyQemuVersion() takes');
    const current = check.unsigned(currentVersion, 'currentVersion', 32);
    const least = check.unsigned(leastVersion, 'leastVersion', 32);
    send(this.#vm, requests.notifyQemuVersion, structure(8, [0, 4, current], [4, 4, least]));
  }

  /** HAX_VM_IOCTL_ALLOC_RAM: registers host memory of less than 4 GiB, for good. */
  allocRam(options: { size: Unsigned; va: Unsigned }): void {
    const check = new Checker(requests.allocRam);
    const { size, va } = check.object(options, 'what allocRam() takes');
    const bytes = check.size(size, 'size', shortSize);
    const address = this.#newBlock(check, 'va', va, bytes);
    send(this.#vm, requests.allocRam, structure(16, [0, 4, bytes], [8, 8, address]));
    this.#blocks.push({ va: address, size: bytes });
  }

  /** HAX_VM_IOCTL_ADD_RAMBLOCK: registers host memory, for good. */
  addRamblock(options: { startVa: Unsigned; size: Unsigned; reserved?: Unsigned | undefined }): void {
    const check = new Checker(requests.addRamblock);
    const { startVa, size, reserved } = check.object(options, 'what addRamblock() takes');
    const bytes = check.size(size, 'size');
    check.zero(reserved, 'reserved');
    const address = this.#newBlock(check, 'startVa', startVa, bytes);
    send(this.#vm, requests.addRamblock, structure(24, [0, 8, address], [8, 8, bytes]));
    this.#blocks.push({ va: address, size: bytes });
  }

  /** HAX_VM_IOCTL_SET_RAM: maps registered memory at a guest-physical range, or unmaps the range. */
  setRam(options: SetRamOptions): void {
    const check = new Checker(requests.setRam);
    const { start, size, va, flags } = this.#mapping(check, options, shortSize);
    const bytes = structure(24, [0, 8, start], [8, 4, size], [12, 1, BigInt(flags)], [16, 8, va]);
    send(this.#vm, requests.setRam, bytes);
    this.#mapped(start, size, va, flags);
  }

  /** HAX_VM_IOCTL_SET_RAM2: the same with 64-bit sizes; with the flag 0x40 the block comes and goes with its mapping. */
  setRam2(options: SetRamOptions & { reserved1?: Unsigned | undefined; reserved2?: Unsigned | undefined }): void {
    const check = new Checker(requests.setRam2);
    const { start, size, va, flags } = this.#mapping(check, options, 64);
    check.zero(options.reserved1, 'reserved1');
    check.zero(options.reserved2, 'reserved2');
    const bytes = structure(40, [0, 8, start], [8, 8, size], [16, 8, va], [24, 4, BigInt(flags)]);
    send(this.#vm, requests.setRam2, bytes);
    this.#mapped(start, size, va, flags);
  }

  /**
   * HAX_VM_IOCTL_PROTECT_RAM: with `protectFlags.none` the guest's next touch of the range exits as `memory-fault`, with
   * `protectFlags.all` it may again.
   */
  protectRam(options: { paStart: Unsigned; size: Unsigned; flags: number; reserved?: Unsigned | undefined }): void {
    const check = new Checker(requests.protectRam);
    requireFeature(this.#vm.hypervisor.capabilities, 'ramProtection');
    const { paStart, flags, reserved } = check.object(options, 'what protectRam() takes');
    const start = check.aligned(paStart, 'paStart');
    const size = check.size(options.size, 'size');
    if (flags !== protectFlags.none && flags !== protectFlags.all) check.refuse(`flags must be 0 or 7, not ${shown(flags)}`);
    check.zero(reserved, 'reserved');
    const end = this.#vm.memory.regions.reduce((top, region) => {
      const above = BigInt(region.gpa + region.size);
      return above > top ? above : top;
    }, this.#highest);
    if (start + size > end) check.refuse(`paStart and size must end inside what has been mapped, at or below ${hex(end)}`);
    send(this.#vm, requests.protectRam, structure(24, [0, 8, start], [8, 8, size], [16, 4, BigInt(flags)]));
  }

  /**
   * HAX_VM_IOCTL_VCPU_CREATE and nothing else: a vCPU that only holds its number, until close(); before the VM is closed.
   * `vm.createVcpu()` makes one that runs.
   */
  vcpuCreate(id: number): HaxmNode {
    const check = new Checker(requests.vcpuCreate);
    const number = Number(check.unsigned(id, 'id', 32));
    if (number >= maxVcpus) check.refuse(`id must be a number from 0 to ${maxVcpus - 1}, not ${number}`);
    for (const node of this.#vcpus) if (node.closed) this.#vcpus.delete(node);
    const numbers = this.#numbers();
    const mask = numbers.readUInt32LE(4);
    const ids = Array.from({ length: maxVcpus }, (_, i) => i).filter((i) => (mask >> i) & 1);
    ids.push(...[...this.#vcpus].map((each) => each.id));
    // The kernel would print a warning with a stack trace.
    if (ids.includes(number)) check.refuse(`id must not be one that the VM has: there is a vCPU ${number}`);
    if (number !== 0 && !ids.includes(0)) check.refuse('id must be 0 first: vCPU 0 holds the CPUID of all');
    const vm = numbers.readUInt32LE(0);
    const create = (): number => {
      send(this.#vm, requests.vcpuCreate, structure(4, [0, 4, BigInt(number)]));
      return number;
    };
    const node = makeNode(create, () => vcpuPath(vm, number));
    this.#vcpus.add(node);
    return node;
  }

  /** For the VM that closes. */
  close(): void {
    // vCPU 0 last.
    for (const node of [...this.#vcpus].sort((a, b) => b.id - a.id)) node.close();
    this.#vcpus.clear();
    this.#blocks = [];
  }

  /** The driver's number of the VM, and a bit for each vCPU that it has been asked for. */
  #numbers(): Buffer {
    const bytes = structure(ours.vmNumbers.size);
    send(this.#vm, ours.vmNumbers, bytes);
    return bytes;
  }

  /** Memory that is this process's own, and that the driver does not know yet. */
  #newBlock(check: Checker, field: string, value: Unsigned, size: bigint): bigint {
    const va = check.aligned(value, field);
    if (va === 0n) check.refuse(`${field} must not be 0`);
    if (!this.#memories.some(({ va: start, size: length }) => contains({ va: start, size: BigInt(length) }, va, size))) {
      check.refuse(`${field} and size must lie in memory of allocate(): ${hex(va)}+${hex(size)} does not`);
    }
    if (this.#blocks.some((block) => overlaps(block, va, size)))
      check.refuse(`${field} and size overlap a registered block: ${hex(va)}+${hex(size)}`);
    return va;
  }

  #mapping(check: Checker, options: SetRamOptions, sizeBits: number): { start: bigint; size: bigint; va: bigint; flags: number } {
    check.object(options, 'what the call takes');
    const flags = Number(check.unsigned(options.flags ?? 0, 'flags', 32));
    const known = ramFlags.rom | ramFlags.standalone | ramFlags.invalid;
    if ((flags & ~known) !== 0) check.refuse(`flags has bits that the driver does not know: ${hex(flags)}`);
    if ((flags & ramFlags.invalid) !== 0 && flags !== ramFlags.invalid)
      check.refuse(`flags must be 0x80 alone to unmap, not ${hex(flags)}`);
    // The driver would skip a write of the guest's there, and RUN would come back with the status of the exit before it.
    if (flags === (ramFlags.rom | ramFlags.standalone))
      check.refuse('flags must not be rom and standalone together: register a block for ROM');
    const start = check.aligned(options.paStart, 'paStart');
    const size = check.size(options.size, 'size', sizeBits);
    check.guestRange(start, size, 'paStart and size');
    const va = check.aligned(options.va, 'va');
    if (flags === ramFlags.invalid) {
      if (va !== 0n) check.refuse(`va must be 0 to unmap, not ${hex(va)}`);
    } else if (va === 0n) {
      check.refuse('va must not be 0 but with the flag 0x80, which unmaps');
    } else if (flags & ramFlags.standalone) {
      requireFeature(this.#vm.hypervisor.capabilities, 'implicitRamBlock');
      this.#newBlock(check, 'va', va, size);
    } else if (!this.#isRegistered(va, size)) {
      check.refuse(`va and size must lie in one registered block: ${hex(va)}+${hex(size)} does not`);
    }
    return { start, size, va, flags };
  }

  /** Blocks of the calls above, and the memory of vm.mapMemory(). */
  #isRegistered(va: bigint, size: bigint): boolean {
    if (this.#blocks.some((block) => contains(block, va, size))) return true;
    return this.#vm.memory.regions.some((region) => contains({ va: addon().addressOf(region.bytes), size: BigInt(region.size) }, va, size));
  }

  #mapped(start: bigint, size: bigint, va: bigint, flags: number): void {
    const end = start + size;
    // A new mapping replaces what was there before, as an unmapping does.
    this.#blocks = this.#blocks
      .map((block) => (block.mappedAt ? { ...block, mappedAt: without(block.mappedAt, start, end) } : block))
      .filter(({ mappedAt }) => mappedAt?.length !== 0);
    if (flags === ramFlags.invalid) return;
    if (flags & ramFlags.standalone) this.#blocks.push({ va, size, mappedAt: [{ start, end }] });
    if (end > this.#highest) this.#highest = end;
  }
}

import type { UserIrqchip } from '../bus/interrupts';
import type { IrqLine } from '../bus/irq-line';
import { MmioBus } from '../bus/mmio-bus';
import { PortBus } from '../bus/port-bus';
import { AddressRange } from '../bus/range';
import { GuestMemory, Region } from '../memory/guest-memory';
import { SharedBacking, sharedBytes, type SharedMemory } from '../memory/shared-memory';
import { addon, type NativeVm } from '../native/addon';
import { checkNames, checkObject } from '../util/check';
import { HaxError, invalidArgument } from '../util/errors';
import { checkInteger, hex, parseSize } from '../util/numbers';
import { requireFeature } from './capabilities';
import { checkCpuid, packedGuestCpuid, type CpuidEntry } from './cpuid';
import { Doorbells } from './doorbells';
import { loadHaxmVm } from './haxm/load';
import type { HaxmVm } from './haxm/vm';
import type { Hypervisor } from './hypervisor';
import { checkLeads, KernelIrqLine, routedLines, setGsiRouting } from './irq-lines';
import { loadKvmVm } from './kvm/load';
import type { KvmVm } from './kvm/vm';
import { PostedWrites } from './posted-writes';
import { Vcpu } from './vcpu';

/** A range of guest memory. */
export interface MapMemoryOptions {
  /** Guest-physical address, a multiple of 4096. */
  gpa: number;
  /** Bytes, or text such as '128M'; a multiple of 4096. */
  size: number | string;
  /** Guest writes exit as MMIO instead of changing it. Needs the capability `readOnlyMemory`. */
  readOnly?: boolean | undefined;
  /**
   * The host memory to map: a WebAssembly.Memory made with `shared: true`, which other threads can have too, from `offset` on (0 by default, a
   * multiple of 4096). By default memory of its own, zero-filled. What the array had is what the guest finds.
   */
  shared?: SharedMemory | undefined;
  /** Bytes into `shared`, a multiple of 4096; 0 by default. Only with `shared`. */
  offset?: number | undefined;
}

/** What cannot be changed once a vCPU is there. */
export interface CreateVcpuOptions {
  /** Number and APIC id; by default the lowest that this VM has not had. The device gives none a second time, closed or not. */
  id?: number | undefined;
  /** vCPUs that the machine will have, for the topology in CPUID; 1 by default. */
  cpus?: number | undefined;
  /** The guest's whole CPUID table; by default what the hypervisor supports, made sane by `guestCpuid()`. */
  cpuid?: readonly CpuidEntry[] | undefined;
}

const memoryOptionNames: Record<keyof MapMemoryOptions, true> = { gpa: true, size: true, readOnly: true, shared: true, offset: true };
const vcpuOptionNames: Record<keyof CreateVcpuOptions, true> = { id: true, cpus: true, cpuid: true };

/** IA32_APIC_BASE (Intel SDM vol. 3, 10.4.4): the address after reset with the enable bit 11 clear, and the boot processor's bit 8. */
const apicBaseDisabled = 0xfee00000;
const apicBaseBsp = 0x100;

let makeUserIrqchip: ((vm: VirtualMachine) => UserIrqchip) | undefined;

/** Who makes the interrupt controllers of VMs with `irqchip: 'user'`: devices, of which this layer knows nothing. */
export function installUserIrqchip(make: (vm: VirtualMachine) => UserIrqchip): void {
  makeUserIrqchip = make;
}

/**
 * A virtual machine: guest memory, two buses for devices, interrupt lines and vCPUs. Made by {@link Hypervisor.createVm}.
 */
export class VirtualMachine {
  /** Guest-physical memory. */
  readonly memory = new GuestMemory();
  /** Port-I/O devices: `vm.ports.add({ at, length }, device)`. */
  readonly ports = new PortBus();
  /** Memory-mapped devices. */
  readonly mmio = new MmioBus();
  /** Writes that the guest does not wait for; see `posted` of {@link RangeRequest}. */
  readonly posted: PostedWrites;
  /** The interrupt controllers in user space, a `PicPair`, whose chips are saved one by one; undefined where they are the kernel's. */
  readonly userIrqchip: UserIrqchip | undefined;
  readonly #doorbells: Doorbells;
  readonly #vcpus = new Map<number, Vcpu>();
  readonly #usedIds = new Set<number>();
  /** Those whose setting up has failed: the device gives an id once, so each is the next attempt's. */
  readonly #unfinished = new Map<number, Vcpu>();
  readonly #lines = new Map<number, KernelIrqLine>();
  /** The lines that KVM_SET_GSI_ROUTING has named; undefined before it. */
  #routed: ReadonlySet<number> | undefined;
  #haxm: HaxmVm | undefined;
  #kvm: KvmVm | undefined;
  #closed = false;

  constructor(
    /** The device that it was made on. */
    readonly hypervisor: Hypervisor,
    private readonly native: NativeVm,
    /** Whether PIC, IOAPIC and local APICs are the kernel's. */
    readonly hasKernelIrqchip: boolean,
  ) {
    this.posted = new PostedWrites(this, native);
    this.ports.onPost = (range) => this.posted.add(true, range);
    this.ports.onAnswer = (port, value) => (value === undefined ? native.unanswer(port) : native.answer(port, value));
    this.#doorbells = new Doorbells(this);
    this.ports.onDoorbells = (range, bells) => this.#doorbells.add(this, true, range, bells);
    this.mmio.onDoorbells = (range, bells) => this.#doorbells.add(this, false, range, bells);
    this.mmio.onPost = (range) => this.posted.add(false, range);
    this.mmio.onAdd = (range, name) => this.#checkIsNoMemory(range, name);
    if (!hasKernelIrqchip) this.userIrqchip = makeUserIrqchip?.(this);
  }

  /** `kvm` or `haxm`. */
  get backend(): string {
    return this.hypervisor.capabilities.backend;
  }

  /** HAXM's own calls of a VM. Throws ERR_HAX_UNSUPPORTED on other backends. */
  get haxm(): HaxmVm {
    return (this.#haxm ??= new (loadHaxmVm())(this));
  }

  /** Whether close() was called, here or by the hypervisor. */
  get closed(): boolean {
    return this.#closed;
  }

  /** KVM's own calls on a VM. Throws ERR_HAX_UNSUPPORTED on other backends. */
  get kvm(): KvmVm {
    return (this.#kvm ??= new (loadKvmVm())(this));
  }

  /** Its vCPUs that are not closed, in the order in which they were made. */
  get vcpus(): readonly Vcpu[] {
    return [...this.#vcpus.values()];
  }

  /**
   * Gives the guest zero-filled memory at a guest-physical range; KVM_SET_USER_MEMORY_REGION.
   * Throws ERR_HAX_OVERLAP, ERR_HAX_INVALID_ARGUMENT (alignment, wrap) or ERR_HAX_NO_MEMORY; nothing is mapped then.
   */
  mapMemory(options: MapMemoryOptions): Region {
    this.#check();
    checkObject(options, 'what mapMemory() takes');
    checkNames(options, memoryOptionNames, 'mapMemory()');
    const { gpa, size, readOnly = false, shared, offset = 0 } = options;
    if (shared === undefined && offset !== 0) throw invalidArgument('offset goes with shared: other memory begins at its start');
    const bytes = parseSize(size, 'size of guest memory');
    checkInteger(gpa, 'gpa', 0, Number.MAX_SAFE_INTEGER);
    const array = shared === undefined ? undefined : sharedPart(shared, offset, bytes);
    const native = array ? addon().adoptMemory(array) : addon().allocateMemory(bytes);
    try {
      this.native.mapMemory(gpa, native, 0, bytes, readOnly);
    } catch (error) {
      native.close();
      throw error;
    }
    const backing = array ? new SharedBacking(array, () => native.close()) : native;
    const region = new Region(gpa, bytes, readOnly, backing, (buffer) => addon().detach(buffer));
    this.memory.insert(region);
    return region;
  }

  /** Takes a region away from the guest and closes it. */
  unmapMemory(region: Region): void {
    this.#check();
    // By identity: another VM's region may have the same address.
    if (!this.memory.regions.includes(region)) throw invalidArgument('unmapMemory() takes a region that this VM has mapped');
    this.native.unmapMemory(region.gpa);
    this.memory.remove(region);
    region.close();
  }

  /**
   * Makes a vCPU with its CPUID set; KVM_CREATE_VCPU and KVM_SET_CPUID2. Where the kernel has the APICs, before any entry of another. When it
   * fails, the next attempt has the same number. Throws ERR_HAX_INVALID_ARGUMENT for an id that another has, or had before it was closed.
   */
  createVcpu(options: CreateVcpuOptions = {}): Vcpu {
    this.#check();
    checkObject(options, 'what createVcpu() takes');
    checkNames(options, vcpuOptionNames, 'createVcpu()');
    const id = options.id === undefined ? this.#lowestUnusedId() : checkInteger(options.id, 'id of a vCPU', 0, 0xfffe);
    if (this.#usedIds.has(id)) throw invalidArgument(`this VM has, or had, a vCPU with the id ${id}: each id is good for one`);
    const cpus = checkInteger(options.cpus ?? 1, 'number of vCPUs', 1, 0xffff);
    if (options.cpuid !== undefined) {
      checkCpuid(options.cpuid);
      requireFeature(this.hypervisor.capabilities, 'extendedCpuid');
    }
    const vcpu = this.#unfinished.get(id) ?? new Vcpu(this, id, this.native.createVcpu(id));
    this.#vcpus.set(id, vcpu);
    try {
      this.posted.attach();
      // HAXM makes a table of its own, and tells of none that could be put in its place.
      const supported = this.hypervisor.supportedCpuid();
      if (options.cpuid !== undefined) {
        vcpu.setCpuid(options.cpuid);
      } else if (supported.length > 0) {
        vcpu.native.setCpuid(packedGuestCpuid(supported, { apicId: id, cpus, kernelApic: this.hasKernelIrqchip }));
        // KVM shows the APIC in CPUID while its base register enables it, whatever the table says.
        if (!this.hasKernelIrqchip) vcpu.setState({ apicBase: apicBaseDisabled + (id === 0 ? apicBaseBsp : 0) });
      }
    } catch (error) {
      this.#vcpus.delete(id);
      this.#unfinished.set(id, vcpu);
      throw error;
    }
    this.#unfinished.delete(id);
    this.#usedIds.add(id);
    return vcpu;
  }

  /**
   * Interrupt line `number` (GSI) of the interrupt controller. Lines are levels: `set(true)` asserts. The same object each time.
   * Throws ERR_HAX_NO_IRQCHIP when the VM has no controller, and ERR_HAX_INVALID_ARGUMENT for a line that leads nowhere: the kernel's have 0 to
   * 23, until KVM_SET_GSI_ROUTING names others.
   */
  irqLine(number: number): IrqLine {
    this.#check();
    checkInteger(number, 'interrupt line', 0, 4095);
    if (this.userIrqchip) return this.userIrqchip.line(number);
    if (!this.hasKernelIrqchip) {
      throw new HaxError('ERR_HAX_NO_IRQCHIP', `interrupt line ${number} leads nowhere: this VM has no interrupt controller`);
    }
    checkLeads(number, this.#routed);
    let line = this.#lines.get(number);
    if (!line) {
      line = new KernelIrqLine((level) => {
        if (!this.#closed) this.native.setIrqLine(number, level);
      });
      this.#lines.set(number, line);
    }
    return line;
  }

  /**
   * The raw call of the VM, for what has no method: `request` is the ioctl number of the kernel's headers; a request with a structure takes a
   * Uint8Array at least as large as the number says, read and written in place, or null for none; others take a number. What the call
   * returned.
   * Nothing else is checked: a wrong structure can end the process. Throws ERR_HAX_IOCTL with the errno.
   */
  ioctl(request: number, argument?: number | Uint8Array | null): number {
    this.#check();
    const result = this.native.ioctl(request, argument);
    if (request === setGsiRouting && argument instanceof Uint8Array) this.#routed = routedLines(argument);
    return result;
  }

  /** Closes vCPUs (a run ends as killed) and memory (views become empty). Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const vcpu of [...this.#vcpus.values(), ...this.#unfinished.values()]) vcpu.close();
    this.#doorbells.close();
    this.#haxm?.close();
    this.posted.close();
    this.native.close();
    this.ports.clear();
    this.mmio.clear();
    this.memory.clear();
    this.hypervisor.forget(this);
  }

  /** As close(). */
  [Symbol.dispose](): void {
    this.close();
  }

  /** For KVM's own calls: one of them has set a line. */
  lineWasSet(number: number, level: boolean): void {
    this.#lines.get(number)?.wasSet(level);
  }

  /** For a vCPU that closes. */
  forget(vcpu: Vcpu): void {
    this.#vcpus.delete(vcpu.id);
  }

  /** Guests would reach the memory and never the device. Writes to read-only memory do come. */
  #checkIsNoMemory(range: AddressRange, name: string): void {
    const region = this.memory.regions.find(({ gpa, size, readOnly }) => !readOnly && range.overlaps(AddressRange.of(gpa, size)));
    if (!region) return;
    throw new HaxError(
      'ERR_HAX_OVERLAP',
      `MMIO ${range.toString()} for ${name} would lie in guest memory ${hex(region.gpa)}-${hex(region.last)}, which guests reach instead`,
      { hint: 'Map memory around the range only, or choose one without memory.' },
    );
  }

  #lowestUnusedId(): number {
    let id = 0;
    while (this.#usedIds.has(id)) id++;
    return id;
  }

  #check(): void {
    if (this.#closed) throw new HaxError('ERR_HAX_CLOSED', 'this virtual machine has been closed');
  }
}

function sharedPart(shared: SharedMemory, offset: number, length: number): Uint8Array {
  const all = sharedBytes(shared);
  checkInteger(offset, 'offset into shared memory', 0, all.length);
  if (offset + length > all.length) {
    throw invalidArgument(`shared memory of ${all.length} bytes has no ${length} bytes at offset ${offset}`);
  }
  return all.subarray(offset, offset + length);
}

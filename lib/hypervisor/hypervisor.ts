import { addon, type NativeHypervisor } from '../native/addon';
import { backendOfEnvironment } from '../util/backend';
import { checkNames, checkObject, shown } from '../util/check';
import { HaxError } from '../util/errors';
import { checkInteger } from '../util/numbers';
import { requireFeature, type Capabilities } from './capabilities';
import { unpackCpuid, type CpuidEntry } from './cpuid';
import { loadHaxmSystem } from './haxm/load';
import type { HaxmSystem } from './haxm/system';
import { loadKvmSystem } from './kvm/load';
import type { KvmSystem } from './kvm/system';
import { VirtualMachine } from './vm';

/** The hypervisors that there are. */
export type BackendName = 'haxm' | 'kvm';

/** Which device to open. */
export interface OpenOptions {
  /** The device to open; by default HAX_BACKEND, and without it, or where that is `auto`, /dev/HAX and then /dev/kvm. */
  backend?: BackendName | undefined;
}

/** What cannot be changed once a VM is there. */
export interface CreateVmOptions {
  /**
   * Who has the interrupt controllers: `kernel` (PIC, IOAPIC and local APICs; the default where the capability `kernelIrqchip` is
   * there) or `user` (none in the kernel; two 8259As in TypeScript, which interrupt the vCPU with the lowest number).
   */
  irqchip?: 'kernel' | 'user' | undefined;
  /** The kernel's 8254 timer, ports 0x40 to 0x43 and 0x61, with `irqchip: 'kernel'` only; on by default. */
  pit?: boolean | undefined;
  /** KVM's type of machine, KVM_X86_…; 0 by default. `hypervisor.kvm.checkExtension('KVM_CAP_VM_TYPES')` is a bit mask of those there are. */
  type?: number | undefined;
}

const openOptionNames: Record<keyof OpenOptions, true> = { backend: true };
const vmOptionNames: Record<keyof CreateVmOptions, true> = { irqchip: true, pit: true, type: true };

/** Collected without close(): the descriptors are gone, but later than they should be. */
const unclosed = new FinalizationRegistry<string>((device) => {
  process.emitWarning(`a Hypervisor on ${device} was collected without close(); call close() or declare it with 'using'`, {
    code: 'HAX_UNCLOSED',
  });
});

/** What each device supports, which does not change while a process lives. */
const supported = new Map<string, readonly CpuidEntry[]>();

/** An opened hypervisor device. */
export class Hypervisor {
  /** Which device it is and what it can do, asked once. */
  readonly capabilities: Capabilities;
  readonly #native: NativeHypervisor;
  readonly #vms = new Set<VirtualMachine>();
  #haxm: HaxmSystem | undefined;
  #kvm: KvmSystem | undefined;
  #closed = false;

  private constructor(native: NativeHypervisor) {
    this.#native = native;
    this.capabilities = deepFreeze(native.capabilities()) as unknown as Capabilities;
    unclosed.register(this, this.capabilities.device || this.capabilities.backend, this);
  }

  /**
   * Opens a device and checks its version and what node-hax cannot do without.
   * Throws ERR_HAX_NO_DEVICE, ERR_HAX_NO_PERMISSION, ERR_HAX_API_VERSION, ERR_HAX_UNSUPPORTED, or ERR_HAX_UNKNOWN_BACKEND.
   * A device asked for by name is never replaced by another; without a name the first that exists is taken, and when it is unusable
   * that is an error too.
   */
  static open(options: OpenOptions = {}): Hypervisor {
    checkObject(options, 'what open() takes');
    checkNames(options, openOptionNames, 'open()');
    const name = options.backend ?? backendOfEnvironment();
    if (name !== undefined) return new Hypervisor(addon().openHypervisor(name));
    const missing: string[] = [];
    for (const backend of addon().backends()) {
      try {
        return new Hypervisor(addon().openHypervisor(backend));
      } catch (error) {
        if (!(error instanceof HaxError) || error.code !== 'ERR_HAX_NO_DEVICE') throw error;
        missing.push(error.message);
      }
    }
    if (missing.length > 0) throw new HaxError('ERR_HAX_NO_DEVICE', missing.join('; '), { operation: 'open' });
    throw new HaxError('ERR_HAX_NO_DEVICE', `there is no hypervisor backend for ${process.platform} yet`, {
      hint: 'Use Linux with /dev/kvm.',
    });
  }

  /** HAXM's own calls of /dev/HAX. Throws ERR_HAX_UNSUPPORTED on other backends. */
  get haxm(): HaxmSystem {
    return (this.#haxm ??= new (loadHaxmSystem())(this));
  }

  /** Whether close() was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Its VMs that are not closed. */
  get vms(): readonly VirtualMachine[] {
    return [...this.#vms];
  }

  /** KVM's own calls on /dev/kvm. Throws ERR_HAX_UNSUPPORTED on other backends. */
  get kvm(): KvmSystem {
    return (this.#kvm ??= new (loadKvmSystem())(this));
  }

  /** Every CPUID entry that the hypervisor can give a guest; KVM_GET_SUPPORTED_CPUID. Asked once a device. */
  supportedCpuid(): readonly CpuidEntry[] {
    this.#check();
    const device = `${this.capabilities.backend} ${this.capabilities.device}`;
    let entries = supported.get(device);
    if (!entries) {
      entries = Object.freeze(unpackCpuid(this.#native.supportedCpuid()).map((entry) => Object.freeze(entry)));
      supported.set(device, entries);
    }
    return entries;
  }

  /** KVM_CREATE_VM, with interrupt controller and timer as asked for. */
  createVm(options: CreateVmOptions = {}): VirtualMachine {
    this.#check();
    checkObject(options, 'what createVm() takes');
    checkNames(options, vmOptionNames, 'createVm()');
    const irqchip = options.irqchip ?? (this.capabilities.features.kernelIrqchip.available ? 'kernel' : 'user');
    if (irqchip !== 'kernel' && irqchip !== 'user') {
      throw new HaxError('ERR_HAX_INVALID_ARGUMENT', `irqchip must be 'kernel' or 'user', not ${shown(irqchip)}`);
    }
    if (irqchip === 'kernel') requireFeature(this.capabilities, 'kernelIrqchip');
    const pit = irqchip === 'kernel' && (options.pit ?? true);
    if (pit) requireFeature(this.capabilities, 'pit');
    const type = checkInteger(options.type ?? 0, 'type of a VM', 0, 0xffffffff);
    const vm = new VirtualMachine(this, this.#native.createVm(irqchip === 'kernel', pit, type), irqchip === 'kernel');
    this.#vms.add(vm);
    return vm;
  }

  /**
   * The raw call of the system node, for what has no method: `request` is the ioctl number of the kernel's headers; a request with a structure takes a
   * Uint8Array at least as large as the number says, read and written in place; others take a number. What the call returned.
   * Nothing else is checked: a wrong structure can end the process. Throws ERR_HAX_IOCTL with the errno.
   */
  ioctl(request: number, argument?: number | Uint8Array | null): number {
    this.#check();
    return this.#native.ioctl(request, argument);
  }

  /** Closes the VMs and the device. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    unclosed.unregister(this);
    for (const vm of this.#vms) vm.close();
    this.#native.close();
  }

  /** As close(). */
  [Symbol.dispose](): void {
    this.close();
  }

  /** For a VM that closes. */
  forget(vm: VirtualMachine): void {
    this.#vms.delete(vm);
  }

  #check(): void {
    if (this.#closed) throw new HaxError('ERR_HAX_CLOSED', 'this hypervisor has been closed');
  }
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === 'object' && member !== null) deepFreeze(member as object);
  return Object.freeze(value);
}

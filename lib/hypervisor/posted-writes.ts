/**
 * Posted writes: the guest goes on at once, and their handlers see them in order, before the next exit of the vCPU is handled. On KVM they
 * wait in the kernel's ring (api.rst 4.116) and cost no exit; elsewhere native code collects them, which saves the way to JavaScript.
 */
import { removable, type Removable } from '../bus/claim';
import type { MmioBus } from '../bus/mmio-bus';
import type { PortBus } from '../bus/port-bus';
import type { AddressRange } from '../bus/range';
import type { Width } from '../bus/device';
import { addon, type NativeVm } from '../native/addon';
import { HaxError } from '../util/errors';
import { hex } from '../util/numbers';
import { CoalescedZones } from './coalesced-zones';
import { devicesOf, failRuns, placeOf, type Devices } from './devices';
import type { VirtualMachine } from './vm';

/** struct kvm_coalesced_mmio_ring: first and last, then the writes; struct kvm_coalesced_mmio: address, length, pio, data. In words. */
const headWords = 2;
const writeWords = 6;
const pageSize = 4096;

export class PostedWrites {
  /** Whether any range is posted, or was and has writes that wait. */
  active = false;
  /** Called when it becomes active, which a handler may bring about in the middle of a slice. */
  readonly onActive = new Set<() => void>();
  /** Writes that handlers have seen. */
  served = 0;
  /** The write whose handler threw, for the message. */
  last = 'a posted write';
  readonly #ports: PortBus;
  readonly #mmio: MmioBus;
  readonly #devices: Devices;
  /** What of each bus goes into the kernel's ring. */
  readonly #portZones: CoalescedZones;
  readonly #mmioZones: CoalescedZones;
  #ranges = 0;
  #words: Uint32Array | undefined;
  #bytes: Uint8Array | undefined;
  #capacity = 1;

  constructor(
    private readonly vm: VirtualMachine,
    private readonly native: NativeVm,
  ) {
    this.#ports = vm.ports;
    this.#mmio = vm.mmio;
    this.#devices = devicesOf(vm);
    this.#portZones = new CoalescedZones(vm, true);
    this.#mmioZones = new CoalescedZones(vm, false);
  }

  /** Posts the writes to a range of ports or addresses until the result is removed. */
  add(port: boolean, range: AddressRange): Removable {
    const undo = this.#hasCoalescing(port) ? this.#addToKernel(port, range) : this.#addToNative(port, range);
    this.#ranges++;
    this.#activate();
    return removable(() => {
      this.#ranges--;
      if (this.vm.closed) return;
      undo();
      this.#drainLast();
      this.active = this.#ranges > 0 || this.waiting;
    });
  }

  /** Has the kernel leave writes to the address of a doorbell alone. */
  exclude(port: boolean, range: AddressRange): Removable {
    return removable(this.#hasCoalescing(port) ? this.#zonesOf(port).exclude(range) : () => undefined);
  }

  /** For a VM that closes: handlers see what its guest has written, then the ring goes. A mapping would keep the kernel's VM. */
  close(): void {
    try {
      if (this.waiting && !this.#devices.serving) this.drain();
    } catch {
      // As what a device's promise rejects with later: there is no run to tell.
    }
    this.active = false;
    if (this.#words) addon().detach(this.#words.buffer as ArrayBuffer);
    this.#words = this.#bytes = undefined;
  }

  #zonesOf(port: boolean): CoalescedZones {
    return port ? this.#portZones : this.#mmioZones;
  }

  #addToKernel(port: boolean, range: AddressRange): () => void {
    this.#mapKernelRing();
    return this.#zonesOf(port).post(range);
  }

  #addToNative(port: boolean, range: AddressRange): () => void {
    this.native.post(port, range.first, range.last);
    if (!this.#words) this.#use(this.native.postedRing(), 0);
    return () => this.native.unpost(port, range.first, range.last);
  }

  /** While the handler is there; not inside another one. */
  #drainLast(): void {
    try {
      if (this.waiting && !this.#devices.serving) this.drain();
    } catch (error) {
      failRuns(this.vm, error, this.last);
    }
  }

  #activate(): void {
    if (this.active) return;
    this.active = true;
    for (const tell of this.onActive) tell();
  }

  /** For a VM that has made a vCPU: on KVM the ring lies in the vCPUs' pages, one for all of them. */
  attach(): void {
    if (this.active && this.vm.backend === 'kvm') this.#mapKernelRing();
  }

  /** Whether writes wait. */
  get waiting(): boolean {
    const words = this.#words;
    return words !== undefined && words[0] !== words[1];
  }

  /** Gives the writes that wait to their handlers, oldest first. What a handler throws passes through; the others wait on. */
  drain(): void {
    const words = this.#words;
    if (words === undefined) return;
    const ports = this.#ports;
    const capacity = this.#capacity;
    const devices = this.#devices;
    const { serving } = devices;
    devices.serving = true;
    let served = 0;
    let isPort = true;
    let address = 0;
    let width = 0;
    try {
      // A handler may come back here, and other vCPUs write on: both numbers are read anew, and more than a ring full is never served.
      while (served < capacity) {
        const first = words[0];
        if (first === words[1]) {
          this.active = this.#ranges > 0 && this.#words === words; // a handler may have closed the VM
          return;
        }
        const at = first < capacity ? first : 0;
        // Before the handler runs: one that fails has had its write.
        words[0] = at + 1 === capacity ? 0 : at + 1;
        served++;
        const word = headWords + at * writeWords;
        address = words[word];
        width = words[word + 2];
        isPort = words[word + 3] !== 0;
        if (isPort) {
          const pending = ports.write(address, words[word + 4], width as Width);
          if (pending !== undefined) throw notPosted(pending, 'port', address);
        } else {
          address += words[word + 1] * 2 ** 32;
          this.#writeMemory(address, word, width);
        }
      }
    } catch (error) {
      this.last = `a posted write to ${placeOf(this.vm, isPort, address, width)}`;
      throw error;
    } finally {
      devices.serving = serving;
      this.served += served;
    }
  }

  #writeMemory(address: number, word: number, width: number): void {
    const bytes = this.#bytes!.subarray((word + 4) * 4, (word + 6) * 4);
    const pending = this.#mmio.writeBytes(address, bytes, width);
    if (pending !== undefined) throw notPosted(pending, 'address', address);
  }

  #hasCoalescing(port: boolean): boolean {
    if (this.vm.backend !== 'kvm') return false;
    const { kvm } = this.vm;
    return kvm.checkExtension('KVM_CAP_COALESCED_MMIO') > 0 && (!port || kvm.checkExtension('KVM_CAP_COALESCED_PIO') > 0);
  }

  #mapKernelRing(): void {
    const [vcpu] = this.vm.vcpus;
    if (!vcpu || this.#words) return;
    this.#use(vcpu.native.map(this.vm.kvm.checkExtension('KVM_CAP_COALESCED_MMIO') * pageSize, pageSize), 0);
  }

  #use(buffer: ArrayBuffer, at: number): void {
    this.#words = new Uint32Array(buffer, at);
    this.#bytes = new Uint8Array(buffer, at);
    this.#capacity = Math.floor((this.#words.length - headWords) / writeWords);
  }
}

function notPosted(pending: PromiseLike<void>, what: 'port' | 'address', at: number): HaxError {
  // Nobody else looks at it: one that is rejected would end the process.
  void Promise.resolve(pending).catch(() => undefined);
  const message = `the handler of posted writes to ${what} ${hex(at)} gave a promise: the guest cannot wait for it`;
  return new HaxError('ERR_HAX_DEVICE_FAILED', message);
}

import { checkObject, shown } from '../../util/check';
import { invalidArgument } from '../../util/errors';
import { checkInteger } from '../../util/numbers';
import { checkScalar, decode, encode, encodeList, sizeOf, type Input } from './codec';
import { EventFd, fdOf } from './eventfd';
import {
  constants,
  type KvmIoapicState,
  type KvmIrqRoutingEntry,
  type KvmMsi,
  type KvmPicState,
  type KvmPitState2,
} from './generated/uapi';
import { VmMemoryCalls } from './vm-memory';

export interface IrqfdOptions {
  /** Its signals inject the interrupt. */
  readonly fd: EventFd;
  readonly gsi: number;
  /** For level-triggered interrupts: signalled when the guest has ended one; `fd`'s signal asserts the line. Needs KVM_CAP_IRQFD_RESAMPLE. */
  readonly resamplefd?: EventFd;
  /** Takes the connection of `fd` and `gsi` away. */
  readonly deassign?: boolean;
}

export interface IoeventfdOptions {
  /** Signalled by the guest's write instead of an exit. */
  readonly fd: EventFd;
  /** Guest-physical address, or port with `pio`. */
  readonly addr: number | bigint;
  /** 1, 2, 4 or 8 bytes; 0 for writes of any width (KVM_CAP_IOEVENTFD_ANY_LENGTH). */
  readonly len: 0 | 1 | 2 | 4 | 8;
  readonly pio?: boolean;
  /** Only writes of this value. */
  readonly datamatch?: number | bigint;
  readonly deassign?: boolean;
}

export interface CoalescedZone {
  readonly addr: number | bigint;
  readonly size: number;
  /** Ports; needs KVM_CAP_COALESCED_PIO. */
  readonly pio?: boolean;
}

/** The chips that {@link VmIrqCalls.getIrqchip} knows: KVM_IRQCHIP_PIC_MASTER, PIC_SLAVE and IOAPIC. */
export type IrqchipState =
  | { readonly chip_id: 0 | 1; readonly chip: { readonly pic: Input<KvmPicState> } }
  | { readonly chip_id: 2; readonly chip: { readonly ioapic: Input<KvmIoapicState> } };

export type IrqchipRead = { chip_id: 0 | 1; chip: { pic: KvmPicState } } | { chip_id: 2; chip: { ioapic: KvmIoapicState } };

/** Interrupt controllers, lines, messages and the eventfds that reach them; the 8254 timer. */
export abstract class VmIrqCalls extends VmMemoryCalls {
  /** KVM_CREATE_IRQCHIP (4.24): PIC, IOAPIC and local APICs in the kernel, before any vCPU. EEXIST: they are there already. */
  createIrqchip(): void {
    this.call('KVM_CREATE_IRQCHIP', 0);
  }

  /** KVM_GET_IRQCHIP (4.26): 0 and 1 are the PICs, 2 the IOAPIC. ENXIO: the kernel has none. */
  getIrqchip(chipId: 0 | 1 | 2): IrqchipRead {
    checkInteger(chipId, 'chip_id', 0, 2);
    const bytes = new Uint8Array(sizeOf('kvm_irqchip'));
    new DataView(bytes.buffer).setUint32(0, chipId, true);
    this.call('KVM_GET_IRQCHIP', bytes);
    const { chip_id, chip } = decode('kvm_irqchip', bytes);
    return chip_id === 2 ? { chip_id, chip: { ioapic: chip.ioapic! } } : { chip_id: chip_id as 0 | 1, chip: { pic: chip.pic! } };
  }

  /** KVM_SET_IRQCHIP (4.27). */
  setIrqchip(state: IrqchipState): void {
    this.write('KVM_SET_IRQCHIP', 'kvm_irqchip', state);
  }

  /** KVM_IRQ_LINE (4.25): the level of an input of the interrupt controllers. ENXIO: the kernel has none. */
  irqLine(gsi: number, level: boolean): void {
    this.write('KVM_IRQ_LINE', 'kvm_irq_level', { irq: gsi, level: level ? 1 : 0 });
  }

  /** KVM_IRQ_LINE_STATUS (4.25): the same; above 0 delivered (to how many), 0 coalesced with one that is pending, below 0 masked. */
  irqLineStatus(gsi: number, level: boolean): number {
    const bytes = encode('kvm_irq_level', { irq: gsi, level: level ? 1 : 0 });
    this.call('KVM_IRQ_LINE_STATUS', bytes);
    // The kernel answers in the same bytes, as a signed number.
    return decode('kvm_irq_level', bytes).status! | 0;
  }

  /**
   * KVM_SET_GSI_ROUTING (4.52): where each interrupt line leads, all of them at once: `{ gsi, type: KVM_IRQ_ROUTING_IRQCHIP, flags: 0,
   * u: { irqchip: { irqchip, pin } } }` or `type: KVM_IRQ_ROUTING_MSI` with `u: { msi: … }`. At most KVM_CAP_IRQ_ROUTING entries.
   */
  setGsiRouting(entries: readonly Input<KvmIrqRoutingEntry>[]): void {
    if (!Array.isArray(entries)) throw invalidArgument(`setGsiRouting() takes a list, not ${shown(entries)}`);
    const head = { nr: entries.length };
    this.call('KVM_SET_GSI_ROUTING', encodeList('kvm_irq_routing', head, 'kvm_irq_routing_entry', entries));
  }

  /** KVM_SIGNAL_MSI (4.71): a message-signalled interrupt. Above 0: delivered; 0: the guest has blocked it. */
  signalMsi(msi: Pick<Input<KvmMsi>, 'address_lo' | 'address_hi' | 'data'> & Partial<Input<KvmMsi>>): number {
    return this.write('KVM_SIGNAL_MSI', 'kvm_msi', { flags: 0, ...msi });
  }

  /** KVM_IRQFD (4.75): plain, with resampling, or taken away. EBUSY: the eventfd has an interrupt already. */
  irqfd(options: IrqfdOptions): void {
    checkObject(options, 'what irqfd() takes');
    const { fd, gsi, resamplefd, deassign = false } = options;
    if (resamplefd) this.extensions.require('KVM_CAP_IRQFD_RESAMPLE', 'KVM_IRQFD');
    const flags = (deassign ? constants.KVM_IRQFD_FLAG_DEASSIGN : 0) | (resamplefd ? constants.KVM_IRQFD_FLAG_RESAMPLE : 0);
    this.write('KVM_IRQFD', 'kvm_irqfd', { fd: fdOf(fd, 'fd'), gsi, flags, resamplefd: resamplefd ? fdOf(resamplefd, 'resamplefd') : 0 });
  }

  /** KVM_IOEVENTFD (4.59): a doorbell that costs no exit. EEXIST: the range has one; ENOENT: nothing to take away. */
  ioeventfd(options: IoeventfdOptions): void {
    checkObject(options, 'what ioeventfd() takes');
    const { fd, addr, len, pio = false, datamatch, deassign = false } = options;
    if (len === 0) this.extensions.require('KVM_CAP_IOEVENTFD_ANY_LENGTH', 'KVM_IOEVENTFD');
    const flag = (on: boolean, bit: number): number => (on ? bit : 0);
    const flags =
      flag(datamatch !== undefined, constants.KVM_IOEVENTFD_FLAG_DATAMATCH) |
      flag(pio, constants.KVM_IOEVENTFD_FLAG_PIO) |
      flag(deassign, constants.KVM_IOEVENTFD_FLAG_DEASSIGN);
    this.write('KVM_IOEVENTFD', 'kvm_ioeventfd', { datamatch: datamatch ?? 0, addr, len, fd: fdOf(fd, 'fd'), flags });
  }

  /** An eventfd for {@link irqfd} and {@link ioeventfd}. */
  makeEventFd(): EventFd {
    return new EventFd();
  }

  /** KVM_REGISTER_COALESCED_MMIO (4.116): writes to the zone wait in the ring of {@link KvmVcpu.mapCoalescedRing} instead of exiting. */
  registerCoalescedMmio(zone: CoalescedZone): void {
    this.write('KVM_REGISTER_COALESCED_MMIO', 'kvm_coalesced_mmio_zone', this.#zone(zone));
  }

  /** KVM_UNREGISTER_COALESCED_MMIO (4.116). */
  unregisterCoalescedMmio(zone: CoalescedZone): void {
    this.write('KVM_UNREGISTER_COALESCED_MMIO', 'kvm_coalesced_mmio_zone', this.#zone(zone));
  }

  /** KVM_CREATE_PIT2 (4.71): the 8254 in the kernel, after createIrqchip(). Flag KVM_PIT_SPEAKER_DUMMY: port 0x61 as well. */
  createPit2(flags = 0): void {
    this.write('KVM_CREATE_PIT2', 'kvm_pit_config', { flags });
  }

  /** KVM_GET_PIT2 (4.72). ENXIO: there is none. */
  getPit2(): KvmPitState2 {
    return this.read('KVM_GET_PIT2', 'kvm_pit_state2');
  }

  /** KVM_SET_PIT2 (4.73). */
  setPit2(state: Input<KvmPitState2>): void {
    this.write('KVM_SET_PIT2', 'kvm_pit_state2', state);
  }

  /** KVM_REINJECT_CONTROL (4.99): whether ticks of the 8254 that the guest missed are made up for. ENXIO: there is no 8254. */
  reinjectControl(reinject: boolean): void {
    this.write('KVM_REINJECT_CONTROL', 'kvm_reinject_control', { pit_reinject: reinject ? 1 : 0 });
  }

  /** KVM_HYPERV_EVENTFD (4.113): a doorbell for HVCALL_SIGNAL_EVENT on a connection below 2^24. */
  hypervEventfd(connId: number, fd: EventFd, deassign = false): void {
    const flags = deassign ? constants.KVM_HYPERV_EVENTFD_DEASSIGN : 0;
    this.write('KVM_HYPERV_EVENTFD', 'kvm_hyperv_eventfd', { conn_id: connId, fd: deassign ? -1 : fdOf(fd, 'fd'), flags });
  }

  #zone(zone: CoalescedZone): { addr: bigint; size: number; pio: number } {
    checkObject(zone, 'a coalesced zone');
    const { addr, size, pio = false } = zone;
    if (pio) this.extensions.require('KVM_CAP_COALESCED_PIO', 'KVM_REGISTER_COALESCED_MMIO');
    return { addr: checkScalar(addr, 'u64', 'addr'), size, pio: pio ? 1 : 0 };
  }
}

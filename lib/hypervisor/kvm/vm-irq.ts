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

/** KVM_MAX_IRQ_ROUTES of x86. */
const maxRoutes = 4096;

/** What KVM_IRQFD connects. */
export interface IrqfdOptions {
  /** Its signals inject the interrupt. */
  readonly fd: EventFd;
  /** The GSI that is raised. */
  readonly gsi: number;
  /** For level-triggered interrupts: signalled when the guest has ended one; `fd`'s signal asserts the line. Needs KVM_CAP_IRQFD_RESAMPLE. */
  readonly resamplefd?: EventFd | undefined;
  /** Takes the connection of `fd` and `gsi` away. */
  readonly deassign?: boolean | undefined;
}

/** Which writes of the guest KVM_IOEVENTFD turns into signals. */
export interface IoeventfdOptions {
  /** Signalled by the guest's write instead of an exit. */
  readonly fd: EventFd;
  /** Guest-physical address, or port with `pio`. */
  readonly addr: number | bigint;
  /** 1, 2, 4 or 8 bytes; 0 for writes of any width (KVM_CAP_IOEVENTFD_ANY_LENGTH). */
  readonly len: 0 | 1 | 2 | 4 | 8;
  /** Writes to a port; else to memory. */
  readonly pio?: boolean | undefined;
  /** Only writes of this value. */
  readonly datamatch?: number | bigint | undefined;
  /** Takes the connection away; the other options are those that made it. */
  readonly deassign?: boolean | undefined;
}

/** Addresses, or ports, whose writes the kernel collects. */
export interface CoalescedZone {
  /** Guest-physical address of the first byte, or the first port. */
  readonly addr: number | bigint;
  /** Bytes, or ports; less than 2^31. */
  readonly size: number;
  /** Ports; needs KVM_CAP_COALESCED_PIO. */
  readonly pio?: boolean | undefined;
}

/** The chips that {@link VmIrqCalls.getIrqchip} knows: KVM_IRQCHIP_PIC_MASTER, PIC_SLAVE and IOAPIC. */
export type IrqchipState =
  | {
      /** KVM_IRQCHIP_PIC_MASTER 0 or KVM_IRQCHIP_PIC_SLAVE 1. */
      readonly chip_id: 0 | 1;
      /** Its state. */
      readonly chip: {
        /** An 8259. */
        readonly pic: Input<KvmPicState>;
      };
    }
  | {
      /** KVM_IRQCHIP_IOAPIC. */
      readonly chip_id: 2;
      /** Its state. */
      readonly chip: {
        /** The IOAPIC. */
        readonly ioapic: Input<KvmIoapicState>;
      };
    };

/** What {@link VmIrqCalls.getIrqchip} gives: {@link IrqchipState} with every field. */
export type IrqchipRead =
  | {
      /** KVM_IRQCHIP_PIC_MASTER 0 or KVM_IRQCHIP_PIC_SLAVE 1. */
      chip_id: 0 | 1;
      /** Its state. */
      chip: {
        /** An 8259. */
        pic: KvmPicState;
      };
    }
  | {
      /** KVM_IRQCHIP_IOAPIC. */
      chip_id: 2;
      /** Its state. */
      chip: {
        /** The IOAPIC. */
        ioapic: KvmIoapicState;
      };
    };

/** Interrupt controllers, lines, messages and the eventfds that reach them; the 8254 timer. */
export abstract class VmIrqCalls extends VmMemoryCalls {
  /**
   * KVM_CREATE_IRQCHIP (4.24, Linux 2.6.24): PIC, IOAPIC and local APICs in the kernel, before any vCPU. Lines 0 to 15 lead to PIC and
   * IOAPIC, 16 to 23 to the IOAPIC.
   *
   * Errors: EEXIST, they are there already; EINVAL, there is a vCPU already.
   */
  createIrqchip(): void {
    this.call('KVM_CREATE_IRQCHIP', 0);
  }

  /**
   * KVM_GET_IRQCHIP (4.26, Linux 2.6.24): 0 and 1 are the PICs, 2 the IOAPIC.
   *
   * Errors: ENXIO, the kernel has none.
   */
  getIrqchip(chipId: 0 | 1 | 2): IrqchipRead {
    checkInteger(chipId, 'chip_id', 0, 2);
    const bytes = new Uint8Array(sizeOf('kvm_irqchip'));
    new DataView(bytes.buffer).setUint32(0, chipId, true);
    this.call('KVM_GET_IRQCHIP', bytes);
    const { chip_id, chip } = decode('kvm_irqchip', bytes);
    return chip_id === 2 ? { chip_id, chip: { ioapic: chip.ioapic! } } : { chip_id: chip_id as 0 | 1, chip: { pic: chip.pic! } };
  }

  /**
   * KVM_SET_IRQCHIP (4.27, Linux 2.6.24): the state of getIrqchip().
   *
   * Errors: ENXIO, the kernel has none.
   */
  setIrqchip(state: IrqchipState): void {
    this.write('KVM_SET_IRQCHIP', 'kvm_irqchip', state);
  }

  /**
   * KVM_IRQ_LINE (4.25, Linux 2.6.24): the level of an input of the interrupt controllers; true is asserted, whatever the polarity.
   *
   * Errors: ENXIO, the kernel has none.
   */
  irqLine(gsi: number, level: boolean): void {
    this.write('KVM_IRQ_LINE', 'kvm_irq_level', { irq: gsi, level: level ? 1 : 0 });
    this.lineWasSet(gsi, level);
  }

  /**
   * KVM_IRQ_LINE_STATUS (4.25, Linux 2.6.30): the same; above 0 delivered (to how many), 0 coalesced with one that is pending, below 0
   * masked.
   *
   * Errors: ENXIO, the kernel has no interrupt controllers.
   */
  irqLineStatus(gsi: number, level: boolean): number {
    const bytes = encode('kvm_irq_level', { irq: gsi, level: level ? 1 : 0 });
    this.call('KVM_IRQ_LINE_STATUS', bytes);
    this.lineWasSet(gsi, level);
    // The kernel answers in the same bytes, as a signed number.
    return decode('kvm_irq_level', bytes).status! | 0;
  }

  /**
   * KVM_SET_GSI_ROUTING (4.52, Linux 2.6.30): where each interrupt line leads, all of them at once: `{ gsi, type: KVM_IRQ_ROUTING_IRQCHIP,
   * flags: 0, u: { irqchip: { irqchip, pin } } }` or `type: KVM_IRQ_ROUTING_MSI` with `u: { msi: … }`. At most KVM_CAP_IRQ_ROUTING
   * entries.
   *
   * Errors: EINVAL, a chip, pin, type, line or flag that there is not, or too many.
   */
  setGsiRouting(entries: readonly Input<KvmIrqRoutingEntry>[]): void {
    if (!Array.isArray(entries)) throw invalidArgument(`setGsiRouting() takes a list, not ${shown(entries)}`);
    const list = Array.from(entries as Input<KvmIrqRoutingEntry>[]);
    checkInteger(list.length, 'number of routes', 0, maxRoutes);
    this.call('KVM_SET_GSI_ROUTING', encodeList('kvm_irq_routing', { nr: list.length }, 'kvm_irq_routing_entry', list));
  }

  /**
   * KVM_SIGNAL_MSI (4.71, Linux 3.5): a message-signalled interrupt. Above 0: delivered; 0: the guest has blocked it.
   *
   * Errors: EINVAL, no local APICs in the kernel, or flags.
   */
  signalMsi(msi: Pick<Input<KvmMsi>, 'address_lo' | 'address_hi' | 'data'> & Partial<Input<KvmMsi>>): number {
    return this.write('KVM_SIGNAL_MSI', 'kvm_msi', { flags: 0, ...msi });
  }

  /**
   * KVM_IRQFD (4.75, Linux 2.6.32): plain, with resampling, or taken away.
   *
   * Errors: EBUSY, the eventfd has an interrupt already; EINVAL, no such line, or no interrupt controllers in the kernel.
   */
  irqfd(options: IrqfdOptions): void {
    checkObject(options, 'what irqfd() takes');
    const { fd, gsi, resamplefd, deassign = false } = options;
    if (resamplefd) this.extensions.require('KVM_CAP_IRQFD_RESAMPLE', 'KVM_IRQFD');
    const flags = (deassign ? constants.KVM_IRQFD_FLAG_DEASSIGN : 0) | (resamplefd ? constants.KVM_IRQFD_FLAG_RESAMPLE : 0);
    this.write('KVM_IRQFD', 'kvm_irqfd', { fd: fdOf(fd, 'fd'), gsi, flags, resamplefd: resamplefd ? fdOf(resamplefd, 'resamplefd') : 0 });
  }

  /**
   * KVM_IOEVENTFD (4.59, Linux 2.6.32): a doorbell that costs no exit.
   *
   * Errors: EEXIST, the range has one; ENOENT, nothing to take away; EINVAL, another width or past the end of the space; ENOSPC, too many.
   */
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

  /**
   * KVM_REGISTER_COALESCED_MMIO (4.116, Linux 2.6.28; ports since 4.20): writes to `size` bytes from `addr` on wait in the ring of {@link
   * KvmVcpu.mapCoalescedRing} instead of exiting. When it is full they are exits again.
   *
   * Errors: ENOSPC, too many zones.
   */
  registerCoalescedMmio(zone: CoalescedZone): void {
    this.write('KVM_REGISTER_COALESCED_MMIO', 'kvm_coalesced_mmio_zone', this.#zone(zone));
  }

  /**
   * KVM_UNREGISTER_COALESCED_MMIO (4.116, Linux 2.6.28): takes away every zone that this one lies in.
   *
   * Errors: none of its own.
   */
  unregisterCoalescedMmio(zone: CoalescedZone): void {
    this.write('KVM_UNREGISTER_COALESCED_MMIO', 'kvm_coalesced_mmio_zone', this.#zone(zone));
  }

  /**
   * KVM_CREATE_PIT2 (4.71, Linux 2.6.31): the 8254 in the kernel, after createIrqchip(). Flag KVM_PIT_SPEAKER_DUMMY 1: port 0x61 as well.
   *
   * Errors: EEXIST, it is there already; ENOENT, there are no interrupt controllers in the kernel.
   */
  createPit2(flags = 0): void {
    this.write('KVM_CREATE_PIT2', 'kvm_pit_config', { flags });
  }

  /**
   * KVM_GET_PIT2 (4.72, Linux 2.6.32): the 8254's channels; `count_load_time` is in nanoseconds of the host's monotonic clock.
   *
   * Errors: ENXIO, there is none.
   */
  getPit2(): KvmPitState2 {
    return this.read('KVM_GET_PIT2', 'kvm_pit_state2');
  }

  /**
   * KVM_SET_PIT2 (4.73, Linux 2.6.32): the state of getPit2(). The kernel sets `count_load_time` itself.
   *
   * Errors: ENXIO, there is no 8254 in the kernel.
   */
  setPit2(state: Input<KvmPitState2>): void {
    this.write('KVM_SET_PIT2', 'kvm_pit_state2', state);
  }

  /**
   * KVM_REINJECT_CONTROL (4.99, Linux 2.6.30): whether ticks of the 8254 that the guest missed are made up for, as they are at first.
   *
   * Errors: ENXIO, there is no 8254 in the kernel.
   */
  reinjectControl(reinject: boolean): void {
    this.write('KVM_REINJECT_CONTROL', 'kvm_reinject_control', { pit_reinject: reinject ? 1 : 0 });
  }

  /**
   * KVM_HYPERV_EVENTFD (4.113, Linux 4.17): a doorbell for HVCALL_SIGNAL_EVENT on a connection below 2^24.
   *
   * Errors: EINVAL, no such connection; EEXIST, it has one; ENOENT, nothing to take away.
   */
  hypervEventfd(connId: number, fd: EventFd, deassign = false): void {
    const flags = deassign ? constants.KVM_HYPERV_EVENTFD_DEASSIGN : 0;
    this.write('KVM_HYPERV_EVENTFD', 'kvm_hyperv_eventfd', { conn_id: connId, fd: deassign ? -1 : fdOf(fd, 'fd'), flags });
  }

  /** `vm.irqLine()` tells the kernel changes only. */
  protected abstract lineWasSet(gsi: number, level: boolean): void;

  #zone(zone: CoalescedZone): { addr: bigint; size: number; pio: number } {
    checkObject(zone, 'a coalesced zone');
    const { addr, size, pio = false } = zone;
    if (pio) this.extensions.require('KVM_CAP_COALESCED_PIO', 'KVM_REGISTER_COALESCED_MMIO');
    // An int in the kernel where a zone goes (virt/kvm/coalesced_mmio.c): a larger one would stay for ever.
    checkInteger(size, 'size of a coalesced zone', 1, 0x7fffffff);
    return { addr: checkScalar(addr, 'u64', 'addr'), size, pio: pio ? 1 : 0 };
  }
}

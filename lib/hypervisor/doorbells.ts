/**
 * Doorbells: writes of one value that only tell a device to look. On KVM an eventfd takes them without an exit (api.rst 4.59) and the event
 * loop calls the device; elsewhere they are writes like any other.
 */
import { removable, together, type Doorbell, type Removable } from '../bus/claim';
import { AddressRange } from '../bus/range';
import { addon } from '../native/addon';
import { devicesOf, failRuns, placeOf } from './devices';
import type { VirtualMachine } from './vm';

/** VMs that are collected unclosed: their eventfds go with them. */
const collected = new FinalizationRegistry<Set<Removable>>((watches) => closeAll(watches));

function closeAll(watches: Set<Removable>): void {
  for (const each of [...watches]) each.remove();
}

/** Calls a device from the event loop: what it throws, or its promise rejects with, ends the runs as at an exit. */
function ring(vm: VirtualMachine, port: boolean, address: number, width: Doorbell['width'], value: number): void {
  const devices = devicesOf(vm);
  const { posted } = vm;
  let rang = false;
  // Of a VM that is closed nobody waits for it, as at an exit.
  const failed = (cause: unknown): void => {
    if (!vm.closed) failRuns(vm, cause, rang ? `a doorbell at ${placeOf(vm, port, address, width)}` : posted.last);
  };
  devices.serving = true;
  try {
    // What the guest has written before it rang.
    if (posted.active && posted.waiting) posted.drain();
    rang = true;
    if (!vm.closed) (port ? vm.ports : vm.mmio).write(address, value, width)?.then(undefined, failed);
  } catch (cause) {
    failed(cause);
  } finally {
    devices.serving = false;
  }
}

/** Of a doorbell that has failed already: that it cannot be taken away either is nothing new. */
function disconnect(connection: Removable): void {
  try {
    connection.remove();
  } catch {
    // as above
  }
}

/** The doorbells of one VM. What waits in the event loop does not keep the VM. */
export class Doorbells {
  readonly #vm: WeakRef<VirtualMachine>;
  /** Eventfds and their watches. */
  readonly #watches = new Set<Removable>();

  constructor(vm: VirtualMachine) {
    this.#vm = new WeakRef(vm);
    collected.register(vm, this.#watches);
  }

  /** Connects the doorbells of a range of ports or addresses. */
  add(vm: VirtualMachine, port: boolean, range: AddressRange, bells: readonly Doorbell[]): Removable {
    if (vm.backend !== 'kvm' || !addon().loopIsAccessible || vm.kvm.checkExtension('KVM_CAP_IOEVENTFD') <= 0)
      return removable(() => undefined);
    return together(
      bells.map(
        ({ offset, width, value }) =>
          () =>
            this.#connect(vm, port, range.first + offset, width, value),
      ),
    );
  }

  /** For a VM that closes. */
  close(): void {
    closeAll(this.#watches);
  }

  #connect(vm: VirtualMachine, port: boolean, address: number, width: Doorbell['width'], value: number): Removable {
    const fd = vm.kvm.makeEventFd();
    const zone = { addr: address, len: width, pio: port, datamatch: value } as const;
    const hole = vm.posted.exclude(port, AddressRange.of(address, width));
    const weak = this.#vm;
    const watch = new (addon().DescriptorWatch)(fd.native, () => {
      const open = weak.deref();
      if (!open || open.closed || fd.closed) return;
      try {
        if (fd.read() === 0n) return;
      } catch (cause) {
        // Left as it is, it would fail at each turn of the loop. Its writes are like any other from now on.
        disconnect(connection);
        return failRuns(open, cause, `a doorbell at ${placeOf(open, port, address, width)}`);
      }
      ring(open, port, address, width, value);
    });
    const watched = removable(() => {
      watch.close();
      fd.close();
      this.#watches.delete(watched);
    });
    this.#watches.add(watched);
    try {
      vm.kvm.ioeventfd({ ...zone, fd });
    } catch (error) {
      watched.remove();
      hole.remove();
      throw error;
    }
    const connection = removable(() => {
      const open = weak.deref();
      try {
        if (open && !open.closed) open.kvm.ioeventfd({ ...zone, fd, deassign: true });
      } finally {
        watched.remove();
        hole.remove();
      }
    });
    return connection;
  }
}

import { KvmCalls, type Extensions } from './base';
import type { KvmDescriptor } from './eventfd';

/**
 * A device in the kernel, made by {@link KvmVm.createDevice}. Its attributes are described in the kernel's
 * Documentation/virt/kvm/devices/.
 *
 * Every call throws ERR_HAX_INVALID_ARGUMENT for what does not fit, ERR_HAX_UNSUPPORTED with the capability's name where the kernel
 * lacks the call, ERR_HAX_IOCTL with the errno where it refuses, and ERR_HAX_CLOSED after close().
 */
export class KvmDevice extends KvmCalls {
  constructor(
    /** The descriptor of the device, open until it is closed. */
    readonly descriptor: KvmDescriptor,
    extensions: Extensions,
  ) {
    super({ ioctl: (request, argument) => descriptor.native.ioctl(request, argument) }, 'device', extensions);
  }

  /**
   * KVM_HAS_DEVICE_ATTR (4.81, Linux 3.10): whether the device has the attribute.
   *
   * Errors: none; what the kernel refuses is false.
   */
  hasDeviceAttr(group: number, attr: number | bigint): boolean {
    return this.askAttribute(group, attr);
  }

  /**
   * KVM_GET_DEVICE_ATTR (4.80, Linux 3.10): the attribute's value, `size` bytes, at most 65535.
   *
   * Errors: ENXIO, there is no such attribute; EPERM, not to be read.
   */
  getDeviceAttr(group: number, attr: number | bigint, size: number): Uint8Array {
    return this.readAttribute(group, attr, size);
  }

  /**
   * KVM_SET_DEVICE_ATTR (4.80, Linux 3.10): the attribute's value.
   *
   * Errors: ENXIO, there is no such attribute; EBUSY, too late; EPERM, not to be written.
   */
  setDeviceAttr(group: number, attr: number | bigint, value: Uint8Array): void {
    this.writeAttribute(group, attr, value);
  }

  /** The kernel keeps the device as long as its VM. */
  close(): void {
    this.descriptor.close();
  }
}

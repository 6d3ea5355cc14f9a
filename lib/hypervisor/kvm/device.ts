import { checkBytes } from '../../util/check';
import { KvmCalls, type Extensions } from './base';
import type { KvmDescriptor } from './eventfd';

/** A device in the kernel, made by {@link KvmVm.createDevice}. Its attributes are described in the kernel's Documentation/virt/kvm/devices/. */
export class KvmDevice extends KvmCalls {
  constructor(
    readonly descriptor: KvmDescriptor,
    extensions: Extensions,
  ) {
    super({ ioctl: (request, argument) => descriptor.native.ioctl(request, argument) }, 'device', extensions);
  }

  /** KVM_HAS_DEVICE_ATTR (4.81): whether the device has the attribute. */
  hasDeviceAttr(group: number, attr: number | bigint): boolean {
    return this.askAttribute(group, attr);
  }

  /** KVM_GET_DEVICE_ATTR (4.80): the attribute's value, `size` bytes. ENXIO: there is no such attribute. */
  getDeviceAttr(group: number, attr: number | bigint, size: number): Uint8Array {
    return this.readAttribute(group, attr, size);
  }

  /** KVM_SET_DEVICE_ATTR (4.80): ENXIO where there is no such attribute, EBUSY where it is too late. */
  setDeviceAttr(group: number, attr: number | bigint, value: Uint8Array): void {
    checkBytes(value, 'value of an attribute');
    this.writeAttribute(group, attr, value);
  }

  /** The kernel keeps the device as long as its VM. */
  close(): void {
    this.descriptor.close();
  }
}

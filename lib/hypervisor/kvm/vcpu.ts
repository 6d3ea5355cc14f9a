import { HaxError } from '../../util/errors';
import { checkInteger } from '../../util/numbers';
import type { Vcpu } from '../vcpu';
import { requireKvm } from './system';
import { CoalescedRing, DirtyRing, SyncRegs } from './rings';
import { VcpuEventCalls } from './vcpu-events';

const pageSize = 4096;
/** KVM_DIRTY_LOG_PAGE_OFFSET of x86: where the dirty ring lies in a vCPU's pages. */
const dirtyRingPage = 64;

/**
 * KVM's calls on a vCPU: `vcpu.kvm`. Sections are those of the kernel's Documentation/virt/kvm/api.rst, as Linux 6.11 numbers them. During
 * run() they are for a handler of the vCPU's own and while it is paused, in inline mode at any time; elsewhere they throw ERR_HAX_RUNNING.
 *
 * Every call throws ERR_HAX_INVALID_ARGUMENT for what does not fit, ERR_HAX_UNSUPPORTED with the capability's name where the kernel
 * lacks the call, ERR_HAX_IOCTL with the errno where it refuses, and ERR_HAX_CLOSED after close().
 */
export class KvmVcpu extends VcpuEventCalls {
  constructor(private readonly vcpu: Vcpu) {
    requireKvm(vcpu.vm.backend, 'vcpu');
    super(vcpu, 'vcpu', vcpu.vm.kvm.supported);
  }

  /**
   * The ring of pages that this vCPU has written (8.29), after `vm.kvm.enableCap('KVM_CAP_DIRTY_LOG_RING', [bytes])` and before the first
   * entry. `entries` is bytes / 16.
   */
  mapDirtyRing(entries: number): DirtyRing {
    checkInteger(entries, 'entries of the dirty ring', 256, 65536);
    return new DirtyRing(this.#map(dirtyRingPage * pageSize, entries * 16));
  }

  /** The ring of writes to zones of {@link KvmVm.registerCoalescedMmio}, which all vCPUs of a VM share (4.116). */
  mapCoalescedRing(): CoalescedRing {
    const page = this.extensions.value('KVM_CAP_COALESCED_MMIO');
    if (page <= 0) throw new HaxError('ERR_HAX_UNSUPPORTED', 'this kernel reports no KVM_CAP_COALESCED_MMIO', { backend: 'kvm' });
    return new CoalescedRing(this.#map(page * pageSize, pageSize));
  }

  /** Registers that travel with each entry (chapter 5, kvm_valid_regs); needs KVM_CAP_SYNC_REGS. */
  mapSyncRegs(): SyncRegs {
    this.extensions.require('KVM_CAP_SYNC_REGS', 'KVM_RUN');
    return new SyncRegs(this.#map(0, pageSize), () => this.vcpu.syncState([]));
  }

  #map(offset: number, length: number): Uint8Array<ArrayBuffer> {
    if (this.vcpu.closed) throw new HaxError('ERR_HAX_CLOSED', `vCPU ${this.vcpu.id} has been closed`);
    return new Uint8Array(this.vcpu.native.map(offset, length));
  }
}

import { checkBytes, checkList, checkObject } from '../../util/check';
import { HaxError, invalidArgument } from '../../util/errors';
import { checkInteger } from '../../util/numbers';
import type { VirtualMachine } from '../vm';
import { addressOf, Extensions } from './base';
import { checkScalar, decode, encode, sizeOf, type Input } from './codec';
import { KvmDevice } from './device';
import { adopt } from './eventfd';
import { capabilities, constants, type CapabilityName, type KvmClockData, type KvmEncRegion, type KvmXenHvmConfig } from './generated/uapi';
import { KvmStats } from './stats';
import { requireKvm } from './system';
import { VmIrqCalls } from './vm-irq';

/** More than any structure of a command (struct kvm_sev_cmd and kvm_tdx_cmd have 32 bytes). */
const commandRoom = 256;

/** MSRs from `base`, one bit each: a set bit lets the guest have it, a clear one denies it. */
export interface MsrRange {
  /** KVM_MSR_FILTER_READ 1, KVM_MSR_FILTER_WRITE 2, or both. */
  readonly flags: number;
  /** The first MSR. */
  readonly base: number;
  /** How many MSRs, 1 to 0x3000. */
  readonly nmsrs: number;
  /** At least `nmsrs` bits; the lowest of the first byte is that of `base`. */
  readonly bitmap: Uint8Array;
}

/** What KVM_SET_PMU_EVENT_FILTER (4.120) lets the guest count. */
export interface PmuEventFilter {
  /** KVM_PMU_EVENT_ALLOW 0 or KVM_PMU_EVENT_DENY 1. */
  readonly action: number;
  /** Fixed counters to which the action applies, a bit each. */
  readonly fixed_counter_bitmap: number;
  /** KVM_PMU_EVENT_FLAG_MASKED_EVENTS 1, or 0. */
  readonly flags: number;
  /** At most 300: event select and unit mask, with the flag also a mask. */
  readonly events: readonly (number | bigint)[];
}

/**
 * KVM's calls on a VM: `vm.kvm`. Sections are those of the kernel's Documentation/virt/kvm/api.rst, as Linux 6.11 numbers them.
 *
 * Every call throws ERR_HAX_INVALID_ARGUMENT for what does not fit, ERR_HAX_UNSUPPORTED with the capability's name where the kernel
 * lacks the call, ERR_HAX_IOCTL with the errno where it refuses, and ERR_HAX_CLOSED after close().
 */
export class KvmVm extends VmIrqCalls {
  constructor(private readonly vm: VirtualMachine) {
    requireKvm(vm.backend, 'vm');
    super(vm, 'vm', new Extensions(vm));
  }

  protected override largestRegion(): number {
    return Math.max(0, ...this.vm.memory.regions.map(({ size }) => size));
  }

  protected override lineWasSet(gsi: number, level: boolean): void {
    this.vm.lineWasSet(gsi, level);
  }

  /** For vCPUs of this VM. */
  get supported(): Extensions {
    return this.extensions;
  }

  /**
   * KVM_CHECK_EXTENSION (4.4, Linux 3.17) of this VM, which may say less or more than the system: 0, 1 or the number that the capability
   * stands for.
   *
   * Errors: none of its own; ERR_HAX_INVALID_ARGUMENT for a name that docs/kvm-calls.md does not list.
   */
  checkExtension(name: CapabilityName): number {
    const value = this.extensions.value(name);
    this.call('KVM_CHECK_EXTENSION', capabilities[name]);
    return value;
  }

  /**
   * KVM_ENABLE_CAP (4.37, Linux 4.2): up to four arguments, as chapter 7 gives them for each capability.
   *
   * Errors: EINVAL, not one that can be enabled for a VM, its arguments or flags, or too late; EEXIST, enabled already.
   */
  enableCap(cap: CapabilityName, args: readonly (number | bigint)[] = [], flags = 0): void {
    this.extensions.require(cap, 'KVM_ENABLE_CAP');
    this.write('KVM_ENABLE_CAP', 'kvm_enable_cap', { cap: capabilities[cap], flags, args });
  }

  /**
   * KVM_SET_BOOT_CPU_ID (4.41, Linux 2.6.32): the vCPU that starts running after a reset; 0 unless set.
   *
   * Errors: EBUSY, there is a vCPU already.
   */
  setBootCpuId(id: number): void {
    this.call('KVM_SET_BOOT_CPU_ID', checkInteger(id, 'id of a vCPU', 0, 0xffffffff));
  }

  /**
   * KVM_GET_CLOCK (4.29, Linux 2.6.33): kvmclock in nanoseconds; `realtime` (nanoseconds since 1970) and `host_tsc` (ticks) where `flags`
   * has KVM_CLOCK_REALTIME and KVM_CLOCK_HOST_TSC.
   *
   * Errors: none of its own.
   */
  getClock(): KvmClockData {
    return this.read('KVM_GET_CLOCK', 'kvm_clock_data');
  }

  /**
   * KVM_SET_CLOCK (4.30, Linux 2.6.33): kvmclock in nanoseconds. With KVM_CLOCK_REALTIME the time since `realtime` is added.
   *
   * Errors: EINVAL, another flag.
   */
  setClock(clock: Pick<Input<KvmClockData>, 'clock'> & Partial<Input<KvmClockData>>): void {
    this.write('KVM_SET_CLOCK', 'kvm_clock_data', { flags: 0, realtime: 0, host_tsc: 0, ...clock });
  }

  /**
   * KVM_SET_TSC_KHZ (4.55, Linux 5.18) for vCPUs made from now on: kilohertz; 0 is the host's.
   *
   * Errors: EINVAL, more than the processor can scale to, or there is a vCPU already.
   */
  setTscKhz(kilohertz: number): void {
    this.call('KVM_SET_TSC_KHZ', checkInteger(kilohertz, 'TSC frequency in kHz', 0, 0xffffffff));
  }

  /**
   * KVM_GET_TSC_KHZ (4.56, Linux 5.18): kilohertz.
   *
   * Errors: EIO, the host's is not stable.
   */
  getTscKhz(): number {
    return this.call('KVM_GET_TSC_KHZ', 0);
  }

  /**
   * KVM_X86_SET_MSR_FILTER (4.97, Linux 5.10): which MSRs the guest gets from the kernel; others are #GP, or exits of kind `msr` with
   * KVM_CAP_X86_USER_SPACE_MSR. At most 16 ranges of at most 0x3000 MSRs; none at all with default allow takes the filter away. MSRs 0x800
   * to 0x8ff cannot be denied.
   *
   * Errors: EINVAL, flags, or default deny without a range.
   */
  x86SetMsrFilter(ranges: readonly MsrRange[], options: { readonly defaultDeny?: boolean | undefined } = {}): void {
    checkObject(options, 'options of x86SetMsrFilter()');
    checkList(ranges, 'ranges of x86SetMsrFilter()');
    const list = Array.from(ranges, (range) => {
      checkObject(range, 'a range of MSRs');
      const { flags, base, nmsrs, bitmap } = range;
      checkBytes(bitmap, 'bitmap');
      checkInteger(nmsrs, 'nmsrs', 1, 0x3000);
      if (bitmap.length * 8 < nmsrs)
        throw invalidArgument(`a bitmap for ${nmsrs} MSRs has ${Math.ceil(nmsrs / 8)} bytes, not ${bitmap.length}`);
      // The kernel reads whole words.
      const words = new Uint8Array(Math.ceil(nmsrs / 64) * 8);
      words.set(bitmap.subarray(0, words.length));
      return { words, range: { flags, base, nmsrs, bitmap: addressOf(words) } };
    });
    const flags = options.defaultDeny ? constants.KVM_MSR_FILTER_DEFAULT_DENY : constants.KVM_MSR_FILTER_DEFAULT_ALLOW;
    this.lend(list, 'KVM_X86_SET_MSR_FILTER', 'kvm_msr_filter', { flags, ranges: list.map(({ range }) => range) });
  }

  /**
   * KVM_SET_PMU_EVENT_FILTER (4.120, Linux 5.3): which events the guest's performance counters may count, each an event select and unit
   * mask as in the counter's own register. At most 300; flag KVM_PMU_EVENT_FLAG_MASKED_EVENTS 1 since Linux 6.3.
   *
   * Errors: EINVAL, another action or flag; E2BIG, too many.
   */
  setPmuEventFilter(filter: PmuEventFilter): void {
    checkObject(filter, 'a filter of events');
    const { action, fixed_counter_bitmap, flags, events } = filter;
    checkList(events, 'events');
    const list = Array.from(events);
    checkInteger(list.length, 'number of events', 0, 300);
    const head = { action, nevents: list.length, fixed_counter_bitmap, flags };
    const bytes = encode('kvm_pmu_event_filter', head, list.length * 8);
    const view = new DataView(bytes.buffer, sizeOf('kvm_pmu_event_filter'));
    list.forEach((event, i) => view.setBigUint64(8 * i, checkScalar(event, 'u64', `events[${i}]`), true));
    this.call('KVM_SET_PMU_EVENT_FILTER', bytes);
  }

  /**
   * KVM_CREATE_DEVICE (4.79, Linux 3.10): `type` is a KVM_DEV_TYPE_…; on x86 KVM_DEV_TYPE_VFIO 4.
   *
   * Errors: ENODEV, no such device here; EBUSY, one a VM.
   */
  createDevice(type: number): KvmDevice {
    const fd = this.#createDevice(type, 0);
    return new KvmDevice(adopt(fd), this.extensions);
  }

  /** Whether createDevice() would make one: KVM_CREATE_DEVICE_TEST. */
  hasDevice(type: number): boolean {
    try {
      this.#createDevice(type, constants.KVM_CREATE_DEVICE_TEST);
      return true;
    } catch (error) {
      if (error instanceof HaxError && (error.code === 'ERR_HAX_IOCTL' || error.code === 'ERR_HAX_UNSUPPORTED')) return false;
      throw error;
    }
  }

  /**
   * KVM_GET_STATS_FD (4.133, Linux 5.14): counters of the VM, decoded.
   *
   * Errors: EMFILE or ENFILE, no descriptor left.
   */
  getStatsFd(): KvmStats {
    return new KvmStats(adopt(this.call('KVM_GET_STATS_FD', 0)));
  }

  /**
   * KVM_XEN_HVM_CONFIG (4.28, Linux 2.6.32), raw: the MSR that gives the guest its hypercall page; blob addresses are this process's,
   * sizes in pages.
   *
   * Errors: EINVAL, flags that KVM_CAP_XEN_HVM does not report.
   */
  xenHvmConfig(config: Input<KvmXenHvmConfig>): void {
    this.write('KVM_XEN_HVM_CONFIG', 'kvm_xen_hvm_config', config);
  }

  /**
   * KVM_MEMORY_ENCRYPT_OP (4.110, Linux 4.16): the vendor's command, raw, at least 8 bytes; changed in place.
   *
   * Errors: the vendor's; ENOTTY becomes ERR_HAX_UNSUPPORTED, no such processor.
   */
  memoryEncryptOp(command: Uint8Array): number {
    checkBytes(command, 'a command');
    if (command.length < 8) throw invalidArgument(`a command has at least 8 bytes, not ${command.length}`);
    // The request's number says 8 bytes; the vendor's structures are larger, and the kernel moves all of one.
    const bytes = new Uint8Array(Math.max(command.length, commandRoom));
    bytes.set(command);
    const result = this.call('KVM_MEMORY_ENCRYPT_OP', bytes);
    command.set(bytes.subarray(0, command.length));
    return result;
  }

  /**
   * KVM_MEMORY_ENCRYPT_REG_REGION (4.111, Linux 4.16), raw: memory of this process, `addr` and `size` in bytes, that will hold encrypted
   * pages.
   *
   * Errors: EINVAL, not such a VM; ENOTTY becomes ERR_HAX_UNSUPPORTED, no such processor.
   */
  memoryEncryptRegRegion(region: Input<KvmEncRegion>): void {
    this.write('KVM_MEMORY_ENCRYPT_REG_REGION', 'kvm_enc_region', region);
  }

  /**
   * KVM_MEMORY_ENCRYPT_UNREG_REGION (4.112, Linux 4.16), raw: the same range, as it was registered.
   *
   * Errors: EINVAL, no such region; ENOTTY becomes ERR_HAX_UNSUPPORTED, no such processor.
   */
  memoryEncryptUnregRegion(region: Input<KvmEncRegion>): void {
    this.write('KVM_MEMORY_ENCRYPT_UNREG_REGION', 'kvm_enc_region', region);
  }

  #createDevice(type: number, flags: number): number {
    const bytes = encode('kvm_create_device', { type, fd: 0, flags });
    this.call('KVM_CREATE_DEVICE', bytes);
    return decode('kvm_create_device', bytes).fd;
  }
}

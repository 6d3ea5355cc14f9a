/**
 * Every call of KVM that has a method here: the one table for checks at run time, for docs/kvm-calls.md and for the tests that count.
 * Kernel versions are those in which the call became usable on x86; sections are those of Documentation/virt/kvm/api.rst.
 */
import type { CapabilityName, RequestName } from './generated/uapi';

export type Scope = 'system' | 'vm' | 'vcpu' | 'device';

/** A call of KVM and the method that makes it. */
export interface KvmCall {
  /** What the call is made on: /dev/kvm, or the descriptor of a VM, a vCPU or a device. */
  readonly scope: Scope;
  /** The ioctl's name in <linux/kvm.h>. */
  readonly request: RequestName;
  /** Name of the method of the scope's class, or how the typed interface above makes the call. */
  readonly method: string;
  /** The kernel version in which it became usable on x86. */
  readonly since: string;
  /** What KVM_CHECK_EXTENSION must report; none for calls that every KVM of this API version has. */
  readonly capability?: CapabilityName;
  /** Undefined where the document says nothing. */
  readonly section?: string;
}

type Row = readonly [method: string, request: RequestName, since: string, section?: string, capability?: CapabilityName];

const system: readonly Row[] = [
  ['getApiVersion', 'KVM_GET_API_VERSION', '2.6.20', '4.1'],
  ['hypervisor.createVm', 'KVM_CREATE_VM', '2.6.20', '4.2'],
  ['checkExtension', 'KVM_CHECK_EXTENSION', '2.6.20', '4.4'],
  ['getVcpuMmapSize', 'KVM_GET_VCPU_MMAP_SIZE', '2.6.22', '4.5'],
  ['getSupportedCpuid', 'KVM_GET_SUPPORTED_CPUID', '2.6.25', '4.46', 'KVM_CAP_EXT_CPUID'],
  ['getEmulatedCpuid', 'KVM_GET_EMULATED_CPUID', '3.13', '4.88', 'KVM_CAP_EXT_EMUL_CPUID'],
  ['getSupportedHvCpuid', 'KVM_GET_SUPPORTED_HV_CPUID', '5.11', '4.118', 'KVM_CAP_SYS_HYPERV_CPUID'],
  ['getMsrIndexList', 'KVM_GET_MSR_INDEX_LIST', '2.6.20', '4.3'],
  ['getMsrFeatureIndexList', 'KVM_GET_MSR_FEATURE_INDEX_LIST', '4.16', '4.3', 'KVM_CAP_GET_MSR_FEATURES'],
  ['getMsrs', 'KVM_GET_MSRS', '4.16', '4.18', 'KVM_CAP_GET_MSR_FEATURES'],
  ['x86GetMceCapSupported', 'KVM_X86_GET_MCE_CAP_SUPPORTED', '2.6.31', '4.104', 'KVM_CAP_MCE'],
  ['getDeviceAttr', 'KVM_GET_DEVICE_ATTR', '5.17', '4.80', 'KVM_CAP_SYS_ATTRIBUTES'],
  ['hasDeviceAttr', 'KVM_HAS_DEVICE_ATTR', '5.17', '4.81', 'KVM_CAP_SYS_ATTRIBUTES'],
];

const vm: readonly Row[] = [
  ['checkExtension', 'KVM_CHECK_EXTENSION', '3.17', '4.4', 'KVM_CAP_CHECK_EXTENSION_VM'],
  ['vm.createVcpu', 'KVM_CREATE_VCPU', '2.6.20', '4.7'],
  ['setUserMemoryRegion', 'KVM_SET_USER_MEMORY_REGION', '2.6.25', '4.35', 'KVM_CAP_USER_MEMORY'],
  ['setUserMemoryRegion2', 'KVM_SET_USER_MEMORY_REGION2', '6.8', '4.140', 'KVM_CAP_USER_MEMORY2'],
  ['createGuestMemfd', 'KVM_CREATE_GUEST_MEMFD', '6.8', '4.142', 'KVM_CAP_GUEST_MEMFD'],
  ['setMemoryAttributes', 'KVM_SET_MEMORY_ATTRIBUTES', '6.8', '4.141', 'KVM_CAP_MEMORY_ATTRIBUTES'],
  ['getDirtyLog', 'KVM_GET_DIRTY_LOG', '2.6.20', '4.8'],
  ['clearDirtyLog', 'KVM_CLEAR_DIRTY_LOG', '5.0', '4.117', 'KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2'],
  ['resetDirtyRings', 'KVM_RESET_DIRTY_RINGS', '5.11', '8.29', 'KVM_CAP_DIRTY_LOG_RING'],
  ['setTssAddr', 'KVM_SET_TSS_ADDR', '2.6.25', '4.36', 'KVM_CAP_SET_TSS_ADDR'],
  ['setIdentityMapAddr', 'KVM_SET_IDENTITY_MAP_ADDR', '2.6.32', '4.40', 'KVM_CAP_SET_IDENTITY_MAP_ADDR'],
  ['setBootCpuId', 'KVM_SET_BOOT_CPU_ID', '2.6.32', '4.41', 'KVM_CAP_SET_BOOT_CPU_ID'],
  ['setNrMmuPages', 'KVM_SET_NR_MMU_PAGES', '2.6.25', undefined, 'KVM_CAP_MMU_SHADOW_CACHE_CONTROL'],
  ['createIrqchip', 'KVM_CREATE_IRQCHIP', '2.6.24', '4.24', 'KVM_CAP_IRQCHIP'],
  ['getIrqchip', 'KVM_GET_IRQCHIP', '2.6.24', '4.26', 'KVM_CAP_IRQCHIP'],
  ['setIrqchip', 'KVM_SET_IRQCHIP', '2.6.24', '4.27', 'KVM_CAP_IRQCHIP'],
  ['irqLine', 'KVM_IRQ_LINE', '2.6.24', '4.25', 'KVM_CAP_IRQCHIP'],
  ['irqLineStatus', 'KVM_IRQ_LINE_STATUS', '2.6.30', '4.25', 'KVM_CAP_IRQ_INJECT_STATUS'],
  ['setGsiRouting', 'KVM_SET_GSI_ROUTING', '2.6.30', '4.52', 'KVM_CAP_IRQ_ROUTING'],
  ['signalMsi', 'KVM_SIGNAL_MSI', '3.5', '4.71', 'KVM_CAP_SIGNAL_MSI'],
  ['irqfd', 'KVM_IRQFD', '2.6.32', '4.75', 'KVM_CAP_IRQFD'],
  ['ioeventfd', 'KVM_IOEVENTFD', '2.6.32', '4.59', 'KVM_CAP_IOEVENTFD'],
  ['registerCoalescedMmio', 'KVM_REGISTER_COALESCED_MMIO', '2.6.28', '4.116', 'KVM_CAP_COALESCED_MMIO'],
  ['unregisterCoalescedMmio', 'KVM_UNREGISTER_COALESCED_MMIO', '2.6.28', '4.116', 'KVM_CAP_COALESCED_MMIO'],
  ['createPit2', 'KVM_CREATE_PIT2', '2.6.31', '4.71', 'KVM_CAP_PIT2'],
  ['getPit2', 'KVM_GET_PIT2', '2.6.32', '4.72', 'KVM_CAP_PIT_STATE2'],
  ['setPit2', 'KVM_SET_PIT2', '2.6.32', '4.73', 'KVM_CAP_PIT_STATE2'],
  ['reinjectControl', 'KVM_REINJECT_CONTROL', '2.6.30', '4.99', 'KVM_CAP_REINJECT_CONTROL'],
  ['getClock', 'KVM_GET_CLOCK', '2.6.33', '4.29', 'KVM_CAP_ADJUST_CLOCK'],
  ['setClock', 'KVM_SET_CLOCK', '2.6.33', '4.30', 'KVM_CAP_ADJUST_CLOCK'],
  ['x86SetMsrFilter', 'KVM_X86_SET_MSR_FILTER', '5.10', '4.97', 'KVM_CAP_X86_MSR_FILTER'],
  ['setPmuEventFilter', 'KVM_SET_PMU_EVENT_FILTER', '5.3', '4.120', 'KVM_CAP_PMU_EVENT_FILTER'],
  ['enableCap', 'KVM_ENABLE_CAP', '4.2', '4.37', 'KVM_CAP_ENABLE_CAP_VM'],
  ['createDevice', 'KVM_CREATE_DEVICE', '3.10', '4.79'],
  ['getStatsFd', 'KVM_GET_STATS_FD', '5.14', '4.133', 'KVM_CAP_BINARY_STATS_FD'],
  ['setTscKhz', 'KVM_SET_TSC_KHZ', '5.18', '4.55', 'KVM_CAP_VM_TSC_CONTROL'],
  ['getTscKhz', 'KVM_GET_TSC_KHZ', '5.18', '4.56', 'KVM_CAP_VM_TSC_CONTROL'],
  ['xenHvmConfig', 'KVM_XEN_HVM_CONFIG', '2.6.32', '4.28', 'KVM_CAP_XEN_HVM'],
  ['hypervEventfd', 'KVM_HYPERV_EVENTFD', '4.17', '4.113', 'KVM_CAP_HYPERV_EVENTFD'],
  ['memoryEncryptOp', 'KVM_MEMORY_ENCRYPT_OP', '4.16', '4.110'],
  ['memoryEncryptRegRegion', 'KVM_MEMORY_ENCRYPT_REG_REGION', '4.16', '4.111'],
  ['memoryEncryptUnregRegion', 'KVM_MEMORY_ENCRYPT_UNREG_REGION', '4.16', '4.112'],
];

const vcpu: readonly Row[] = [
  ['vcpu.enter', 'KVM_RUN', '2.6.20', '4.10'],
  ['getRegs', 'KVM_GET_REGS', '2.6.20', '4.11'],
  ['setRegs', 'KVM_SET_REGS', '2.6.20', '4.12'],
  ['getSregs', 'KVM_GET_SREGS', '2.6.20', '4.13'],
  ['setSregs', 'KVM_SET_SREGS', '2.6.20', '4.14'],
  ['getSregs2', 'KVM_GET_SREGS2', '5.14', '4.131', 'KVM_CAP_SREGS2'],
  ['setSregs2', 'KVM_SET_SREGS2', '5.14', '4.132', 'KVM_CAP_SREGS2'],
  ['getFpu', 'KVM_GET_FPU', '2.6.20', '4.22'],
  ['setFpu', 'KVM_SET_FPU', '2.6.20', '4.23'],
  ['getXsave', 'KVM_GET_XSAVE', '2.6.36', '4.42', 'KVM_CAP_XSAVE'],
  ['setXsave', 'KVM_SET_XSAVE', '2.6.36', '4.43', 'KVM_CAP_XSAVE'],
  ['getXsave2', 'KVM_GET_XSAVE2', '5.17', '4.134', 'KVM_CAP_XSAVE2'],
  ['getXcrs', 'KVM_GET_XCRS', '2.6.36', '4.44', 'KVM_CAP_XCRS'],
  ['setXcrs', 'KVM_SET_XCRS', '2.6.36', '4.45', 'KVM_CAP_XCRS'],
  ['getDebugregs', 'KVM_GET_DEBUGREGS', '2.6.35', '4.33', 'KVM_CAP_DEBUGREGS'],
  ['setDebugregs', 'KVM_SET_DEBUGREGS', '2.6.35', '4.34', 'KVM_CAP_DEBUGREGS'],
  ['getMpState', 'KVM_GET_MP_STATE', '2.6.26', '4.38', 'KVM_CAP_MP_STATE'],
  ['setMpState', 'KVM_SET_MP_STATE', '2.6.26', '4.39', 'KVM_CAP_MP_STATE'],
  ['getLapic', 'KVM_GET_LAPIC', '2.6.24', '4.57', 'KVM_CAP_IRQCHIP'],
  ['setLapic', 'KVM_SET_LAPIC', '2.6.24', '4.58', 'KVM_CAP_IRQCHIP'],
  ['getMsrs', 'KVM_GET_MSRS', '2.6.20', '4.18'],
  ['setMsrs', 'KVM_SET_MSRS', '2.6.20', '4.19'],
  ['getCpuid2', 'KVM_GET_CPUID2', '2.6.25', undefined, 'KVM_CAP_EXT_CPUID'],
  ['setCpuid2', 'KVM_SET_CPUID2', '2.6.25', '4.20', 'KVM_CAP_EXT_CPUID'],
  ['getSupportedHvCpuid', 'KVM_GET_SUPPORTED_HV_CPUID', '5.0', '4.118', 'KVM_CAP_HYPERV_CPUID'],
  ['getTscKhz', 'KVM_GET_TSC_KHZ', '2.6.39', '4.56', 'KVM_CAP_GET_TSC_KHZ'],
  ['setTscKhz', 'KVM_SET_TSC_KHZ', '2.6.39', '4.55'],
  ['getNestedState', 'KVM_GET_NESTED_STATE', '4.19', '4.114', 'KVM_CAP_NESTED_STATE'],
  ['setNestedState', 'KVM_SET_NESTED_STATE', '4.19', '4.115', 'KVM_CAP_NESTED_STATE'],
  ['getVcpuEvents', 'KVM_GET_VCPU_EVENTS', '2.6.33', '4.31', 'KVM_CAP_VCPU_EVENTS'],
  ['setVcpuEvents', 'KVM_SET_VCPU_EVENTS', '2.6.33', '4.32', 'KVM_CAP_VCPU_EVENTS'],
  ['nmi', 'KVM_NMI', '2.6.30', '4.64', 'KVM_CAP_USER_NMI'],
  ['smi', 'KVM_SMI', '4.2', '4.96', 'KVM_CAP_X86_SMM'],
  ['interrupt', 'KVM_INTERRUPT', '2.6.20', '4.16'],
  ['setGuestDebug', 'KVM_SET_GUEST_DEBUG', '2.6.29', '4.87', 'KVM_CAP_SET_GUEST_DEBUG'],
  ['translate', 'KVM_TRANSLATE', '2.6.20', '4.15'],
  ['kvmclockCtrl', 'KVM_KVMCLOCK_CTRL', '3.5', '4.70', 'KVM_CAP_KVMCLOCK_CTRL'],
  ['setSignalMask', 'KVM_SET_SIGNAL_MASK', '2.6.22', '4.21'],
  ['x86SetupMce', 'KVM_X86_SETUP_MCE', '2.6.31', '4.105', 'KVM_CAP_MCE'],
  ['x86SetMce', 'KVM_X86_SET_MCE', '2.6.31', '4.106', 'KVM_CAP_MCE'],
  ['tprAccessReporting', 'KVM_TPR_ACCESS_REPORTING', '2.6.25', undefined, 'KVM_CAP_VAPIC'],
  ['setVapicAddr', 'KVM_SET_VAPIC_ADDR', '2.6.25', undefined, 'KVM_CAP_VAPIC'],
  ['enableCap', 'KVM_ENABLE_CAP', '4.5', '4.37'],
  ['getStatsFd', 'KVM_GET_STATS_FD', '5.14', '4.133', 'KVM_CAP_BINARY_STATS_FD'],
  ['preFaultMemory', 'KVM_PRE_FAULT_MEMORY', '6.11', '4.143', 'KVM_CAP_PRE_FAULT_MEMORY'],
  ['hasDeviceAttr', 'KVM_HAS_DEVICE_ATTR', '5.16', '4.81', 'KVM_CAP_VCPU_ATTRIBUTES'],
  ['getDeviceAttr', 'KVM_GET_DEVICE_ATTR', '5.16', '4.80', 'KVM_CAP_VCPU_ATTRIBUTES'],
  ['setDeviceAttr', 'KVM_SET_DEVICE_ATTR', '5.16', '4.80', 'KVM_CAP_VCPU_ATTRIBUTES'],
];

const device: readonly Row[] = [
  ['setDeviceAttr', 'KVM_SET_DEVICE_ATTR', '3.10', '4.80'],
  ['getDeviceAttr', 'KVM_GET_DEVICE_ATTR', '3.10', '4.80'],
  ['hasDeviceAttr', 'KVM_HAS_DEVICE_ATTR', '3.10', '4.81'],
];

const tables: Readonly<Record<Scope, readonly Row[]>> = { system, vm, vcpu, device };

/** Every call that has a method here; docs/kvm-calls.md is made of it. */
export const kvmCalls: readonly KvmCall[] = (Object.keys(tables) as Scope[]).flatMap((scope) =>
  tables[scope].map(([method, request, since, section, capability]) => ({ scope, request, method, since, capability, section })),
);

const byName = new Map(kvmCalls.map((call) => [`${call.scope} ${call.request}`, call]));

export function findCall(scope: Scope, request: RequestName): KvmCall | undefined {
  return byName.get(`${scope} ${request}`);
}

/**
 * Written by scripts/generate-kvm-uapi from <linux/kvm.h> and <asm/kvm.h> of Linux 6.1.187 and native/backends/kvm/newer.h; not to be edited.
 */
export const headerVersion = '6.1.187';
/** Numbers of the ioctls. */
export const requests = {
  KVM_ARM_SET_DEVICE_ADDR: 1074835115,
  KVM_ARM_VCPU_FINALIZE: 1074048706,
  KVM_ASSIGN_DEV_IRQ: 1077980784,
  KVM_ASSIGN_PCI_DEVICE: 2151722601,
  KVM_ASSIGN_SET_INTX_MASK: 1077980836,
  KVM_ASSIGN_SET_MSIX_ENTRY: 1074835060,
  KVM_ASSIGN_SET_MSIX_NR: 1074310771,
  KVM_CHECK_EXTENSION: 44547,
  KVM_CLEAR_DIRTY_LOG: 3222843072,
  KVM_CREATE_DEVICE: 3222056672,
  KVM_CREATE_GUEST_MEMFD: 3225464532,
  KVM_CREATE_IRQCHIP: 44640,
  KVM_CREATE_PIT: 44644,
  KVM_CREATE_PIT2: 1077980791,
  KVM_CREATE_VCPU: 44609,
  KVM_CREATE_VM: 44545,
  KVM_DEASSIGN_DEV_IRQ: 1077980789,
  KVM_DEASSIGN_PCI_DEVICE: 1077980786,
  KVM_DIRTY_TLB: 1074835114,
  KVM_ENABLE_CAP: 1080602275,
  KVM_GET_API_VERSION: 44544,
  KVM_GET_CLOCK: 2150674044,
  KVM_GET_CPUID2: 3221794449,
  KVM_GET_DEBUGREGS: 2155916961,
  KVM_GET_DEVICE_ATTR: 1075359458,
  KVM_GET_DIRTY_LOG: 1074835010,
  KVM_GET_EMULATED_CPUID: 3221794313,
  KVM_GET_FPU: 2174791308,
  KVM_GET_IRQCHIP: 3255348834,
  KVM_GET_LAPIC: 2214637198,
  KVM_GET_MP_STATE: 2147790488,
  KVM_GET_MSRS: 3221794440,
  KVM_GET_MSR_FEATURE_INDEX_LIST: 3221532170,
  KVM_GET_MSR_INDEX_LIST: 3221532162,
  KVM_GET_NESTED_STATE: 3229658814,
  KVM_GET_NR_MMU_PAGES: 44613,
  KVM_GET_ONE_REG: 1074835115,
  KVM_GET_PIT: 3225988709,
  KVM_GET_PIT2: 2154868383,
  KVM_GET_REGS: 2156965505,
  KVM_GET_REG_LIST: 3221794480,
  KVM_GET_SREGS: 2167975555,
  KVM_GET_SREGS2: 2168499916,
  KVM_GET_STATS_FD: 44750,
  KVM_GET_SUPPORTED_CPUID: 3221794309,
  KVM_GET_SUPPORTED_HV_CPUID: 3221794497,
  KVM_GET_TSC_KHZ: 44707,
  KVM_GET_VCPU_EVENTS: 2151722655,
  KVM_GET_VCPU_MMAP_SIZE: 44548,
  KVM_GET_XCRS: 2173218470,
  KVM_GET_XSAVE: 2415963812,
  KVM_GET_XSAVE2: 2415963855,
  KVM_HAS_DEVICE_ATTR: 1075359459,
  KVM_HYPERV_EVENTFD: 1075359421,
  KVM_INTERRUPT: 1074048646,
  KVM_IOEVENTFD: 1077980793,
  KVM_IRQFD: 1075883638,
  KVM_IRQ_LINE: 1074310753,
  KVM_IRQ_LINE_STATUS: 3221794407,
  KVM_KVMCLOCK_CTRL: 44717,
  KVM_MEMORY_ENCRYPT_OP: 3221794490,
  KVM_MEMORY_ENCRYPT_REG_REGION: 2148576955,
  KVM_MEMORY_ENCRYPT_UNREG_REGION: 2148576956,
  KVM_NMI: 44698,
  KVM_PPC_ALLOCATE_HTAB: 3221532327,
  KVM_PPC_GET_PVINFO: 1082175137,
  KVM_PPC_GET_SMMU_INFO: 2186325670,
  KVM_PPC_RESIZE_HPT_COMMIT: 2148576942,
  KVM_PPC_RESIZE_HPT_PREPARE: 2148576941,
  KVM_PPC_SVM_OFF: 44723,
  KVM_PRE_FAULT_MEMORY: 3225464533,
  KVM_REGISTER_COALESCED_MMIO: 1074835047,
  KVM_REINJECT_CONTROL: 44657,
  KVM_RESET_DIRTY_RINGS: 44743,
  KVM_RUN: 44672,
  KVM_S390_CLEAR_RESET: 44740,
  KVM_S390_ENABLE_SIE: 44550,
  KVM_S390_GET_CMMA_BITS: 3223367352,
  KVM_S390_GET_IRQ_STATE: 1075883702,
  KVM_S390_GET_SKEYS: 1077980850,
  KVM_S390_INITIAL_RESET: 44695,
  KVM_S390_INTERRUPT: 1074835092,
  KVM_S390_IRQ: 1078505140,
  KVM_S390_MEM_OP: 1077980849,
  KVM_S390_NORMAL_RESET: 44739,
  KVM_S390_PV_COMMAND: 3223367365,
  KVM_S390_PV_CPU_COMMAND: 3223367376,
  KVM_S390_SET_CMMA_BITS: 1075883705,
  KVM_S390_SET_INITIAL_PSW: 1074835094,
  KVM_S390_SET_IRQ_STATE: 1075883701,
  KVM_S390_SET_SKEYS: 1077980851,
  KVM_S390_STORE_STATUS: 1074310805,
  KVM_S390_UCAS_MAP: 1075359312,
  KVM_S390_UCAS_UNMAP: 1075359313,
  KVM_S390_VCPU_FAULT: 1074310738,
  KVM_S390_ZPCI_OP: 1078505169,
  KVM_SET_BOOT_CPU_ID: 44664,
  KVM_SET_CLOCK: 1076932219,
  KVM_SET_CPUID: 1074310794,
  KVM_SET_CPUID2: 1074310800,
  KVM_SET_DEBUGREGS: 1082175138,
  KVM_SET_DEVICE_ATTR: 1075359457,
  KVM_SET_FPU: 1101049485,
  KVM_SET_GSI_ROUTING: 1074310762,
  KVM_SET_GUEST_DEBUG: 1078505115,
  KVM_SET_IDENTITY_MAP_ADDR: 1074310728,
  KVM_SET_IRQCHIP: 2181607011,
  KVM_SET_LAPIC: 1140895375,
  KVM_SET_MEMORY_ALIAS: 1075883587,
  KVM_SET_MEMORY_ATTRIBUTES: 1075883730,
  KVM_SET_MEMORY_REGION: 1075359296,
  KVM_SET_MP_STATE: 1074048665,
  KVM_SET_MSRS: 1074310793,
  KVM_SET_NESTED_STATE: 1082175167,
  KVM_SET_NR_MMU_PAGES: 44612,
  KVM_SET_ONE_REG: 1074835116,
  KVM_SET_PIT: 2152246886,
  KVM_SET_PIT2: 1081126560,
  KVM_SET_PMU_EVENT_FILTER: 1075883698,
  KVM_SET_REGS: 1083223682,
  KVM_SET_SIGNAL_MASK: 1074048651,
  KVM_SET_SREGS: 1094233732,
  KVM_SET_SREGS2: 1094758093,
  KVM_SET_TSC_KHZ: 44706,
  KVM_SET_TSS_ADDR: 44615,
  KVM_SET_USER_MEMORY_REGION: 1075883590,
  KVM_SET_USER_MEMORY_REGION2: 1084272201,
  KVM_SET_VAPIC_ADDR: 1074310803,
  KVM_SET_VCPU_EVENTS: 1077980832,
  KVM_SET_XCRS: 1099476647,
  KVM_SET_XSAVE: 1342221989,
  KVM_SIGNAL_MSI: 1075883685,
  KVM_SMI: 44727,
  KVM_TPR_ACCESS_REPORTING: 3223891602,
  KVM_TRANSLATE: 3222843013,
  KVM_UNREGISTER_COALESCED_MMIO: 1074835048,
  KVM_X86_GET_MCE_CAP_SUPPORTED: 2148052637,
  KVM_X86_SETUP_MCE: 1074310812,
  KVM_X86_SET_MCE: 1077980830,
  KVM_X86_SET_MSR_FILTER: 1099476678,
  KVM_XEN_HVM_CONFIG: 1077456506,
  KVM_XEN_HVM_EVTCHN_SEND: 1074573008,
  KVM_XEN_HVM_GET_ATTR: 3225988808,
  KVM_XEN_HVM_SET_ATTR: 1078505161,
  KVM_XEN_VCPU_GET_ATTR: 3225988810,
  KVM_XEN_VCPU_SET_ATTR: 1078505163,
} as const;
/** What KVM_CHECK_EXTENSION can be asked for. */
export const capabilities = {
  KVM_CAP_ADJUST_CLOCK: 39,
  KVM_CAP_ARM_EL1_32BIT: 93,
  KVM_CAP_ARM_INJECT_EXT_DABT: 178,
  KVM_CAP_ARM_INJECT_SERROR_ESR: 158,
  KVM_CAP_ARM_IRQ_LINE_LAYOUT_2: 174,
  KVM_CAP_ARM_MTE: 205,
  KVM_CAP_ARM_NISV_TO_USER: 177,
  KVM_CAP_ARM_PMU_V3: 126,
  KVM_CAP_ARM_PSCI: 87,
  KVM_CAP_ARM_PSCI_0_2: 102,
  KVM_CAP_ARM_PTRAUTH_ADDRESS: 171,
  KVM_CAP_ARM_PTRAUTH_GENERIC: 172,
  KVM_CAP_ARM_SET_DEVICE_ADDR: 88,
  KVM_CAP_ARM_SVE: 170,
  KVM_CAP_ARM_SYSTEM_SUSPEND: 216,
  KVM_CAP_ARM_USER_IRQ: 144,
  KVM_CAP_ARM_VM_IPA_SIZE: 165,
  KVM_CAP_ASSIGN_DEV_IRQ: 29,
  KVM_CAP_ASYNC_PF: 59,
  KVM_CAP_ASYNC_PF_INT: 183,
  KVM_CAP_BINARY_STATS_FD: 203,
  KVM_CAP_CHECK_EXTENSION_VM: 105,
  KVM_CAP_CLOCKSOURCE: 8,
  KVM_CAP_COALESCED_MMIO: 15,
  KVM_CAP_COALESCED_PIO: 162,
  KVM_CAP_DEBUGREGS: 50,
  KVM_CAP_DESTROY_MEMORY_REGION_WORKS: 21,
  KVM_CAP_DEVICE_CTRL: 89,
  KVM_CAP_DIRTY_LOG_RING: 192,
  KVM_CAP_DIRTY_LOG_RING_ACQ_REL: 223,
  KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP: 225,
  KVM_CAP_DISABLE_QUIRKS: 116,
  KVM_CAP_DISABLE_QUIRKS2: 213,
  KVM_CAP_ENABLE_CAP: 54,
  KVM_CAP_ENABLE_CAP_VM: 98,
  KVM_CAP_ENFORCE_PV_FEATURE_CPUID: 190,
  KVM_CAP_EXCEPTION_PAYLOAD: 164,
  KVM_CAP_EXIT_HYPERCALL: 201,
  KVM_CAP_EXIT_ON_EMULATION_FAILURE: 204,
  KVM_CAP_EXT_CPUID: 7,
  KVM_CAP_EXT_EMUL_CPUID: 95,
  KVM_CAP_GET_MSR_FEATURES: 153,
  KVM_CAP_GET_TSC_KHZ: 61,
  KVM_CAP_GUEST_DEBUG_HW_BPS: 119,
  KVM_CAP_GUEST_DEBUG_HW_WPS: 120,
  KVM_CAP_GUEST_MEMFD: 234,
  KVM_CAP_GUEST_MEMFD_FLAGS: 244,
  KVM_CAP_HALT_POLL: 182,
  KVM_CAP_HLT: 1,
  KVM_CAP_HYPERV: 44,
  KVM_CAP_HYPERV_CPUID: 167,
  KVM_CAP_HYPERV_DIRECT_TLBFLUSH: 175,
  KVM_CAP_HYPERV_ENFORCE_CPUID: 199,
  KVM_CAP_HYPERV_ENLIGHTENED_VMCS: 163,
  KVM_CAP_HYPERV_EVENTFD: 154,
  KVM_CAP_HYPERV_SEND_IPI: 161,
  KVM_CAP_HYPERV_SPIN: 46,
  KVM_CAP_HYPERV_SYNIC: 123,
  KVM_CAP_HYPERV_SYNIC2: 148,
  KVM_CAP_HYPERV_TIME: 96,
  KVM_CAP_HYPERV_TLBFLUSH: 155,
  KVM_CAP_HYPERV_VAPIC: 45,
  KVM_CAP_HYPERV_VP_INDEX: 149,
  KVM_CAP_IMMEDIATE_EXIT: 136,
  KVM_CAP_INTERNAL_ERROR_DATA: 40,
  KVM_CAP_INTR_SHADOW: 49,
  KVM_CAP_IOAPIC_POLARITY_IGNORED: 97,
  KVM_CAP_IOEVENTFD: 36,
  KVM_CAP_IOEVENTFD_ANY_LENGTH: 122,
  KVM_CAP_IOEVENTFD_NO_LENGTH: 100,
  KVM_CAP_IOMMU: 18,
  KVM_CAP_IRQCHIP: 0,
  KVM_CAP_IRQFD: 32,
  KVM_CAP_IRQFD_RESAMPLE: 82,
  KVM_CAP_IRQ_INJECT_STATUS: 26,
  KVM_CAP_IRQ_MPIC: 90,
  KVM_CAP_IRQ_ROUTING: 25,
  KVM_CAP_IRQ_XICS: 92,
  KVM_CAP_JOIN_MEMORY_REGIONS_WORKS: 30,
  KVM_CAP_KVMCLOCK_CTRL: 76,
  KVM_CAP_LAST_CPU: 184,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT: 166,
  KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: 168,
  KVM_CAP_MAX_VCPUS: 66,
  KVM_CAP_MAX_VCPU_ID: 128,
  KVM_CAP_MCE: 31,
  KVM_CAP_MEMORY_ATTRIBUTES: 233,
  KVM_CAP_MEMORY_FAULT_INFO: 232,
  KVM_CAP_MIPS_64BIT: 139,
  KVM_CAP_MIPS_FPU: 111,
  KVM_CAP_MIPS_MSA: 112,
  KVM_CAP_MIPS_TE: 138,
  KVM_CAP_MIPS_VZ: 137,
  KVM_CAP_MMU_SHADOW_CACHE_CONTROL: 2,
  KVM_CAP_MP_STATE: 14,
  KVM_CAP_MSI_DEVID: 131,
  KVM_CAP_MSR_PLATFORM_INFO: 159,
  KVM_CAP_MULTI_ADDRESS_SPACE: 118,
  KVM_CAP_NESTED_STATE: 157,
  KVM_CAP_NOP_IO_DELAY: 12,
  KVM_CAP_NR_MEMSLOTS: 10,
  KVM_CAP_NR_VCPUS: 9,
  KVM_CAP_ONE_REG: 70,
  KVM_CAP_PCI_2_3: 75,
  KVM_CAP_PCI_SEGMENT: 47,
  KVM_CAP_PIT: 11,
  KVM_CAP_PIT2: 33,
  KVM_CAP_PIT_STATE2: 35,
  KVM_CAP_PMU_CAPABILITY: 212,
  KVM_CAP_PMU_EVENT_FILTER: 173,
  KVM_CAP_PMU_EVENT_MASKED_EVENTS: 226,
  KVM_CAP_PPC_AIL_MODE_3: 210,
  KVM_CAP_PPC_ALLOC_HTAB: 80,
  KVM_CAP_PPC_BOOKE_SREGS: 62,
  KVM_CAP_PPC_BOOKE_WATCHDOG: 83,
  KVM_CAP_PPC_DAWR1: 194,
  KVM_CAP_PPC_ENABLE_HCALL: 104,
  KVM_CAP_PPC_EPR: 86,
  KVM_CAP_PPC_FIXUP_HCALL: 103,
  KVM_CAP_PPC_FWNMI: 146,
  KVM_CAP_PPC_GET_CPU_CHAR: 151,
  KVM_CAP_PPC_GET_PVINFO: 57,
  KVM_CAP_PPC_GET_SMMU_INFO: 78,
  KVM_CAP_PPC_GUEST_DEBUG_SSTEP: 176,
  KVM_CAP_PPC_HIOR: 67,
  KVM_CAP_PPC_HTAB_FD: 84,
  KVM_CAP_PPC_HTM: 132,
  KVM_CAP_PPC_HWRNG: 115,
  KVM_CAP_PPC_IRQ_LEVEL: 58,
  KVM_CAP_PPC_IRQ_XIVE: 169,
  KVM_CAP_PPC_MMU_HASH_V3: 135,
  KVM_CAP_PPC_MMU_RADIX: 134,
  KVM_CAP_PPC_NESTED_HV: 160,
  KVM_CAP_PPC_OSI: 52,
  KVM_CAP_PPC_PAIRED_SINGLES: 48,
  KVM_CAP_PPC_PAPR: 68,
  KVM_CAP_PPC_RMA: 65,
  KVM_CAP_PPC_RPT_INVALIDATE: 202,
  KVM_CAP_PPC_RTAS: 91,
  KVM_CAP_PPC_SECURE_GUEST: 181,
  KVM_CAP_PPC_SEGSTATE: 43,
  KVM_CAP_PPC_SMT: 64,
  KVM_CAP_PPC_SMT_POSSIBLE: 147,
  KVM_CAP_PPC_UNSET_IRQ: 53,
  KVM_CAP_PRE_FAULT_MEMORY: 236,
  KVM_CAP_PTP_KVM: 198,
  KVM_CAP_PV_MMU: 13,
  KVM_CAP_READONLY_MEM: 81,
  KVM_CAP_REINJECT_CONTROL: 24,
  KVM_CAP_S390_AIS: 141,
  KVM_CAP_S390_AIS_MIGRATION: 150,
  KVM_CAP_S390_BPB: 152,
  KVM_CAP_S390_CMMA_MIGRATION: 145,
  KVM_CAP_S390_COW: 79,
  KVM_CAP_S390_CPU_TOPOLOGY: 222,
  KVM_CAP_S390_CSS_SUPPORT: 85,
  KVM_CAP_S390_DIAG318: 186,
  KVM_CAP_S390_GMAP: 71,
  KVM_CAP_S390_GS: 140,
  KVM_CAP_S390_HPAGE_1M: 156,
  KVM_CAP_S390_INJECT_IRQ: 113,
  KVM_CAP_S390_IRQCHIP: 99,
  KVM_CAP_S390_IRQ_STATE: 114,
  KVM_CAP_S390_MEM_OP: 108,
  KVM_CAP_S390_MEM_OP_EXTENSION: 211,
  KVM_CAP_S390_PROTECTED: 180,
  KVM_CAP_S390_PROTECTED_DUMP: 217,
  KVM_CAP_S390_PSW: 42,
  KVM_CAP_S390_RI: 124,
  KVM_CAP_S390_SKEYS: 110,
  KVM_CAP_S390_UCONTROL: 73,
  KVM_CAP_S390_USER_INSTR0: 130,
  KVM_CAP_S390_USER_SIGP: 106,
  KVM_CAP_S390_USER_STSI: 109,
  KVM_CAP_S390_VCPU_RESETS: 179,
  KVM_CAP_S390_VECTOR_REGISTERS: 107,
  KVM_CAP_S390_ZPCI_OP: 221,
  KVM_CAP_SET_BOOT_CPU_ID: 34,
  KVM_CAP_SET_GUEST_DEBUG: 23,
  KVM_CAP_SET_GUEST_DEBUG2: 195,
  KVM_CAP_SET_IDENTITY_MAP_ADDR: 37,
  KVM_CAP_SET_TSS_ADDR: 4,
  KVM_CAP_SGX_ATTRIBUTE: 196,
  KVM_CAP_SIGNAL_MSI: 77,
  KVM_CAP_SMALLER_MAXPHYADDR: 185,
  KVM_CAP_SPAPR_MULTITCE: 94,
  KVM_CAP_SPAPR_RESIZE_HPT: 133,
  KVM_CAP_SPAPR_TCE: 63,
  KVM_CAP_SPAPR_TCE_64: 125,
  KVM_CAP_SPAPR_TCE_VFIO: 142,
  KVM_CAP_SPLIT_IRQCHIP: 121,
  KVM_CAP_SREGS2: 200,
  KVM_CAP_STEAL_TIME: 187,
  KVM_CAP_SW_TLB: 69,
  KVM_CAP_SYNC_MMU: 16,
  KVM_CAP_SYNC_REGS: 74,
  KVM_CAP_SYSTEM_EVENT_DATA: 215,
  KVM_CAP_SYS_ATTRIBUTES: 209,
  KVM_CAP_SYS_HYPERV_CPUID: 191,
  KVM_CAP_TSC_CONTROL: 60,
  KVM_CAP_TSC_DEADLINE_TIMER: 72,
  KVM_CAP_USER_MEMORY: 3,
  KVM_CAP_USER_MEMORY2: 231,
  KVM_CAP_USER_NMI: 22,
  KVM_CAP_VAPIC: 6,
  KVM_CAP_VCPU_ATTRIBUTES: 127,
  KVM_CAP_VCPU_EVENTS: 41,
  KVM_CAP_VM_ATTRIBUTES: 101,
  KVM_CAP_VM_COPY_ENC_CONTEXT_FROM: 197,
  KVM_CAP_VM_DISABLE_NX_HUGE_PAGES: 220,
  KVM_CAP_VM_GPA_BITS: 207,
  KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM: 206,
  KVM_CAP_VM_TSC_CONTROL: 214,
  KVM_CAP_VM_TYPES: 235,
  KVM_CAP_X2APIC_API: 129,
  KVM_CAP_X86_APIC_BUS_CYCLES_NS: 237,
  KVM_CAP_X86_BUS_LOCK_EXIT: 193,
  KVM_CAP_X86_DISABLE_EXITS: 143,
  KVM_CAP_X86_GUEST_MODE: 238,
  KVM_CAP_X86_MSR_FILTER: 189,
  KVM_CAP_X86_NOTIFY_VMEXIT: 219,
  KVM_CAP_X86_ROBUST_SINGLESTEP: 51,
  KVM_CAP_X86_SMM: 117,
  KVM_CAP_X86_TRIPLE_FAULT_EVENT: 218,
  KVM_CAP_X86_USER_SPACE_MSR: 188,
  KVM_CAP_XCRS: 56,
  KVM_CAP_XEN_HVM: 38,
  KVM_CAP_XSAVE: 55,
  KVM_CAP_XSAVE2: 208,
} as const;
/** The header's other numbers. */
export const constants = {
  GUEST_MEMFD_FLAG_INIT_SHARED: 2,
  GUEST_MEMFD_FLAG_MMAP: 1,
  KVM_APIC_REG_SIZE: 1024,
  KVM_API_VERSION: 12,
  KVM_ARM_DEV_EL1_PTIMER: 2,
  KVM_ARM_DEV_EL1_VTIMER: 1,
  KVM_ARM_DEV_PMU: 4,
  KVM_BUS_LOCK_DETECTION_EXIT: 2,
  KVM_BUS_LOCK_DETECTION_OFF: 1,
  KVM_CLOCK_HOST_TSC: 8,
  KVM_CLOCK_REALTIME: 4,
  KVM_CLOCK_TSC_STABLE: 2,
  KVM_COALESCED_MMIO_PAGE_OFFSET: 2,
  KVM_CPUID_FLAG_SIGNIFCANT_INDEX: 1,
  KVM_CPUID_FLAG_STATEFUL_FUNC: 2,
  KVM_CPUID_FLAG_STATE_READ_NEXT: 4,
  KVM_CREATE_DEVICE_TEST: 1,
  KVM_DEV_ASSIGN_ENABLE_IOMMU: 1,
  KVM_DEV_ASSIGN_MASK_INTX: 4,
  KVM_DEV_ASSIGN_PCI_2_3: 2,
  KVM_DEV_IRQ_GUEST_INTX: 256,
  KVM_DEV_IRQ_GUEST_MASK: 65280,
  KVM_DEV_IRQ_GUEST_MSI: 512,
  KVM_DEV_IRQ_GUEST_MSIX: 1024,
  KVM_DEV_IRQ_HOST_INTX: 1,
  KVM_DEV_IRQ_HOST_MASK: 255,
  KVM_DEV_IRQ_HOST_MSI: 2,
  KVM_DEV_IRQ_HOST_MSIX: 4,
  KVM_DEV_TYPE_ARM_PV_TIME: 10,
  KVM_DEV_TYPE_ARM_VGIC_ITS: 8,
  KVM_DEV_TYPE_ARM_VGIC_V2: 5,
  KVM_DEV_TYPE_ARM_VGIC_V3: 7,
  KVM_DEV_TYPE_FLIC: 6,
  KVM_DEV_TYPE_FSL_MPIC_20: 1,
  KVM_DEV_TYPE_FSL_MPIC_42: 2,
  KVM_DEV_TYPE_MAX: 11,
  KVM_DEV_TYPE_VFIO: 4,
  KVM_DEV_TYPE_XICS: 3,
  KVM_DEV_TYPE_XIVE: 9,
  KVM_DEV_VFIO_GROUP: 1,
  KVM_DEV_VFIO_GROUP_ADD: 1,
  KVM_DEV_VFIO_GROUP_DEL: 2,
  KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE: 3,
  KVM_DIRTY_GFN_F_DIRTY: 1,
  KVM_DIRTY_GFN_F_MASK: 3,
  KVM_DIRTY_GFN_F_RESET: 2,
  KVM_DIRTY_LOG_INITIALLY_SET: 2,
  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE: 1,
  KVM_DIRTY_LOG_PAGE_OFFSET: 64,
  KVM_EXIT_AP_RESET_HOLD: 32,
  KVM_EXIT_ARM_NISV: 28,
  KVM_EXIT_DCR: 15,
  KVM_EXIT_DEBUG: 4,
  KVM_EXIT_DIRTY_RING_FULL: 31,
  KVM_EXIT_EPR: 23,
  KVM_EXIT_EXCEPTION: 1,
  KVM_EXIT_FAIL_ENTRY: 9,
  KVM_EXIT_HLT: 5,
  KVM_EXIT_HYPERCALL: 3,
  KVM_EXIT_HYPERV: 27,
  KVM_EXIT_HYPERV_HCALL: 2,
  KVM_EXIT_HYPERV_SYNDBG: 3,
  KVM_EXIT_HYPERV_SYNIC: 1,
  KVM_EXIT_INTERNAL_ERROR: 17,
  KVM_EXIT_INTR: 10,
  KVM_EXIT_IO: 2,
  KVM_EXIT_IOAPIC_EOI: 26,
  KVM_EXIT_IO_IN: 0,
  KVM_EXIT_IO_OUT: 1,
  KVM_EXIT_IRQ_WINDOW_OPEN: 7,
  KVM_EXIT_MEMORY_FAULT: 39,
  KVM_EXIT_MMIO: 6,
  KVM_EXIT_NMI: 16,
  KVM_EXIT_NOTIFY: 37,
  KVM_EXIT_OSI: 18,
  KVM_EXIT_PAPR_HCALL: 19,
  KVM_EXIT_RISCV_CSR: 36,
  KVM_EXIT_RISCV_SBI: 35,
  KVM_EXIT_S390_RESET: 14,
  KVM_EXIT_S390_SIEIC: 13,
  KVM_EXIT_S390_STSI: 25,
  KVM_EXIT_S390_TSCH: 22,
  KVM_EXIT_S390_UCONTROL: 20,
  KVM_EXIT_SET_TPR: 11,
  KVM_EXIT_SHUTDOWN: 8,
  KVM_EXIT_SYSTEM_EVENT: 24,
  KVM_EXIT_TDX: 40,
  KVM_EXIT_TPR_ACCESS: 12,
  KVM_EXIT_UNKNOWN: 0,
  KVM_EXIT_WATCHDOG: 21,
  KVM_EXIT_X86_BUS_LOCK: 33,
  KVM_EXIT_X86_RDMSR: 29,
  KVM_EXIT_X86_WRMSR: 30,
  KVM_EXIT_XEN: 34,
  KVM_EXIT_XEN_HCALL: 1,
  KVM_GUESTDBG_BLOCKIRQ: 1048576,
  KVM_GUESTDBG_ENABLE: 1,
  KVM_GUESTDBG_INJECT_BP: 524288,
  KVM_GUESTDBG_INJECT_DB: 262144,
  KVM_GUESTDBG_SINGLESTEP: 2,
  KVM_GUESTDBG_USE_HW_BP: 131072,
  KVM_GUESTDBG_USE_SW_BP: 65536,
  KVM_HYPERV_CONN_ID_MASK: 16777215,
  KVM_HYPERV_EVENTFD_DEASSIGN: 1,
  KVM_INTERNAL_ERROR_DELIVERY_EV: 3,
  KVM_INTERNAL_ERROR_EMULATION: 1,
  KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES: 1,
  KVM_INTERNAL_ERROR_SIMUL_EX: 2,
  KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: 4,
  KVM_IOAPIC_NUM_PINS: 24,
  KVM_IOEVENTFD_FLAG_DATAMATCH: 1,
  KVM_IOEVENTFD_FLAG_DEASSIGN: 4,
  KVM_IOEVENTFD_FLAG_PIO: 2,
  KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY: 8,
  KVM_IOEVENTFD_VALID_FLAG_MASK: 31,
  KVM_IRQCHIP_IOAPIC: 2,
  KVM_IRQCHIP_PIC_MASTER: 0,
  KVM_IRQCHIP_PIC_SLAVE: 1,
  KVM_IRQFD_FLAG_DEASSIGN: 1,
  KVM_IRQFD_FLAG_RESAMPLE: 2,
  KVM_IRQ_ROUTING_HV_SINT: 4,
  KVM_IRQ_ROUTING_IRQCHIP: 1,
  KVM_IRQ_ROUTING_MSI: 2,
  KVM_IRQ_ROUTING_S390_ADAPTER: 3,
  KVM_IRQ_ROUTING_XEN_EVTCHN: 5,
  KVM_MAX_MSIX_PER_DEV: 256,
  KVM_MAX_XCRS: 16,
  KVM_MEMORY_ATTRIBUTE_PRIVATE: 8,
  KVM_MEMORY_EXIT_FLAG_PRIVATE: 8,
  KVM_MEM_GUEST_MEMFD: 4,
  KVM_MEM_LOG_DIRTY_PAGES: 1,
  KVM_MEM_READONLY: 2,
  KVM_MMU_FSL_BOOKE_HV: 1,
  KVM_MMU_FSL_BOOKE_NOHV: 0,
  KVM_MP_STATE_AP_RESET_HOLD: 9,
  KVM_MP_STATE_CHECK_STOP: 6,
  KVM_MP_STATE_HALTED: 3,
  KVM_MP_STATE_INIT_RECEIVED: 2,
  KVM_MP_STATE_LOAD: 8,
  KVM_MP_STATE_OPERATING: 7,
  KVM_MP_STATE_RUNNABLE: 0,
  KVM_MP_STATE_SIPI_RECEIVED: 4,
  KVM_MP_STATE_STOPPED: 5,
  KVM_MP_STATE_SUSPENDED: 10,
  KVM_MP_STATE_UNINITIALIZED: 1,
  KVM_MSI_VALID_DEVID: 1,
  KVM_MSR_EXIT_REASON_FILTER: 4,
  KVM_MSR_EXIT_REASON_INVAL: 1,
  KVM_MSR_EXIT_REASON_UNKNOWN: 2,
  KVM_MSR_FILTER_DEFAULT_ALLOW: 0,
  KVM_MSR_FILTER_DEFAULT_DENY: 1,
  KVM_MSR_FILTER_MAX_BITMAP_SIZE: 1536,
  KVM_MSR_FILTER_MAX_RANGES: 16,
  KVM_MSR_FILTER_READ: 1,
  KVM_MSR_FILTER_WRITE: 2,
  KVM_NOTIFY_CONTEXT_INVALID: 1,
  KVM_NR_INTERRUPTS: 256,
  KVM_NR_IRQCHIPS: 3,
  KVM_PIO_PAGE_OFFSET: 1,
  KVM_PIT_FLAGS_HPET_LEGACY: 1,
  KVM_PIT_FLAGS_SPEAKER_DATA_ON: 2,
  KVM_PIT_SPEAKER_DUMMY: 1,
  KVM_PMU_CAP_DISABLE: 1,
  KVM_PMU_EVENT_ALLOW: 0,
  KVM_PMU_EVENT_DENY: 1,
  KVM_PMU_EVENT_FLAG_MASKED_EVENTS: 1,
  KVM_PPC_1T_SEGMENTS: 2,
  KVM_PPC_NO_HASH: 4,
  KVM_PPC_PAGE_SIZES_MAX_SZ: 8,
  KVM_PPC_PAGE_SIZES_REAL: 1,
  KVM_PPC_PVINFO_FLAGS_EV_IDLE: 1,
  KVM_REG_GENERIC: 0,
  KVM_REG_SIZE_SHIFT: 52,
  KVM_REG_SIZE_U16: 4503599627370496,
  KVM_REG_SIZE_U8: 0,
  KVM_RUN_X86_BUS_LOCK: 2,
  KVM_RUN_X86_GUEST_MODE: 4,
  KVM_RUN_X86_SMM: 1,
  KVM_S390_CMMA_PEEK: 1,
  KVM_S390_GET_SKEYS_NONE: 1,
  KVM_S390_INT_CLOCK_COMP: 4294905860,
  KVM_S390_INT_CPU_TIMER: 4294905861,
  KVM_S390_INT_EMERGENCY: 4294906369,
  KVM_S390_INT_EXTERNAL_CALL: 4294906370,
  KVM_S390_INT_IO_AI_MASK: 67108864,
  KVM_S390_INT_IO_MAX: 4294836223,
  KVM_S390_INT_IO_MIN: 0,
  KVM_S390_INT_PFAULT_DONE: 4294836229,
  KVM_S390_INT_PFAULT_INIT: 4294836228,
  KVM_S390_INT_SERVICE: 4294910977,
  KVM_S390_INT_VIRTIO: 4294911491,
  KVM_S390_MCHK: 4294840320,
  KVM_S390_MEMOP_ABSOLUTE_READ: 4,
  KVM_S390_MEMOP_ABSOLUTE_WRITE: 5,
  KVM_S390_MEMOP_F_CHECK_ONLY: 1,
  KVM_S390_MEMOP_F_INJECT_EXCEPTION: 2,
  KVM_S390_MEMOP_F_SKEY_PROTECTION: 4,
  KVM_S390_MEMOP_LOGICAL_READ: 0,
  KVM_S390_MEMOP_LOGICAL_WRITE: 1,
  KVM_S390_MEMOP_SIDA_READ: 2,
  KVM_S390_MEMOP_SIDA_WRITE: 3,
  KVM_S390_PGM_FLAGS_ILC_0: 2,
  KVM_S390_PGM_FLAGS_ILC_1: 4,
  KVM_S390_PGM_FLAGS_ILC_MASK: 6,
  KVM_S390_PGM_FLAGS_ILC_VALID: 1,
  KVM_S390_PGM_FLAGS_NO_REWIND: 8,
  KVM_S390_PROGRAM_INT: 4294836225,
  KVM_S390_RESET_CLEAR: 2,
  KVM_S390_RESET_CPU_INIT: 8,
  KVM_S390_RESET_IPL: 16,
  KVM_S390_RESET_POR: 1,
  KVM_S390_RESET_SUBSYSTEM: 4,
  KVM_S390_RESTART: 4294836227,
  KVM_S390_SIE_PAGE_OFFSET: 1,
  KVM_S390_SIGP_SET_PREFIX: 4294836226,
  KVM_S390_SIGP_STOP: 4294836224,
  KVM_S390_SKEYS_MAX: 1048576,
  KVM_S390_STOP_FLAG_STORE_STATUS: 1,
  KVM_S390_ZPCIOP_DEREG_AEN: 1,
  KVM_S390_ZPCIOP_REGAEN_HOST: 1,
  KVM_S390_ZPCIOP_REG_AEN: 0,
  KVM_SREGS2_FLAGS_PDPTRS_VALID: 1,
  KVM_STATE_NESTED_EVMCS: 4,
  KVM_STATE_NESTED_FORMAT_SVM: 1,
  KVM_STATE_NESTED_FORMAT_VMX: 0,
  KVM_STATE_NESTED_GIF_SET: 256,
  KVM_STATE_NESTED_GUEST_MODE: 1,
  KVM_STATE_NESTED_MTF_PENDING: 8,
  KVM_STATE_NESTED_RUN_PENDING: 2,
  KVM_STATE_NESTED_SMM_GUEST_MODE: 1,
  KVM_STATE_NESTED_SMM_VMXON: 2,
  KVM_STATE_NESTED_SVM_VMCB_SIZE: 4096,
  KVM_STATE_NESTED_VMX_VMCS_SIZE: 4096,
  KVM_STATE_VMX_PREEMPTION_TIMER_DEADLINE: 1,
  KVM_STATS_BASE_MASK: 3840,
  KVM_STATS_BASE_MAX: 256,
  KVM_STATS_BASE_POW10: 0,
  KVM_STATS_BASE_POW2: 256,
  KVM_STATS_BASE_SHIFT: 8,
  KVM_STATS_TYPE_CUMULATIVE: 0,
  KVM_STATS_TYPE_INSTANT: 1,
  KVM_STATS_TYPE_LINEAR_HIST: 3,
  KVM_STATS_TYPE_LOG_HIST: 4,
  KVM_STATS_TYPE_MASK: 15,
  KVM_STATS_TYPE_MAX: 4,
  KVM_STATS_TYPE_PEAK: 2,
  KVM_STATS_TYPE_SHIFT: 0,
  KVM_STATS_UNIT_BOOLEAN: 64,
  KVM_STATS_UNIT_BYTES: 16,
  KVM_STATS_UNIT_CYCLES: 48,
  KVM_STATS_UNIT_MASK: 240,
  KVM_STATS_UNIT_MAX: 64,
  KVM_STATS_UNIT_NONE: 0,
  KVM_STATS_UNIT_SECONDS: 32,
  KVM_STATS_UNIT_SHIFT: 4,
  KVM_SYNC_X86_EVENTS: 4,
  KVM_SYNC_X86_REGS: 1,
  KVM_SYNC_X86_SREGS: 2,
  KVM_SYNC_X86_VALID_FIELDS: 7,
  KVM_SYSTEM_EVENT_CRASH: 3,
  KVM_SYSTEM_EVENT_RESET: 2,
  KVM_SYSTEM_EVENT_SEV_TERM: 6,
  KVM_SYSTEM_EVENT_SHUTDOWN: 1,
  KVM_SYSTEM_EVENT_SUSPEND: 5,
  KVM_SYSTEM_EVENT_WAKEUP: 4,
  KVM_TRC_APIC_ACCESS: 131092,
  KVM_TRC_CLTS: 131090,
  KVM_TRC_CPUID: 131085,
  KVM_TRC_CR_READ: 131079,
  KVM_TRC_CR_WRITE: 131080,
  KVM_TRC_CYCLE_SIZE: 8,
  KVM_TRC_DR_READ: 131081,
  KVM_TRC_DR_WRITE: 131082,
  KVM_TRC_ENTRYEXIT: 65536,
  KVM_TRC_EXTRA_MAX: 7,
  KVM_TRC_GTLB_WRITE: 131094,
  KVM_TRC_HANDLER: 131072,
  KVM_TRC_HEAD_SIZE: 12,
  KVM_TRC_HLT: 131089,
  KVM_TRC_INJ_VIRQ: 131074,
  KVM_TRC_INTR: 131086,
  KVM_TRC_IO_READ: 131077,
  KVM_TRC_IO_WRITE: 131078,
  KVM_TRC_LMSW: 131091,
  KVM_TRC_MSR_READ: 131083,
  KVM_TRC_MSR_WRITE: 131084,
  KVM_TRC_NMI: 131087,
  KVM_TRC_PAGE_FAULT: 131073,
  KVM_TRC_PEND_INTR: 131076,
  KVM_TRC_PPC_INSTR: 131097,
  KVM_TRC_REDELIVER_EVT: 131075,
  KVM_TRC_SHIFT: 16,
  KVM_TRC_STLB_INVAL: 131096,
  KVM_TRC_STLB_WRITE: 131095,
  KVM_TRC_TDP_FAULT: 131093,
  KVM_TRC_VMENTRY: 65537,
  KVM_TRC_VMEXIT: 65538,
  KVM_TRC_VMMCALL: 131088,
  KVM_VCPUEVENT_VALID_NMI_PENDING: 1,
  KVM_VCPUEVENT_VALID_PAYLOAD: 16,
  KVM_VCPUEVENT_VALID_SHADOW: 4,
  KVM_VCPUEVENT_VALID_SIPI_VECTOR: 2,
  KVM_VCPUEVENT_VALID_SMM: 8,
  KVM_VCPUEVENT_VALID_TRIPLE_FAULT: 32,
  KVM_VCPU_TSC_CTRL: 0,
  KVM_VCPU_TSC_OFFSET: 0,
  KVM_VM_MIPS_AUTO: 0,
  KVM_VM_MIPS_TE: 2,
  KVM_VM_MIPS_VZ: 1,
  KVM_VM_PPC_HV: 1,
  KVM_VM_PPC_PR: 2,
  KVM_VM_S390_UCONTROL: 1,
  KVM_VM_TYPE_ARM_IPA_SIZE_MASK: 255,
  KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK: 2,
  KVM_X2APIC_API_USE_32BIT_IDS: 1,
  KVM_X86_DEFAULT_VM: 0,
  KVM_X86_DISABLE_EXITS_CSTATE: 8,
  KVM_X86_DISABLE_EXITS_HLT: 2,
  KVM_X86_DISABLE_EXITS_MWAIT: 1,
  KVM_X86_DISABLE_EXITS_PAUSE: 4,
  KVM_X86_DISABLE_VALID_EXITS: 15,
  KVM_X86_NOTIFY_VMEXIT_ENABLED: 1,
  KVM_X86_NOTIFY_VMEXIT_USER: 2,
  KVM_X86_QUIRK_CD_NW_CLEARED: 2,
  KVM_X86_QUIRK_FIX_HYPERCALL_INSN: 32,
  KVM_X86_QUIRK_IGNORE_GUEST_PAT: 512,
  KVM_X86_QUIRK_LAPIC_MMIO_HOLE: 4,
  KVM_X86_QUIRK_LINT0_REENABLED: 1,
  KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT: 16,
  KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS: 64,
  KVM_X86_QUIRK_OUT_7E_INC_RIP: 8,
  KVM_X86_QUIRK_SLOT_ZAP_ALL: 128,
  KVM_X86_QUIRK_STUFF_FEATURE_MSRS: 256,
  KVM_X86_SEV_ES_VM: 3,
  KVM_X86_SEV_VM: 2,
  KVM_X86_SHADOW_INT_MOV_SS: 1,
  KVM_X86_SHADOW_INT_STI: 2,
  KVM_X86_SNP_VM: 4,
  KVM_X86_SW_PROTECTED_VM: 1,
  KVM_X86_TDX_VM: 5,
  KVM_X86_XCOMP_GUEST_SUPP: 0,
  KVM_XEN_ATTR_TYPE_EVTCHN: 3,
  KVM_XEN_ATTR_TYPE_LONG_MODE: 0,
  KVM_XEN_ATTR_TYPE_SHARED_INFO: 1,
  KVM_XEN_ATTR_TYPE_UPCALL_VECTOR: 2,
  KVM_XEN_ATTR_TYPE_XEN_VERSION: 4,
  KVM_XEN_EVTCHN_DEASSIGN: 1,
  KVM_XEN_EVTCHN_RESET: 4,
  KVM_XEN_EVTCHN_UPDATE: 2,
  KVM_XEN_HVM_CONFIG_EVTCHN_2LEVEL: 16,
  KVM_XEN_HVM_CONFIG_EVTCHN_SEND: 32,
  KVM_XEN_HVM_CONFIG_HYPERCALL_MSR: 1,
  KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL: 2,
  KVM_XEN_HVM_CONFIG_RUNSTATE: 8,
  KVM_XEN_HVM_CONFIG_SHARED_INFO: 4,
  KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR: 2,
  KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST: 5,
  KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT: 3,
  KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA: 4,
  KVM_XEN_VCPU_ATTR_TYPE_TIMER: 7,
  KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR: 8,
  KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID: 6,
  KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO: 0,
  KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO: 1,
} as const;
export type ScalarType = 'u8' | 'u16' | 'u32' | 'u64' | 's8' | 's16' | 's32' | 's64';
/** Where a member is; `count` makes it an array, `optional` one of several views of the same bytes. */
export interface Field {
  /** Bytes from the beginning of the structure. */
  offset: number;
  /** A number of that width, or a structure by its name in C. */
  readonly type: ScalarType | StructName;
  /** Elements of an array; without it there is one. */
  readonly count?: number;
  /** One of several views of the same bytes: it may be left out. */
  readonly optional?: boolean;
}
export interface Layout {
  /** Bytes, without the open array at the end. */
  readonly size: number;
  /** A union: all members begin at 0. */
  readonly union?: boolean;
  /** The members by name, without padding. */
  readonly fields: Readonly<Record<string, Field>>;
}
export const structs: Readonly<Record<StructName, Layout>> = {
  kvm_clear_dirty_log: {
    size: 24,
    fields: {
      slot: { offset: 0, type: 'u32' },
      num_pages: { offset: 4, type: 'u32' },
      first_page: { offset: 8, type: 'u64' },
      dirty_bitmap: { offset: 16, type: 'u64' },
    },
  },
  kvm_clock_data: {
    size: 48,
    fields: {
      clock: { offset: 0, type: 'u64' },
      flags: { offset: 8, type: 'u32' },
      realtime: { offset: 16, type: 'u64' },
      host_tsc: { offset: 24, type: 'u64' },
    },
  },
  kvm_coalesced_mmio: {
    size: 24,
    fields: {
      phys_addr: { offset: 0, type: 'u64' },
      len: { offset: 8, type: 'u32' },
      pio: { offset: 12, type: 'u32' },
      data: { offset: 16, type: 'u8', count: 8 },
    },
  },
  kvm_coalesced_mmio_ring: { size: 8, fields: { first: { offset: 0, type: 'u32' }, last: { offset: 4, type: 'u32' } } },
  kvm_coalesced_mmio_zone: {
    size: 16,
    fields: { addr: { offset: 0, type: 'u64' }, size: { offset: 8, type: 'u32' }, pio: { offset: 12, type: 'u32' } },
  },
  kvm_cpuid2: { size: 8, fields: { nent: { offset: 0, type: 'u32' } } },
  kvm_cpuid_entry2: {
    size: 40,
    fields: {
      function: { offset: 0, type: 'u32' },
      index: { offset: 4, type: 'u32' },
      flags: { offset: 8, type: 'u32' },
      eax: { offset: 12, type: 'u32' },
      ebx: { offset: 16, type: 'u32' },
      ecx: { offset: 20, type: 'u32' },
      edx: { offset: 24, type: 'u32' },
    },
  },
  kvm_create_device: {
    size: 12,
    fields: { type: { offset: 0, type: 'u32' }, fd: { offset: 4, type: 'u32' }, flags: { offset: 8, type: 'u32' } },
  },
  kvm_create_guest_memfd: { size: 64, fields: { size: { offset: 0, type: 'u64' }, flags: { offset: 8, type: 'u64' } } },
  kvm_debugregs: {
    size: 128,
    fields: {
      db: { offset: 0, type: 'u64', count: 4 },
      dr6: { offset: 32, type: 'u64' },
      dr7: { offset: 40, type: 'u64' },
      flags: { offset: 48, type: 'u64' },
    },
  },
  kvm_device_attr: {
    size: 24,
    fields: { group: { offset: 4, type: 'u32' }, attr: { offset: 8, type: 'u64' }, addr: { offset: 16, type: 'u64' } },
  },
  kvm_dirty_gfn: {
    size: 16,
    fields: { flags: { offset: 0, type: 'u32' }, slot: { offset: 4, type: 'u32' }, offset: { offset: 8, type: 'u64' } },
  },
  kvm_dirty_log: { size: 16, fields: { slot: { offset: 0, type: 'u32' }, dirty_bitmap: { offset: 8, type: 'u64' } } },
  kvm_dtable: { size: 16, fields: { base: { offset: 0, type: 'u64' }, limit: { offset: 8, type: 'u16' } } },
  kvm_enable_cap: {
    size: 104,
    fields: { cap: { offset: 0, type: 'u32' }, flags: { offset: 4, type: 'u32' }, args: { offset: 8, type: 'u64', count: 4 } },
  },
  kvm_enc_region: { size: 16, fields: { addr: { offset: 0, type: 'u64' }, size: { offset: 8, type: 'u64' } } },
  kvm_fpu: {
    size: 416,
    fields: {
      fpr: { offset: 0, type: 'u8', count: 128 },
      fcw: { offset: 128, type: 'u16' },
      fsw: { offset: 130, type: 'u16' },
      ftwx: { offset: 132, type: 'u8' },
      last_opcode: { offset: 134, type: 'u16' },
      last_ip: { offset: 136, type: 'u64' },
      last_dp: { offset: 144, type: 'u64' },
      xmm: { offset: 152, type: 'u8', count: 256 },
      mxcsr: { offset: 408, type: 'u32' },
    },
  },
  kvm_guest_debug: { size: 72, fields: { control: { offset: 0, type: 'u32' }, arch: { offset: 8, type: 'kvm_guest_debug_arch' } } },
  kvm_guest_debug_arch: { size: 64, fields: { debugreg: { offset: 0, type: 'u64', count: 8 } } },
  kvm_hyperv_eventfd: {
    size: 24,
    fields: { conn_id: { offset: 0, type: 'u32' }, fd: { offset: 4, type: 's32' }, flags: { offset: 8, type: 'u32' } },
  },
  kvm_interrupt: { size: 4, fields: { irq: { offset: 0, type: 'u32' } } },
  kvm_ioapic_state: {
    size: 216,
    fields: {
      base_address: { offset: 0, type: 'u64' },
      ioregsel: { offset: 8, type: 'u32' },
      id: { offset: 12, type: 'u32' },
      irr: { offset: 16, type: 'u32' },
      redirtbl: { offset: 24, type: 'kvm_ioapic_state_redirtbl', count: 24 },
    },
  },
  kvm_ioapic_state_redirtbl: { size: 8, union: true, fields: { bits: { offset: 0, type: 'u64' } } },
  kvm_ioeventfd: {
    size: 64,
    fields: {
      datamatch: { offset: 0, type: 'u64' },
      addr: { offset: 8, type: 'u64' },
      len: { offset: 16, type: 'u32' },
      fd: { offset: 20, type: 's32' },
      flags: { offset: 24, type: 'u32' },
    },
  },
  kvm_irq_level: {
    size: 8,
    fields: {
      irq: { offset: 0, type: 'u32', optional: true },
      status: { offset: 0, type: 's32', optional: true },
      level: { offset: 4, type: 'u32' },
    },
  },
  kvm_irq_routing: { size: 8, fields: { nr: { offset: 0, type: 'u32' } } },
  kvm_irq_routing_entry: {
    size: 48,
    fields: {
      gsi: { offset: 0, type: 'u32' },
      type: { offset: 4, type: 'u32' },
      flags: { offset: 8, type: 'u32' },
      u: { offset: 16, type: 'kvm_irq_routing_entry_u' },
    },
  },
  kvm_irq_routing_entry_u: {
    size: 32,
    union: true,
    fields: {
      irqchip: { offset: 0, type: 'kvm_irq_routing_irqchip' },
      msi: { offset: 0, type: 'kvm_irq_routing_msi' },
      hv_sint: { offset: 0, type: 'kvm_irq_routing_hv_sint' },
      xen_evtchn: { offset: 0, type: 'kvm_irq_routing_xen_evtchn' },
    },
  },
  kvm_irq_routing_hv_sint: { size: 8, fields: { vcpu: { offset: 0, type: 'u32' }, sint: { offset: 4, type: 'u32' } } },
  kvm_irq_routing_irqchip: { size: 8, fields: { irqchip: { offset: 0, type: 'u32' }, pin: { offset: 4, type: 'u32' } } },
  kvm_irq_routing_msi: {
    size: 16,
    fields: { address_lo: { offset: 0, type: 'u32' }, address_hi: { offset: 4, type: 'u32' }, data: { offset: 8, type: 'u32' } },
  },
  kvm_irq_routing_xen_evtchn: {
    size: 12,
    fields: { port: { offset: 0, type: 'u32' }, vcpu: { offset: 4, type: 'u32' }, priority: { offset: 8, type: 'u32' } },
  },
  kvm_irqchip: { size: 520, fields: { chip_id: { offset: 0, type: 'u32' }, chip: { offset: 8, type: 'kvm_irqchip_chip' } } },
  kvm_irqchip_chip: {
    size: 512,
    union: true,
    fields: { pic: { offset: 0, type: 'kvm_pic_state' }, ioapic: { offset: 0, type: 'kvm_ioapic_state' } },
  },
  kvm_irqfd: {
    size: 32,
    fields: {
      fd: { offset: 0, type: 'u32' },
      gsi: { offset: 4, type: 'u32' },
      flags: { offset: 8, type: 'u32' },
      resamplefd: { offset: 12, type: 'u32' },
    },
  },
  kvm_memory_attributes: {
    size: 32,
    fields: {
      address: { offset: 0, type: 'u64' },
      size: { offset: 8, type: 'u64' },
      attributes: { offset: 16, type: 'u64' },
      flags: { offset: 24, type: 'u64' },
    },
  },
  kvm_mp_state: { size: 4, fields: { mp_state: { offset: 0, type: 'u32' } } },
  kvm_msi: {
    size: 32,
    fields: {
      address_lo: { offset: 0, type: 'u32' },
      address_hi: { offset: 4, type: 'u32' },
      data: { offset: 8, type: 'u32' },
      flags: { offset: 12, type: 'u32' },
    },
  },
  kvm_msr_entry: { size: 16, fields: { index: { offset: 0, type: 'u32' }, data: { offset: 8, type: 'u64' } } },
  kvm_msr_filter: {
    size: 392,
    fields: { flags: { offset: 0, type: 'u32' }, ranges: { offset: 8, type: 'kvm_msr_filter_range', count: 16 } },
  },
  kvm_msr_filter_range: {
    size: 24,
    fields: {
      flags: { offset: 0, type: 'u32' },
      nmsrs: { offset: 4, type: 'u32' },
      base: { offset: 8, type: 'u32' },
      bitmap: { offset: 16, type: 'u64' },
    },
  },
  kvm_msrs: { size: 8, fields: { nmsrs: { offset: 0, type: 'u32' } } },
  kvm_nested_state: {
    size: 128,
    fields: { flags: { offset: 0, type: 'u16' }, format: { offset: 2, type: 'u16' }, size: { offset: 4, type: 'u32' } },
  },
  kvm_pic_state: {
    size: 16,
    fields: {
      last_irr: { offset: 0, type: 'u8' },
      irr: { offset: 1, type: 'u8' },
      imr: { offset: 2, type: 'u8' },
      isr: { offset: 3, type: 'u8' },
      priority_add: { offset: 4, type: 'u8' },
      irq_base: { offset: 5, type: 'u8' },
      read_reg_select: { offset: 6, type: 'u8' },
      poll: { offset: 7, type: 'u8' },
      special_mask: { offset: 8, type: 'u8' },
      init_state: { offset: 9, type: 'u8' },
      auto_eoi: { offset: 10, type: 'u8' },
      rotate_on_auto_eoi: { offset: 11, type: 'u8' },
      special_fully_nested_mode: { offset: 12, type: 'u8' },
      init4: { offset: 13, type: 'u8' },
      elcr: { offset: 14, type: 'u8' },
      elcr_mask: { offset: 15, type: 'u8' },
    },
  },
  kvm_pit_channel_state: {
    size: 24,
    fields: {
      count: { offset: 0, type: 'u32' },
      latched_count: { offset: 4, type: 'u16' },
      count_latched: { offset: 6, type: 'u8' },
      status_latched: { offset: 7, type: 'u8' },
      status: { offset: 8, type: 'u8' },
      read_state: { offset: 9, type: 'u8' },
      write_state: { offset: 10, type: 'u8' },
      write_latch: { offset: 11, type: 'u8' },
      rw_mode: { offset: 12, type: 'u8' },
      mode: { offset: 13, type: 'u8' },
      bcd: { offset: 14, type: 'u8' },
      gate: { offset: 15, type: 'u8' },
      count_load_time: { offset: 16, type: 's64' },
    },
  },
  kvm_pit_config: { size: 64, fields: { flags: { offset: 0, type: 'u32' } } },
  kvm_pit_state2: {
    size: 112,
    fields: { channels: { offset: 0, type: 'kvm_pit_channel_state', count: 3 }, flags: { offset: 72, type: 'u32' } },
  },
  kvm_pmu_event_filter: {
    size: 32,
    fields: {
      action: { offset: 0, type: 'u32' },
      nevents: { offset: 4, type: 'u32' },
      fixed_counter_bitmap: { offset: 8, type: 'u32' },
      flags: { offset: 12, type: 'u32' },
    },
  },
  kvm_pre_fault_memory: { size: 64, fields: { gpa: { offset: 0, type: 'u64' }, size: { offset: 8, type: 'u64' } } },
  kvm_regs: {
    size: 144,
    fields: {
      rax: { offset: 0, type: 'u64' },
      rbx: { offset: 8, type: 'u64' },
      rcx: { offset: 16, type: 'u64' },
      rdx: { offset: 24, type: 'u64' },
      rsi: { offset: 32, type: 'u64' },
      rdi: { offset: 40, type: 'u64' },
      rsp: { offset: 48, type: 'u64' },
      rbp: { offset: 56, type: 'u64' },
      r8: { offset: 64, type: 'u64' },
      r9: { offset: 72, type: 'u64' },
      r10: { offset: 80, type: 'u64' },
      r11: { offset: 88, type: 'u64' },
      r12: { offset: 96, type: 'u64' },
      r13: { offset: 104, type: 'u64' },
      r14: { offset: 112, type: 'u64' },
      r15: { offset: 120, type: 'u64' },
      rip: { offset: 128, type: 'u64' },
      rflags: { offset: 136, type: 'u64' },
    },
  },
  kvm_reinject_control: { size: 32, fields: { pit_reinject: { offset: 0, type: 'u8' } } },
  kvm_run: {
    size: 2352,
    fields: {
      kvm_valid_regs: { offset: 288, type: 'u64' },
      kvm_dirty_regs: { offset: 296, type: 'u64' },
      s: { offset: 304, type: 'kvm_run_s' },
    },
  },
  kvm_run_s: { size: 2048, union: true, fields: { regs: { offset: 0, type: 'kvm_sync_regs' } } },
  kvm_segment: {
    size: 24,
    fields: {
      base: { offset: 0, type: 'u64' },
      limit: { offset: 8, type: 'u32' },
      selector: { offset: 12, type: 'u16' },
      type: { offset: 14, type: 'u8' },
      present: { offset: 15, type: 'u8' },
      dpl: { offset: 16, type: 'u8' },
      db: { offset: 17, type: 'u8' },
      s: { offset: 18, type: 'u8' },
      l: { offset: 19, type: 'u8' },
      g: { offset: 20, type: 'u8' },
      avl: { offset: 21, type: 'u8' },
      unusable: { offset: 22, type: 'u8' },
    },
  },
  kvm_sregs: {
    size: 312,
    fields: {
      cs: { offset: 0, type: 'kvm_segment' },
      ds: { offset: 24, type: 'kvm_segment' },
      es: { offset: 48, type: 'kvm_segment' },
      fs: { offset: 72, type: 'kvm_segment' },
      gs: { offset: 96, type: 'kvm_segment' },
      ss: { offset: 120, type: 'kvm_segment' },
      tr: { offset: 144, type: 'kvm_segment' },
      ldt: { offset: 168, type: 'kvm_segment' },
      gdt: { offset: 192, type: 'kvm_dtable' },
      idt: { offset: 208, type: 'kvm_dtable' },
      cr0: { offset: 224, type: 'u64' },
      cr2: { offset: 232, type: 'u64' },
      cr3: { offset: 240, type: 'u64' },
      cr4: { offset: 248, type: 'u64' },
      cr8: { offset: 256, type: 'u64' },
      efer: { offset: 264, type: 'u64' },
      apic_base: { offset: 272, type: 'u64' },
      interrupt_bitmap: { offset: 280, type: 'u64', count: 4 },
    },
  },
  kvm_sregs2: {
    size: 320,
    fields: {
      cs: { offset: 0, type: 'kvm_segment' },
      ds: { offset: 24, type: 'kvm_segment' },
      es: { offset: 48, type: 'kvm_segment' },
      fs: { offset: 72, type: 'kvm_segment' },
      gs: { offset: 96, type: 'kvm_segment' },
      ss: { offset: 120, type: 'kvm_segment' },
      tr: { offset: 144, type: 'kvm_segment' },
      ldt: { offset: 168, type: 'kvm_segment' },
      gdt: { offset: 192, type: 'kvm_dtable' },
      idt: { offset: 208, type: 'kvm_dtable' },
      cr0: { offset: 224, type: 'u64' },
      cr2: { offset: 232, type: 'u64' },
      cr3: { offset: 240, type: 'u64' },
      cr4: { offset: 248, type: 'u64' },
      cr8: { offset: 256, type: 'u64' },
      efer: { offset: 264, type: 'u64' },
      apic_base: { offset: 272, type: 'u64' },
      flags: { offset: 280, type: 'u64' },
      pdptrs: { offset: 288, type: 'u64', count: 4 },
    },
  },
  kvm_stats_desc: {
    size: 16,
    fields: {
      flags: { offset: 0, type: 'u32' },
      exponent: { offset: 4, type: 's16' },
      size: { offset: 6, type: 'u16' },
      offset: { offset: 8, type: 'u32' },
      bucket_size: { offset: 12, type: 'u32' },
    },
  },
  kvm_stats_header: {
    size: 24,
    fields: {
      flags: { offset: 0, type: 'u32' },
      name_size: { offset: 4, type: 'u32' },
      num_desc: { offset: 8, type: 'u32' },
      id_offset: { offset: 12, type: 'u32' },
      desc_offset: { offset: 16, type: 'u32' },
      data_offset: { offset: 20, type: 'u32' },
    },
  },
  kvm_sync_regs: {
    size: 520,
    fields: {
      regs: { offset: 0, type: 'kvm_regs' },
      sregs: { offset: 144, type: 'kvm_sregs' },
      events: { offset: 456, type: 'kvm_vcpu_events' },
    },
  },
  kvm_tpr_access_ctl: { size: 40, fields: { enabled: { offset: 0, type: 'u32' } } },
  kvm_translation: {
    size: 24,
    fields: {
      linear_address: { offset: 0, type: 'u64' },
      physical_address: { offset: 8, type: 'u64' },
      valid: { offset: 16, type: 'u8' },
      writeable: { offset: 17, type: 'u8' },
      usermode: { offset: 18, type: 'u8' },
    },
  },
  kvm_userspace_memory_region: {
    size: 32,
    fields: {
      slot: { offset: 0, type: 'u32' },
      flags: { offset: 4, type: 'u32' },
      guest_phys_addr: { offset: 8, type: 'u64' },
      memory_size: { offset: 16, type: 'u64' },
      userspace_addr: { offset: 24, type: 'u64' },
    },
  },
  kvm_userspace_memory_region2: {
    size: 160,
    fields: {
      slot: { offset: 0, type: 'u32' },
      flags: { offset: 4, type: 'u32' },
      guest_phys_addr: { offset: 8, type: 'u64' },
      memory_size: { offset: 16, type: 'u64' },
      userspace_addr: { offset: 24, type: 'u64' },
      guest_memfd_offset: { offset: 32, type: 'u64' },
      guest_memfd: { offset: 40, type: 'u32' },
    },
  },
  kvm_vapic_addr: { size: 8, fields: { vapic_addr: { offset: 0, type: 'u64' } } },
  kvm_vcpu_events: {
    size: 64,
    fields: {
      exception: { offset: 0, type: 'kvm_vcpu_events_exception' },
      interrupt: { offset: 8, type: 'kvm_vcpu_events_interrupt' },
      nmi: { offset: 12, type: 'kvm_vcpu_events_nmi' },
      sipi_vector: { offset: 16, type: 'u32' },
      flags: { offset: 20, type: 'u32' },
      smi: { offset: 24, type: 'kvm_vcpu_events_smi' },
      triple_fault: { offset: 28, type: 'kvm_vcpu_events_triple_fault' },
      exception_has_payload: { offset: 55, type: 'u8' },
      exception_payload: { offset: 56, type: 'u64' },
    },
  },
  kvm_vcpu_events_exception: {
    size: 8,
    fields: {
      injected: { offset: 0, type: 'u8' },
      nr: { offset: 1, type: 'u8' },
      has_error_code: { offset: 2, type: 'u8' },
      pending: { offset: 3, type: 'u8' },
      error_code: { offset: 4, type: 'u32' },
    },
  },
  kvm_vcpu_events_interrupt: {
    size: 4,
    fields: {
      injected: { offset: 0, type: 'u8' },
      nr: { offset: 1, type: 'u8' },
      soft: { offset: 2, type: 'u8' },
      shadow: { offset: 3, type: 'u8' },
    },
  },
  kvm_vcpu_events_nmi: {
    size: 4,
    fields: { injected: { offset: 0, type: 'u8' }, pending: { offset: 1, type: 'u8' }, masked: { offset: 2, type: 'u8' } },
  },
  kvm_vcpu_events_smi: {
    size: 4,
    fields: {
      smm: { offset: 0, type: 'u8' },
      pending: { offset: 1, type: 'u8' },
      smm_inside_nmi: { offset: 2, type: 'u8' },
      latched_init: { offset: 3, type: 'u8' },
    },
  },
  kvm_vcpu_events_triple_fault: { size: 1, fields: { pending: { offset: 0, type: 'u8' } } },
  kvm_x86_mce: {
    size: 64,
    fields: {
      status: { offset: 0, type: 'u64' },
      addr: { offset: 8, type: 'u64' },
      misc: { offset: 16, type: 'u64' },
      mcg_status: { offset: 24, type: 'u64' },
      bank: { offset: 32, type: 'u8' },
    },
  },
  kvm_xcr: { size: 16, fields: { xcr: { offset: 0, type: 'u32' }, value: { offset: 8, type: 'u64' } } },
  kvm_xcrs: {
    size: 392,
    fields: { nr_xcrs: { offset: 0, type: 'u32' }, flags: { offset: 4, type: 'u32' }, xcrs: { offset: 8, type: 'kvm_xcr', count: 16 } },
  },
  kvm_xen_hvm_config: {
    size: 56,
    fields: {
      flags: { offset: 0, type: 'u32' },
      msr: { offset: 4, type: 'u32' },
      blob_addr_32: { offset: 8, type: 'u64' },
      blob_addr_64: { offset: 16, type: 'u64' },
      blob_size_32: { offset: 24, type: 'u8' },
      blob_size_64: { offset: 25, type: 'u8' },
    },
  },
};
/** struct kvm_clear_dirty_log, 24 bytes. */
export interface KvmClearDirtyLog {
  /** The slot, and the address space in bits 16 to 31. */
  slot: number;
  /** Pages; a multiple of 64, unless they go up to the end of the slot. */
  num_pages: number;
  /** The first page of the slot, a multiple of 64. */
  first_page: bigint;
  /** Address in this process of the bitmap; pages whose bits are set are made clean. Bit 0 is first_page. */
  dirty_bitmap: bigint;
}
/** struct kvm_clock_data, 48 bytes. */
export interface KvmClockData {
  /** The clock of the guest (kvmclock), in nanoseconds. */
  clock: bigint;
  /** KVM_CLOCK_TSC_STABLE, KVM_CLOCK_REALTIME, KVM_CLOCK_HOST_TSC; setting takes KVM_CLOCK_REALTIME only. */
  flags: number;
  /** The host's CLOCK_REALTIME at that moment, nanoseconds since 1970; valid with KVM_CLOCK_REALTIME. */
  realtime: bigint;
  /** The host's TSC at that moment; valid with KVM_CLOCK_HOST_TSC, and not read when the clock is set. */
  host_tsc: bigint;
}
/** struct kvm_coalesced_mmio, 24 bytes. */
export interface KvmCoalescedMmio {
  /** Guest-physical address of the write, or its port. */
  phys_addr: bigint;
  /** Bytes written, 1 to 8. */
  len: number;
  /** 1: a write to a port; 0: to memory. */
  pio: number;
  /** What was written, `len` bytes of 8, little endian. */
  data: Uint8Array;
}
/** struct kvm_coalesced_mmio_ring, 8 bytes. */
export interface KvmCoalescedMmioRing {
  /** Index of the oldest entry not yet read; the reader moves it on. */
  first: number;
  /** Index of the next entry that KVM fills; equal to `first`: the ring is empty. */
  last: number;
}
/** struct kvm_coalesced_mmio_zone, 16 bytes. */
export interface KvmCoalescedMmioZone {
  /** Guest-physical address of the first byte, or the first port. */
  addr: bigint;
  /** Bytes, or ports. */
  size: number;
  /** 1: ports, which needs KVM_CAP_COALESCED_PIO; 0: memory. */
  pio: number;
}
/** struct kvm_cpuid2, 8 bytes. */
export interface KvmCpuid2 {
  /** Number of entries behind the structure: when reading, the room for them, and then how many KVM filled. */
  nent: number;
}
/** struct kvm_cpuid_entry2, 40 bytes. */
export interface KvmCpuidEntry2 {
  /** EAX at CPUID: the leaf. */
  function: number;
  /** ECX at CPUID: the subleaf; matters with KVM_CPUID_FLAG_SIGNIFCANT_INDEX. */
  index: number;
  /** KVM_CPUID_FLAG_SIGNIFCANT_INDEX (sic): the entry answers only where ECX is `index`. */
  flags: number;
  /** EAX after CPUID. */
  eax: number;
  /** EBX after CPUID. */
  ebx: number;
  /** ECX after CPUID. */
  ecx: number;
  /** EDX after CPUID. */
  edx: number;
}
/** struct kvm_create_device, 12 bytes. */
export interface KvmCreateDevice {
  /** KVM_DEV_TYPE_…: the kind of device. */
  type: number;
  /** Written by KVM: descriptor of the device. */
  fd: number;
  /** KVM_CREATE_DEVICE_TEST: only says whether the kind is supported, and makes nothing. */
  flags: number;
}
/** struct kvm_create_guest_memfd, 64 bytes. */
export interface KvmCreateGuestMemfd {
  /** Bytes, a multiple of the page size. */
  size: bigint;
  /** GUEST_MEMFD_FLAG_…, as far as KVM_CAP_GUEST_MEMFD_FLAGS names them; else 0. */
  flags: bigint;
}
/** struct kvm_debugregs, 128 bytes. */
export interface KvmDebugregs {
  /** DR0 to DR3: linear addresses of breakpoints. */
  db: readonly bigint[];
  /** DR6: which breakpoint or step was met. */
  dr6: bigint;
  /** DR7: which breakpoints are on, and for what. */
  dr7: bigint;
  /** None is defined: 0. */
  flags: bigint;
}
/** struct kvm_device_attr, 24 bytes. */
export interface KvmDeviceAttr {
  /** KVM_DEV_…_GRP_… of the kind of device. */
  group: number;
  /** The attribute of the group; for some groups an index or an address. */
  attr: bigint;
  /** Address in this process of the value. */
  addr: bigint;
}
/** struct kvm_dirty_gfn, 16 bytes. */
export interface KvmDirtyGfn {
  /** KVM_DIRTY_GFN_F_DIRTY, set by KVM; KVM_DIRTY_GFN_F_RESET, set by the reader when it is done with the entry. */
  flags: number;
  /** Bits 0 to 15: the slot; bits 16 to 31: the address space. */
  slot: number;
  /** The page within the slot, counted from 0. */
  offset: bigint;
}
/** struct kvm_dirty_log, 16 bytes. */
export interface KvmDirtyLog {
  /** The slot, and the address space in bits 16 to 31. */
  slot: number;
  /** Address in this process of a bitmap of one bit per page of the slot, rounded up to 8 bytes; KVM fills it. */
  dirty_bitmap: bigint;
}
/** struct kvm_dtable, 16 bytes. */
export interface KvmDtable {
  /** Linear address of the table. */
  base: bigint;
  /** Offset of its last byte, 16 bits. */
  limit: number;
}
/** struct kvm_enable_cap, 104 bytes. */
export interface KvmEnableCap {
  /** KVM_CAP_…: the capability to enable. */
  cap: number;
  /** None is defined: 0. */
  flags: number;
  /** Four words, whose meaning is of the capability. */
  args: readonly bigint[];
}
/** struct kvm_enc_region, 16 bytes. */
export interface KvmEncRegion {
  /** Address in this process of the memory that a SEV guest may encrypt; it is pinned. */
  addr: bigint;
  /** Bytes. */
  size: bigint;
}
/** struct kvm_fpu, 416 bytes. */
export interface KvmFpu {
  /** ST0 to ST7 (MM0 to MM7), 16 bytes each, of which 10 are used. */
  fpr: Uint8Array;
  /** The x87 control word, FCW. */
  fcw: number;
  /** The x87 status word, FSW. */
  fsw: number;
  /** The x87 tag word as FXSAVE has it: one bit for each physical register, 1 where it is not empty. */
  ftwx: number;
  /** FOP: opcode of the last x87 instruction, 11 bits. */
  last_opcode: number;
  /** FIP: address of the last x87 instruction. */
  last_ip: bigint;
  /** FDP: address of its operand in memory. */
  last_dp: bigint;
  /** XMM0 to XMM15, 16 bytes each. */
  xmm: Uint8Array;
  /** MXCSR: control and status of SSE. */
  mxcsr: number;
}
/** struct kvm_guest_debug, 72 bytes. */
export interface KvmGuestDebug {
  /** KVM_GUESTDBG_…; 0 turns debugging off. */
  control: number;
  /** The debug registers, used with KVM_GUESTDBG_USE_HW_BP. */
  arch: KvmGuestDebugArch;
}
/** struct kvm_guest_debug_arch, 64 bytes. */
export interface KvmGuestDebugArch {
  /** DR0 to DR7; 0 to 3 (addresses) and 7 (control) are used. */
  debugreg: readonly bigint[];
}
/** struct kvm_hyperv_eventfd, 24 bytes. */
export interface KvmHypervEventfd {
  /** Hyper-V's connection ID, bits 0 to 23: what the guest passes to HvSignalEvent. */
  conn_id: number;
  /** The eventfd that HvSignalEvent signals. */
  fd: number;
  /** KVM_HYPERV_EVENTFD_DEASSIGN: the connection ends. */
  flags: number;
}
/** struct kvm_interrupt, 4 bytes. */
export interface KvmInterrupt {
  /** The vector, 0 to 255; not a line of the interrupt controller. */
  irq: number;
}
/** struct kvm_ioapic_state, 216 bytes. */
export interface KvmIoapicState {
  /** Guest-physical address of its registers, 0xfec00000 at first. */
  base_address: bigint;
  /** IOREGSEL: index of the register seen in IOWIN. */
  ioregsel: number;
  /** IOAPICID: its APIC ID, 4 bits. */
  id: number;
  /** One bit per pin: its interrupt waits. */
  irr: number;
  /** IOREDTBL: one entry for each of the 24 pins. */
  redirtbl: readonly KvmIoapicStateRedirtbl[];
}
/** union kvm_ioapic_state_redirtbl, 8 bytes; one of its members. */
export interface KvmIoapicStateRedirtbl {
  /** The entry: vector in bits 0 to 7, delivery mode 8 to 10, mask in bit 16, destination in 56 to 63. */
  bits?: bigint;
}
/** struct kvm_ioeventfd, 64 bytes. */
export interface KvmIoeventfd {
  /** The value that must be written, with KVM_IOEVENTFD_FLAG_DATAMATCH. */
  datamatch: bigint;
  /** Guest-physical address of the write, or its port. */
  addr: bigint;
  /** Bytes of the write: 1, 2, 4 or 8; 0 for any, without datamatch. */
  len: number;
  /** The eventfd that the write signals. */
  fd: number;
  /** KVM_IOEVENTFD_FLAG_DATAMATCH, KVM_IOEVENTFD_FLAG_PIO, KVM_IOEVENTFD_FLAG_DEASSIGN. */
  flags: number;
}
/** struct kvm_irq_level, 8 bytes. */
export interface KvmIrqLevel {
  /** The GSI: 0 to 15 reach PIC and IOAPIC, 16 to 23 the IOAPIC, until the routing is changed. */
  irq?: number;
  /** Written by KVM_IRQ_LINE_STATUS: above 0, vCPUs reached; 0, one waited already; below 0, masked. */
  status?: number;
  /** 1: the line is high; 0: low. */
  level: number;
}
/** struct kvm_irq_routing, 8 bytes. */
export interface KvmIrqRouting {
  /** Number of entries behind the structure; they replace the whole routing. */
  nr: number;
}
/** struct kvm_irq_routing_entry, 48 bytes. */
export interface KvmIrqRoutingEntry {
  /** The GSI that is routed; several entries may share it. */
  gsi: number;
  /** KVM_IRQ_ROUTING_…: which member of `u` is meant. */
  type: number;
  /** On x86 0. */
  flags: number;
  /** Where the interrupt goes. */
  u: KvmIrqRoutingEntryU;
}
/** union kvm_irq_routing_entry_u, 32 bytes; one of its members. */
export interface KvmIrqRoutingEntryU {
  /** KVM_IRQ_ROUTING_IRQCHIP: a pin of a PIC or of the IOAPIC. */
  irqchip?: KvmIrqRoutingIrqchip;
  /** KVM_IRQ_ROUTING_MSI: a message to local APICs. */
  msi?: KvmIrqRoutingMsi;
  /** KVM_IRQ_ROUTING_HV_SINT: a source of Hyper-V's synthetic interrupt controller. */
  hv_sint?: KvmIrqRoutingHvSint;
  /** KVM_IRQ_ROUTING_XEN_EVTCHN: an event channel of a Xen guest. */
  xen_evtchn?: KvmIrqRoutingXenEvtchn;
}
/** struct kvm_irq_routing_hv_sint, 8 bytes. */
export interface KvmIrqRoutingHvSint {
  /** Hyper-V's VP index of the vCPU. */
  vcpu: number;
  /** The synthetic interrupt source, 0 to 15. */
  sint: number;
}
/** struct kvm_irq_routing_irqchip, 8 bytes. */
export interface KvmIrqRoutingIrqchip {
  /** KVM_IRQCHIP_PIC_MASTER (0), KVM_IRQCHIP_PIC_SLAVE (1) or KVM_IRQCHIP_IOAPIC (2). */
  irqchip: number;
  /** The pin: 0 to 7 of a PIC, 0 to 23 of the IOAPIC. */
  pin: number;
}
/** struct kvm_irq_routing_msi, 16 bytes. */
export interface KvmIrqRoutingMsi {
  /** Bits 0 to 31 of the message address: 0xfee00000, destination APIC ID in bits 12 to 19. */
  address_lo: number;
  /** Bits 32 to 63 of the message address; with KVM_CAP_X2APIC_API bits 8 to 31 are those of the destination ID. */
  address_hi: number;
  /** The message data: vector in bits 0 to 7, delivery mode in bits 8 to 10. */
  data: number;
}
/** struct kvm_irq_routing_xen_evtchn, 12 bytes. */
export interface KvmIrqRoutingXenEvtchn {
  /** The event channel's port. */
  port: number;
  /** ID of the vCPU, as KVM_CREATE_VCPU was given it. */
  vcpu: number;
  /** Only KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL: two-level event channels. */
  priority: number;
}
/** struct kvm_irqchip, 520 bytes. */
export interface KvmIrqchip {
  /** KVM_IRQCHIP_PIC_MASTER (0), KVM_IRQCHIP_PIC_SLAVE (1) or KVM_IRQCHIP_IOAPIC (2). */
  chip_id: number;
  /** Its state. */
  chip: KvmIrqchipChip;
}
/** union kvm_irqchip_chip, 512 bytes; one of its members. */
export interface KvmIrqchipChip {
  /** Of chips 0 and 1. */
  pic?: KvmPicState;
  /** Of chip 2. */
  ioapic?: KvmIoapicState;
}
/** struct kvm_irqfd, 32 bytes. */
export interface KvmIrqfd {
  /** The eventfd; signalling it raises the interrupt. */
  fd: number;
  /** The GSI raised. */
  gsi: number;
  /** KVM_IRQFD_FLAG_DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE (a level-triggered interrupt). */
  flags: number;
  /** With KVM_IRQFD_FLAG_RESAMPLE: the eventfd that KVM signals when the guest acknowledges the interrupt. */
  resamplefd: number;
}
/** struct kvm_memory_attributes, 32 bytes. */
export interface KvmMemoryAttributes {
  /** Guest-physical address of the first byte, a multiple of the page size. */
  address: bigint;
  /** Bytes, a multiple of the page size. */
  size: bigint;
  /** KVM_MEMORY_ATTRIBUTE_PRIVATE or 0; they replace those that the pages had. */
  attributes: bigint;
  /** None is defined: 0. */
  flags: bigint;
}
/** struct kvm_mp_state, 4 bytes. */
export interface KvmMpState {
  /** KVM_MP_STATE_…: what the vCPU does while it executes nothing. */
  mp_state: number;
}
/** struct kvm_msi, 32 bytes. */
export interface KvmMsi {
  /** Bits 0 to 31 of the message address: 0xfee00000, destination APIC ID in bits 12 to 19. */
  address_lo: number;
  /** Bits 32 to 63 of the message address; with KVM_CAP_X2APIC_API bits 8 to 31 are those of the destination ID. */
  address_hi: number;
  /** The message data: vector in bits 0 to 7, delivery mode in bits 8 to 10. */
  data: number;
  /** On x86 0. */
  flags: number;
}
/** struct kvm_msr_entry, 16 bytes. */
export interface KvmMsrEntry {
  /** Number of the MSR, ECX at RDMSR and WRMSR. */
  index: number;
  /** Its value. */
  data: bigint;
}
/** struct kvm_msr_filter, 392 bytes. */
export interface KvmMsrFilter {
  /** MSRs of no range: KVM_MSR_FILTER_DEFAULT_ALLOW (0) or KVM_MSR_FILTER_DEFAULT_DENY (1). */
  flags: number;
  /** Up to 16; those without MSRs are not used. */
  ranges: readonly KvmMsrFilterRange[];
}
/** struct kvm_msr_filter_range, 24 bytes. */
export interface KvmMsrFilterRange {
  /** KVM_MSR_FILTER_READ, KVM_MSR_FILTER_WRITE: the accesses that the range filters. */
  flags: number;
  /** Number of MSRs, bits of the bitmap; 0: the range is not used. */
  nmsrs: number;
  /** The first MSR. */
  base: number;
  /** Address in this process of the bitmap: 1 allows the MSR, 0 denies it. */
  bitmap: bigint;
}
/** struct kvm_msrs, 8 bytes. */
export interface KvmMsrs {
  /** Number of entries behind the structure. */
  nmsrs: number;
}
/** struct kvm_nested_state, 128 bytes. */
export interface KvmNestedState {
  /** KVM_STATE_NESTED_GUEST_MODE and others of that name. */
  flags: number;
  /** KVM_STATE_NESTED_FORMAT_VMX (0) or KVM_STATE_NESTED_FORMAT_SVM (1). */
  format: number;
  /** Bytes of the whole state, these 128 of the header included. */
  size: number;
}
/** struct kvm_pic_state, 16 bytes. */
export interface KvmPicState {
  /** Levels of the lines when they were last seen, for edges; a bit per line. */
  last_irr: number;
  /** IRR: lines that request an interrupt. */
  irr: number;
  /** IMR: lines that are masked (OCW1). */
  imr: number;
  /** ISR: interrupts in service. */
  isr: number;
  /** The line of highest priority, 0 to 7; rotation moves it. */
  priority_add: number;
  /** Vector of line 0 (ICW2). */
  irq_base: number;
  /** A read of the command port gives 0: IRR, 1: ISR (OCW3). */
  read_reg_select: number;
  /** 1: the next read is a poll (OCW3). */
  poll: number;
  /** 1: special mask mode (OCW3). */
  special_mask: number;
  /** How far initialization is: 1, 2, 3 wait for ICW2, ICW3, ICW4; 0: done. */
  init_state: number;
  /** 1: interrupts end by themselves (AEOI of ICW4). */
  auto_eoi: number;
  /** 1: priorities rotate at an automatic end of interrupt (OCW2). */
  rotate_on_auto_eoi: number;
  /** 1: SFNM of ICW4. */
  special_fully_nested_mode: number;
  /** 1: an ICW4 comes (IC4 of ICW1). */
  init4: number;
  /** ELCR, port 0x4d0 or 0x4d1: 1 makes the line level-triggered. */
  elcr: number;
  /** Bits of ELCR that the guest may set: 0xf8 of the master, 0xde of the slave. */
  elcr_mask: number;
}
/** struct kvm_pit_channel_state, 24 bytes. */
export interface KvmPitChannelState {
  /** The count loaded, 1 to 65536. */
  count: number;
  /** The count that the latch command kept. */
  latched_count: number;
  /** Not 0: bytes of latched_count are still to be read, coded like read_state. */
  count_latched: number;
  /** 1: `status` is still to be read. */
  status_latched: number;
  /** The status that the read-back command kept. */
  status: number;
  /** The next byte read: 1 low only, 2 high only, 3 low of two, 4 high of two. */
  read_state: number;
  /** The next byte written, coded like read_state. */
  write_state: number;
  /** The low byte, until the high one is written. */
  write_latch: number;
  /** RW of the control word: 1 low byte, 2 high byte, 3 low and then high. */
  rw_mode: number;
  /** Mode of the control word, 0 to 5. */
  mode: number;
  /** 1: BCD in the control word; KVM counts in binary all the same. */
  bcd: number;
  /** 1: the GATE input is high. */
  gate: number;
  /** When the count was loaded, in nanoseconds of the host's monotonic clock. */
  count_load_time: bigint;
}
/** struct kvm_pit_config, 64 bytes. */
export interface KvmPitConfig {
  /** KVM_PIT_SPEAKER_DUMMY: KVM answers port 0x61 too. */
  flags: number;
}
/** struct kvm_pit_state2, 112 bytes. */
export interface KvmPitState2 {
  /** The three channels. */
  channels: readonly KvmPitChannelState[];
  /** KVM_PIT_FLAGS_HPET_LEGACY: the HPET replaces channel 0; KVM_PIT_FLAGS_SPEAKER_DATA_ON: bit 1 of port 0x61. */
  flags: number;
}
/** struct kvm_pmu_event_filter, 32 bytes. */
export interface KvmPmuEventFilter {
  /** KVM_PMU_EVENT_ALLOW (0): only what is listed; KVM_PMU_EVENT_DENY (1): all but what is listed. */
  action: number;
  /** Number of events behind the structure, at most 300. */
  nevents: number;
  /** Fixed counters to which the action applies, a bit each. */
  fixed_counter_bitmap: number;
  /** KVM_PMU_EVENT_FLAG_MASKED_EVENTS: the events have masks; else each is event select and unit mask. */
  flags: number;
}
/** struct kvm_pre_fault_memory, 64 bytes. */
export interface KvmPreFaultMemory {
  /** Guest-physical address of the first byte, a multiple of the page size; KVM moves it to what is not done yet. */
  gpa: bigint;
  /** Bytes, a multiple of the page size; KVM leaves what is not done yet. */
  size: bigint;
}
/** struct kvm_regs, 144 bytes. */
export interface KvmRegs {
  /** General-purpose register RAX. */
  rax: bigint;
  /** General-purpose register RBX. */
  rbx: bigint;
  /** General-purpose register RCX. */
  rcx: bigint;
  /** General-purpose register RDX. */
  rdx: bigint;
  /** General-purpose register RSI. */
  rsi: bigint;
  /** General-purpose register RDI. */
  rdi: bigint;
  /** General-purpose register RSP. */
  rsp: bigint;
  /** General-purpose register RBP. */
  rbp: bigint;
  /** General-purpose register R8. */
  r8: bigint;
  /** General-purpose register R9. */
  r9: bigint;
  /** General-purpose register R10. */
  r10: bigint;
  /** General-purpose register R11. */
  r11: bigint;
  /** General-purpose register R12. */
  r12: bigint;
  /** General-purpose register R13. */
  r13: bigint;
  /** General-purpose register R14. */
  r14: bigint;
  /** General-purpose register R15. */
  r15: bigint;
  /** RIP: offset of the next instruction in CS. */
  rip: bigint;
  /** RFLAGS; bit 1 is always 1. */
  rflags: bigint;
}
/** struct kvm_reinject_control, 32 bytes. */
export interface KvmReinjectControl {
  /** 1, the default: ticks that the guest missed are injected later; 0: they are dropped. */
  pit_reinject: number;
}
/** struct kvm_run, 2352 bytes. */
export interface KvmRun {
  /** KVM_SYNC_X86_…: the parts of `s.regs` that KVM writes at each exit. */
  kvm_valid_regs: bigint;
  /** KVM_SYNC_X86_…: the parts of `s.regs` that KVM loads at the next entry; it then clears the bits. */
  kvm_dirty_regs: bigint;
  /** Registers that travel with entries and exits. */
  s: KvmRunS;
}
/** union kvm_run_s, 2048 bytes; one of its members. */
export interface KvmRunS {
  /** The registers, in 2048 bytes that have room for more. */
  regs?: KvmSyncRegs;
}
/** struct kvm_segment, 24 bytes. */
export interface KvmSegment {
  /** Linear address of the segment. */
  base: bigint;
  /** Offset of its last byte, in bytes also with `g`. */
  limit: number;
  /** The visible part: index, TI and RPL. */
  selector: number;
  /** Type, 4 bits, as in the descriptor. */
  type: number;
  /** P: 1, the segment is present. */
  present: number;
  /** DPL, 0 to 3; of SS it is the privilege level. */
  dpl: number;
  /** D/B: 1, operands, addresses or stack have 32 bits. */
  db: number;
  /** S: 1, code or data; 0, a system segment. */
  s: number;
  /** L: 1, 64-bit code; of CS only. */
  l: number;
  /** G: 1, the limit was in units of 4 KiB in the descriptor. */
  g: number;
  /** AVL: for the guest to use. */
  avl: number;
  /** 1: no segment is loaded, as after a null selector. */
  unusable: number;
}
/** struct kvm_sregs, 312 bytes. */
export interface KvmSregs {
  /** CS: segment register, with its hidden part. */
  cs: KvmSegment;
  /** DS: segment register, with its hidden part. */
  ds: KvmSegment;
  /** ES: segment register, with its hidden part. */
  es: KvmSegment;
  /** FS: segment register, with its hidden part. The base is also the MSR IA32_FS_BASE. */
  fs: KvmSegment;
  /** GS: segment register, with its hidden part. The base is also the MSR IA32_GS_BASE. */
  gs: KvmSegment;
  /** SS: segment register, with its hidden part. */
  ss: KvmSegment;
  /** The task register, with its hidden part. */
  tr: KvmSegment;
  /** LDTR, with its hidden part. */
  ldt: KvmSegment;
  /** GDTR: base and limit of the global descriptor table. */
  gdt: KvmDtable;
  /** IDTR: base and limit of the interrupt descriptor table. */
  idt: KvmDtable;
  /** CR0: PE, PG and the other modes of operation. */
  cr0: bigint;
  /** CR2: the linear address of the last page fault. */
  cr2: bigint;
  /** CR3: the physical address of the top page table, with PCID or cache bits below it. */
  cr3: bigint;
  /** CR4: PAE, OSFXSR and the other extensions that are on. */
  cr4: bigint;
  /** CR8: the task priority, bits 7 to 4 of the APIC's TPR. */
  cr8: bigint;
  /** The MSR IA32_EFER: SCE, LME, LMA, NXE; with AMD also SVME. */
  efer: bigint;
  /** The MSR IA32_APIC_BASE: physical address of the local APIC, and the bits BSP, EXTD and EN. */
  apic_base: bigint;
  /** One bit per vector, at most one set: an interrupt that the APIC acknowledged and the vCPU did not yet take. */
  interrupt_bitmap: readonly bigint[];
}
/** struct kvm_sregs2, 320 bytes. */
export interface KvmSregs2 {
  /** CS: segment register, with its hidden part. */
  cs: KvmSegment;
  /** DS: segment register, with its hidden part. */
  ds: KvmSegment;
  /** ES: segment register, with its hidden part. */
  es: KvmSegment;
  /** FS: segment register, with its hidden part. The base is also the MSR IA32_FS_BASE. */
  fs: KvmSegment;
  /** GS: segment register, with its hidden part. The base is also the MSR IA32_GS_BASE. */
  gs: KvmSegment;
  /** SS: segment register, with its hidden part. */
  ss: KvmSegment;
  /** The task register, with its hidden part. */
  tr: KvmSegment;
  /** LDTR, with its hidden part. */
  ldt: KvmSegment;
  /** GDTR: base and limit of the global descriptor table. */
  gdt: KvmDtable;
  /** IDTR: base and limit of the interrupt descriptor table. */
  idt: KvmDtable;
  /** CR0: PE, PG and the other modes of operation. */
  cr0: bigint;
  /** CR2: the linear address of the last page fault. */
  cr2: bigint;
  /** CR3: the physical address of the top page table, with PCID or cache bits below it. */
  cr3: bigint;
  /** CR4: PAE, OSFXSR and the other extensions that are on. */
  cr4: bigint;
  /** CR8: the task priority, bits 7 to 4 of the APIC's TPR. */
  cr8: bigint;
  /** The MSR IA32_EFER: SCE, LME, LMA, NXE; with AMD also SVME. */
  efer: bigint;
  /** The MSR IA32_APIC_BASE: physical address of the local APIC, and the bits BSP, EXTD and EN. */
  apic_base: bigint;
  /** KVM_SREGS2_FLAGS_PDPTRS_VALID: `pdptrs` hold. */
  flags: bigint;
  /** PDPTE0 to PDPTE3, which PAE paging keeps in the processor. */
  pdptrs: readonly bigint[];
}
/** struct kvm_stats_desc, 16 bytes. */
export interface KvmStatsDesc {
  /** KVM_STATS_TYPE_… in bits 0 to 3, KVM_STATS_UNIT_… in 4 to 7, KVM_STATS_BASE_… in 8 to 11. */
  flags: number;
  /** The values count units of the base (10 or 2) to this power: -9 with base 10 and seconds, nanoseconds. */
  exponent: number;
  /** Number of values of 64 bits: 1, or the buckets of a histogram. */
  size: number;
  /** Byte of the first value within the data block. */
  offset: number;
  /** Width of a bucket of a linear histogram; else 0. */
  bucket_size: number;
}
/** struct kvm_stats_header, 24 bytes. */
export interface KvmStatsHeader {
  /** None is defined: 0. */
  flags: number;
  /** Bytes of the name behind each descriptor, its 0 included. */
  name_size: number;
  /** Number of descriptors. */
  num_desc: number;
  /** Byte of the file where the identifier of the VM or vCPU begins. */
  id_offset: number;
  /** Byte of the file where the descriptors begin. */
  desc_offset: number;
  /** Byte of the file where the values begin. */
  data_offset: number;
}
/** struct kvm_sync_regs, 520 bytes. */
export interface KvmSyncRegs {
  /** With KVM_SYNC_X86_REGS. */
  regs: KvmRegs;
  /** With KVM_SYNC_X86_SREGS. */
  sregs: KvmSregs;
  /** With KVM_SYNC_X86_EVENTS. */
  events: KvmVcpuEvents;
}
/** struct kvm_tpr_access_ctl, 40 bytes. */
export interface KvmTprAccessCtl {
  /** 1: accesses to the TPR exit with KVM_EXIT_TPR_ACCESS; 0: they do not. */
  enabled: number;
}
/** struct kvm_translation, 24 bytes. */
export interface KvmTranslation {
  /** The linear address to translate. */
  linear_address: bigint;
  /** Written by KVM: the guest-physical address; all bits 1 where there is none. */
  physical_address: bigint;
  /** Written by KVM: 1, the address is mapped. */
  valid: number;
  /** KVM writes 1, whatever the page tables say. */
  writeable: number;
  /** KVM writes 0, whatever the page tables say. */
  usermode: number;
}
/** struct kvm_userspace_memory_region, 32 bytes. */
export interface KvmUserspaceMemoryRegion {
  /** Bits 0 to 15: the slot; bits 16 to 31: the address space, with KVM_CAP_MULTI_ADDRESS_SPACE (1 is SMM). */
  slot: number;
  /** KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY. */
  flags: number;
  /** Guest-physical address of the first byte, a multiple of the page size. */
  guest_phys_addr: bigint;
  /** Bytes, a multiple of the page size; 0 deletes the slot. */
  memory_size: bigint;
  /** Address of the memory in this process, a multiple of the page size. */
  userspace_addr: bigint;
}
/** struct kvm_userspace_memory_region2, 160 bytes. */
export interface KvmUserspaceMemoryRegion2 {
  /** Bits 0 to 15: the slot; bits 16 to 31: the address space, with KVM_CAP_MULTI_ADDRESS_SPACE (1 is SMM). */
  slot: number;
  /** KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, KVM_MEM_GUEST_MEMFD. */
  flags: number;
  /** Guest-physical address of the first byte, a multiple of the page size. */
  guest_phys_addr: bigint;
  /** Bytes, a multiple of the page size; 0 deletes the slot. */
  memory_size: bigint;
  /** Address of the memory in this process, a multiple of the page size. */
  userspace_addr: bigint;
  /** With KVM_MEM_GUEST_MEMFD: byte of the guest_memfd where the slot begins, a multiple of the page size. */
  guest_memfd_offset: bigint;
  /** With KVM_MEM_GUEST_MEMFD: the descriptor that KVM_CREATE_GUEST_MEMFD returned. */
  guest_memfd: number;
}
/** struct kvm_vapic_addr, 8 bytes. */
export interface KvmVapicAddr {
  /** Guest-physical address of the word in which KVM keeps the TPR for the guest's patched code; 0: none. */
  vapic_addr: bigint;
}
/** struct kvm_vcpu_events, 64 bytes. */
export interface KvmVcpuEvents {
  /** The exception that is being delivered, or waits. */
  exception: KvmVcpuEventsException;
  /** The interrupt that is being delivered, and the interrupt shadow. */
  interrupt: KvmVcpuEventsInterrupt;
  /** The non-maskable interrupt. */
  nmi: KvmVcpuEventsNmi;
  /** Vector of the start-up IPI; KVM reads it with KVM_VCPUEVENT_VALID_SIPI_VECTOR. */
  sipi_vector: number;
  /** KVM_VCPUEVENT_VALID_…: which of the parts that have such a flag hold. */
  flags: number;
  /** System management mode; holds with KVM_VCPUEVENT_VALID_SMM. */
  smi: KvmVcpuEventsSmi;
  /** Holds with KVM_VCPUEVENT_VALID_TRIPLE_FAULT, which needs KVM_CAP_X86_TRIPLE_FAULT_EVENT. */
  triple_fault: KvmVcpuEventsTripleFault;
  /** 1: exception_payload holds; needs KVM_VCPUEVENT_VALID_PAYLOAD. */
  exception_has_payload: number;
  /** CR2 of a page fault, or the bits of DR6 of a debug exception, until the exception is delivered. */
  exception_payload: bigint;
}
/** struct kvm_vcpu_events_exception, 8 bytes. */
export interface KvmVcpuEventsException {
  /** 1: its delivery has begun; without KVM_VCPUEVENT_VALID_PAYLOAD, or it waits. */
  injected: number;
  /** Its vector, 0 to 31. */
  nr: number;
  /** 1: error_code is pushed. */
  has_error_code: number;
  /** 1: it waits and has not yet changed any register; needs KVM_VCPUEVENT_VALID_PAYLOAD. */
  pending: number;
  /** The error code. */
  error_code: number;
}
/** struct kvm_vcpu_events_interrupt, 4 bytes. */
export interface KvmVcpuEventsInterrupt {
  /** 1: its delivery has begun. */
  injected: number;
  /** Its vector, 0 to 255. */
  nr: number;
  /** 1: a software interrupt (INT n). */
  soft: number;
  /** KVM_X86_SHADOW_INT_MOV_SS, KVM_X86_SHADOW_INT_STI: interrupts wait for the next instruction. */
  shadow: number;
}
/** struct kvm_vcpu_events_nmi, 4 bytes. */
export interface KvmVcpuEventsNmi {
  /** 1: its delivery has begun. */
  injected: number;
  /** Not 0: one waits; KVM reads it with KVM_VCPUEVENT_VALID_NMI_PENDING. */
  pending: number;
  /** 1: blocked until IRET. */
  masked: number;
}
/** struct kvm_vcpu_events_smi, 4 bytes. */
export interface KvmVcpuEventsSmi {
  /** 1: the vCPU is in system management mode. */
  smm: number;
  /** 1: an SMI waits. */
  pending: number;
  /** 1: the SMI came while NMIs were blocked. */
  smm_inside_nmi: number;
  /** 1: an INIT waits for the end of system management mode. */
  latched_init: number;
}
/** struct kvm_vcpu_events_triple_fault, 1 bytes. */
export interface KvmVcpuEventsTripleFault {
  /** 1: a triple fault waits. */
  pending: number;
}
/** struct kvm_x86_mce, 64 bytes. */
export interface KvmX86Mce {
  /** MCi_STATUS: bit 63 (VAL) must be set. */
  status: bigint;
  /** MCi_ADDR: the address that failed. */
  addr: bigint;
  /** MCi_MISC. */
  misc: bigint;
  /** IA32_MCG_STATUS. */
  mcg_status: bigint;
  /** The bank i; fewer than KVM_X86_SETUP_MCE gave the vCPU. */
  bank: number;
}
/** struct kvm_xcr, 16 bytes. */
export interface KvmXcr {
  /** Number of the extended control register: 0, XCR0. */
  xcr: number;
  /** Its value: XCR0 has a bit for each part of the state that XSAVE keeps. */
  value: bigint;
}
/** struct kvm_xcrs, 392 bytes. */
export interface KvmXcrs {
  /** How many of `xcrs` hold, at most 16. */
  nr_xcrs: number;
  /** None is defined: 0. */
  flags: number;
  /** The registers; the first nr_xcrs hold. */
  xcrs: readonly KvmXcr[];
}
/** struct kvm_xen_hvm_config, 56 bytes. */
export interface KvmXenHvmConfig {
  /** KVM_XEN_HVM_CONFIG_…, as far as KVM_CAP_XEN_HVM names them. */
  flags: number;
  /** The MSR to which the guest writes the address of its hypercall page. */
  msr: number;
  /** Address in this process of the code of hypercall pages for 32-bit guests; 0 where KVM intercepts hypercalls. */
  blob_addr_32: bigint;
  /** The same for 64-bit guests. */
  blob_addr_64: bigint;
  /** Pages at blob_addr_32. */
  blob_size_32: number;
  /** Pages at blob_addr_64. */
  blob_size_64: number;
}
/** Structure by name in C. */
export interface StructTypes {
  /** struct kvm_clear_dirty_log. */
  kvm_clear_dirty_log: KvmClearDirtyLog;
  /** struct kvm_clock_data. */
  kvm_clock_data: KvmClockData;
  /** struct kvm_coalesced_mmio. */
  kvm_coalesced_mmio: KvmCoalescedMmio;
  /** struct kvm_coalesced_mmio_ring. */
  kvm_coalesced_mmio_ring: KvmCoalescedMmioRing;
  /** struct kvm_coalesced_mmio_zone. */
  kvm_coalesced_mmio_zone: KvmCoalescedMmioZone;
  /** struct kvm_cpuid2. */
  kvm_cpuid2: KvmCpuid2;
  /** struct kvm_cpuid_entry2. */
  kvm_cpuid_entry2: KvmCpuidEntry2;
  /** struct kvm_create_device. */
  kvm_create_device: KvmCreateDevice;
  /** struct kvm_create_guest_memfd. */
  kvm_create_guest_memfd: KvmCreateGuestMemfd;
  /** struct kvm_debugregs. */
  kvm_debugregs: KvmDebugregs;
  /** struct kvm_device_attr. */
  kvm_device_attr: KvmDeviceAttr;
  /** struct kvm_dirty_gfn. */
  kvm_dirty_gfn: KvmDirtyGfn;
  /** struct kvm_dirty_log. */
  kvm_dirty_log: KvmDirtyLog;
  /** struct kvm_dtable. */
  kvm_dtable: KvmDtable;
  /** struct kvm_enable_cap. */
  kvm_enable_cap: KvmEnableCap;
  /** struct kvm_enc_region. */
  kvm_enc_region: KvmEncRegion;
  /** struct kvm_fpu. */
  kvm_fpu: KvmFpu;
  /** struct kvm_guest_debug. */
  kvm_guest_debug: KvmGuestDebug;
  /** struct kvm_guest_debug_arch. */
  kvm_guest_debug_arch: KvmGuestDebugArch;
  /** struct kvm_hyperv_eventfd. */
  kvm_hyperv_eventfd: KvmHypervEventfd;
  /** struct kvm_interrupt. */
  kvm_interrupt: KvmInterrupt;
  /** struct kvm_ioapic_state. */
  kvm_ioapic_state: KvmIoapicState;
  /** union kvm_ioapic_state_redirtbl. */
  kvm_ioapic_state_redirtbl: KvmIoapicStateRedirtbl;
  /** struct kvm_ioeventfd. */
  kvm_ioeventfd: KvmIoeventfd;
  /** struct kvm_irq_level. */
  kvm_irq_level: KvmIrqLevel;
  /** struct kvm_irq_routing. */
  kvm_irq_routing: KvmIrqRouting;
  /** struct kvm_irq_routing_entry. */
  kvm_irq_routing_entry: KvmIrqRoutingEntry;
  /** union kvm_irq_routing_entry_u. */
  kvm_irq_routing_entry_u: KvmIrqRoutingEntryU;
  /** struct kvm_irq_routing_hv_sint. */
  kvm_irq_routing_hv_sint: KvmIrqRoutingHvSint;
  /** struct kvm_irq_routing_irqchip. */
  kvm_irq_routing_irqchip: KvmIrqRoutingIrqchip;
  /** struct kvm_irq_routing_msi. */
  kvm_irq_routing_msi: KvmIrqRoutingMsi;
  /** struct kvm_irq_routing_xen_evtchn. */
  kvm_irq_routing_xen_evtchn: KvmIrqRoutingXenEvtchn;
  /** struct kvm_irqchip. */
  kvm_irqchip: KvmIrqchip;
  /** union kvm_irqchip_chip. */
  kvm_irqchip_chip: KvmIrqchipChip;
  /** struct kvm_irqfd. */
  kvm_irqfd: KvmIrqfd;
  /** struct kvm_memory_attributes. */
  kvm_memory_attributes: KvmMemoryAttributes;
  /** struct kvm_mp_state. */
  kvm_mp_state: KvmMpState;
  /** struct kvm_msi. */
  kvm_msi: KvmMsi;
  /** struct kvm_msr_entry. */
  kvm_msr_entry: KvmMsrEntry;
  /** struct kvm_msr_filter. */
  kvm_msr_filter: KvmMsrFilter;
  /** struct kvm_msr_filter_range. */
  kvm_msr_filter_range: KvmMsrFilterRange;
  /** struct kvm_msrs. */
  kvm_msrs: KvmMsrs;
  /** struct kvm_nested_state. */
  kvm_nested_state: KvmNestedState;
  /** struct kvm_pic_state. */
  kvm_pic_state: KvmPicState;
  /** struct kvm_pit_channel_state. */
  kvm_pit_channel_state: KvmPitChannelState;
  /** struct kvm_pit_config. */
  kvm_pit_config: KvmPitConfig;
  /** struct kvm_pit_state2. */
  kvm_pit_state2: KvmPitState2;
  /** struct kvm_pmu_event_filter. */
  kvm_pmu_event_filter: KvmPmuEventFilter;
  /** struct kvm_pre_fault_memory. */
  kvm_pre_fault_memory: KvmPreFaultMemory;
  /** struct kvm_regs. */
  kvm_regs: KvmRegs;
  /** struct kvm_reinject_control. */
  kvm_reinject_control: KvmReinjectControl;
  /** struct kvm_run. */
  kvm_run: KvmRun;
  /** union kvm_run_s. */
  kvm_run_s: KvmRunS;
  /** struct kvm_segment. */
  kvm_segment: KvmSegment;
  /** struct kvm_sregs. */
  kvm_sregs: KvmSregs;
  /** struct kvm_sregs2. */
  kvm_sregs2: KvmSregs2;
  /** struct kvm_stats_desc. */
  kvm_stats_desc: KvmStatsDesc;
  /** struct kvm_stats_header. */
  kvm_stats_header: KvmStatsHeader;
  /** struct kvm_sync_regs. */
  kvm_sync_regs: KvmSyncRegs;
  /** struct kvm_tpr_access_ctl. */
  kvm_tpr_access_ctl: KvmTprAccessCtl;
  /** struct kvm_translation. */
  kvm_translation: KvmTranslation;
  /** struct kvm_userspace_memory_region. */
  kvm_userspace_memory_region: KvmUserspaceMemoryRegion;
  /** struct kvm_userspace_memory_region2. */
  kvm_userspace_memory_region2: KvmUserspaceMemoryRegion2;
  /** struct kvm_vapic_addr. */
  kvm_vapic_addr: KvmVapicAddr;
  /** struct kvm_vcpu_events. */
  kvm_vcpu_events: KvmVcpuEvents;
  /** struct kvm_vcpu_events_exception. */
  kvm_vcpu_events_exception: KvmVcpuEventsException;
  /** struct kvm_vcpu_events_interrupt. */
  kvm_vcpu_events_interrupt: KvmVcpuEventsInterrupt;
  /** struct kvm_vcpu_events_nmi. */
  kvm_vcpu_events_nmi: KvmVcpuEventsNmi;
  /** struct kvm_vcpu_events_smi. */
  kvm_vcpu_events_smi: KvmVcpuEventsSmi;
  /** struct kvm_vcpu_events_triple_fault. */
  kvm_vcpu_events_triple_fault: KvmVcpuEventsTripleFault;
  /** struct kvm_x86_mce. */
  kvm_x86_mce: KvmX86Mce;
  /** struct kvm_xcr. */
  kvm_xcr: KvmXcr;
  /** struct kvm_xcrs. */
  kvm_xcrs: KvmXcrs;
  /** struct kvm_xen_hvm_config. */
  kvm_xen_hvm_config: KvmXenHvmConfig;
}
export type StructName = keyof StructTypes;
export type CapabilityName = keyof typeof capabilities;
export type RequestName = keyof typeof requests;

'use strict';

// What the members of KVM's structures mean, for the comments of lib/hypervisor/kvm/generated/uapi.ts. Names as in <linux/kvm.h>,
// facts from Documentation/virt/kvm/api.rst (sections by ioctl) and arch/x86/kvm of Linux; registers and bits as the Intel SDM names them.

const hidden = 'segment register, with its hidden part.';

const systemRegisters = {
  cs: `CS: ${hidden}`,
  ds: `DS: ${hidden}`,
  es: `ES: ${hidden}`,
  fs: `FS: ${hidden} The base is also the MSR IA32_FS_BASE.`,
  gs: `GS: ${hidden} The base is also the MSR IA32_GS_BASE.`,
  ss: `SS: ${hidden}`,
  tr: 'The task register, with its hidden part.',
  ldt: 'LDTR, with its hidden part.',
  gdt: 'GDTR: base and limit of the global descriptor table.',
  idt: 'IDTR: base and limit of the interrupt descriptor table.',
  cr0: 'CR0: PE, PG and the other modes of operation.',
  cr2: 'CR2: the linear address of the last page fault.',
  cr3: 'CR3: the physical address of the top page table, with PCID or cache bits below it.',
  cr4: 'CR4: PAE, OSFXSR and the other extensions that are on.',
  cr8: "CR8: the task priority, bits 7 to 4 of the APIC's TPR.",
  efer: 'The MSR IA32_EFER: SCE, LME, LMA, NXE; with AMD also SVME.',
  apic_base: 'The MSR IA32_APIC_BASE: physical address of the local APIC, and the bits BSP, EXTD and EN.',
};

const general = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rsp', 'rbp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];

const memoryRegion = {
  slot: 'Bits 0 to 15: the slot; bits 16 to 31: the address space, with KVM_CAP_MULTI_ADDRESS_SPACE (1 is SMM).',
  flags: 'KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY.',
  guest_phys_addr: 'Guest-physical address of the first byte, a multiple of the page size.',
  memory_size: 'Bytes, a multiple of the page size; 0 deletes the slot.',
  userspace_addr: 'Address of the memory in this process, a multiple of the page size.',
};

const msi = {
  address_lo: 'Bits 0 to 31 of the message address: 0xfee00000, destination APIC ID in bits 12 to 19.',
  address_hi: 'Bits 32 to 63 of the message address; with KVM_CAP_X2APIC_API bits 8 to 31 are those of the destination ID.',
  data: 'The message data: vector in bits 0 to 7, delivery mode in bits 8 to 10.',
};

const fields = {
  kvm_clear_dirty_log: {
    slot: 'The slot, and the address space in bits 16 to 31.',
    num_pages: 'Pages; a multiple of 64, unless they go up to the end of the slot.',
    first_page: 'The first page of the slot, a multiple of 64.',
    dirty_bitmap: 'Address in this process of the bitmap; pages whose bits are set are made clean. Bit 0 is first_page.',
  },
  kvm_clock_data: {
    clock: 'The clock of the guest (kvmclock), in nanoseconds.',
    flags: 'KVM_CLOCK_TSC_STABLE, KVM_CLOCK_REALTIME, KVM_CLOCK_HOST_TSC; setting takes KVM_CLOCK_REALTIME only.',
    realtime: "The host's CLOCK_REALTIME at that moment, nanoseconds since 1970; valid with KVM_CLOCK_REALTIME.",
    host_tsc: "The host's TSC at that moment; valid with KVM_CLOCK_HOST_TSC, and not read when the clock is set.",
  },
  kvm_coalesced_mmio: {
    phys_addr: 'Guest-physical address of the write, or its port.',
    len: 'Bytes written, 1 to 8.',
    pio: '1: a write to a port; 0: to memory.',
    data: 'What was written, `len` bytes of 8, little endian.',
  },
  kvm_coalesced_mmio_ring: {
    first: 'Index of the oldest entry not yet read; the reader moves it on.',
    last: 'Index of the next entry that KVM fills; equal to `first`: the ring is empty.',
  },
  kvm_coalesced_mmio_zone: {
    addr: 'Guest-physical address of the first byte, or the first port.',
    size: 'Bytes, or ports.',
    pio: '1: ports, which needs KVM_CAP_COALESCED_PIO; 0: memory.',
  },
  kvm_cpuid2: { nent: 'Number of entries behind the structure: when reading, the room for them, and then how many KVM filled.' },
  kvm_cpuid_entry2: {
    function: 'EAX at CPUID: the leaf.',
    index: 'ECX at CPUID: the subleaf; matters with KVM_CPUID_FLAG_SIGNIFCANT_INDEX.',
    flags: 'KVM_CPUID_FLAG_SIGNIFCANT_INDEX (sic): the entry answers only where ECX is `index`.',
    eax: 'EAX after CPUID.',
    ebx: 'EBX after CPUID.',
    ecx: 'ECX after CPUID.',
    edx: 'EDX after CPUID.',
  },
  kvm_create_device: {
    type: 'KVM_DEV_TYPE_…: the kind of device.',
    fd: 'Written by KVM: descriptor of the device.',
    flags: 'KVM_CREATE_DEVICE_TEST: only says whether the kind is supported, and makes nothing.',
  },
  kvm_create_guest_memfd: {
    size: 'Bytes, a multiple of the page size.',
    flags: 'GUEST_MEMFD_FLAG_…, as far as KVM_CAP_GUEST_MEMFD_FLAGS names them; else 0.',
  },
  kvm_debugregs: {
    db: 'DR0 to DR3: linear addresses of breakpoints.',
    dr6: 'DR6: which breakpoint or step was met.',
    dr7: 'DR7: which breakpoints are on, and for what.',
    flags: 'None is defined: 0.',
  },
  kvm_device_attr: {
    group: 'KVM_DEV_…_GRP_… of the kind of device.',
    attr: 'The attribute of the group; for some groups an index or an address.',
    addr: 'Address in this process of the value.',
  },
  kvm_dirty_gfn: {
    flags: 'KVM_DIRTY_GFN_F_DIRTY, set by KVM; KVM_DIRTY_GFN_F_RESET, set by the reader when it is done with the entry.',
    slot: 'Bits 0 to 15: the slot; bits 16 to 31: the address space.',
    offset: 'The page within the slot, counted from 0.',
  },
  kvm_dirty_log: {
    slot: 'The slot, and the address space in bits 16 to 31.',
    dirty_bitmap: 'Address in this process of a bitmap of one bit per page of the slot, rounded up to 8 bytes; KVM fills it.',
  },
  kvm_dtable: {
    base: 'Linear address of the table.',
    limit: 'Offset of its last byte, 16 bits.',
  },
  kvm_enable_cap: {
    cap: 'KVM_CAP_…: the capability to enable.',
    flags: 'None is defined: 0.',
    args: 'Four words, whose meaning is of the capability.',
  },
  kvm_enc_region: {
    addr: 'Address in this process of the memory that a SEV guest may encrypt; it is pinned.',
    size: 'Bytes.',
  },
  kvm_fpu: {
    fpr: 'ST0 to ST7 (MM0 to MM7), 16 bytes each, of which 10 are used.',
    fcw: 'The x87 control word, FCW.',
    fsw: 'The x87 status word, FSW.',
    ftwx: 'The x87 tag word as FXSAVE has it: one bit for each physical register, 1 where it is not empty.',
    last_opcode: 'FOP: opcode of the last x87 instruction, 11 bits.',
    last_ip: 'FIP: address of the last x87 instruction.',
    last_dp: 'FDP: address of its operand in memory.',
    xmm: 'XMM0 to XMM15, 16 bytes each.',
    mxcsr: 'MXCSR: control and status of SSE.',
  },
  kvm_guest_debug: {
    control: 'KVM_GUESTDBG_…; 0 turns debugging off.',
    arch: 'The debug registers, used with KVM_GUESTDBG_USE_HW_BP.',
  },
  kvm_guest_debug_arch: { debugreg: 'DR0 to DR7; 0 to 3 (addresses) and 7 (control) are used.' },
  kvm_hyperv_eventfd: {
    conn_id: "Hyper-V's connection ID, bits 0 to 23: what the guest passes to HvSignalEvent.",
    fd: 'The eventfd that HvSignalEvent signals.',
    flags: 'KVM_HYPERV_EVENTFD_DEASSIGN: the connection ends.',
  },
  kvm_interrupt: { irq: 'The vector, 0 to 255; not a line of the interrupt controller.' },
  kvm_ioapic_state: {
    base_address: 'Guest-physical address of its registers, 0xfec00000 at first.',
    ioregsel: 'IOREGSEL: index of the register seen in IOWIN.',
    id: 'IOAPICID: its APIC ID, 4 bits.',
    irr: 'One bit per pin: its interrupt waits.',
    redirtbl: 'IOREDTBL: one entry for each of the 24 pins.',
  },
  kvm_ioapic_state_redirtbl: {
    bits: 'The entry: vector in bits 0 to 7, delivery mode 8 to 10, mask in bit 16, destination in 56 to 63.',
  },
  kvm_ioeventfd: {
    datamatch: 'The value that must be written, with KVM_IOEVENTFD_FLAG_DATAMATCH.',
    addr: 'Guest-physical address of the write, or its port.',
    len: 'Bytes of the write: 1, 2, 4 or 8; 0 for any, without datamatch.',
    fd: 'The eventfd that the write signals.',
    flags: 'KVM_IOEVENTFD_FLAG_DATAMATCH, KVM_IOEVENTFD_FLAG_PIO, KVM_IOEVENTFD_FLAG_DEASSIGN.',
  },
  kvm_irq_level: {
    irq: 'The GSI: 0 to 15 reach PIC and IOAPIC, 16 to 23 the IOAPIC, until the routing is changed.',
    status: 'Written by KVM_IRQ_LINE_STATUS: above 0, vCPUs reached; 0, one waited already; below 0, masked.',
    level: '1: the line is high; 0: low.',
  },
  kvm_irq_routing: { nr: 'Number of entries behind the structure; they replace the whole routing.' },
  kvm_irq_routing_entry: {
    gsi: 'The GSI that is routed; several entries may share it.',
    type: 'KVM_IRQ_ROUTING_…: which member of `u` is meant.',
    flags: 'On x86 0.',
    u: 'Where the interrupt goes.',
  },
  kvm_irq_routing_entry_u: {
    irqchip: 'KVM_IRQ_ROUTING_IRQCHIP: a pin of a PIC or of the IOAPIC.',
    msi: 'KVM_IRQ_ROUTING_MSI: a message to local APICs.',
    hv_sint: "KVM_IRQ_ROUTING_HV_SINT: a source of Hyper-V's synthetic interrupt controller.",
    xen_evtchn: 'KVM_IRQ_ROUTING_XEN_EVTCHN: an event channel of a Xen guest.',
  },
  kvm_irq_routing_hv_sint: {
    vcpu: "Hyper-V's VP index of the vCPU.",
    sint: 'The synthetic interrupt source, 0 to 15.',
  },
  kvm_irq_routing_irqchip: {
    irqchip: 'KVM_IRQCHIP_PIC_MASTER (0), KVM_IRQCHIP_PIC_SLAVE (1) or KVM_IRQCHIP_IOAPIC (2).',
    pin: 'The pin: 0 to 7 of a PIC, 0 to 23 of the IOAPIC.',
  },
  kvm_irq_routing_msi: msi,
  kvm_irq_routing_xen_evtchn: {
    port: "The event channel's port.",
    vcpu: 'ID of the vCPU, as KVM_CREATE_VCPU was given it.',
    priority: 'Only KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL: two-level event channels.',
  },
  kvm_irqchip: {
    chip_id: 'KVM_IRQCHIP_PIC_MASTER (0), KVM_IRQCHIP_PIC_SLAVE (1) or KVM_IRQCHIP_IOAPIC (2).',
    chip: 'Its state.',
  },
  kvm_irqchip_chip: {
    pic: 'Of chips 0 and 1.',
    ioapic: 'Of chip 2.',
  },
  kvm_irqfd: {
    fd: 'The eventfd; signalling it raises the interrupt.',
    gsi: 'The GSI raised.',
    flags: 'KVM_IRQFD_FLAG_DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE (a level-triggered interrupt).',
    resamplefd: 'With KVM_IRQFD_FLAG_RESAMPLE: the eventfd that KVM signals when the guest acknowledges the interrupt.',
  },
  kvm_memory_attributes: {
    address: 'Guest-physical address of the first byte, a multiple of the page size.',
    size: 'Bytes, a multiple of the page size.',
    attributes: 'KVM_MEMORY_ATTRIBUTE_PRIVATE or 0; they replace those that the pages had.',
    flags: 'None is defined: 0.',
  },
  kvm_mp_state: { mp_state: 'KVM_MP_STATE_…: what the vCPU does while it executes nothing.' },
  kvm_msi: { ...msi, flags: 'On x86 0.' },
  kvm_msr_entry: {
    index: 'Number of the MSR, ECX at RDMSR and WRMSR.',
    data: 'Its value.',
  },
  kvm_msr_filter: {
    flags: 'MSRs of no range: KVM_MSR_FILTER_DEFAULT_ALLOW (0) or KVM_MSR_FILTER_DEFAULT_DENY (1).',
    ranges: 'Up to 16; those without MSRs are not used.',
  },
  kvm_msr_filter_range: {
    flags: 'KVM_MSR_FILTER_READ, KVM_MSR_FILTER_WRITE: the accesses that the range filters.',
    nmsrs: 'Number of MSRs, bits of the bitmap; 0: the range is not used.',
    base: 'The first MSR.',
    bitmap: 'Address in this process of the bitmap: 1 allows the MSR, 0 denies it.',
  },
  kvm_msrs: { nmsrs: 'Number of entries behind the structure.' },
  kvm_nested_state: {
    flags: 'KVM_STATE_NESTED_GUEST_MODE and others of that name.',
    format: 'KVM_STATE_NESTED_FORMAT_VMX (0) or KVM_STATE_NESTED_FORMAT_SVM (1).',
    size: 'Bytes of the whole state, these 128 of the header included.',
  },
  kvm_pic_state: {
    last_irr: 'Levels of the lines when they were last seen, for edges; a bit per line.',
    irr: 'IRR: lines that request an interrupt.',
    imr: 'IMR: lines that are masked (OCW1).',
    isr: 'ISR: interrupts in service.',
    priority_add: 'The line of highest priority, 0 to 7; rotation moves it.',
    irq_base: 'Vector of line 0 (ICW2).',
    read_reg_select: 'A read of the command port gives 0: IRR, 1: ISR (OCW3).',
    poll: '1: the next read is a poll (OCW3).',
    special_mask: '1: special mask mode (OCW3).',
    init_state: 'How far initialization is: 1, 2, 3 wait for ICW2, ICW3, ICW4; 0: done.',
    auto_eoi: '1: interrupts end by themselves (AEOI of ICW4).',
    rotate_on_auto_eoi: '1: priorities rotate at an automatic end of interrupt (OCW2).',
    special_fully_nested_mode: '1: SFNM of ICW4.',
    init4: '1: an ICW4 comes (IC4 of ICW1).',
    elcr: 'ELCR, port 0x4d0 or 0x4d1: 1 makes the line level-triggered.',
    elcr_mask: 'Bits of ELCR that the guest may set: 0xf8 of the master, 0xde of the slave.',
  },
  kvm_pit_channel_state: {
    count: 'The count loaded, 1 to 65536.',
    latched_count: 'The count that the latch command kept.',
    count_latched: 'Not 0: bytes of latched_count are still to be read, coded like read_state.',
    status_latched: '1: `status` is still to be read.',
    status: 'The status that the read-back command kept.',
    read_state: 'The next byte read: 1 low only, 2 high only, 3 low of two, 4 high of two.',
    write_state: 'The next byte written, coded like read_state.',
    write_latch: 'The low byte, until the high one is written.',
    rw_mode: 'RW of the control word: 1 low byte, 2 high byte, 3 low and then high.',
    mode: 'Mode of the control word, 0 to 5.',
    bcd: '1: BCD in the control word; KVM counts in binary all the same.',
    gate: '1: the GATE input is high.',
    count_load_time: "When the count was loaded, in nanoseconds of the host's monotonic clock.",
  },
  kvm_pit_config: { flags: 'KVM_PIT_SPEAKER_DUMMY: KVM answers port 0x61 too.' },
  kvm_pit_state2: {
    channels: 'The three channels.',
    flags: 'KVM_PIT_FLAGS_HPET_LEGACY: the HPET replaces channel 0; KVM_PIT_FLAGS_SPEAKER_DATA_ON: bit 1 of port 0x61.',
  },
  kvm_pmu_event_filter: {
    action: 'KVM_PMU_EVENT_ALLOW (0): only what is listed; KVM_PMU_EVENT_DENY (1): all but what is listed.',
    nevents: 'Number of events behind the structure, at most 300.',
    fixed_counter_bitmap: 'Fixed counters to which the action applies, a bit each.',
    flags: 'KVM_PMU_EVENT_FLAG_MASKED_EVENTS: the events have masks; else each is event select and unit mask.',
  },
  kvm_pre_fault_memory: {
    gpa: 'Guest-physical address of the first byte, a multiple of the page size; KVM moves it to what is not done yet.',
    size: 'Bytes, a multiple of the page size; KVM leaves what is not done yet.',
  },
  kvm_regs: {
    ...Object.fromEntries(general.map((name) => [name, `General-purpose register ${name.toUpperCase()}.`])),
    rip: 'RIP: offset of the next instruction in CS.',
    rflags: 'RFLAGS; bit 1 is always 1.',
  },
  kvm_reinject_control: { pit_reinject: '1, the default: ticks that the guest missed are injected later; 0: they are dropped.' },
  kvm_run: {
    kvm_valid_regs: 'KVM_SYNC_X86_…: the parts of `s.regs` that KVM writes at each exit.',
    kvm_dirty_regs: 'KVM_SYNC_X86_…: the parts of `s.regs` that KVM loads at the next entry; it then clears the bits.',
    s: 'Registers that travel with entries and exits.',
  },
  kvm_run_s: { regs: 'The registers, in 2048 bytes that have room for more.' },
  kvm_segment: {
    base: 'Linear address of the segment.',
    limit: 'Offset of its last byte, in bytes also with `g`.',
    selector: 'The visible part: index, TI and RPL.',
    type: 'Type, 4 bits, as in the descriptor.',
    present: 'P: 1, the segment is present.',
    dpl: 'DPL, 0 to 3; of SS it is the privilege level.',
    db: 'D/B: 1, operands, addresses or stack have 32 bits.',
    s: 'S: 1, code or data; 0, a system segment.',
    l: 'L: 1, 64-bit code; of CS only.',
    g: 'G: 1, the limit was in units of 4 KiB in the descriptor.',
    avl: 'AVL: for the guest to use.',
    unusable: '1: no segment is loaded, as after a null selector.',
  },
  kvm_sregs: {
    ...systemRegisters,
    interrupt_bitmap: 'One bit per vector, at most one set: an interrupt that the APIC acknowledged and the vCPU did not yet take.',
  },
  kvm_sregs2: {
    ...systemRegisters,
    flags: 'KVM_SREGS2_FLAGS_PDPTRS_VALID: `pdptrs` hold.',
    pdptrs: 'PDPTE0 to PDPTE3, which PAE paging keeps in the processor.',
  },
  kvm_stats_desc: {
    flags: 'KVM_STATS_TYPE_… in bits 0 to 3, KVM_STATS_UNIT_… in 4 to 7, KVM_STATS_BASE_… in 8 to 11.',
    exponent: 'The values count units of the base (10 or 2) to this power: -9 with base 10 and seconds, nanoseconds.',
    size: 'Number of values of 64 bits: 1, or the buckets of a histogram.',
    offset: 'Byte of the first value within the data block.',
    bucket_size: 'Width of a bucket of a linear histogram; else 0.',
  },
  kvm_stats_header: {
    flags: 'None is defined: 0.',
    name_size: 'Bytes of the name behind each descriptor, its 0 included.',
    num_desc: 'Number of descriptors.',
    id_offset: 'Byte of the file where the identifier of the VM or vCPU begins.',
    desc_offset: 'Byte of the file where the descriptors begin.',
    data_offset: 'Byte of the file where the values begin.',
  },
  kvm_sync_regs: {
    regs: 'With KVM_SYNC_X86_REGS.',
    sregs: 'With KVM_SYNC_X86_SREGS.',
    events: 'With KVM_SYNC_X86_EVENTS.',
  },
  kvm_tpr_access_ctl: { enabled: '1: accesses to the TPR exit with KVM_EXIT_TPR_ACCESS; 0: they do not.' },
  kvm_translation: {
    linear_address: 'The linear address to translate.',
    physical_address: 'Written by KVM: the guest-physical address; all bits 1 where there is none.',
    valid: 'Written by KVM: 1, the address is mapped.',
    writeable: 'KVM writes 1, whatever the page tables say.',
    usermode: 'KVM writes 0, whatever the page tables say.',
  },
  kvm_userspace_memory_region: memoryRegion,
  kvm_userspace_memory_region2: {
    ...memoryRegion,
    flags: 'KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, KVM_MEM_GUEST_MEMFD.',
    guest_memfd_offset: 'With KVM_MEM_GUEST_MEMFD: byte of the guest_memfd where the slot begins, a multiple of the page size.',
    guest_memfd: 'With KVM_MEM_GUEST_MEMFD: the descriptor that KVM_CREATE_GUEST_MEMFD returned.',
  },
  kvm_vapic_addr: { vapic_addr: "Guest-physical address of the word in which KVM keeps the TPR for the guest's patched code; 0: none." },
  kvm_vcpu_events: {
    exception: 'The exception that is being delivered, or waits.',
    interrupt: 'The interrupt that is being delivered, and the interrupt shadow.',
    nmi: 'The non-maskable interrupt.',
    sipi_vector: 'Vector of the start-up IPI; KVM reads it with KVM_VCPUEVENT_VALID_SIPI_VECTOR.',
    flags: 'KVM_VCPUEVENT_VALID_…: which of the parts that have such a flag hold.',
    smi: 'System management mode; holds with KVM_VCPUEVENT_VALID_SMM.',
    triple_fault: 'Holds with KVM_VCPUEVENT_VALID_TRIPLE_FAULT, which needs KVM_CAP_X86_TRIPLE_FAULT_EVENT.',
    exception_has_payload: '1: exception_payload holds; needs KVM_VCPUEVENT_VALID_PAYLOAD.',
    exception_payload: 'CR2 of a page fault, or the bits of DR6 of a debug exception, until the exception is delivered.',
  },
  kvm_vcpu_events_exception: {
    injected: '1: its delivery has begun; without KVM_VCPUEVENT_VALID_PAYLOAD, or it waits.',
    nr: 'Its vector, 0 to 31.',
    has_error_code: '1: error_code is pushed.',
    pending: '1: it waits and has not yet changed any register; needs KVM_VCPUEVENT_VALID_PAYLOAD.',
    error_code: 'The error code.',
  },
  kvm_vcpu_events_interrupt: {
    injected: '1: its delivery has begun.',
    nr: 'Its vector, 0 to 255.',
    soft: '1: a software interrupt (INT n).',
    shadow: 'KVM_X86_SHADOW_INT_MOV_SS, KVM_X86_SHADOW_INT_STI: interrupts wait for the next instruction.',
  },
  kvm_vcpu_events_nmi: {
    injected: '1: its delivery has begun.',
    pending: 'Not 0: one waits; KVM reads it with KVM_VCPUEVENT_VALID_NMI_PENDING.',
    masked: '1: blocked until IRET.',
  },
  kvm_vcpu_events_smi: {
    smm: '1: the vCPU is in system management mode.',
    pending: '1: an SMI waits.',
    smm_inside_nmi: '1: the SMI came while NMIs were blocked.',
    latched_init: '1: an INIT waits for the end of system management mode.',
  },
  kvm_vcpu_events_triple_fault: { pending: '1: a triple fault waits.' },
  kvm_x86_mce: {
    status: 'MCi_STATUS: bit 63 (VAL) must be set.',
    addr: 'MCi_ADDR: the address that failed.',
    misc: 'MCi_MISC.',
    mcg_status: 'IA32_MCG_STATUS.',
    bank: 'The bank i; fewer than KVM_X86_SETUP_MCE gave the vCPU.',
  },
  kvm_xcr: {
    xcr: 'Number of the extended control register: 0, XCR0.',
    value: 'Its value: XCR0 has a bit for each part of the state that XSAVE keeps.',
  },
  kvm_xcrs: {
    nr_xcrs: 'How many of `xcrs` hold, at most 16.',
    flags: 'None is defined: 0.',
    xcrs: 'The registers; the first nr_xcrs hold.',
  },
  kvm_xen_hvm_config: {
    flags: 'KVM_XEN_HVM_CONFIG_…, as far as KVM_CAP_XEN_HVM names them.',
    msr: 'The MSR to which the guest writes the address of its hypercall page.',
    blob_addr_32: 'Address in this process of the code of hypercall pages for 32-bit guests; 0 where KVM intercepts hypercalls.',
    blob_addr_64: 'The same for 64-bit guests.',
    blob_size_32: 'Pages at blob_addr_32.',
    blob_size_64: 'Pages at blob_addr_64.',
  },
};

// The comment of a member. One that the kernel's header has newly got must be described here first.
function describe(struct, member) {
  const text = fields[struct]?.[member];
  if (text === undefined) throw new Error(`scripts/lib/kvm-fields.js does not say what ${struct}.${member} is`);
  return text;
}

module.exports = { describe };

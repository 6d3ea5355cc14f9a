'use strict';

// Members of KVM's structures that a test of an effect cannot notice when they lie a byte aside, and why: the C compiler's layout alone
// stands for them. scripts/mutate-kvm-layouts fails for any other, scripts/generate-kvm-docs prints the list.

const GAPS = {
  'neither host encrypts memory': ['kvm_enc_region.addr'],
  'neither host has private memory': ['kvm_memory_attributes.address', 'kvm_memory_attributes.size', 'kvm_memory_attributes.attributes'],
  'neither kernel has the call': ['kvm_pre_fault_memory.gpa', 'kvm_pre_fault_memory.size'],
  "neither kernel has Xen's interface": [
    'kvm_irq_routing_entry_u.xen_evtchn',
    'kvm_irq_routing_xen_evtchn.port',
    'kvm_irq_routing_xen_evtchn.vcpu',
    'kvm_irq_routing_xen_evtchn.priority',
    'kvm_xen_hvm_config.flags',
    'kvm_xen_hvm_config.msr',
    'kvm_xen_hvm_config.blob_addr_32',
    'kvm_xen_hvm_config.blob_addr_64',
    'kvm_xen_hvm_config.blob_size_32',
    'kvm_xen_hvm_config.blob_size_64',
  ],
  'guests of neither host have fixed counters': ['kvm_pmu_event_filter.fixed_counter_bitmap'],
  'KVM neither reads nor writes it': ['kvm_fpu.mxcsr'],
  'any bit of it means on': ['kvm_tpr_access_ctl.enabled'],
};

// What only a hardware KVM (host B) shows.
const HARDWARE_ONLY = [
  'kvm_hyperv_eventfd.conn_id',
  'kvm_hyperv_eventfd.fd',
  'kvm_hyperv_eventfd.flags',
  'kvm_irq_routing_entry_u.hv_sint',
  'kvm_irq_routing_hv_sint.vcpu',
  'kvm_irq_routing_hv_sint.sint',
  'kvm_nested_state.flags',
  'kvm_nested_state.format',
  'kvm_nested_state.size',
  'kvm_vcpu_events.smi',
  'kvm_vcpu_events_smi.smm',
  'kvm_vcpu_events_smi.pending',
  'kvm_vcpu_events_smi.smm_inside_nmi',
  'kvm_vcpu_events_smi.latched_init',
];

module.exports = { GAPS, HARDWARE_ONLY };

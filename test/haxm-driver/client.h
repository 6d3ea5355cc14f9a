/* What a client of the HAXM driver on Linux has to know, written from the ABI reference for the programs in this directory. The
   request numbers are computed here, and literal in the model: a slip in either shows. */
#ifndef HAXM_DRIVER_CLIENT_H
#define HAXM_DRIVER_CLIENT_H

#include <linux/ioctl.h>
#include <stdint.h>

struct hax_module_version {
  uint32_t compat_version, cur_version;
};
struct hax_capabilityinfo {
  uint16_t wstatus, winfo;
  uint32_t win_refcount;
  uint64_t mem_quota;
};
struct hax_set_memlimit {
  uint8_t enable, pad[7];
  uint64_t memory_limit;
};
struct hax_alloc_ram_info {
  uint32_t size, pad;
  uint64_t va;
};
struct hax_ramblock_info {
  uint64_t start_va, size, reserved;
};
struct hax_set_ram_info {
  uint64_t pa_start;
  uint32_t size;
  uint8_t flags, pad[3];
  uint64_t va;
};
struct hax_set_ram_info2 {
  uint64_t pa_start, size, va;
  uint32_t flags, reserved1;
  uint64_t reserved2;
};
struct hax_protect_ram_info {
  uint64_t pa_start, size;
  uint32_t flags, reserved;
};
struct hax_qemu_version {
  uint32_t cur_version, least_version;
};
struct hax_tunnel_info {
  uint64_t va, io_va;
  uint16_t size, pad[3];
};
struct vmx_msr {
  uint64_t entry, value;
};
struct hax_msr_data {
  uint16_t nr_msr, done;
  uint32_t pad;
  struct vmx_msr entries[32];
};
struct hax_debug_t {
  uint32_t control, reserved;
  uint64_t dr[8];
};
struct hax_cpuid_entry {
  uint32_t function, index, flags, eax, ebx, ecx, edx, pad[3];
};
struct hax_cpuid {
  uint32_t total, pad;
  struct hax_cpuid_entry entries[0];
};
struct hax_tunnel {
  uint32_t _exit_reason, pad0, _exit_status, user_event_pending, ready_for_interrupt_injection, request_interrupt_window;
  union {
    struct {
      uint8_t _direction, _df;
      uint16_t _size, _port, _count;
      uint8_t _flags, _pad0;
      uint16_t _pad1;
      uint32_t _pad2;
      uint64_t _vaddr;
    } io;
    struct {
      uint64_t gpa;
      uint32_t flags, reserved1;
      uint64_t reserved2;
    } pagefault;
    struct {
      uint64_t rip, dr6, dr7;
    } debug;
  };
  uint64_t apic_base;
};
struct hax_fastmmio {
  uint64_t gpa, value;
  uint8_t size, direction;
  uint16_t reg_index;
  uint32_t pad0;
  uint64_t _cr0, _cr2, _cr3, _cr4;
};
struct segment_desc_t {
  uint16_t selector, _dummy;
  uint32_t limit;
  uint64_t base;
  uint32_t ar, ipad;
};
struct vcpu_state_t {
  uint64_t _rax, _rcx, _rdx, _rbx, _rsp, _rbp, _rsi, _rdi, _r8[8];
  uint64_t _rip, _rflags;
  struct segment_desc_t _cs, _ss, _ds, _es, _fs, _gs, _ldt, _tr, _gdt, _idt;
  uint64_t _cr0, _cr2, _cr3, _cr4, _dr[4], _dr6, _dr7, _pde;
  uint32_t _efer, _sysenter_cs;
  uint64_t _sysenter_eip, _sysenter_esp;
  uint32_t _activity_state, pad;
  uint64_t _interruptibility_state;
};
struct fx_layout {
  uint8_t bytes[512];
};

enum {
  HAX_EXIT_IO = 1,
  HAX_EXIT_REALMODE = 3,
  HAX_EXIT_INTERRUPT = 4,
  HAX_EXIT_UNKNOWN = 5,
  HAX_EXIT_HLT = 6,
  HAX_EXIT_STATECHANGE = 7,
  HAX_EXIT_PAUSED = 8,
  HAX_EXIT_FAST_MMIO = 9,
  HAX_EXIT_PAGEFAULT = 10,
  HAX_EXIT_DEBUG = 11
};

#define HAX_IOCTL_VERSION _IOWR(0, 0x20, struct hax_module_version)
#define HAX_IOCTL_CREATE_VM _IOWR(0, 0x21, uint32_t)
#define HAX_IOCTL_DESTROY_VM _IOW(0, 0x22, uint32_t)
#define HAX_IOCTL_CAPABILITY _IOR(0, 0x23, struct hax_capabilityinfo)
#define HAX_IOCTL_SET_MEMLIMIT _IOWR(0, 0x24, struct hax_set_memlimit)
#define HAX_VM_IOCTL_VCPU_CREATE _IOWR(0, 0x80, uint32_t)
#define HAX_VM_IOCTL_VCPU_CREATE_ORIG _IOR(0, 0x80, int)
#define HAX_VM_IOCTL_ALLOC_RAM _IOWR(0, 0x81, struct hax_alloc_ram_info)
#define HAX_VM_IOCTL_SET_RAM _IOWR(0, 0x82, struct hax_set_ram_info)
#define HAX_VM_IOCTL_VCPU_DESTROY _IOR(0, 0x83, uint32_t)
#define HAX_VM_IOCTL_NOTIFY_QEMU_VERSION _IOW(0, 0x84, struct hax_qemu_version)
#define HAX_VM_IOCTL_ADD_RAMBLOCK _IOW(0, 0x85, struct hax_ramblock_info)
#define HAX_VM_IOCTL_SET_RAM2 _IOWR(0, 0x86, struct hax_set_ram_info2)
#define HAX_VM_IOCTL_PROTECT_RAM _IOWR(0, 0x87, struct hax_protect_ram_info)
#define HAX_VCPU_IOCTL_RUN _IO(0, 0xc0)
#define HAX_VCPU_IOCTL_SET_MSRS _IOWR(0, 0xc1, struct hax_msr_data)
#define HAX_VCPU_IOCTL_GET_MSRS _IOWR(0, 0xc2, struct hax_msr_data)
#define HAX_VCPU_IOCTL_SET_FPU _IOW(0, 0xc3, struct fx_layout)
#define HAX_VCPU_IOCTL_GET_FPU _IOR(0, 0xc4, struct fx_layout)
#define HAX_VCPU_IOCTL_SETUP_TUNNEL _IOWR(0, 0xc5, struct hax_tunnel_info)
#define HAX_VCPU_IOCTL_INTERRUPT _IOWR(0, 0xc6, uint32_t)
#define HAX_VCPU_SET_REGS _IOWR(0, 0xc7, struct vcpu_state_t)
#define HAX_VCPU_GET_REGS _IOWR(0, 0xc8, struct vcpu_state_t)
#define HAX_IOCTL_VCPU_DEBUG _IOW(0, 0xc9, struct hax_debug_t)
#define HAX_VCPU_IOCTL_SET_CPUID _IOW(0, 0xca, struct hax_cpuid*)
#define HAX_VCPU_IOCTL_GET_CPUID _IOW(0, 0xcb, struct hax_cpuid*)

#endif

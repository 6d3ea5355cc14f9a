/* Makes every call of observed/7.8.0-haswell.txt again and prints what comes back in that file's form. It is an ordinary client: it
   runs on the driver model and would run on the real driver. The guests' code is worked out from the log: every rip, register and
   byte of memory in it fits. All sections run in one process, which closes at each one's end what a process of its own would lose. */
#define _GNU_SOURCE
#include "replay.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#define SIZE(name, type) field(#name "=%zu", sizeof(type))
#define OFFSET(name, type, member) field(name "=%zu", offsetof(type, member))
#define REQUEST(name) field(#name "=%08lx", (unsigned long)(uint32_t)name)

static void sizes(void) {
  begin("sizes");
  SIZE(version, struct hax_module_version);
  SIZE(cap, struct hax_capabilityinfo);
  SIZE(memlimit, struct hax_set_memlimit);
  SIZE(allocram, struct hax_alloc_ram_info);
  SIZE(ramblock, struct hax_ramblock_info);
  SIZE(setram, struct hax_set_ram_info);
  SIZE(setram2, struct hax_set_ram_info2);
  SIZE(protect, struct hax_protect_ram_info);
  SIZE(tunnelinfo, struct hax_tunnel_info);
  SIZE(tunnel, struct hax_tunnel);
  SIZE(fastmmio, struct hax_fastmmio);
  SIZE(msrdata, struct hax_msr_data);
  SIZE(fx, struct fx_layout);
  SIZE(vcpu_state, struct vcpu_state_t);
  SIZE(seg, struct segment_desc_t);
  SIZE(debug, struct hax_debug_t);
  SIZE(cpuid, struct hax_cpuid);
  SIZE(cpuidentry, struct hax_cpuid_entry);
  SIZE(qver, struct hax_qemu_version);
  begin("offsets");
  OFFSET("hax_tunnel._exit_status", struct hax_tunnel, _exit_status);
  OFFSET("hax_tunnel.user_event_pending", struct hax_tunnel, user_event_pending);
  OFFSET("hax_tunnel.ready_for_interrupt_injection", struct hax_tunnel, ready_for_interrupt_injection);
  OFFSET("hax_tunnel.request_interrupt_window", struct hax_tunnel, request_interrupt_window);
  OFFSET("hax_tunnel.io", struct hax_tunnel, io);
  OFFSET("hax_tunnel.io._size", struct hax_tunnel, io._size);
  OFFSET("hax_tunnel.io._port", struct hax_tunnel, io._port);
  OFFSET("hax_tunnel.io._count", struct hax_tunnel, io._count);
  OFFSET("hax_tunnel.io._flags", struct hax_tunnel, io._flags);
  OFFSET("hax_tunnel.io._vaddr", struct hax_tunnel, io._vaddr);
  OFFSET("hax_tunnel.apic_base", struct hax_tunnel, apic_base);
  OFFSET("vcpu_state_t._rip", struct vcpu_state_t, _rip);
  OFFSET("vcpu_state_t._rflags", struct vcpu_state_t, _rflags);
  OFFSET("vcpu_state_t._cs", struct vcpu_state_t, _cs);
  OFFSET("vcpu_state_t._gdt", struct vcpu_state_t, _gdt);
  OFFSET("vcpu_state_t._cr0", struct vcpu_state_t, _cr0);
  OFFSET("vcpu_state_t._dr0", struct vcpu_state_t, _dr);
  OFFSET("vcpu_state_t._pde", struct vcpu_state_t, _pde);
  OFFSET("vcpu_state_t._efer", struct vcpu_state_t, _efer);
  OFFSET("vcpu_state_t._sysenter_cs", struct vcpu_state_t, _sysenter_cs);
  OFFSET("vcpu_state_t._sysenter_eip", struct vcpu_state_t, _sysenter_eip);
  OFFSET("vcpu_state_t._activity_state", struct vcpu_state_t, _activity_state);
  OFFSET("vcpu_state_t._interruptibility_state", struct vcpu_state_t, _interruptibility_state);
  begin("requests");
  REQUEST(HAX_IOCTL_VERSION);
  REQUEST(HAX_IOCTL_CREATE_VM);
  REQUEST(HAX_IOCTL_DESTROY_VM);
  REQUEST(HAX_IOCTL_CAPABILITY);
  REQUEST(HAX_IOCTL_SET_MEMLIMIT);
  REQUEST(HAX_VM_IOCTL_VCPU_CREATE);
  REQUEST(HAX_VM_IOCTL_VCPU_CREATE_ORIG);
  REQUEST(HAX_VM_IOCTL_ALLOC_RAM);
  REQUEST(HAX_VM_IOCTL_SET_RAM);
  REQUEST(HAX_VM_IOCTL_VCPU_DESTROY);
  REQUEST(HAX_VM_IOCTL_ADD_RAMBLOCK);
  REQUEST(HAX_VM_IOCTL_SET_RAM2);
  REQUEST(HAX_VM_IOCTL_PROTECT_RAM);
  REQUEST(HAX_VM_IOCTL_NOTIFY_QEMU_VERSION);
  REQUEST(HAX_VCPU_IOCTL_RUN);
  REQUEST(HAX_VCPU_IOCTL_SET_MSRS);
  REQUEST(HAX_VCPU_IOCTL_GET_MSRS);
  REQUEST(HAX_VCPU_IOCTL_SET_FPU);
  REQUEST(HAX_VCPU_IOCTL_GET_FPU);
  REQUEST(HAX_VCPU_IOCTL_SETUP_TUNNEL);
  REQUEST(HAX_VCPU_IOCTL_INTERRUPT);
  REQUEST(HAX_VCPU_SET_REGS);
  REQUEST(HAX_VCPU_GET_REGS);
  REQUEST(HAX_IOCTL_VCPU_DEBUG);
  REQUEST(HAX_VCPU_IOCTL_SET_CPUID);
  REQUEST(HAX_VCPU_IOCTL_GET_CPUID);
}

static void basic(void) {
  section("basic");
  sizes();
  show_stat("/dev/HAX");
  const int hax = show_open("open:/dev/HAX", "/dev/HAX", O_RDWR);
  close(show_open("open:/dev/HAX", "/dev/HAX", O_RDWR));
  const int reader = show_open("open:/dev/HAX:RDONLY", "/dev/HAX", O_RDONLY);
  struct hax_module_version version = {0, 0};
  call("VERSION", hax, HAX_IOCTL_VERSION, &version);
  field("compat=%u cur=%u", version.compat_version, version.cur_version);
  bytes("version", &version, sizeof version);
  call("VERSION_on_O_RDONLY_fd", reader, HAX_IOCTL_VERSION, &version);
  call("VERSION_NULL", hax, HAX_IOCTL_VERSION, NULL);
  struct hax_capabilityinfo cap;
  call("CAPABILITY", hax, HAX_IOCTL_CAPABILITY, &cap);
  field("wstatus=%u winfo=%x refcount=%u quota=%lx", cap.wstatus, cap.winfo, cap.win_refcount, cap.mem_quota);
  bytes("cap", &cap, sizeof cap);
  struct hax_set_memlimit limit = {1, {0}, 1024};
  call("SET_MEMLIMIT(1_1024)", hax, HAX_IOCTL_SET_MEMLIMIT, &limit);
  call("CAPABILITY", hax, HAX_IOCTL_CAPABILITY, &cap);
  bytes("cap_after_memlimit", &cap, sizeof cap);
  limit.enable = 0;
  call("SET_MEMLIMIT(0)", hax, HAX_IOCTL_SET_MEMLIMIT, &limit);
  ioctl(hax, HAX_IOCTL_CAPABILITY, &cap);
  bytes("cap_after_disable", &cap, sizeof cap);
  uint32_t id = 0;
  call("DESTROY_VM", hax, HAX_IOCTL_DESTROY_VM, &id);
  call("unknown_dev_ioctl_0x7f", hax, 0x7f, NULL);
  struct hax_set_ram_info ram = {0};
  call("VM_ioctl_on_/dev/HAX", hax, HAX_VM_IOCTL_SET_RAM, &ram);
  close(reader);
  close(hax);
}

static int ram_call(const char* name, int vm, uint64_t gpa, uint32_t size, uint8_t flags, const void* va) {
  struct hax_set_ram_info info = {gpa, size, flags, {0}, (uintptr_t)va};
  return call(name, vm, HAX_VM_IOCTL_SET_RAM, &info);
}

static int ram2_call(const char* name, int vm, uint64_t gpa, uint64_t size, const void* va, uint32_t flags) {
  struct hax_set_ram_info2 info = {gpa, size, (uintptr_t)va, flags, 0, 0};
  return call(name, vm, HAX_VM_IOCTL_SET_RAM2, &info);
}

static int alloc_call(const char* name, int vm, const void* va, uint32_t size, uint32_t pad) {
  struct hax_alloc_ram_info info = {size, pad, (uintptr_t)va};
  return call(name, vm, HAX_VM_IOCTL_ALLOC_RAM, &info);
}

static int block_call(const char* name, int vm, const void* va, uint64_t size, uint64_t reserved) {
  struct hax_ramblock_info info = {(uintptr_t)va, size, reserved};
  return call(name, vm, HAX_VM_IOCTL_ADD_RAMBLOCK, &info);
}

static int protect_call(const char* name, int vm, uint64_t gpa, uint64_t size, uint32_t flags, uint32_t reserved) {
  struct hax_protect_ram_info info = {gpa, size, flags, reserved};
  return call(name, vm, HAX_VM_IOCTL_PROTECT_RAM, &info);
}

static void vm_memory(int vm, const uint8_t* ram) {
  uint8_t* odd = memory(0x10000);
  uint8_t* block = memory(0x80000);
  const uint8_t* nowhere = memory(0x1000);
  begin("ALLOC_RAM");
  struct hax_alloc_ram_info alloc = {RAM_SIZE, 0, (uintptr_t)ram};
  int result = ioctl(vm, HAX_VM_IOCTL_ALLOC_RAM, &alloc);
  field("req=%08lx size=%x ret=%d errno=%d", HAX_VM_IOCTL_ALLOC_RAM, RAM_SIZE, result, result < 0 ? errno : 0);
  bytes_with_address("alloc_ram_info_after", &alloc, sizeof alloc, 8, (uintptr_t)ram);
  struct hax_set_ram_info set = {0, 0x90000, 0, {0}, (uintptr_t)ram};
  call("SET_RAM", vm, HAX_VM_IOCTL_SET_RAM, &set);
  bytes_with_address("set_ram_info_after", &set, sizeof set, 16, (uintptr_t)ram);
  result = set_ram(vm, 0xF0000, 0x10000, 1, ram + 0xF0000);
  begin("SET_RAM_ROM_F0000");
  field("ret=%d errno=%d", result, result < 0 ? errno : 0);
  alloc_call("ALLOC_RAM_overlapping", vm, ram + 0x1000, 0x1000, 0);
  alloc_call("ALLOC_RAM_size_0", vm, odd, 0, 0);
  alloc_call("ALLOC_RAM_va_0", vm, NULL, 0x1000, 0);
  alloc_call("ALLOC_RAM_unaligned_size", vm, odd, 0x1234, 0);
  alloc_call("ALLOC_RAM_unaligned_va", vm, odd + 0x10, 0x1000, 0);
  struct hax_ramblock_info info = {(uintptr_t)block, 0x80000, 0};
  call("ADD_RAMBLOCK", vm, HAX_VM_IOCTL_ADD_RAMBLOCK, &info);
  bytes_with_address("ramblock_after", &info, sizeof info, 0, (uintptr_t)block);
  block_call("ADD_RAMBLOCK_reserved=1", vm, odd + 0x8000, 0x1000, 1);
  block_call("ADD_RAMBLOCK_again_(dup)", vm, block, 0x80000, 0);
  ram_call("SET_RAM_va_not_registered", vm, 0x100000, 0x1000, 0, nowhere);
  ram_call("SET_RAM_pa_unaligned", vm, 0x100010, 0x1000, 0, ram + 0x100000);
  ram_call("SET_RAM_size_unaligned", vm, 0x100000, 0x1010, 0, ram + 0x100000);
  ram_call("SET_RAM_va_unaligned", vm, 0x100000, 0x1000, 0, ram + 0x100010);
  ram_call("SET_RAM_size_0", vm, 0x100000, 0, 0, ram + 0x100000);
  ram_call("SET_RAM_INVALID_va_0_(unmapped_range)", vm, 0x180000, 0x1000, 0x80, NULL);
  ram_call("SET_RAM_INVALID_va!=0", vm, 0x100000, 0x1000, 0x80, ram);
  ram_call("SET_RAM_INVALID|ROM_va_0", vm, 0x100000, 0x1000, 0x81, NULL);
  ram_call("SET_RAM_flags_0x02_(reserved)", vm, 0x100000, 0x1000, 2, ram + 0x100000);
  ram_call("SET_RAM_va_0_no_INVALID", vm, 0x100000, 0x1000, 0, NULL);
  struct hax_set_ram_info2 set2 = {0x200000, 0x80000, (uintptr_t)block, 0, 0, 0};
  call("SET_RAM2", vm, HAX_VM_IOCTL_SET_RAM2, &set2);
  bytes_with_address("set_ram2_after", &set2, sizeof set2, 16, (uintptr_t)block);
  set2.reserved1 = 1;
  call("SET_RAM2_reserved1=1", vm, HAX_VM_IOCTL_SET_RAM2, &set2);
  set2.reserved1 = 0;
  set2.reserved2 = 1;
  call("SET_RAM2_reserved2=1", vm, HAX_VM_IOCTL_SET_RAM2, &set2);
  ram2_call("SET_RAM2_STANDALONE_(unregistered_va)", vm, 0x300000, 0x10000, odd, 0x40);
  ram2_call("SET_RAM2_INVALID_over_standalone", vm, 0x300000, 0x10000, NULL, 0x80);
  protect_call("PROTECT_RAM_flags_8", vm, 0x2000, 0x1000, 8, 0);
  protect_call("PROTECT_RAM_NONE", vm, 0x2000, 0x1000, 0, 0);
  protect_call("PROTECT_RAM_RWX", vm, 0x2000, 0x1000, 7, 0);
  protect_call("PROTECT_RAM_reserved", vm, 0x2000, 0x1000, 0, 1);
  protect_call("PROTECT_RAM_unmapped_gpa", vm, 0x190000, 0x1000, 7, 0);
}

static void show_tunnel_info(const struct hax_tunnel_info* info) {
  const int valid = info->va && info->va % 4096 == 0 && info->io_va && info->io_va % 4096 == 0;
  printf(" tunnel_info=%s", valid ? "<address><address>" : "?");
  for (int i = 16; i < 24; i++) printf("%02x", ((const uint8_t*)info)[i]);
}

static void setup_call(int vcpu, struct hax_tunnel_info* info) {
  memset(info, 0, sizeof *info);
  begin("SETUP_TUNNEL");
  const int result = ioctl(vcpu, HAX_VCPU_IOCTL_SETUP_TUNNEL, info);
  const char* address = info->va && info->io_va ? "<address>" : "0";
  field("req=%08lx ret=%d va=%s io_va=%s size=%u", HAX_VCPU_IOCTL_SETUP_TUNNEL, result, address, address, info->size);
  field("pad=%04x%04x%04x", info->pad[0], info->pad[1], info->pad[2]);
  show_tunnel_info(info);
}

static int vcpu_call(const char* name, int vm, uint32_t id, uint32_t* out) {
  *out = id;
  return call(name, vm, HAX_VM_IOCTL_VCPU_CREATE, out);
}

static int create_call(int hax, uint32_t* id) {
  begin("CREATE_VM");
  const int result = ioctl(hax, HAX_IOCTL_CREATE_VM, id);
  field("req=%08lx ret=%d vm_id=%u", HAX_IOCTL_CREATE_VM, result, *id);
  return result;
}

static void notify_call(const char* name, int vm, uint32_t current, uint32_t least) {
  struct hax_qemu_version version = {current, least};
  call(name, vm, HAX_VM_IOCTL_NOTIFY_QEMU_VERSION, &version);
}

static void vm_section(void) {
  section("vm");
  struct machine m = {0};
  m.hax = show_open("open:/dev/HAX", "/dev/HAX", O_RDWR);
  create_call(m.hax, &m.id);
  show_stat(vm_path(m.id));
  m.vm = show_open("open:vm", vm_path(m.id), O_RDWR);
  struct hax_set_memlimit limit = {1, {0}, 1024};
  call("SET_MEMLIMIT_with_VM_alive", m.hax, HAX_IOCTL_SET_MEMLIMIT, &limit);
  show_open("open-again:vm", vm_path(m.id), O_RDWR);
  notify_call("NOTIFY_QEMU_VERSION(4_1)", m.vm, 4, 1);
  notify_call("NOTIFY_QEMU_VERSION(4_5)", m.vm, 4, 5);
  notify_call("NOTIFY_QEMU_VERSION(0_0)", m.vm, 0, 0);
  notify_call("NOTIFY_QEMU_VERSION(4_4)", m.vm, 4, 4);
  vm_memory(m.vm, memory(RAM_SIZE));
  call("unknown_VM_ioctl", m.vm, 0x7e, NULL);
  uint32_t id = 0;
  call("VCPU_DESTROY", m.vm, HAX_VM_IOCTL_VCPU_DESTROY, &id);
  vcpu_call("VCPU_CREATE(0)", m.vm, 0, &id);
  field("out=%u", id);
  show_stat(vcpu_path(m.id, 0));
  m.vcpu = show_open("open:vcpu", vcpu_path(m.id, 0), O_RDWR);
  struct hax_tunnel_info first;
  struct hax_tunnel_info info = {0};
  setup_call(m.vcpu, &first);
  vcpu_call("VCPU_CREATE_dup_0", m.vm, 0, &id);
  vcpu_call("VCPU_CREATE_16", m.vm, 16, &id);
  vcpu_call("VCPU_CREATE_64", m.vm, 64, &id);
  vcpu_call("VCPU_CREATE_15", m.vm, 15, &id);
  show_stat(vcpu_path(m.id, 15));
  call("SETUP_TUNNEL_2nd", m.vcpu, HAX_VCPU_IOCTL_SETUP_TUNNEL, &info);
  if (info.va != first.va || info.io_va != first.io_va) info.va = 0;
  show_tunnel_info(&info);
  const uint8_t* page = (void*)(uintptr_t)first.va;
  unsigned nonzero = 0;
  for (int i = 0; i < 4096; i++) nonzero += page[i] != 0;
  bytes("tunnel_initial", page, 64);
  field("nonzero=%u", nonzero);
  struct vcpu_state_t state;
  get_regs(&m, &state);
  begin("GET_REGS");
  show_state(&state);
  show_segments(&state);
  show_rest(&state);
  bytes("vcpu_state", &state, sizeof state);
  call("unknown_VCPU_ioctl", m.vcpu, 0x7e, NULL);
  struct hax_set_ram_info ram = {0};
  call("VM_ioctl_on_vcpu_fd", m.vcpu, HAX_VM_IOCTL_SET_RAM, &ram);
  show_open("open-again:vcpu", vcpu_path(m.id, 0), O_RDWR);
  uint32_t second = 0;
  call("CREATE_VM_#2", m.hax, HAX_IOCTL_CREATE_VM, &second);
  field("id2=%u", second);
  show_stat(vm_path(second));
  const int vm2 = show_open("open:vm2", vm_path(second), O_RDWR);
  close(vm2);
  begin("close:vm2");
  show_stat(vm_path(second));
  close(m.vcpu);
  show_stat(vcpu_path(m.id, 0));
  close(m.vm);
  show_stat(vm_path(m.id));
  show_stat(vcpu_path(m.id, 15)); /* never opened: it stays, and its VM with it */
  close(m.hax);
  m.hax = show_open("open:/dev/HAX", "/dev/HAX", O_RDWR);
  create_call(m.hax, &m.id);
  show_stat(vm_path(m.id));
  m.vm = show_open("open:vm", vm_path(m.id), O_RDWR);
  close(m.vm);
  close(m.hax);
}

#include "replay_guests.h"

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  basic();
  vm_section();
  run_section();
  msr_section();
  prot_section();
  long_section();
  triple_section();
  cpuid_section();
  thread_section();
  many_section();
  more_section();
  ram2_section();
  fork_section();
  leak_section();
  putchar('\n');
  return 0;
}

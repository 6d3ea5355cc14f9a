/* How replay.c opens the driver, calls it and prints what comes back: one line a call, in the fixture's form. */
#ifndef HAXM_DRIVER_REPLAY_H
#define HAXM_DRIVER_REPLAY_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client.h"

#pragma GCC diagnostic ignored "-Wunused-function"

enum { RAM_SIZE = 0x200000, MOST_INTERRUPTS = 100 };

/* One VM with its first vCPU. */
struct machine {
  int hax, vm, vcpu;
  uint32_t id, vcpu_id;
  uint8_t* ram;
  volatile struct hax_tunnel* tunnel;
  uint8_t* io;
};

static void section(const char* name) { printf("\n@ %s", name); }

/* The beginning of a line. */
static void begin(const char* format, ...) {
  va_list list;
  va_start(list, format);
  putchar('\n');
  vprintf(format, list);
  va_end(list);
}

static void field(const char* format, ...) {
  va_list list;
  va_start(list, format);
  putchar(' ');
  vprintf(format, list);
  va_end(list);
}

static void bytes(const char* name, const void* data, size_t size) {
  printf(" %s=", name);
  for (size_t i = 0; i < size; i++) printf("%02x", ((const uint8_t*)data)[i]);
}

/* The same, with the eight bytes at `at` replaced when they are the address that belongs there. */
static void bytes_with_address(const char* name, const void* data, size_t size, size_t at, uint64_t address) {
  uint64_t there;
  memcpy(&there, (const uint8_t*)data + at, 8);
  bytes(name, data, at);
  if (there == address && address) {
    printf("<address>");
  } else {
    for (size_t i = 0; i < 8; i++) printf("%02x", ((const uint8_t*)data)[at + i]);
  }
  for (size_t i = at + 8; i < size; i++) printf("%02x", ((const uint8_t*)data)[i]);
}

static int call(const char* name, int fd, unsigned long request, void* argument) {
  begin("%s", name);
  const int result = ioctl(fd, request, argument);
  field("req=%08lx ret=%d errno=%d", request, result, result < 0 ? errno : 0);
  return result;
}

static void show_stat(const char* path) {
  struct stat st;
  begin("stat:%s", path);
  if (stat(path, &st) < 0) {
    field("errno=%d", errno);
    return;
  }
  field("errno=0 mode=%o uid=%u gid=%u rdev=%u:%u", st.st_mode, st.st_uid, st.st_gid, major(st.st_rdev), minor(st.st_rdev));
}

static int show_open(const char* name, const char* path, int flags) {
  const int fd = open(path, flags);
  begin("%s", name);
  field("errno=%d", fd < 0 ? errno : 0);
  return fd;
}

static char* vm_path(uint32_t id) {
  static char path[64];
  snprintf(path, sizeof path, "/dev/hax_vm/vm%02u", id);
  return path;
}

static char* vcpu_path(uint32_t vm, uint32_t id) {
  static char path[64];
  snprintf(path, sizeof path, "/dev/hax_vm%02u/vcpu%02u", vm, id);
  return path;
}

static void* memory(size_t size) {
  void* pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    perror("mmap");
    exit(1);
  }
  return pages;
}

static int set_ram(int vm, uint64_t gpa, uint32_t size, uint8_t flags, const void* va) {
  struct hax_set_ram_info info = {gpa, size, flags, {0}, (uintptr_t)va};
  return ioctl(vm, HAX_VM_IOCTL_SET_RAM, &info);
}

static int alloc_ram(int vm, const void* va, uint32_t size) {
  struct hax_alloc_ram_info info = {size, 0, (uintptr_t)va};
  return ioctl(vm, HAX_VM_IOCTL_ALLOC_RAM, &info);
}

static void setup_tunnel(struct machine* m) {
  struct hax_tunnel_info info;
  if (ioctl(m->vcpu, HAX_VCPU_IOCTL_SETUP_TUNNEL, &info) < 0) {
    perror("SETUP_TUNNEL");
    exit(1);
  }
  m->tunnel = (void*)(uintptr_t)info.va;
  m->io = (void*)(uintptr_t)info.io_va;
}

static void open_vm(struct machine* m) {
  m->hax = open("/dev/HAX", O_RDWR);
  m->vcpu = -1;
  if (ioctl(m->hax, HAX_IOCTL_CREATE_VM, &m->id) < 0 || (m->vm = open(vm_path(m->id), O_RDWR)) < 0) {
    perror("CREATE_VM");
    exit(1);
  }
}

static void open_vcpu(struct machine* m, uint32_t id) {
  m->vcpu_id = id;
  if (ioctl(m->vm, HAX_VM_IOCTL_VCPU_CREATE, &id) < 0 || (m->vcpu = open(vcpu_path(m->id, m->vcpu_id), O_RDWR)) < 0) {
    perror("VCPU_CREATE");
    exit(1);
  }
  setup_tunnel(m);
}

/* RAM from 0 to 90000, vCPU 0, and the code at 1000. */
static void start(struct machine* m, const void* code, size_t size) {
  open_vm(m);
  m->ram = memory(RAM_SIZE);
  alloc_ram(m->vm, m->ram, RAM_SIZE);
  set_ram(m->vm, 0, 0x90000, 0, m->ram);
  open_vcpu(m, 0);
  memcpy(m->ram + 0x1000, code, size);
}
#define START(m, code) start(m, code, sizeof code - 1)

static void finish(struct machine* m) {
  if (m->vcpu >= 0) close(m->vcpu);
  close(m->vm);
  close(m->hax);
}

static void get_regs(const struct machine* m, struct vcpu_state_t* state) {
  memset(state, 0, sizeof *state);
  if (ioctl(m->vcpu, HAX_VCPU_GET_REGS, state) < 0) perror("GET_REGS");
}

static void set_regs(const struct machine* m, struct vcpu_state_t* state) {
  if (ioctl(m->vcpu, HAX_VCPU_SET_REGS, state) < 0) perror("SET_REGS");
}

/* Real mode, code at 0:ip, stack at 0:8000. */
static void real_mode(const struct machine* m, uint64_t ip) {
  struct vcpu_state_t state;
  get_regs(m, &state);
  state._cs.selector = 0;
  state._cs.base = 0;
  state._rip = ip;
  state._rsp = 0x8000;
  set_regs(m, &state);
}

static void show_state(const struct vcpu_state_t* s) {
  const uint64_t* r = &s->_rax;
  static const char* const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"};
  for (int i = 0; i < 8; i++) field("%s=%lx", names[i], r[i]);
  field("rip=%lx rflags=%lx cr0=%lx cr2=%lx cr3=%lx cr4=%lx", s->_rip, s->_rflags, s->_cr0, s->_cr2, s->_cr3, s->_cr4);
}

static void show_segments(const struct vcpu_state_t* s) {
  static const char* const names[] = {"cs", "ss", "ds", "es", "fs", "gs", "ldt", "tr", "gdt", "idt"};
  const struct segment_desc_t* segment = &s->_cs;
  for (int i = 0; i < 10; i++, segment++) {
    const char* n = names[i];
    field("%s.sel=%04x %s.dummy=%04x %s.limit=%08x %s.base=%lx", n, segment->selector, n, segment->_dummy, n, segment->limit, n,
          segment->base);
    field("%s.ar=%08x %s.ipad=%08x", n, segment->ar, n, segment->ipad);
  }
}

static void show_rest(const struct vcpu_state_t* s) {
  for (int i = 0; i < 8; i++) field("r%d=%lx", i + 8, s->_r8[i]);
  for (int i = 0; i < 4; i++) field("dr%d=%lx", i, s->_dr[i]);
  field("dr6=%lx dr7=%lx pde=%lx efer=%x", s->_dr6, s->_dr7, s->_pde, s->_efer);
  field("sysenter_cs=%x sysenter_eip=%lx sysenter_esp=%lx", s->_sysenter_cs, s->_sysenter_eip, s->_sysenter_esp);
  field("activity=%x pad=%x intr.raw=%x intr.pad=%x", s->_activity_state, s->pad, (uint32_t)s->_interruptibility_state,
        (uint32_t)(s->_interruptibility_state >> 32));
}

static void show_all(const struct machine* m) {
  struct vcpu_state_t state;
  get_regs(m, &state);
  show_state(&state);
  show_segments(&state);
  show_rest(&state);
}

static void show_regs(const struct machine* m) {
  struct vcpu_state_t state;
  get_regs(m, &state);
  show_state(&state);
}

/* RUN until something else than a host interrupt comes. */
static int run_on(const struct machine* m, int* interrupts) {
  *interrupts = 0;
  for (;;) {
    const int result = ioctl(m->vcpu, HAX_VCPU_IOCTL_RUN, 0);
    if (result < 0 || m->tunnel->_exit_status != HAX_EXIT_INTERRUPT || *interrupts == MOST_INTERRUPTS) return result;
    (*interrupts)++;
  }
}

static int run(const struct machine* m) {
  int interrupts;
  begin("RUN");
  const int result = run_on(m, &interrupts);
  field("ret=%d errno=%d interrupts=%d", result, result < 0 ? errno : 0, interrupts);
  return result;
}

static void show_io(const struct machine* m, const char* prefix) {
  const volatile struct hax_tunnel* t = m->tunnel;
  field("dir=%u df=%u size=%u port=%s%x count=%u flags=%u", t->io._direction, t->io._df, t->io._size, prefix, t->io._port, t->io._count,
        t->io._flags);
}

/* Every byte of the tunnel, and of what the status says is valid. `io`: so many bytes of the buffer. */
static void show_tunnel(const struct machine* m, size_t io) {
  const volatile struct hax_tunnel* t = m->tunnel;
  struct hax_tunnel copy;
  memcpy(&copy, (void*)(uintptr_t)t, sizeof copy);
  field("reason=%u pad0=%u status=%u uep=%u ready=%u reqwin=%u apic_base=%lx", t->_exit_reason, t->pad0, t->_exit_status,
        t->user_event_pending, t->ready_for_interrupt_injection, t->request_interrupt_window, t->apic_base);
  bytes("tunnel", &copy, sizeof copy);
  if (t->_exit_status == HAX_EXIT_IO) {
    show_io(m, "0x");
    field("pad0=%u pad1=%u pad2=%u vaddr=%lx", t->io._pad0, t->io._pad1, t->io._pad2, t->io._vaddr);
    if (io) bytes("iobuf", m->io, io);
  } else if (t->_exit_status == HAX_EXIT_FAST_MMIO) {
    struct hax_fastmmio r;
    memcpy(&r, m->io, sizeof r);
    field("gpa=%lx value/gpa2=%lx size=%u dir=%u reg_index=%u pad0=%u", r.gpa, r.value, r.size, r.direction, r.reg_index, r.pad0);
    field("cr0=%lx cr2=%lx cr3=%lx cr4=%lx", r._cr0, r._cr2, r._cr3, r._cr4);
    bytes("fastmmio", &r, sizeof r);
  } else if (t->_exit_status == HAX_EXIT_PAGEFAULT) {
    field("gpa=%lx flags=%x r1=%x r2=%lx", t->pagefault.gpa, t->pagefault.flags, t->pagefault.reserved1, t->pagefault.reserved2);
  } else if (t->_exit_status == HAX_EXIT_DEBUG) {
    field("rip=%lx dr6=%lx dr7=%lx", t->debug.rip, t->debug.dr6, t->debug.dr7);
  }
}

/* The short form. */
static void show_exit(const struct machine* m) {
  const volatile struct hax_tunnel* t = m->tunnel;
  field("reason=%u status=%u ready=%u reqwin=%u", t->_exit_reason, t->_exit_status, t->ready_for_interrupt_injection,
        t->request_interrupt_window);
  if (t->_exit_status == HAX_EXIT_IO) {
    show_io(m, "");
    field("vaddr=%lx", t->io._vaddr);
  } else if (t->_exit_status == HAX_EXIT_FAST_MMIO) {
    struct hax_fastmmio r;
    memcpy(&r, m->io, sizeof r);
    field("gpa=%lx val=%lx size=%u dir=%u", r.gpa, r.value, r.size, r.direction);
  }
}

#endif

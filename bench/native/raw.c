// The other side of the dispatch table: the loop that a C programmer would write over the same devices, and the clock both sides are
// measured with. Plain C and Node-API; nothing of node-hax is in it. bench/README.md tells what is compared.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <node_api.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "../../test/haxm-driver/client.h"

static uint64_t nanoseconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

// --- The null device: the ioctl KVM_RUN without a kernel. It fills struct kvm_run as the kernel does for an OUT of one byte.

static struct {
  uint64_t exits_left, first_port, ports, next_port, entry_ns;
  uint8_t value;
} null_device;

// No inlining: an ioctl is a call that the compiler cannot look into.
__attribute__((noipa)) static int null_run(int fd, struct kvm_run* run) {
  (void)fd;
  if (null_device.entry_ns) {
    const uint64_t end = nanoseconds(CLOCK_MONOTONIC) + null_device.entry_ns;
    while (nanoseconds(CLOCK_MONOTONIC) < end) {
    }
  }
  if (null_device.exits_left == 0) {
    run->exit_reason = KVM_EXIT_HLT;
    return 0;
  }
  null_device.exits_left--;
  run->exit_reason = KVM_EXIT_IO;
  run->io.direction = KVM_EXIT_IO_OUT;
  run->io.size = 1;
  run->io.count = 1;
  run->io.port = (uint16_t)(null_device.first_port + null_device.next_port * 8);
  run->io.data_offset = 4096;
  ((uint8_t*)run)[4096] = null_device.value;
  if (++null_device.next_port >= null_device.ports) null_device.next_port = 0;
  return 0;
}

static int kvm_run(int fd, struct kvm_run* run) {
  (void)run;
  return ioctl(fd, KVM_RUN, 0);
}

// --- The loop.

// What it does with an exit: as much as a JavaScript device of the benchmark does. Seen from outside, so that all of it has to happen.
struct {
  uint64_t writes, sum;
} raw_device;

__attribute__((always_inline)) static inline int64_t loop(int (*enter)(int, struct kvm_run*), int fd, struct kvm_run* run) {
  raw_device.writes = 0;
  for (;;) {
    if (enter(fd, run) != 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    switch (run->exit_reason) {
      case KVM_EXIT_IO:
        raw_device.writes++;
        raw_device.sum += run->io.port ^ ((const uint8_t*)run)[run->io.data_offset];
        break;
      case KVM_EXIT_HLT:
      case KVM_EXIT_SHUTDOWN:  // the HLT of a guest in user mode, which has no IDT
        return (int64_t)raw_device.writes;
      default:
        errno = EPROTO;
        return -1;
    }
  }
}

// --- What JavaScript calls.

static napi_value fail(napi_env env, const char* what) {
  char text[128];
  snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
  napi_throw_error(env, NULL, text);
  return NULL;
}

static napi_value number(napi_env env, double value) {
  napi_value result = NULL;
  napi_create_double(env, value, &result);
  return result;
}

static bool numbers(napi_env env, napi_callback_info info, size_t count, uint64_t* out) {
  napi_value values[4] = {NULL};
  size_t given = 4;
  napi_get_cb_info(env, info, &given, values, NULL, NULL);
  for (size_t i = 0; i < count; i++) {
    double value;
    if (napi_get_value_double(env, values[i], &value) != napi_ok || value < 0) {
      errno = EINVAL;
      fail(env, "an argument");
      return false;
    }
    out[i] = (uint64_t)value;
  }
  return true;
}

// threadCpuNs(): CPU time of the calling thread.
static napi_value thread_cpu_ns(napi_env env, napi_callback_info info) {
  (void)info;
  return number(env, (double)nanoseconds(CLOCK_THREAD_CPUTIME_ID));
}

alignas(4096) static uint8_t null_pages[8192];

// nullSet(exits, firstPort, ports, entryNs): before each loop over the null device.
static napi_value null_set(napi_env env, napi_callback_info info) {
  uint64_t in[4];
  if (!numbers(env, info, 4, in)) return NULL;
  null_device.exits_left = in[0];
  null_device.first_port = in[1];
  null_device.ports = in[2];
  null_device.next_port = 0;
  null_device.entry_ns = in[3];
  null_device.value = 0x5a;
  return NULL;
}

// nullLoop(): runs until the device halts; how many writes were served.
static napi_value null_loop(napi_env env, napi_callback_info info) {
  (void)info;
  return number(env, (double)loop(null_run, -1, (struct kvm_run*)null_pages));
}

static int vm = -1, vcpu = -1;
static struct kvm_run* vcpu_run;
static struct kvm_coalesced_mmio_ring* vm_ring;
static struct kvm_sregs after_reset;
static uint8_t* memory;
enum { kMemory = 0x10000 };

// kvmOpen(memory, cpuid): a machine of its own with 64 KiB of memory, `memory` at 0, no interrupt controller and one vCPU, which has the
// CPUID table of the other side's: KVM_RUN takes longer with some than with others. Seven words an entry.
static napi_value kvm_open(napi_env env, napi_callback_info info) {
  enum { kEntries = 256 };
  napi_value arguments[2] = {NULL};
  size_t count = 2, length = 0, words = 0;
  void *content = NULL, *table = NULL;
  napi_typedarray_type type;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  if (napi_get_typedarray_info(env, arguments[0], NULL, &length, &content, NULL, NULL) != napi_ok || length > kMemory ||
      napi_get_typedarray_info(env, arguments[1], &type, &words, &table, NULL, NULL) != napi_ok || type != napi_uint32_array ||
      words % 7 != 0 || words / 7 > kEntries) {
    errno = EINVAL;
    return fail(env, "memory and CPUID");
  }
  static struct {
    struct kvm_cpuid2 header;
    struct kvm_cpuid_entry2 entries[kEntries];
  } cpuid;
  const uint32_t* word = table;
  for (size_t i = 0; i < words / 7; i++, word += 7) {
    cpuid.entries[i] = (struct kvm_cpuid_entry2){
        .function = word[0], .index = word[1], .flags = word[2], .eax = word[3], .ebx = word[4], .ecx = word[5], .edx = word[6]};
  }
  cpuid.header.nent = (uint32_t)(words / 7);
  const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) return fail(env, "/dev/kvm");
  if ((vm = ioctl(kvm, KVM_CREATE_VM, 0)) < 0) return fail(env, "KVM_CREATE_VM");
  memory = mmap(NULL, kMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail(env, "mmap");
  memcpy(memory, content, length);
  struct kvm_userspace_memory_region region = {.memory_size = kMemory, .userspace_addr = (uintptr_t)memory};
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) != 0) return fail(env, "KVM_SET_USER_MEMORY_REGION");
  if ((vcpu = ioctl(vm, KVM_CREATE_VCPU, 0)) < 0) return fail(env, "KVM_CREATE_VCPU");
  const int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  vcpu_run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (vcpu_run == MAP_FAILED) return fail(env, "mmap of the vCPU");
  vm_ring = (void*)((uint8_t*)vcpu_run + ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO) * 4096);
  if (ioctl(vcpu, KVM_SET_CPUID2, &cpuid) != 0) return fail(env, "KVM_SET_CPUID2");
  if (ioctl(vcpu, KVM_GET_SREGS, &after_reset) != 0) return fail(env, "KVM_GET_SREGS");
  return NULL;
}

// 64-bit user mode with these page tables and no IDT (Intel SDM vol. 3, 2.2 and 5.5).
static void set_user_mode(struct kvm_sregs* sregs, uint64_t page_tables) {
  const struct kvm_segment data = {.limit = 0xffffffff, .selector = 0x1b, .type = 3, .present = 1, .dpl = 3, .db = 1, .s = 1, .g = 1};
  sregs->ds = sregs->es = sregs->ss = data;
  sregs->cs = data;
  sregs->cs.selector = 0x13;
  sregs->cs.type = 11;
  sregs->cs.db = 0;
  sregs->cs.l = 1;
  sregs->idt.limit = 0;
  sregs->cr0 = 0x80000031;  // PG, NE, ET, PE
  sregs->cr3 = page_tables;
  sregs->cr4 = 0x20;    // PAE
  sregs->efer = 0x500;  // LMA, LME
}

// kvmSet(rip, rcx, cr3): before each kvmLoop(). Real mode where cr3 is 0.
static napi_value kvm_set(napi_env env, napi_callback_info info) {
  uint64_t in[3];
  if (!numbers(env, info, 3, in)) return NULL;
  struct kvm_sregs sregs = after_reset;
  sregs.cs.base = 0;
  sregs.cs.selector = 0;
  if (in[2] != 0) set_user_mode(&sregs, in[2]);
  if (ioctl(vcpu, KVM_SET_SREGS, &sregs) != 0) return fail(env, "KVM_SET_SREGS");
  struct kvm_regs regs = {.rip = in[0], .rcx = in[1], .rax = 0x5a, .rflags = 2};
  if (ioctl(vcpu, KVM_SET_REGS, &regs) != 0) return fail(env, "KVM_SET_REGS");
  return NULL;
}

// kvmRead(address): the 64-bit word there in the guest's memory.
static napi_value kvm_read(napi_env env, napi_callback_info info) {
  uint64_t address, word;
  if (!numbers(env, info, 1, &address)) return NULL;
  if (memory == NULL || address > kMemory - sizeof word) {
    errno = EFAULT;
    return fail(env, "kvmRead");
  }
  memcpy(&word, memory + address, sizeof word);
  return number(env, (double)word);
}

// kvmLoop(): runs until HLT; how many writes were served.
static napi_value kvm_loop(napi_env env, napi_callback_info info) {
  (void)info;
  const int64_t writes = loop(kvm_run, vcpu, vcpu_run);
  if (writes < 0) return fail(env, "KVM_RUN");
  return number(env, (double)writes);
}

// kvmPost(port, length, on): whether the kernel takes writes to these ports into its ring (api.rst 4.116).
static napi_value kvm_post(napi_env env, napi_callback_info info) {
  uint64_t in[3];
  if (!numbers(env, info, 3, in)) return NULL;
  struct kvm_coalesced_mmio_zone zone = {.addr = in[0], .size = (uint32_t)in[1], .pio = 1};
  if (ioctl(vm, in[2] ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO, &zone) != 0) return fail(env, "coalesced PIO");
  return NULL;
}

// kvmPostedLoop(): as kvmLoop(), for writes that may be in the ring: the floor under posted writes.
static napi_value kvm_posted_loop(napi_env env, napi_callback_info info) {
  (void)info;
  enum { kSlots = (4096 - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio) };
  raw_device.writes = 0;
  for (;;) {
    if (ioctl(vcpu, KVM_RUN, 0) != 0 && errno != EINTR) return fail(env, "KVM_RUN");
    for (uint32_t first = vm_ring->first; first != vm_ring->last; vm_ring->first = first = (first + 1) % kSlots) {
      raw_device.writes++;
      raw_device.sum += vm_ring->coalesced_mmio[first].phys_addr ^ vm_ring->coalesced_mmio[first].data[0];
    }
    if (vcpu_run->exit_reason == KVM_EXIT_HLT) return number(env, (double)raw_device.writes);
    if (vcpu_run->exit_reason == KVM_EXIT_IO) raw_device.writes++;  // the ring was full
  }
}

// --- The smallest loop through JavaScript: a function that enters the device, and nothing else. It is the floor under every run loop that
// serves an exit in JavaScript.

static bool floor_is_kvm;

// floorPages(kvm): what the function of makeEnterOnce() enters from now on, and struct kvm_run with the page of its data as an ArrayBuffer.
static napi_value floor_pages(napi_env env, napi_callback_info info) {
  napi_value kvm, pages = NULL;
  size_t count = 1;
  napi_get_cb_info(env, info, &count, &kvm, NULL, NULL);
  napi_get_value_bool(env, kvm, &floor_is_kvm);
  napi_create_external_arraybuffer(env, floor_is_kvm ? (void*)vcpu_run : null_pages, sizeof null_pages, NULL, NULL, &pages);
  return pages;
}

static void enter_once(void) {
  if (!floor_is_kvm) {
    null_run(-1, (struct kvm_run*)null_pages);
    return;
  }
  while (ioctl(vcpu, KVM_RUN, 0) != 0) {
    if (errno == EINTR) continue;
    vcpu_run->exit_reason = KVM_EXIT_INTERNAL_ERROR;  // which no loop goes on after
    return;
  }
}
static void enter_once_fast(void* receiver) {
  (void)receiver;
  enter_once();
}
static void enter_once_slow(const void* info) {
  (void)info;
  enter_once();
}
static napi_value enter_once_plain(napi_env env, napi_callback_info info) {
  (void)env, (void)info;
  enter_once();
  return NULL;
}

// fast.cc
napi_value make_fast_function(napi_env env, void (*fast)(void* receiver), void (*slow)(const void* info));

// makeEnterOnce(fast): a function that is called as run() is, with or without Node-API.
static napi_value make_enter_once(napi_env env, napi_callback_info info) {
  napi_value argument, function = NULL;
  size_t count = 1;
  bool fast = false;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  napi_get_value_bool(env, argument, &fast);
  if (fast) return make_fast_function(env, enter_once_fast, enter_once_slow);
  napi_create_function(env, "enterOnce", NAPI_AUTO_LENGTH, enter_once_plain, NULL, &function);
  return function;
}

// --- HAXM: the same loop over its tunnel.

static int haxm_vcpu = -1;
static struct hax_tunnel* tunnel;
static const uint8_t* io_buffer;

// haxmOpen(): a VM and a vCPU of its own on /dev/HAX.
static napi_value haxm_open(napi_env env, napi_callback_info info) {
  (void)info;
  char path[64];
  uint32_t vm_id = 0, vcpu_id = 0;
  const int hax = open("/dev/HAX", O_RDWR | O_CLOEXEC);
  if (hax < 0 || ioctl(hax, HAX_IOCTL_CREATE_VM, &vm_id) != 0) return fail(env, "HAX_IOCTL_CREATE_VM");
  snprintf(path, sizeof path, "/dev/hax_vm/vm%02u", vm_id);
  const int vm = open(path, O_RDWR | O_CLOEXEC);
  if (vm < 0 || ioctl(vm, HAX_VM_IOCTL_VCPU_CREATE, &vcpu_id) != 0) return fail(env, "HAX_VM_IOCTL_VCPU_CREATE");
  snprintf(path, sizeof path, "/dev/hax_vm%02u/vcpu%02u", vm_id, vcpu_id);
  haxm_vcpu = open(path, O_RDWR | O_CLOEXEC);
  struct hax_tunnel_info pages = {0};
  if (haxm_vcpu < 0 || ioctl(haxm_vcpu, HAX_VCPU_IOCTL_SETUP_TUNNEL, &pages) != 0) return fail(env, "HAX_VCPU_IOCTL_SETUP_TUNNEL");
  tunnel = (struct hax_tunnel*)(uintptr_t)pages.va;
  io_buffer = (const uint8_t*)(uintptr_t)pages.io_va;
  return NULL;
}

// haxmLoop(exits, firstPort, ports, entryNs): programs the model's null device (docs/haxm-model.md) and runs until it halts; how many
// writes were served.
static napi_value haxm_loop(napi_env env, napi_callback_info info) {
  uint64_t in[4];
  if (!numbers(env, info, 4, in)) return NULL;
  struct vcpu_state_t state = {0};
  if (ioctl(haxm_vcpu, HAX_VCPU_GET_REGS, &state) != 0) return fail(env, "HAX_VCPU_GET_REGS");
  state._rcx = in[0];
  state._rdx = in[1];
  state._rbx = in[2];
  state._rdi = in[3];
  state._rax = 0x5a;
  if (ioctl(haxm_vcpu, HAX_VCPU_SET_REGS, &state) != 0) return fail(env, "HAX_VCPU_SET_REGS");
  raw_device.writes = 0;
  for (;;) {
    if (ioctl(haxm_vcpu, HAX_VCPU_IOCTL_RUN, 0) != 0) return fail(env, "HAX_VCPU_IOCTL_RUN");
    switch (tunnel->_exit_status) {
      case HAX_EXIT_IO:
        raw_device.writes++;
        raw_device.sum += tunnel->io._port ^ io_buffer[0];
        break;
      case HAX_EXIT_INTERRUPT:
        break;
      case HAX_EXIT_HLT:
        return number(env, (double)raw_device.writes);
      default:
        errno = EPROTO;
        return fail(env, "an exit");
    }
  }
}

NAPI_MODULE_INIT() {
  const struct {
    const char* name;
    napi_callback call;
  } functions[] = {{"threadCpuNs", thread_cpu_ns},
                   {"nullSet", null_set},
                   {"nullLoop", null_loop},
                   {"kvmOpen", kvm_open},
                   {"kvmSet", kvm_set},
                   {"kvmRead", kvm_read},
                   {"kvmLoop", kvm_loop},
                   {"kvmPost", kvm_post},
                   {"kvmPostedLoop", kvm_posted_loop},
                   {"floorPages", floor_pages},
                   {"makeEnterOnce", make_enter_once},
                   {"haxmOpen", haxm_open},
                   {"haxmLoop", haxm_loop}};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value function;
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &function) != napi_ok) return NULL;
    napi_set_named_property(env, exports, functions[i].name, function);
  }
  return exports;
}

// The floor under a TCP echo beside a guest: a server in C whose thread is in KVM_RUN until io_uring takes it out, when the socket is
// readable, as native/core/slice_ring.cc does for an event loop. No JavaScript. Usage: echo-guest out|spin; prints its port and serves one
// connection. Status 3: this kernel has no io_uring for us.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct kvm_run* run;
static int ring, ones, connection;
static struct io_uring_params params;
static uint8_t* rings;
static struct io_uring_sqe* entries;
static uint8_t rest[7];
static struct iovec flag[2] = {{NULL, 1}, {rest, sizeof rest}};

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static uint32_t* in_rings(uint32_t offset) { return (uint32_t*)(void*)(rings + offset); }

static void make_ring(void) {
  const uint64_t most = ~(uint64_t)1;
  ring = (int)syscall(SYS_io_uring_setup, 4, &params);
  if (ring < 0) exit(3);
  const size_t queue = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
  const size_t done = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  const size_t size = queue > done ? queue : done;
  rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
  entries = mmap(NULL, params.sq_entries * sizeof *entries, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
  if (rings == MAP_FAILED || entries == MAP_FAILED) fail("mmap of the ring");
  ones = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
  if (ones < 0 || write(ones, &most, sizeof most) != sizeof most) fail("eventfd");
  flag[0].iov_base = (uint8_t*)run + offsetof(struct kvm_run, immediate_exit);
}

static struct io_uring_sqe* next_entry(uint8_t operation, int fd) {
  uint32_t* const tail = in_rings(params.sq_off.tail);
  const uint32_t index = *tail & *in_rings(params.sq_off.ring_mask);
  struct io_uring_sqe* const entry = &entries[index];
  memset(entry, 0, sizeof *entry);
  entry->opcode = operation;
  entry->fd = fd;
  in_rings(params.sq_off.array)[index] = index;
  __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
  return entry;
}

// When the connection is readable KVM_RUN ends with EINTR, at once if it has not begun.
static void watch(void) {
  struct io_uring_sqe* const first = next_entry(IORING_OP_POLL_ADD, connection);
  first->poll32_events = POLLIN;
  first->flags = IOSQE_IO_LINK;
  struct io_uring_sqe* const then = next_entry(IORING_OP_READV, ones);
  then->addr = (uintptr_t)flag;
  then->len = 2;
  if (syscall(SYS_io_uring_enter, ring, 2, 0, 0, NULL, 0) != 2) fail("io_uring_enter");
}

// Whether both have happened since the last look.
static bool is_readable(void) {
  uint32_t* const head = in_rings(params.cq_off.head);
  const uint32_t tail = __atomic_load_n(in_rings(params.cq_off.tail), __ATOMIC_ACQUIRE);
  if (tail - *head < 2) return false;
  __atomic_store_n(head, tail, __ATOMIC_RELEASE);
  return true;
}

// A real-mode guest that does nothing but OUT, or counts for ever. Its vCPU.
static int make_guest(const char* what) {
  static const uint8_t out[] = {0xe6, 0xb0, 0xeb, 0xfc}, spin[] = {0xeb, 0xfe};
  enum { kMemory = 0x10000, kCode = 0x1000 };
  const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  const int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) fail("/dev/kvm");
  uint8_t* memory = mmap(NULL, kMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  const int is_out = strcmp(what, "out") == 0;
  memcpy(memory + kCode, is_out ? out : spin, is_out ? sizeof out : sizeof spin);
  struct kvm_userspace_memory_region region = {.memory_size = kMemory, .userspace_addr = (uintptr_t)memory};
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) != 0) fail("KVM_SET_USER_MEMORY_REGION");
  const int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  if (vcpu < 0) fail("KVM_CREATE_VCPU");
  run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (run == MAP_FAILED) fail("mmap of the vCPU");
  struct kvm_sregs sregs;
  if (ioctl(vcpu, KVM_GET_SREGS, &sregs) != 0) fail("KVM_GET_SREGS");
  sregs.cs.base = 0;
  sregs.cs.selector = 0;
  struct kvm_regs regs = {.rip = kCode, .rflags = 2};
  if (ioctl(vcpu, KVM_SET_SREGS, &sregs) != 0 || ioctl(vcpu, KVM_SET_REGS, &regs) != 0) fail("KVM_SET_REGS");
  return vcpu;
}

int main(int count, char** words) {
  if (count != 2) return 2;
  const int vcpu = make_guest(words[1]);
  make_ring();
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof at;
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  if (bind(server, (struct sockaddr*)&at, sizeof at) != 0 || listen(server, 1) != 0) fail("listen");
  getsockname(server, (struct sockaddr*)&at, &length);
  printf("%u\n", ntohs(at.sin_port));
  fflush(stdout);
  if ((connection = accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) < 0) fail("accept4");
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  watch();
  for (;;) {
    if (ioctl(vcpu, KVM_RUN, 0) == 0) continue;
    if (errno != EINTR) fail("KVM_RUN");
    __atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    if (!is_readable()) continue;
    char bytes[64];
    const ssize_t got = read(connection, bytes, sizeof bytes);
    if (got == 0) return 0;
    if (got > 0 && write(connection, bytes, (size_t)got) != got) fail("write");
    watch();
  }
}

// The floor under a TCP echo beside a guest: a server in C whose thread is in KVM_RUN, and a watcher that waits for the socket and kicks it
// out, as native/core/loop_watch.cc does for an event loop. No JavaScript. Usage: echo-guest out|spin; prints its port and serves one
// connection.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct kvm_run* run;
static atomic_bool kicked;
static pthread_t runner;
static int events, connection;

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static void ignore(int signal) { (void)signal; }

static void watch(int operation) {
  struct epoll_event wanted = {.events = EPOLLIN | EPOLLONESHOT};
  if (epoll_ctl(events, operation, connection, &wanted) != 0) fail("epoll_ctl");
}

static void* watcher(void* unused) {
  (void)unused;
  for (;;) {
    struct epoll_event got;
    if (epoll_wait(events, &got, 1, -1) != 1) continue;
    atomic_store(&kicked, true);
    __atomic_store_n(&run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    pthread_kill(runner, SIGUSR1);
  }
  return NULL;
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
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof at;
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  if (bind(server, (struct sockaddr*)&at, sizeof at) != 0 || listen(server, 1) != 0) fail("listen");
  getsockname(server, (struct sockaddr*)&at, &length);
  printf("%u\n", ntohs(at.sin_port));
  fflush(stdout);
  if ((connection = accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) < 0) fail("accept4");
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sigaction(SIGUSR1, &(struct sigaction){.sa_handler = ignore}, NULL);
  runner = pthread_self();
  events = epoll_create1(EPOLL_CLOEXEC);
  watch(EPOLL_CTL_ADD);
  pthread_t thread;
  if (pthread_create(&thread, NULL, watcher, NULL) != 0) fail("pthread_create");
  for (;;) {
    if (ioctl(vcpu, KVM_RUN, 0) != 0 && errno != EINTR) fail("KVM_RUN");
    if (!atomic_exchange(&kicked, false)) continue;
    __atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    char bytes[64];
    const ssize_t got = read(connection, bytes, sizeof bytes);
    if (got == 0) return 0;
    if (got > 0 && write(connection, bytes, (size_t)got) != got) fail("write");
    watch(EPOLL_CTL_MOD);
  }
}

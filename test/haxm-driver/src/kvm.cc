#include "kvm.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstring>

#include "config.h"
#include "sys.h"

namespace haxm_model {

namespace {

constexpr int kFirstDescriptor = 400;

void Complain(const char* what, long error) {
  char line[200];
  const int length = snprintf(line, sizeof line, "haxm-model: %s: %s: %s\n", TheConfig().kvm, what, strerror(static_cast<int>(-error)));
  Syscall(SYS_write, 2, Word(line), length);
}

// Runs OUT 10h,AL once in real mode and looks at rip.
bool TryOut(const KvmHost& host) {
  bool before = false;
  const int vm = static_cast<int>(Ioctl(host.fd, KVM_CREATE_VM));
  const int vcpu = static_cast<int>(Ioctl(vm, KVM_CREATE_VCPU));
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* mapped = mmap(nullptr, host.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (vcpu >= 0 && page != MAP_FAILED && mapped != MAP_FAILED) {
    memcpy(page, "\xe6\x10\xf4", 3);
    kvm_userspace_memory_region region{};
    region.memory_size = 4096;
    region.userspace_addr = reinterpret_cast<uint64_t>(page);
    kvm_sregs sregs;
    kvm_regs regs{};
    regs.rflags = 2;
    auto* run = static_cast<kvm_run*>(mapped);
    if (Ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0 && Ioctl(vcpu, KVM_GET_SREGS, &sregs) == 0) {
      sregs.cs.base = sregs.cs.selector = 0;
      Ioctl(vcpu, KVM_SET_SREGS, &sregs);
      Ioctl(vcpu, KVM_SET_REGS, &regs);
      while (Ioctl(vcpu, KVM_RUN) == -EINTR) {
      }
      Ioctl(vcpu, KVM_GET_REGS, &regs);
      before = run->exit_reason == KVM_EXIT_IO && regs.rip == 0;
    }
  }
  if (mapped != MAP_FAILED) munmap(mapped, host.run_size);
  if (vcpu >= 0) Syscall(SYS_close, vcpu);
  if (vm >= 0) Syscall(SYS_close, vm);
  if (page != MAP_FAILED) munmap(page, 4096);
  return before;
}

KvmHost Open() {
  KvmHost host;
  const long fd = Syscall(SYS_openat, AT_FDCWD, Word(TheConfig().kvm), O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    Complain("open", fd);
    return host;
  }
  host.fd = MoveUp(static_cast<int>(fd));
  const long size = Ioctl(host.fd, KVM_GET_VCPU_MMAP_SIZE);
  constexpr int kNeeded[] = {KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_SYNC_REGS, KVM_CAP_READONLY_MEM, KVM_CAP_VCPU_EVENTS, KVM_CAP_XSAVE};
  for (const int capability : kNeeded) {
    if (size > 0 && Ioctl(host.fd, KVM_CHECK_EXTENSION, capability) > 0) continue;
    Complain("lacks a capability that the model needs", -ENOTSUP);
    Syscall(SYS_close, host.fd);
    host.fd = -1;
    return host;
  }
  host.run_size = static_cast<size_t>(size);
  host.out_exits_before = TryOut(host);
  return host;
}

}  // namespace

const KvmHost* TheKvm() {
  static const KvmHost host = Open();
  return host.fd >= 0 ? &host : nullptr;
}

int MoveUp(int fd) {
  const long moved = Syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, kFirstDescriptor);
  if (moved < 0) return fd;
  Syscall(SYS_close, fd);
  return static_cast<int>(moved);
}

}  // namespace haxm_model

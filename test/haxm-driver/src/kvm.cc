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

// A guest of one page at 0 in real mode, to see what this KVM does.
class TinyGuest {
 public:
  TinyGuest(const KvmHost& host, const char* code, size_t size) : run_size_(host.run_size) {
    vm_ = static_cast<int>(CreateKvmVm(host));
    vcpu_ = static_cast<int>(Ioctl(vm_, KVM_CREATE_VCPU));
    page_ = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void* mapped = mmap(nullptr, run_size_, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_, 0);
    if (mapped != MAP_FAILED) run_ = static_cast<kvm_run*>(mapped);
    if (vcpu_ < 0 || page_ == MAP_FAILED || !run_) return;
    memcpy(page_, code, size);
    kvm_userspace_memory_region region{};
    region.memory_size = 4096;
    region.userspace_addr = reinterpret_cast<uint64_t>(page_);
    kvm_sregs sregs;
    kvm_regs regs{};
    regs.rflags = 2;
    if (Ioctl(vm_, KVM_SET_USER_MEMORY_REGION, &region) != 0 || Ioctl(vcpu_, KVM_GET_SREGS, &sregs) != 0) return;
    sregs.cs.base = sregs.cs.selector = 0;
    ready_ = Ioctl(vcpu_, KVM_SET_SREGS, &sregs) == 0 && Ioctl(vcpu_, KVM_SET_REGS, &regs) == 0;
  }
  ~TinyGuest() {
    if (run_) munmap(run_, run_size_);
    if (vcpu_ >= 0) Syscall(SYS_close, vcpu_);
    if (vm_ >= 0) Syscall(SYS_close, vm_);
    if (page_ != MAP_FAILED) munmap(page_, 4096);
  }
  TinyGuest(const TinyGuest&) = delete;
  TinyGuest& operator=(const TinyGuest&) = delete;

  int vcpu() const { return vcpu_; }

  // Does it exit for this reason with rip here?
  bool ExitsAt(uint32_t reason, uint64_t rip) {
    if (!ready_) return false;
    while (Ioctl(vcpu_, KVM_RUN) == -EINTR) {
    }
    kvm_regs regs;
    return Ioctl(vcpu_, KVM_GET_REGS, &regs) == 0 && run_->exit_reason == reason && regs.rip == rip;
  }

 private:
  const size_t run_size_;
  int vm_ = -1;
  int vcpu_ = -1;
  void* page_ = MAP_FAILED;
  kvm_run* run_ = nullptr;
  bool ready_ = false;
};

bool TryOut(const KvmHost& host) {
  TinyGuest guest(host, "\xe6\x10\xf4", 3);  // out 10,al; hlt
  return guest.ExitsAt(KVM_EXIT_IO, 0);
}

bool TryBreakpoint(const KvmHost& host) {
  TinyGuest guest(host, "\x90\x90\xf4", 3);  // nop; nop; hlt
  kvm_guest_debug debug{};
  debug.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
  debug.arch.debugreg[0] = 1;
  debug.arch.debugreg[7] = 0x403;
  Ioctl(guest.vcpu(), KVM_SET_GUEST_DEBUG, &debug);
  return guest.ExitsAt(KVM_EXIT_DEBUG, 1);
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
  host.breakpoints = TryBreakpoint(host);
  return host;
}

}  // namespace

const KvmHost* TheKvm() {
  static const KvmHost host = Open();
  return host.fd >= 0 ? &host : nullptr;
}

long CreateKvmVm(const KvmHost& host) {
  long result;
  do {
    // Any signal interrupts it, and nothing has happened then; the driver knows no such error.
    result = Ioctl(host.fd, KVM_CREATE_VM);
  } while (result == -EINTR);
  return result;
}

int MoveUp(int fd) {
  const long moved = Syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, kFirstDescriptor);
  if (moved < 0) return fd;
  Syscall(SYS_close, fd);
  return static_cast<int>(moved);
}

}  // namespace haxm_model

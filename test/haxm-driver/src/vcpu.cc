#include "vcpu.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "config.h"
#include "kvm.h"
#include "sys.h"

namespace haxm_model {

std::shared_ptr<Vcpu> Vcpu::Create(const std::shared_ptr<Vm>& vm, uint32_t id) {
  auto vcpu = std::make_shared<Vcpu>(vm, id);
  return vcpu->Open() ? vcpu : nullptr;
}

// The tunnel and the I/O buffer stay mapped in the client, as they do with the real driver.
Vcpu::~Vcpu() {
  if (fd_ >= 0) {
    munmap(run_, TheKvm()->run_size);
    Syscall(SYS_close, fd_);
  } else if (run_) {
    munmap(run_, sizeof *run_);
  }
}

bool Vcpu::Allocate() {
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  void* pages = mmap(nullptr, 2 * kPageSize, kProtection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return false;
  io_buffer_ = static_cast<uint8_t*>(pages);
  tunnel_ = reinterpret_cast<Tunnel*>(io_buffer_ + kPageSize);
  if (TheConfig().null_device) {
    void* fake = mmap(nullptr, sizeof *run_, kProtection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fake != MAP_FAILED) run_ = static_cast<kvm_run*>(fake);
    return run_ != nullptr;
  }
  const long fd = haxm_model::Ioctl(vm_->fd(), KVM_CREATE_VCPU, vm_->NextKvmId());
  if (fd < 0) return false;
  fd_ = MoveUp(static_cast<int>(fd));
  void* run = mmap(nullptr, TheKvm()->run_size, kProtection, MAP_SHARED, fd_, 0);
  if (run == MAP_FAILED) {
    Syscall(SYS_close, fd_);
    fd_ = -1;
    return false;
  }
  run_ = static_cast<kvm_run*>(run);
  return true;
}

bool Vcpu::Open() {
  if (!Allocate()) return false;
  apic_base_ = id_ == 0 ? 0xFEE00900 : 0xFEE00800;
  if (fd_ >= 0) {
    if (id_ == 0) vm_->cpuid().Make();
    vm_->cpuid().Apply(fd_, &cpuid_version_);
    haxm_model::Ioctl(fd_, KVM_GET_REGS, &regs());
    haxm_model::Ioctl(fd_, KVM_GET_SREGS, &sregs());
    run_->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    sregs().apic_base = apic_base_;
    WriteMsr(0x10, 0);  // the time stamp counts from the vCPU's creation
  }
  Reset();
  return true;
}

int Vcpu::SetupTunnel(uint64_t argument) {
  TunnelInfo info{};
  info.tunnel = reinterpret_cast<uint64_t>(tunnel_);
  info.io_buffer = reinterpret_cast<uint64_t>(io_buffer_);
  info.size = TheConfig().tunnel_size;
  return CopyOut(argument, info);
}

int Vcpu::Interrupt(uint64_t argument) {
  uint8_t vector;
  if (CopyIn(&vector, argument)) return -EFAULT;
  pending_[vector / 64] |= uint64_t{1} << vector % 64;
  return 0;
}

long Vcpu::Ioctl(uint32_t request, uint64_t argument) {
  const int injected = InjectedFailure(request);
  if (injected < 0) return injected;
  if (request == kRun) {
    if (injected > 0) {
      panicked_ = true;
      tunnel_->exit_status = kStatusStateChange;
      return injected;
    }
    const Config& config = TheConfig();
    if (config.forced_status && ++runs_ >= config.forced_from && runs_ - config.forced_from < config.forced_times) {
      tunnel_->exit_status = config.forced_status;
      return 0;
    }
    return Run();
  }
  if (request == kInterrupt) return Interrupt(argument);
  const int runner = running_thread_.load();
  if (runner && TheConfig().races && runner != Syscall(SYS_gettid)) Oops("a vCPU call beside a RUN of the same vCPU");
  const std::lock_guard<std::mutex> lock(run_lock_);
  const bool wide = TheConfig().registers520;
  switch (request) {
    case kSetupTunnel:
      return SetupTunnel(argument);
    case kGetRegs:
    case kGetRegs520:
      return (request == kGetRegs520) == wide ? GetRegs(argument, wide) : -ENOSYS;
    case kSetRegs:
    case kSetRegs520:
      return (request == kSetRegs520) == wide ? SetRegs(argument, wide) : -ENOSYS;
    case kGetMsrs:
      return GetMsrs(argument);
    case kSetMsrs:
      return SetMsrs(argument);
    case kGetFpu:
      return GetFpu(argument);
    case kSetFpu:
      return SetFpu(argument);
    case kDebug:
      return SetDebug(argument);
    case kGetCpuid:
      return vm_->cpuid().Get(argument);
    case kSetCpuid:
      return vm_->cpuid().Set(argument);
    default:
      Log("haxm_error: Unknown VCPU IOCTL %#x", request);
      return -ENOSYS;
  }
}

}  // namespace haxm_model

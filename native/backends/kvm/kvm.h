// The KVM backend: /dev/kvm, API version 12. References are to Documentation/virt/kvm/api.rst of the kernel.
#ifndef NODE_HAX_BACKENDS_KVM_KVM_H_
#define NODE_HAX_BACKENDS_KVM_KVM_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backends/kvm/ioctl.h"
#include "core/hypervisor.h"
#include "core/slice_ring.h"
#include "core/stop_word.h"

namespace hax::kvm {

// Pages of a descriptor, all of which are there.
Status MapPages(const Fd& fd, uint64_t offset, uint64_t length, std::shared_ptr<DeviceMapping>* out);

// exits.cc: what KVM_RUN ended with into the exit page; true when the kernel completes it at the next entry, with the reply.
bool DescribeExit(kvm_run* run, ExitPage* page);
void MoveReply(const ExitPage& page, kvm_run* run);

class KvmHypervisor final : public Hypervisor, public std::enable_shared_from_this<KvmHypervisor> {
 public:
  static Status Open(const std::string& path, std::shared_ptr<Hypervisor>* out);
  const Capabilities& capabilities() const override { return capabilities_; }
  Status Ioctl(uint64_t request, uintptr_t argument, int* result) override { return RawCall(fd_, request, argument, result); }
  Status SupportedCpuid(std::vector<CpuidEntry>* out) override;
  Status CreateVm(const VmOptions& options, std::shared_ptr<Vm>* out) override;

  int Extension(int capability) const;
  const Fd& fd() const { return fd_; }
  size_t run_size() const { return run_size_; }

 private:
  explicit KvmHypervisor(Fd fd) : fd_(std::move(fd)) {}
  Status Probe(const std::string& path);

  Fd fd_;
  size_t run_size_ = 0;
  Capabilities capabilities_;
};

class KvmVm final : public Vm, public InterruptController, public std::enable_shared_from_this<KvmVm> {
 public:
  KvmVm(std::shared_ptr<KvmHypervisor> hypervisor, Fd fd, uint32_t slots)
      : hypervisor_(std::move(hypervisor)), map_(slots), fd_(std::move(fd)) {}
  Status Configure(const VmOptions& options);

  Status Ioctl(uint64_t request, uintptr_t argument, int* result) override { return RawCall(fd_, request, argument, result); }
  Status MapMemory(Mapping mapping) override;
  Status UnmapMemory(uint64_t gpa) override;
  Status CreateVcpu(uint32_t id, std::shared_ptr<Vcpu>* out) override;
  int Extension(int capability) const { return hypervisor_->Extension(capability); }
  InterruptController* interrupts() override { return has_irqchip_ ? this : nullptr; }
  Status SetLine(uint32_t gsi, bool level) override;

 private:
  std::shared_ptr<KvmHypervisor> hypervisor_;
  MemoryMap map_;  // before fd_: members go in reverse order, so the device lets go of the memory first
  Fd fd_;
  std::map<uint32_t, Fd> unmapped_;  // vCPUs that have been made, but not handed out
  bool has_irqchip_ = false;
};

class KvmVcpu final : public Vcpu {
 public:
  // Takes the descriptor, unless it fails.
  static Status Create(std::shared_ptr<KvmVm> vm, Fd* fd, size_t run_size, std::shared_ptr<Vcpu>* out);
  ~KvmVcpu() override;

  Status Ioctl(uint64_t request, uintptr_t argument, int* result) override;
  Status Map(uint64_t offset, uint64_t length, std::shared_ptr<DeviceMapping>* out) override;
  void RunGuest() override;
  Status Complete() override;
  KickTarget MarkKick(InterruptReason reason) override { return stop_.Mark(reason); }
  void ForgetKick(InterruptReason reason) override { stop_.Forget(reason); }
  bool BeginSlice(int loop_fd, uint64_t ends, uint64_t deadline) override;
  void AdvanceSlice(uint64_t deadline) override { ring_->Advance(deadline); }
  bool EndSlice() override { return std::exchange(ring_ends_slice_, false) && ring_->loop_is_readable(); }
  Status GetState(uint32_t mask) override;
  Status SetState(uint32_t mask) override;
  Status SyncState(uint32_t mask) override;
  Status Inject(uint32_t vector) override;
  Status SetCpuid(const std::vector<CpuidEntry>& entries) override;

 private:
  KvmVcpu(std::shared_ptr<KvmVm> vm, Fd fd) : vm_(std::move(vm)), fd_(std::move(fd)) {}
  void FillExit();
  void EntryFailed(int error);

  // vcpu.cc
  void EnterAgain(int error);
  void KeptExit();
  void Interrupted();
  int Enter(ExitPage* page);
  void LookAtRing();
  bool IsRunnable() const;

  Status GetRegs(kvm_regs* regs);
  Status SetRegs(const kvm_regs& regs);
  Status GetSregs(kvm_sregs* sregs);
  void SetNextCr8(uint64_t cr8);
  Status FlushRegs();
  Status GetMpState();
  Status GetFpu();
  Status SetFpu();
  Status MoveMsrs(bool set);

  std::shared_ptr<KvmVm> vm_;
  Fd fd_;
  kvm_run* run_ = nullptr;
  size_t run_size_ = 0;
  StopWord stop_;
  std::unique_ptr<SliceRing> ring_;
  bool ring_is_made_ = false;     // or there is none to be had
  bool ring_ends_slice_ = false;  // a slice is in progress that it ends
  bool direct_ = false;           // CallRun() goes past the C library
  // Sync regs (api.rst 5, kvm_valid_regs). All are StateMasks.
  uint32_t sync_mask_ = 0;    // what travels with each exit
  uint32_t synced_ = 0;       // what of run_->s.regs is the vCPU's state now
  bool regs_wait_ = false;    // the general registers there are new: the next entry takes them
  bool reply_waits_ = false;  // the last exit was one that the kernel completes at the next KVM_RUN
  bool reply_moves_ = false;  // and it may want something of the exit page
  bool exit_kept_ = false;    // Complete() met a new exit: the next Run() hands it over
};

}  // namespace hax::kvm

#endif  // NODE_HAX_BACKENDS_KVM_KVM_H_

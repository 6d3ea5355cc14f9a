// A device without a kernel, for benchmarks and abuse: it exits as often as it is told and executes nothing. Not public.
//
// General registers program the vCPU: rcx how many port exits before HLT; rdx the first port, rbx how many ports eight apart to go
// round, rax the byte; rsi 1 for IN, 0 for OUT; rdi nanoseconds that an entry takes; rbp 1 to spin until kicked instead. Above 0, r8
// makes each exit a string of that many elements, of r9 bytes: OUT sends rax, rax + 1 … byte by byte, IN leaves the sum of all bytes.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "backends/registry.h"
#include "core/kick_signal.h"
#include "core/stop_word.h"

namespace hax {

namespace {

enum General { kRax, kRbx, kRcx, kRdx, kRsi, kRdi, kRsp, kRbp, kR8, kR9, kRip = 16 };

constexpr uint32_t kSlots = 32;
constexpr uint32_t kVcpus = 16;

uint64_t Nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

class NullVcpu final : public Vcpu {
 public:
  explicit NullVcpu(std::shared_ptr<Vm> vm) : vm_(std::move(vm)) {
    shared_ = std::make_shared<VcpuShared>();
    shared_->exit.version = kExitPageVersion;
  }

  // As KVM's: what seldom happens is a tail call, so that this saves no registers.
  [[gnu::hot]] void RunGuest() override {
    if (__builtin_expect(in_waits_, 0)) return RunAfterIn();
    if (__builtin_expect(!stop_.Enter(), 0)) return Interrupted();
    ExitPage& page = shared_->exit;
    page.entries++;
    if (__builtin_expect(takes_time_, 0)) return ExitInTime();
    Exit();
  }

  Status Complete() override {
    if (in_waits_) TakeReply();
    return Status::Ok();
  }

  KickTarget MarkKick(InterruptReason reason) override { return stop_.Mark(reason); }
  void ForgetKick(InterruptReason reason) override { stop_.Forget(reason); }

  Status GetState(uint32_t mask) override {
    if (mask & kStateGeneral) std::copy(general_, general_ + kGeneralRegisters, shared_->state.general);
    return mask & ~(kStateGeneral | kStateSystem) ? Unsupported() : Status::Ok();
  }
  Status SetState(uint32_t mask) override {
    if (mask & kStateGeneral) std::copy(shared_->state.general, shared_->state.general + kGeneralRegisters, general_);
    takes_time_ = general_[kRbp] || general_[kRdi];
    return mask & ~(kStateGeneral | kStateSystem) ? Unsupported() : Status::Ok();
  }
  Status Inject(uint32_t) override { return Status::Error(Code::kUnsupported, "inject", "the null device takes no interrupts"); }
  Status SetCpuid(const std::vector<CpuidEntry>&) override { return Status::Ok(); }

 private:
  // What an entry ends with.
  [[gnu::always_inline]] void Exit() {
    stop_.Leave();
    ExitPage& page = shared_->exit;
    if (__builtin_expect(general_[kRcx] == 0, 0)) {
      page.kind = static_cast<uint32_t>(ExitKind::kHlt);
      return;
    }
    general_[kRcx]--;
    general_[kRip]++;
    page.kind = static_cast<uint32_t>(ExitKind::kIo);
    page.port = static_cast<uint16_t>(general_[kRdx] + next_ * 8);
    page.size = 1;
    page.count = 1;
    in_waits_ = general_[kRsi] != 0;
    page.direction = in_waits_ ? 0 : 1;
    std::memcpy(page.data, &general_[kRax], sizeof(uint32_t));
    if (++next_ >= general_[kRbx]) next_ = 0;
    if (__builtin_expect(general_[kR8] != 0, 0)) MakeString();
  }
  [[gnu::noinline]] void RunAfterIn() {
    TakeReply();
    RunGuest();
  }
  [[gnu::noinline]] void ExitInTime() {
    if (!TakeTime()) return Interrupted();
    Exit();
  }
  // An entry that takes rdi nanoseconds, or until a kick: then false.
  bool TakeTime() {
    if (general_[kRbp]) {
      while (!stop_.pending()) {
      }
      stop_.Leave();
      return false;
    }
    for (const uint64_t end = Nanoseconds() + general_[kRdi]; Nanoseconds() < end;) {
    }
    return true;
  }
  void TakeReply() {
    in_waits_ = false;
    const ExitPage& page = shared_->exit;
    general_[kRax] = 0;
    // JavaScript can write to the page, its sizes too.
    const uint64_t bytes = std::min<uint64_t>(uint64_t{page.size} * page.count, kExitDataSize);
    for (uint64_t i = 0; i < bytes; i++) general_[kRax] += page.data[i];
  }
  [[gnu::noinline]] void MakeString() const {
    ExitPage& page = shared_->exit;
    const uint32_t size = general_[kR9] == 2 || general_[kR9] == 4 ? static_cast<uint32_t>(general_[kR9]) : 1;
    page.size = size;
    page.count = static_cast<uint32_t>(std::min<uint64_t>(general_[kR8], kExitDataSize / size));
    for (uint32_t i = 0; i < size * page.count; i++) page.data[i] = static_cast<uint8_t>(general_[kRax] + i);
  }
  static Status Unsupported() { return Status::Error(Code::kUnsupported, "state", "the null device has general registers only"); }
  [[gnu::noinline]] void Interrupted() {
    ExitPage& page = shared_->exit;
    page.kind = static_cast<uint32_t>(ExitKind::kInterrupted);
    page.subcode = static_cast<uint32_t>(stop_.Consume());
    page.kicks++;
  }

  std::shared_ptr<Vm> vm_;
  StopWord stop_;
  uint64_t general_[kGeneralRegisters] = {};
  uint64_t next_ = 0;
  bool in_waits_ = false;
  bool takes_time_ = false;
};

class NullVm final : public Vm, public std::enable_shared_from_this<NullVm> {
 public:
  explicit NullVm(std::shared_ptr<Hypervisor> hypervisor) : hypervisor_(std::move(hypervisor)), map_(kSlots) {}
  Status MapMemory(Mapping mapping) override {
    Status status = map_.Check(&mapping);
    if (status.ok()) map_.Insert(mapping);
    return status;
  }
  Status UnmapMemory(uint64_t gpa) override {
    if (!map_.Find(gpa)) return Status::Error(Code::kInvalidArgument, "unmapMemory", "no memory range starts there");
    map_.Erase(gpa);
    return Status::Ok();
  }
  Status CreateVcpu(uint32_t id, std::shared_ptr<Vcpu>* out) override {
    if (id >= kVcpus || (used_ >> id & 1)) return Status::Os("createVcpu", id >= kVcpus ? EINVAL : EEXIST);
    used_ |= 1u << id;
    *out = std::make_shared<NullVcpu>(shared_from_this());
    return Status::Ok();
  }

 private:
  std::shared_ptr<Hypervisor> hypervisor_;
  MemoryMap map_;
  uint32_t used_ = 0;
};

class NullHypervisor final : public Hypervisor, public std::enable_shared_from_this<NullHypervisor> {
 public:
  NullHypervisor() {
    capabilities_.backend = "null";
    capabilities_.features = {
        {"maxVcpus", kVcpus, ""}, {"recommendedVcpus", 1, ""}, {"memorySlots", kSlots, ""}, {"readOnlyMemory", 1, ""}};
    for (const char* name : {"kernelIrqchip", "splitIrqchip", "pit", "mpState", "extendedCpuid", "immediateExit", "tssAddress",
                             "identityMapAddress", "tscDeadlineTimer", "ioUring"}) {
      capabilities_.features.push_back({name, 0, "the null device executes nothing"});
    }
  }
  const Capabilities& capabilities() const override { return capabilities_; }
  Status SupportedCpuid(std::vector<CpuidEntry>*) override { return Status::Ok(); }
  Status CreateVm(const VmOptions& options, std::shared_ptr<Vm>* out) override {
    if (options.kernel_irqchip) {
      return Status::Error(Code::kUnsupported, "createVm", "the null device has no interrupt controller");
    }
    *out = std::make_shared<NullVm>(shared_from_this());
    return Status::Ok();
  }

 private:
  Capabilities capabilities_;
};

}  // namespace

Status OpenNull(std::shared_ptr<Hypervisor>* out) {
  Status status = InstallKickSignal();
  if (status.ok()) *out = std::make_shared<NullHypervisor>();
  return status;
}

}  // namespace hax

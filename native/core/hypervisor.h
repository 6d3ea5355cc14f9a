// The one native interface: three classes that every backend implements. No Node-API here and no ioctl.
//
// Threads: a Vcpu belongs to the thread that calls run(); every other method of it but kick() is for that thread too.
// Vm and Hypervisor are for one thread at a time. Children hold their parents, so any order of destruction is legal.
#ifndef NODE_HAX_CORE_HYPERVISOR_H_
#define NODE_HAX_CORE_HYPERVISOR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/capabilities.h"
#include "core/exit_page.h"
#include "core/guest_memory.h"
#include "core/kick_signal.h"
#include "core/raw_device.h"
#include "core/status.h"

namespace hax {

class Vcpu;
#if defined(__linux__)
namespace kvm {
void RunGuest(Vcpu* vcpu);  // of backends/kvm
}
#endif

class Vcpu : public RawDevice {
 public:
  virtual ~Vcpu() = default;

  // Moves the reply of the last exit to the device, enters the guest and returns with the exit page filled.
  // A stop word (kick) ends it as kInterrupted, also when it was set before the call. Where it fails the exit is kNone, and failure() says
  // why: a Status would have to be made and destroyed at each exit. No virtual call where an exit makes the processor forget where those
  // lead (docs/performance.md, "An exit").
  void Run() {
#if defined(__linux__)
    if (__builtin_expect(is_kvm_, 1)) return kvm::RunGuest(this);
#endif
    RunGuest();
  }

  // Takes a reply that still waits in the exit page, so that registers and memory are complete, without running further.
  // An exit that comes up meanwhile is kept for the next Run().
  virtual Status Complete() = 0;

  // Ends a Run() in progress, or the next one. From any thread, while the Vcpu lives.
  virtual void Kick(InterruptReason reason) { SignalKick(MarkKick(reason)); }

  // The two halves of a Kick(), for who holds a lock that the thread takes when it comes out: the kick counts from the first on, and the
  // second, which needs no Vcpu, takes the thread out of the guest. A signal that comes late ends nothing.
  virtual KickTarget MarkKick(InterruptReason reason) = 0;

  // Takes back a kick that nobody needs any more. Owner thread only.
  virtual void ForgetKick(InterruptReason reason) = 0;

  // Has the device's own means end the entries of a slice as a kick of InterruptReason::kSlice does, when `loop_fd` becomes readable or at
  // `deadline`, CLOCK_MONOTONIC nanoseconds; false where it has none. Of that until EndSlice(); owner thread only.
  virtual bool BeginSlice(int /*loop_fd*/, uint64_t /*ends*/, uint64_t /*deadline*/) { return false; }
  virtual void AdvanceSlice(uint64_t /*deadline*/) {}
  // Whether the loop has ended it.
  virtual bool EndSlice() { return false; }

  // Moves the parts named by a StateMask between the vCPU and shared()->state.
  virtual Status GetState(uint32_t mask) = 0;
  virtual Status SetState(uint32_t mask) = 0;

  // Has the parts travel with every exit from now on, so that GetState() of them makes no call; 0 for none. Where a device cannot, nothing
  // changes but the speed.
  virtual Status SyncState(uint32_t /*mask*/) { return Status::Ok(); }

  // Queues an external interrupt, which the guest takes at the next entry; only while interrupt_ready says so.
  virtual Status Inject(uint32_t vector) = 0;

  virtual Status SetCpuid(const std::vector<CpuidEntry>& entries) = 0;

  const std::shared_ptr<VcpuShared>& shared() const { return shared_; }
  // Of the last Run() whose exit was kNone.
  const Status& failure() const { return failure_; }

 protected:
  // Run() of this backend.
  virtual void RunGuest() = 0;
  void RunFailed(Status failure) {
    failure_ = std::move(failure);
    shared_->exit.kind = static_cast<uint32_t>(ExitKind::kNone);
  }

  std::shared_ptr<VcpuShared> shared_;
  bool is_kvm_ = false;

 private:
  Status failure_;
};

// Optional part of a Vm, found by Vm::interrupts(): a kernel-side interrupt controller.
class InterruptController {
 public:
  virtual ~InterruptController() = default;
  virtual Status SetLine(uint32_t gsi, bool level) = 0;
};

struct VmOptions {
  bool kernel_irqchip = true;
  bool pit = true;    // with the kernel's interrupt controller only
  uint32_t type = 0;  // the machine type of the backend's own
};

class Vm : public RawDevice {
 public:
  virtual ~Vm() = default;
  virtual Status MapMemory(Mapping mapping) = 0;
  // The whole mapping that starts at gpa.
  virtual Status UnmapMemory(uint64_t gpa) = 0;
  virtual Status CreateVcpu(uint32_t id, std::shared_ptr<Vcpu>* out) = 0;
  virtual InterruptController* interrupts() { return nullptr; }
};

class Hypervisor : public RawDevice {
 public:
  virtual ~Hypervisor() = default;
  virtual const Capabilities& capabilities() const = 0;
  virtual Status SupportedCpuid(std::vector<CpuidEntry>* out) = 0;
  virtual Status CreateVm(const VmOptions& options, std::shared_ptr<Vm>* out) = 0;
};

}  // namespace hax

#endif  // NODE_HAX_CORE_HYPERVISOR_H_

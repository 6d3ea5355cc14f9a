// Raw calls: those of the driver go through; a few of ours answer what the driver shares with this process.
#include <algorithm>
#include <cstring>

#include "backends/haxm/haxm.h"
#include "core/os.h"

namespace hax::haxm {

namespace {

// Only where the number told the caller how large a buffer it has to bring.
bool Is(uint64_t request, const Request& known) { return request == RequestCode(known) && os::IoctlArgumentSize(request) == known.size; }

}  // namespace

Status HaxmVm::Ioctl(uint64_t request, uintptr_t argument, int* result) {
  // SAFETY: the binding has checked that the buffer has the size that the number says.
  if (!Is(request, kVmNumbers)) {
    // It may change memory.
    const MemoryGate::Change change(&gate_);
    Status status = node_.RawCall(request, argument, result);
    if (status.ok() && Is(request, kVcpuCreate)) made_by_hand_ |= 1u << (*reinterpret_cast<const uint32_t*>(argument) % kMaxVcpus);
    return status;
  }
  *reinterpret_cast<VmNumbers*>(argument) = {id_, made_ | (boot_ ? 1u : 0u)};
  return Status::Ok();
}

Status HaxmVcpu::Ioctl(uint64_t request, uintptr_t argument, int* result) {
  // SAFETY: as above.
  if (Is(request, kReadTunnel)) {
    ReadTunnel(reinterpret_cast<TunnelView*>(argument));
    return Status::Ok();
  }
  if (Is(request, kWriteTunnel)) {
    TunnelChanges changes;
    std::memcpy(&changes, reinterpret_cast<const void*>(argument), sizeof changes);
    WriteTunnel(changes);
    return Status::Ok();
  }
  if (Is(request, kVcpuDebug) || Is(request, kSetRegs) || Is(request, kSetRegsWithXcr0)) debug_by_hand_ = true;
  if (request == RequestCode(kRun)) return RawRun(request, result);
  Status status = node_->RawCall(request, argument, result);
  if (status.ok() && Is(request, kVcpuDebug)) DebugSet(reinterpret_cast<const Debug*>(argument)->control);
  return status;
}

// Single steps are TF in the guest's RFLAGS: the driver sets it, or clears it, at the next entry.
void HaxmVcpu::DebugSet(uint32_t control) {
  constexpr uint32_t kSteps = kDebugEnabled | kDebugStep;
  const bool steps = (control & kSteps) == kSteps;
  steps_end_at_ = steps_ && !steps ? shared_->exit.entries : ~uint64_t{0};
  steps_ = steps;
}

// Whoever runs by hand brings the replies by hand, too. A kick that waits already ends this RUN as one that comes in the middle.
Status HaxmVcpu::RawRun(uint64_t request, int* result) {
  reply_waits_ = false;
  exit_kept_ = moves_ = false;
  halted_ = halt_read_ = false;
  steps_end_at_ = ~uint64_t{0};
  if (!stop_.Enter()) {
    (void)stop_.Consume();
    tunnel_->user_event_pending = 1;
  }
  Status status;
  {
    const MemoryGate::Passage passage(vm_->gate());
    status = node_->RawCall(request, 0, result);
  }
  stop_.Leave();
  if (stop_.pending()) (void)stop_.Consume();
  dead_ = dead_ || tunnel_->exit_status == kExitStatechange;
  return status;
}

void HaxmVcpu::ReadTunnel(TunnelView* to) const {
  std::memcpy(&to->tunnel, tunnel_, sizeof to->tunnel);
  std::memcpy(to->buffer, io_buffer_, sizeof to->buffer);
}

void HaxmVcpu::WriteTunnel(const TunnelChanges& changes) {
  if (changes.mask & 1) tunnel_->exit_reason = changes.exit_reason;
  if (changes.mask & 2) tunnel_->user_event_pending = changes.user_event_pending;
  if (changes.mask & 4) tunnel_->request_interrupt_window = changes.request_interrupt_window;
  if (changes.mask & 8) {
    const size_t offset = std::min<size_t>(changes.offset, kIoBufferSize);
    std::memcpy(io_buffer_ + offset, changes.buffer, std::min<size_t>(changes.length, kIoBufferSize - offset));
  }
}

}  // namespace hax::haxm

// Ends a slice of guest time when the event loop of the thread has work. A vCPU may do so by itself (Vcpu::BeginSlice()); for others there
// is one watcher thread a process, which sleeps on the loops' back-end descriptors and on a deadline for each, and kicks the vCPU that
// runs. docs/run-loop.md tells why and what it costs.
#ifndef NODE_HAX_CORE_LOOP_WATCH_H_
#define NODE_HAX_CORE_LOOP_WATCH_H_

#include <cstdint>
#include <memory>
#include <mutex>

#include "core/hypervisor.h"

namespace hax {

class LoopWatch {
 public:
  // `backend_fd` of the loop; -1 where the runtime hides it: then only deadlines end a slice.
  static Status Create(int backend_fd, std::shared_ptr<LoopWatch>* out);
  ~LoopWatch();

  // From here on the watcher may kick `vcpu`, until End(). It does so at `deadline`; an earlier `ends` is when the slice is expected to end
  // by itself. Both are CLOCK_MONOTONIC nanoseconds. Slices may nest: the inner one takes the watcher over, and who began it gives it back
  // by another Begin().
  void Begin(std::shared_ptr<Vcpu> vcpu, uint64_t ends, uint64_t deadline);
  void End();
  // Whether the loop may have something: it has ended the last slice, or nobody watches it.
  bool LoopIsReadable() const { return loop_is_readable_; }
  // End(), if it is this vCPU's slice: it is being closed, and nothing here is to keep its device.
  void Forget(const Vcpu* vcpu);
  // An earlier deadline for the slice in progress; later ones are ignored.
  void Advance(uint64_t deadline);

  // No event after this; the owner calls it before the loop goes away.
  void Remove();

 private:
  friend class Watcher;
  LoopWatch(int backend_fd, int timer_fd) : backend_fd_(backend_fd), timer_fd_(timer_fd) {}
  void ArmTimer(uint64_t deadline);
  void ArmDescriptor();
  // Whom to signal, after the kick has been marked.
  KickTarget OnDescriptor();
  KickTarget OnTimer();

  std::shared_ptr<Vcpu> by_itself_;  // of the slice in progress, if the vCPU does
  bool loop_is_readable_ = true;
  const int backend_fd_;
  const int timer_fd_;
  uint64_t id_ = 0;
  std::mutex mutex_;
  std::shared_ptr<Vcpu> vcpu_;  // of the slice in progress, if the watcher is to end it
  uint64_t deadline_ = 0;
  uint64_t armed_deadline_ = 0;  // 0: the timer is not set
  bool descriptor_armed_ = false;
};

uint64_t MonotonicNanoseconds();

}  // namespace hax

#endif  // NODE_HAX_CORE_LOOP_WATCH_H_

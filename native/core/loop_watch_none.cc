// Hosts whose event loop cannot be watched from another thread yet: run() is not there, enter() is.
#include <chrono>

#include "core/loop_watch.h"

namespace hax {

uint64_t MonotonicNanoseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

Status LoopWatch::Create(int, std::shared_ptr<LoopWatch>*) {
  return Status::Error(Code::kUnsupported, "run", "node-hax cannot watch the event loop of this system yet; use enter()");
}

LoopWatch::~LoopWatch() = default;
void LoopWatch::Remove() {}
void LoopWatch::Begin(std::shared_ptr<Vcpu>, uint64_t) {}
void LoopWatch::End() {}
void LoopWatch::Advance(uint64_t) {}

}  // namespace hax

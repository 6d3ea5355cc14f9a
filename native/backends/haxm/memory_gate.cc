#include "backends/haxm/memory_gate.h"

namespace hax::haxm {

void MemoryGate::AwaitOpen() {
  Leave();
  {
    std::unique_lock<std::mutex> lock(mutex_);
    open_.wait(lock, [this] { return !closed_.load(std::memory_order_relaxed); });
  }
  inside_.fetch_add(1, std::memory_order_seq_cst);
}

void MemoryGate::NotifyEmpty() {
  { std::lock_guard<std::mutex> lock(mutex_); }
  empty_.notify_one();
}

void MemoryGate::Close() {
  closed_.store(true, std::memory_order_seq_cst);
  if (inside_.load(std::memory_order_seq_cst) == 0) return;
  std::unique_lock<std::mutex> lock(mutex_);
  empty_.wait(lock, [this] { return inside_.load(std::memory_order_seq_cst) == 0; });
}

void MemoryGate::Open() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_.store(false, std::memory_order_seq_cst);
  }
  open_.notify_all();
}

}  // namespace hax::haxm

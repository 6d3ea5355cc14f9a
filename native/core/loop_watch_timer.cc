// Hosts whose event loop cannot be watched from another thread yet: only deadlines end a slice. Compiled, never run.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <thread>
#include <vector>

#include "core/loop_watch.h"

namespace hax {

uint64_t MonotonicNanoseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

// Process-wide and deliberately never destroyed: the thread may look at it until the process is gone.
class Watcher {
 public:
  static Watcher* Get() {
    static Watcher* watcher = new Watcher;
    return watcher;
  }

  void Add(const std::shared_ptr<LoopWatch>& watch) {
    std::lock_guard<std::mutex> lock(mutex_);
    watches_.push_back(watch);
    if (!started_) std::thread([this] { Loop(); }).detach();
    started_ = true;
  }

  void Remove(LoopWatch* watch) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto same = [watch](const std::shared_ptr<LoopWatch>& each) { return each.get() == watch; };
    watches_.erase(std::remove_if(watches_.begin(), watches_.end(), same), watches_.end());
  }

  // A deadline has changed.
  void Wake() {
    // Taken so that the thread is not between its look at the deadlines and its wait.
    { std::lock_guard<std::mutex> lock(mutex_); }
    condition_.notify_one();
  }

 private:
  [[noreturn]] void Loop() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      const uint64_t now = MonotonicNanoseconds();
      uint64_t next = UINT64_MAX;
      for (const auto& watch : watches_) {
        std::lock_guard<std::mutex> inner(watch->mutex_);
        if (!watch->vcpu_) continue;
        if (watch->deadline_ <= now) {
          watch->deadline_ = UINT64_MAX;
          watch->vcpu_->Kick(InterruptReason::kSlice);
        }
        next = std::min(next, watch->deadline_);
      }
      if (next == UINT64_MAX) {
        condition_.wait(lock);
      } else {
        condition_.wait_for(lock, std::chrono::nanoseconds(next - now));
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable condition_;
  std::vector<std::shared_ptr<LoopWatch>> watches_;
  bool started_ = false;
};

Status LoopWatch::Create(int backend_fd, std::shared_ptr<LoopWatch>* out) {
  std::shared_ptr<LoopWatch> watch(new LoopWatch(backend_fd, -1));
  Watcher::Get()->Add(watch);
  *out = std::move(watch);
  return Status::Ok();
}

LoopWatch::~LoopWatch() = default;

void LoopWatch::Remove() {
  End();
  Watcher::Get()->Remove(this);
}

void LoopWatch::Begin(std::shared_ptr<Vcpu> vcpu, uint64_t /*ends*/, uint64_t deadline) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    vcpu->ForgetKick(InterruptReason::kSlice);
    vcpu_ = std::move(vcpu);
    deadline_ = deadline;
  }
  Watcher::Get()->Wake();
}

void LoopWatch::End() {
  std::lock_guard<std::mutex> lock(mutex_);
  vcpu_.reset();
}

void LoopWatch::Forget(const Vcpu* vcpu) {
  std::shared_ptr<Vcpu> closing;  // not under the lock
  std::lock_guard<std::mutex> lock(mutex_);
  if (vcpu_.get() == vcpu) closing.swap(vcpu_);
}

void LoopWatch::Advance(uint64_t deadline) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (deadline >= deadline_) return;
    deadline_ = deadline;
  }
  Watcher::Get()->Wake();
}

}  // namespace hax

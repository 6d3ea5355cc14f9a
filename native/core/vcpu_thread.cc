#include "core/vcpu_thread.h"

#include <algorithm>

namespace hax {

void ExitQueue::Posted() {
  // Once: the owner looks at the whole queue. It says that it is away before its last look.
  if (owner_is_away_.load(std::memory_order_seq_cst) && owner_is_away_.exchange(false)) wake_();
}

VcpuThread* ExitQueue::Take() {
  // Not written each time: the threads read it.
  if (owner_is_away_.load(std::memory_order_relaxed)) owner_is_away_.store(false, std::memory_order_relaxed);
  if (left_at_ != 0) spinner_.Slept(Spinner::Now() - left_at_);
  left_at_ = 0;
  for (size_t i = 0; i < threads_.size(); i++) {
    next_ = next_ + 1 < threads_.size() ? next_ + 1 : 0;
    if (Remove(threads_[next_])) return threads_[next_];
  }
  return nullptr;
}

VcpuThread* ExitQueue::SpinAndTake(uint64_t now) {
  return spinner_.Wait([this] { return !Empty(); }, now) ? Take() : nullptr;
}

bool ExitQueue::Leave() {
  owner_is_away_.store(true, std::memory_order_seq_cst);
  if (!Empty()) {
    owner_is_away_.store(false, std::memory_order_relaxed);
    return false;
  }
  if (left_at_ == 0) left_at_ = Spinner::Now();
  return true;
}

bool ExitQueue::Empty() const {
  return std::none_of(threads_.begin(), threads_.end(), [](const VcpuThread* thread) { return thread->has_exit(); });
}

bool ExitQueue::Remove(VcpuThread* thread) {
  if (!thread->has_exit()) return false;
  // It comes from another core, and will be read soon.
  __builtin_prefetch(&thread->page_->kind);
  thread->exit_to_take_ = false;
  return true;
}

void ExitQueue::Forget(VcpuThread* thread) { threads_.erase(std::remove(threads_.begin(), threads_.end(), thread), threads_.end()); }

Status VcpuThread::Start(std::shared_ptr<Vcpu> vcpu, ExitQueue* queue, const std::vector<uint32_t>& cpus,
                         std::unique_ptr<VcpuThread>* out) {
  std::unique_ptr<VcpuThread> self(new VcpuThread(std::move(vcpu), queue));
  VcpuThread* const raw = self.get();
  Status status = Thread::Start(
      "hax vCPU", cpus, [raw] { raw->Loop(); }, &self->thread_);
  if (!status.ok()) return status;
  queue->Add(raw);
  *out = std::move(self);
  return status;
}

VcpuThread::~VcpuThread() {
  if (!thread_) return;
  Hold();
  Give(Turn::kEnd);
  thread_.reset();
  queue_->Forget(this);
}

void VcpuThread::Loop() {
  for (;;) {
    const bool slept = AwaitTurn();
    switch (turn_.load(std::memory_order_acquire)) {
      case Turn::kRun: {
        // Exactly, but that the way between two threads that spin counts for the side that it leads to: a look at the clock is as long.
        const uint64_t start = slept ? Spinner::Now() : given_at_;
        uint64_t* const counter = &page_->guest_ns;
        const uint64_t before = *counter;
        __atomic_store_n(counter, GuestTimeSince(start, before), __ATOMIC_RELAXED);
        vcpu_->Run();
        left_at_ = Spinner::Now();
        __atomic_store_n(counter, before + (left_at_ - start), __ATOMIC_RELAXED);
        GiveBack();
        break;
      }
      case Turn::kComplete:
        completed_ = vcpu_->Complete();
        GiveBack();
        break;
      case Turn::kEnd:
      case Turn::kOwner:
        return;
    }
  }
}

bool VcpuThread::AwaitTurn() {
  const auto given = [this] { return turn_.load(std::memory_order_seq_cst) != Turn::kOwner; };
  if (spinner_.Wait(given)) return false;
  const uint64_t start = Spinner::Now();
  {
    std::unique_lock<std::mutex> lock(mutex_);
    asleep_.store(true, std::memory_order_seq_cst);
    given_.wait(lock, given);
    asleep_.store(false, std::memory_order_relaxed);
  }
  spinner_.Slept(Spinner::Now() - start);
  return true;
}

void VcpuThread::Give(Turn turn) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    turn_.store(turn, std::memory_order_release);
  }
  given_.notify_one();
}

void VcpuThread::GiveBack() {
  const bool exited = turn_.load(std::memory_order_relaxed) == Turn::kRun;
  turn_.store(Turn::kOwner, std::memory_order_seq_cst);
  // An owner that waits says so before its last look at the turn.
  if (owner_waits_.load(std::memory_order_seq_cst)) {
    { std::lock_guard<std::mutex> lock(mutex_); }
    given_back_.notify_one();
  }
  if (exited) queue_->Posted();
}

void VcpuThread::Resume(uint64_t now) {
  if (!Ready()) return;
  exit_to_take_ = true;
  given_at_ = now;
  turn_.store(Turn::kRun, std::memory_order_seq_cst);
  // A thread that spins needs no lock and no call. One that goes to sleep says so before its last look at the turn.
  if (asleep_.load(std::memory_order_seq_cst)) {
    { std::lock_guard<std::mutex> lock(mutex_); }
    given_.notify_one();
  }
}

void VcpuThread::Hold() {
  if (!idle()) vcpu_->Kick(InterruptReason::kSlice);
  AwaitIdle();
  // It may have come out by itself.
  vcpu_->ForgetKick(InterruptReason::kSlice);
}

Status VcpuThread::Complete() {
  Give(Turn::kComplete);
  AwaitIdle();
  return completed_;
}

void VcpuThread::AwaitIdle() {
  if (idle()) return;
  std::unique_lock<std::mutex> lock(mutex_);
  owner_waits_.store(true, std::memory_order_seq_cst);
  given_back_.wait(lock, [this] { return idle(); });
  owner_waits_.store(false, std::memory_order_relaxed);
}

}  // namespace hax

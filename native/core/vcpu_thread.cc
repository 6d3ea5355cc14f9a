#include "core/vcpu_thread.h"

#include <algorithm>

namespace hax {

void ExitQueue::Post(VcpuThread* thread) {
  bool wake;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    waiting_.push_back(thread);
    // Once: the owner looks at the whole queue.
    wake = !owner_looks_ && waiting_.size() == 1;
  }
  // Not inside: an owner that spins would meet the lock.
  posted_.fetch_add(1, std::memory_order_release);
  if (wake) wake_();
}

VcpuThread* ExitQueue::Take() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!owner_looks_) {
    owner_looks_ = true;
    if (left_at_ != 0) spinner_.Slept(Spinner::Now() - left_at_);
    left_at_ = 0;
  }
  if (waiting_.empty()) return nullptr;
  VcpuThread* const first = waiting_.front();
  waiting_.pop_front();
  Taken(first);
  return first;
}

VcpuThread* ExitQueue::SpinAndTake() {
  return spinner_.Wait([this] { return posted_.load(std::memory_order_acquire) > 0; }) ? Take() : nullptr;
}

bool ExitQueue::Leave() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!waiting_.empty()) return false;
  owner_looks_ = false;
  left_at_ = Spinner::Now();
  return true;
}

bool ExitQueue::Empty() {
  std::lock_guard<std::mutex> lock(mutex_);
  return waiting_.empty();
}

bool ExitQueue::Remove(VcpuThread* thread) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = std::find(waiting_.begin(), waiting_.end(), thread);
  if (found == waiting_.end()) return false;
  waiting_.erase(found);
  Taken(thread);
  return true;
}

void ExitQueue::Taken(VcpuThread* thread) {
  thread->queued_.store(false, std::memory_order_relaxed);
  posted_.fetch_sub(1, std::memory_order_relaxed);
}

Status VcpuThread::Start(std::shared_ptr<Vcpu> vcpu, ExitQueue* queue, const std::vector<uint32_t>& cpus,
                         std::unique_ptr<VcpuThread>* out) {
  std::unique_ptr<VcpuThread> self(new VcpuThread(std::move(vcpu), queue));
  VcpuThread* const raw = self.get();
  Status status = Thread::Start(
      "hax vCPU", cpus, [raw] { raw->Loop(); }, &self->thread_);
  if (status.ok()) *out = std::move(self);
  return status;
}

VcpuThread::~VcpuThread() {
  if (!thread_) return;
  Hold();
  Give(Turn::kEnd);
  thread_.reset();
  queue_->Remove(this);
}

void VcpuThread::Loop() {
  for (;;) {
    switch (AwaitTurn()) {
      case Turn::kRun: {
        // Exactly: an exit of this mode costs its hand-over, beside which two looks at the clock are little.
        const uint64_t start = Spinner::Now();
        uint64_t* const counter = &vcpu_->shared()->exit.guest_ns;
        const uint64_t before = *counter;
        __atomic_store_n(counter, GuestTimeSince(start, before), __ATOMIC_RELAXED);
        vcpu_->Run();
        __atomic_store_n(counter, before + (Spinner::Now() - start), __ATOMIC_RELAXED);
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

VcpuThread::Turn VcpuThread::AwaitTurn() {
  const auto given = [this] { return turn_.load(std::memory_order_seq_cst) != Turn::kOwner; };
  if (!spinner_.Wait(given)) {
    const uint64_t start = Spinner::Now();
    {
      std::unique_lock<std::mutex> lock(mutex_);
      asleep_.store(true, std::memory_order_seq_cst);
      given_.wait(lock, given);
      asleep_.store(false, std::memory_order_relaxed);
    }
    spinner_.Slept(Spinner::Now() - start);
  }
  return turn_.load(std::memory_order_acquire);
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
  // Before the turn: whoever sees that the vCPU is idle sees this too.
  if (exited) queued_.store(true, std::memory_order_relaxed);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    turn_.store(Turn::kOwner, std::memory_order_release);
    // Inside, so that after Hold() the exit is in the queue.
    if (exited) queue_->Post(this);
  }
  given_back_.notify_one();
}

void VcpuThread::Resume() {
  if (!Ready()) return;
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
  std::unique_lock<std::mutex> lock(mutex_);
  given_back_.wait(lock, [this] { return idle(); });
}

}  // namespace hax

#include "core/loop_watch.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <map>
#include <new>
#include <thread>

#include "core/signals_blocked.h"

namespace hax {

uint64_t MonotonicNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

// Process-wide and deliberately never destroyed: the thread may look at it until the process is gone.
class Watcher {
 public:
  static Watcher* Get() {
    static Watcher* watcher = new Watcher;
    return watcher;
  }

  Status Add(const std::shared_ptr<LoopWatch>& watch) {
    std::lock_guard<std::mutex> lock(mutex_);
    Status status = Start();
    if (!status.ok()) return status;
    watch->id_ = ++last_id_;
    epoll_event timer = {EPOLLIN | EPOLLET, {}};
    timer.data.u64 = watch->id_ * 2;
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, watch->timer_fd_, &timer) != 0) return Status::Os("epoll_ctl", errno);
    if (watch->backend_fd_ >= 0) {
      epoll_event descriptor = {EPOLLONESHOT, {}};  // armed when a slice begins
      descriptor.data.u64 = watch->id_ * 2 + 1;
      if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, watch->backend_fd_, &descriptor) != 0) return Status::Os("epoll_ctl", errno);
    }
    watches_[watch->id_] = watch;
    return Status::Ok();
  }

  void Remove(LoopWatch* watch) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (watches_.erase(watch->id_) == 0) return;
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, watch->timer_fd_, nullptr);
    if (watch->backend_fd_ >= 0) epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, watch->backend_fd_, nullptr);
  }

  void Arm(LoopWatch* watch) {
    epoll_event descriptor = {EPOLLIN | EPOLLONESHOT, {}};
    descriptor.data.u64 = watch->id_ * 2 + 1;
    epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, watch->backend_fd_, &descriptor);
  }

 private:
  Status Start() {
    if (epoll_fd_ >= 0) return Status::Ok();
    const int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) return Status::Os("epoll_create1", errno);
    // The thread must not take signals meant for the program.
    const SignalsBlocked blocked;
    pthread_t thread;
    epoll_fd_ = fd;
    const int error = pthread_create(
        &thread, nullptr,
        [](void* self) -> void* {
          static_cast<Watcher*>(self)->Loop();
          return nullptr;
        },
        this);
    if (error != 0) {
      close(fd);
      epoll_fd_ = -1;
      return Status::Os("pthread_create", error);
    }
    pthread_setname_np(thread, "hax watcher");
    pthread_detach(thread);
    return Status::Ok();
  }

  [[noreturn]] void Loop() {
    epoll_event events[16];
    for (;;) {
      const int count = epoll_wait(epoll_fd_, events, 16, -1);
      for (int i = 0; i < count; i++) {
        std::shared_ptr<LoopWatch> watch;
        {
          std::lock_guard<std::mutex> lock(mutex_);
          auto found = watches_.find(events[i].data.u64 / 2);
          if (found != watches_.end()) watch = found->second;
        }
        if (!watch) continue;
        // Without the watch's lock, which the thread takes as soon as the signal has it out of the guest.
        SignalKick(events[i].data.u64 & 1 ? watch->OnDescriptor() : watch->OnTimer());
      }
    }
  }

  std::mutex mutex_;
  std::map<uint64_t, std::shared_ptr<LoopWatch>> watches_;
  uint64_t last_id_ = 0;
  int epoll_fd_ = -1;
};

Status LoopWatch::Create(int backend_fd, std::shared_ptr<LoopWatch>* out) {
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (timer < 0) return Status::Os("timerfd_create", errno);
  std::shared_ptr<LoopWatch> watch(new LoopWatch(backend_fd, timer));
  Status status = Watcher::Get()->Add(watch);
  if (status.ok()) *out = std::move(watch);
  return status;
}

LoopWatch::~LoopWatch() { close(timer_fd_); }

void LoopWatch::Remove() {
  End();
  Watcher::Get()->Remove(this);
}

void LoopWatch::Begin(std::shared_ptr<Vcpu> vcpu, uint64_t ends, uint64_t deadline) {
  End();
  vcpu->ForgetKick(InterruptReason::kSlice);
  if (backend_fd_ >= 0 && vcpu->BeginSlice(backend_fd_, ends, deadline)) {
    by_itself_ = std::move(vcpu);
    return;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  vcpu_ = std::move(vcpu);
  deadline_ = deadline;
  // Set under the mutex: otherwise an expiry that is being handled could undo it.
  if (armed_deadline_ == 0 || deadline < armed_deadline_) ArmTimer(deadline);
  if (!descriptor_armed_ && backend_fd_ >= 0) ArmDescriptor();
}

void LoopWatch::End() {
  if (by_itself_) {
    loop_is_readable_ = by_itself_->EndSlice();
    by_itself_.reset();
    return;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  loop_is_readable_ = !descriptor_armed_;
  vcpu_.reset();
}

void LoopWatch::Forget(const Vcpu* vcpu) {
  std::shared_ptr<Vcpu> closing;  // not under the lock
  if (by_itself_.get() == vcpu) closing.swap(by_itself_);
  if (closing) closing->EndSlice();
  std::lock_guard<std::mutex> lock(mutex_);
  if (vcpu_.get() == vcpu) closing.swap(vcpu_);
}

void LoopWatch::Advance(uint64_t deadline) {
  if (by_itself_) return by_itself_->AdvanceSlice(deadline);
  std::lock_guard<std::mutex> lock(mutex_);
  if (deadline >= deadline_) return;
  deadline_ = deadline;
  if (armed_deadline_ == 0 || deadline < armed_deadline_) ArmTimer(deadline);
}

void LoopWatch::ArmTimer(uint64_t deadline) {
  armed_deadline_ = deadline;
  itimerspec when = {};
  when.it_value.tv_sec = static_cast<time_t>(deadline / 1000000000);
  when.it_value.tv_nsec = static_cast<long>(deadline % 1000000000);
  timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &when, nullptr);
}

void LoopWatch::ArmDescriptor() {
  descriptor_armed_ = true;
  Watcher::Get()->Arm(this);
}

KickTarget LoopWatch::OnDescriptor() {
  std::lock_guard<std::mutex> lock(mutex_);
  descriptor_armed_ = false;
  if (!vcpu_) return {};  // the loop is awake anyway; the next slice arms again
  pollfd descriptor = {backend_fd_, POLLIN, 0};
  if (poll(&descriptor, 1, 0) != 0) return vcpu_->MarkKick(InterruptReason::kSlice);
  ArmDescriptor();  // somebody has read it meanwhile
  return {};
}

KickTarget LoopWatch::OnTimer() {
  std::lock_guard<std::mutex> lock(mutex_);
  uint64_t expirations;
  if (read(timer_fd_, &expirations, sizeof expirations) < 0) return {};  // set anew meanwhile
  armed_deadline_ = 0;
  if (!vcpu_) return {};
  if (MonotonicNanoseconds() >= deadline_) return vcpu_->MarkKick(InterruptReason::kSlice);
  ArmTimer(deadline_);  // it was an earlier slice's
  return {};
}

}  // namespace hax

// Linux, NetBSD and macOS; the last two compiled, never run.
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>

#include "core/signals_blocked.h"
#include "core/thread.h"

namespace hax {

namespace {

class PosixThread final : public Thread {
 public:
  explicit PosixThread(std::function<void()> body) : body_(std::move(body)) {}
  ~PosixThread() override {
    if (started_) pthread_join(thread_, nullptr);
  }

  int Start() {
    // Inherited by the thread: everything is blocked but what KickableThreadId() lets through.
    const SignalsBlocked blocked;
    const auto run = [](void* self) -> void* {
      static_cast<PosixThread*>(self)->body_();
      return nullptr;
    };
    const int error = pthread_create(&thread_, nullptr, run, this);
    started_ = error == 0;
    return error;
  }
  void Name([[maybe_unused]] const char* name) const {
#if defined(__linux__)
    pthread_setname_np(thread_, name);
#endif
  }

 private:
  std::function<void()> body_;
  pthread_t thread_{};
  bool started_ = false;
};

// While it lives, the calling thread and those that it makes run on these CPUs: not every C library can make a thread with a set.
class OnCpus {
 public:
  explicit OnCpus([[maybe_unused]] const std::vector<uint32_t>& cpus) {
    if (cpus.empty()) return;
#if defined(__linux__)
    cpu_set_t set;
    CPU_ZERO(&set);
    // Numbers that no set has room for are left out.
    for (const uint32_t cpu : cpus) {
      if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
    }
    changed_ = sched_getaffinity(0, sizeof before_, &before_) == 0 && sched_setaffinity(0, sizeof set, &set) == 0;
    if (changed_) return;
    status_ = Status::Error(Code::kInvalidArgument, "sched_setaffinity", "this process may use none of the CPUs of affinity", errno);
#else
    status_ = Status::Error(Code::kUnsupported, "affinity", "this system does not let threads choose their CPUs");
#endif
  }
  ~OnCpus() {
#if defined(__linux__)
    if (changed_) sched_setaffinity(0, sizeof before_, &before_);
#endif
  }
  const Status& status() const { return status_; }

 private:
  Status status_;
#if defined(__linux__)
  cpu_set_t before_;
  bool changed_ = false;
#endif
};

}  // namespace

Status Thread::Start(const char* name, const std::vector<uint32_t>& cpus, std::function<void()> body, std::unique_ptr<Thread>* out) {
  const OnCpus here(cpus);
  if (!here.status().ok()) return here.status();
  auto thread = std::make_unique<PosixThread>(std::move(body));
  const int error = thread->Start();
  if (error != 0) return Status::Os("pthread_create", error);
  thread->Name(name);
  *out = std::move(thread);
  return Status::Ok();
}

uint32_t UsableCpus() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<uint32_t>(CPU_COUNT(&set));
#endif
  const long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? static_cast<uint32_t>(count) : 1;
}

}  // namespace hax

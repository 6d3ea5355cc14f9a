#include "core/kick_signal.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <mutex>

#include "core/os.h"

// ThreadSanitizer keeps a signal back until the thread makes a call that it knows to block. KVM_RUN is none of these: a kick right before
// an entry would be lost. glibc's other name for the call is not intercepted; the handler may run anywhere then, so nothing is added to it.
#if defined(__SANITIZE_THREAD__)
extern "C" int __sigaction(int, const struct sigaction*, struct sigaction*);
#define HAX_SIGACTION __sigaction
#define HAX_HANDLER __attribute__((no_sanitize("thread")))
#else
#define HAX_SIGACTION sigaction
#define HAX_HANDLER
#endif

namespace hax {

namespace {

// Real-time signals are queued, and a user's queue has an end (RLIMIT_SIGPENDING), which other programs of that user may have reached. This
// one has a place of its own; a program that does not handle it does not notice it.
constexpr int kSpareSignal = SIGURG;

int kick_signal = 0;
struct sigaction previous;
struct sigaction previous_spare;

// An ioctl that has begun returns because a signal was handled; one that has not finds the flag set. What was installed before sees
// the signal too.
HAX_HANDLER void Handle(int number, siginfo_t* info, void* context) {
  // SAFETY: between StopWord::Enter and Leave the device's page is mapped, and both run on this thread.
  if (uint8_t* flag = kick_slot.flag) __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
  const struct sigaction& before = number == kSpareSignal ? previous_spare : previous;
  if (before.sa_flags & SA_SIGINFO) {
    if (before.sa_sigaction) before.sa_sigaction(number, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN && before.sa_handler) {
    before.sa_handler(number);
  }
}

int Install(int number, struct sigaction* before) {
  struct sigaction action = {};
  action.sa_sigaction = Handle;
  // SA_RESTART keeps synchronous file calls of device models whole; KVM_RUN returns EINTR all the same.
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigemptyset(&action.sa_mask);
  return HAX_SIGACTION(number, &action, before);
}

// A program that has listened to it and no longer does has left it ignored, and then it ends no entry. With any handler it does.
void SendSpareSignal(int thread_id) {
  struct sigaction now;
  const bool handled = HAX_SIGACTION(kSpareSignal, nullptr, &now) != 0 || now.sa_flags & SA_SIGINFO ||
                       (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN);
  if (!handled) Install(kSpareSignal, nullptr);
  syscall(SYS_tgkill, getpid(), thread_id, kSpareSignal);
}

}  // namespace

HAX_HOT_TLS KickSlot kick_slot = {};

Status InstallKickSignal() {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  if (kick_signal != 0) return Status::Ok();
  int number = SIGRTMIN + 7;
  if (const char* text = os::Variable("HAX_KICK_SIGNAL")) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*end != '\0' || value < SIGRTMIN || value > SIGRTMAX) {
      return Status::Error(
          Code::kInvalidArgument, "sigaction",
          "HAX_KICK_SIGNAL must be a number from " + std::to_string(SIGRTMIN) + " to " + std::to_string(SIGRTMAX) + ", not '" + text + "'");
    }
    number = static_cast<int>(value);
  }
  if (Install(number, &previous) != 0) return Status::Os("sigaction", errno);
  if (Install(kSpareSignal, &previous_spare) != 0) {
    const int error = errno;
    // Otherwise the next attempt would find our own handler there, which would call itself.
    HAX_SIGACTION(number, &previous, nullptr);
    return Status::Os("sigaction", error);
  }
  kick_signal = number;
  return Status::Ok();
}

void SendKickSignal(int thread_id) {
  // tgkill, not pthread_kill: a thread that has ended meanwhile is ESRCH, not undefined behaviour.
  if (syscall(SYS_tgkill, getpid(), thread_id, kick_signal) != 0 && errno == EAGAIN) SendSpareSignal(thread_id);
}

int KickableThreadId() {
  if (kick_slot.thread_id == 0) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, kick_signal);
    sigaddset(&set, kSpareSignal);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    kick_slot.thread_id = static_cast<int>(syscall(SYS_gettid));
  }
  return kick_slot.thread_id;
}

}  // namespace hax

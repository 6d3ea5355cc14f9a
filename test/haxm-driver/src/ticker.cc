#include "ticker.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <mutex>

#include "config.h"
#include "sys.h"

namespace haxm_model {

namespace {

constexpr uint32_t kIdleTicks = 50;  // without a guest running before the ticker sleeps

// The run page of the vCPU that this thread has entered. Read by the signal handler.
thread_local kvm_run* volatile current_run __attribute__((tls_model("initial-exec"))) = nullptr;
thread_local int thread_id __attribute__((tls_model("initial-exec"))) = 0;

struct Ticker {
  std::mutex lock;  // guards the list
  Runner* runners = nullptr;
  std::atomic<uint32_t> asleep{0};
  std::atomic<int> inside{0};
  pthread_once_t once = PTHREAD_ONCE_INIT;
  bool running = false;
};

Ticker* ticker = new Ticker;

void OnTick(int) {
  kvm_run* run = current_run;
  if (run) run->immediate_exit = 1;
}

void Handle(int signal) {
  struct sigaction action {};
  action.sa_handler = OnTick;
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

// A host's interrupts come whatever its user has waiting. SIGSTKFLT is handled only from then on: programs that clean up at their end
// listen to it (signal-exit, which Jest has).
void Signal(const Runner& runner) {
  const int thread = runner.thread.load();
  if (!thread || Syscall(SYS_tgkill, Syscall(SYS_getpid), thread, TheConfig().tick_signal) != -EAGAIN) return;
  Handle(SIGSTKFLT);
  Syscall(SYS_tgkill, Syscall(SYS_getpid), thread, SIGSTKFLT);
}

void Tick() {
  const std::lock_guard<std::mutex> lock(ticker->lock);
  for (Runner* runner = ticker->runners; runner; runner = runner->next) {
    if (!runner->thread.load()) continue;
    const uint32_t runs = runner->runs.load();
    if (runs == runner->ticked) Signal(*runner);
    runner->ticked = runs;
  }
}

void* Run(void*) {
  timespec period{};
  period.tv_sec = TheConfig().tick_us / 1000000;
  period.tv_nsec = TheConfig().tick_us % 1000000 * 1000;
  uint32_t idle = 0;
  for (;;) {
    nanosleep(&period, nullptr);
    Tick();
    idle = ticker->inside.load() ? 0 : idle + 1;
    if (idle < kIdleTicks) continue;
    ticker->asleep = 1;
    while (ticker->inside.load() == 0 && ticker->asleep.load() == 1) {
      Syscall(SYS_futex, Word(&ticker->asleep), FUTEX_WAIT_PRIVATE, 1, 0);
    }
    ticker->asleep = 0;
    idle = 0;
  }
}

void Start() {
  Handle(TheConfig().tick_signal);
  if (TheConfig().tick_us == 0) return;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  pthread_t thread;
  ticker->running = pthread_create(&thread, &attributes, Run, nullptr) == 0;
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

Runner::Runner(const Vm* its_vm) : vm(its_vm) {
  const std::lock_guard<std::mutex> lock(ticker->lock);
  next = ticker->runners;
  ticker->runners = this;
}

Runner::~Runner() {
  const std::lock_guard<std::mutex> lock(ticker->lock);
  for (Runner** at = &ticker->runners; *at; at = &(*at)->next) {
    if (*at != this) continue;
    *at = next;
    break;
  }
}

void BeginRun(Runner* runner, kvm_run* run) {
  pthread_once(&ticker->once, Start);
  // A client that blocks all signals on its vCPU threads must not lose the ticks.
  const uint64_t set = uint64_t{1} << (TheConfig().tick_signal - 1) | uint64_t{1} << (SIGSTKFLT - 1);
  Syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, Word(&set), 0, sizeof set);
  if (!thread_id) thread_id = static_cast<int>(Syscall(SYS_gettid));
  current_run = run;
  runner->thread = thread_id;
  ticker->inside++;
  if (ticker->asleep.load() == 0) return;
  ticker->asleep = 0;
  Syscall(SYS_futex, Word(&ticker->asleep), FUTEX_WAKE_PRIVATE, 1);
}

void EndRun(Runner* runner, kvm_run* run) {
  ticker->inside--;
  runner->thread = 0;
  current_run = nullptr;
  run->immediate_exit = 0;
}

void KickAll(const Vm* vm) {
  const std::lock_guard<std::mutex> lock(ticker->lock);
  for (Runner* runner = ticker->runners; runner; runner = runner->next) {
    if (runner->vm == vm) Signal(*runner);
  }
}

void ForgetTickerInChild() {
  ticker = new Ticker;
  current_run = nullptr;
  thread_id = 0;
}

}  // namespace haxm_model

#include "core/spin.h"

#include <algorithm>
#include <atomic>

#include "core/loop_watch.h"
#include "core/os.h"
#include "core/thread.h"

namespace hax {

namespace {

constexpr uint64_t kMicrosecond = 1000;
constexpr uint64_t kLeast = 10 * kMicrosecond;
constexpr uint64_t kMost = 50 * kMicrosecond;
// Two looks at the clock are 16 short loops apart. More than this between them: another thread had the core, or whoever runs this host.
constexpr uint64_t kPreempted = 30 * kMicrosecond;
// How long nobody spins after that: this many times as long as it was away, and no longer than the other.
constexpr uint64_t kBackOffFactor = 10;
constexpr uint64_t kBackOffMost = 100000 * kMicrosecond;

std::atomic<uint32_t> spinners{0};
std::atomic<uint64_t> not_before{0};

}  // namespace

MaySpin::MaySpin() { spinners.fetch_add(1, std::memory_order_relaxed); }
MaySpin::~MaySpin() { spinners.fetch_sub(1, std::memory_order_relaxed); }

uint64_t Spinner::Now() { return MonotonicNanoseconds(); }

uint64_t Spinner::Budget(uint64_t now) {
  static const uint32_t cpus = UsableCpus();
  if (budget_ == 0 || spinners.load(std::memory_order_relaxed) > cpus) return 0;
  return now < not_before.load(std::memory_order_relaxed) ? 0 : budget_;
}

bool Spinner::Continue(uint64_t since_last_look, uint64_t since_start, uint64_t budget) {
  if (since_last_look > kPreempted && WasPreempted()) {
    not_before.store(Now() + std::min(kBackOffFactor * since_last_look, kBackOffMost), std::memory_order_relaxed);
    budget_ = 0;
    return false;
  }
  if (since_start < budget) return true;
  budget_ = budget_ / 2 < kLeast ? 0 : budget_ / 2;
  return false;
}

// Since the last time that it was asked.
bool Spinner::WasPreempted() {
  const uint64_t before = times_preempted_;
  times_preempted_ = os::TimesPreempted();
  return times_preempted_ != before;
}

void Spinner::Slept(uint64_t nanoseconds) {
  if (nanoseconds < kMost) budget_ = std::clamp(budget_ * 2, kLeast, kMost);
}

}  // namespace hax

// Waiting for another thread without sleeping, where that pays: a thread that sleeps takes 7 µs and more to wake, one that spins half a
// microsecond, but only on a core that nobody else wants. docs/decisions/0004-threaded-mode.md has the measurements.
#ifndef NODE_HAX_CORE_SPIN_H_
#define NODE_HAX_CORE_SPIN_H_

#include <immintrin.h>

#include <cstdint>

namespace hax {

// One that waits; it adapts to how long it has had to. For one thread at a time.
class Spinner {
 public:
  // Spins until ready() is true or it has been long enough; whether it became true.
  template <typename Ready>
  bool Wait(Ready ready) {
    return ready() || Wait(ready, Now());
  }
  // From `start` on, which is now.
  template <typename Ready>
  bool Wait(Ready ready, uint64_t start) {
    const uint64_t budget = Budget(start);
    if (budget == 0) return false;
    for (uint64_t last = start;;) {
      for (int i = 0; i < 16; i++) {
        if (ready()) return true;
        _mm_pause();
      }
      const uint64_t now = Now();
      if (!Continue(now - last, now - start, budget)) return ready();
      last = now;
    }
  }

  // Spinning was not enough, and the thread slept this long, waking up included.
  void Slept(uint64_t nanoseconds);

  static uint64_t Now();

 private:
  uint64_t Budget(uint64_t now);
  bool WasPreempted();
  bool Continue(uint64_t since_last_look, uint64_t since_start, uint64_t budget);

  uint64_t budget_ = 0;  // nanoseconds; 0 until a short sleep has shown that spinning would have paid
  uint64_t times_preempted_ = 0;
};

// A thread that may spin, counted while it lives: with more of them than CPUs none spins.
class MaySpin {
 public:
  MaySpin();
  ~MaySpin();
  MaySpin(const MaySpin&) = delete;
  MaySpin& operator=(const MaySpin&) = delete;
};

}  // namespace hax

#endif  // NODE_HAX_CORE_SPIN_H_

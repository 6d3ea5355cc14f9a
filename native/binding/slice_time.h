// Where a slice's time goes: inside the guest, or in JavaScript that serves its exits. Looking at the clock twice an exit would cost more
// than the rest of the way to JavaScript, so only the first exits of a slice are timed, all of them, and then one in `kInterval`, which
// counts for all between. A guest that seldom exits is timed exactly; of one that exits all the time there are hundreds of samples a
// second and more, and they end its slices: what takes it out of the guest would be an exit more.
#ifndef NODE_HAX_BINDING_SLICE_TIME_H_
#define NODE_HAX_BINDING_SLICE_TIME_H_

#include <algorithm>
#include <cstdint>

#include "core/exit_page.h"
#include "core/loop_watch.h"

namespace hax::binding {

class SliceTime {
 public:
  static constexpr uint32_t kInterval = 251;  // a prime: not in step with a guest's loop

  // What one slice of a vCPU leaves to the next.
  struct Carry {
    uint32_t until_due = kInterval;  // exits until one is timed for those between
    uint64_t javascript = 0;         // nanoseconds that samples have found beyond the slices' lengths
    bool ended_by_look = false;      // the last slice, by Entering()
  };

  // Of a slice that begins `now` and is to last until `ends`.
  SliceTime(uint64_t now, uint64_t ends, ExitPage* page, Carry* carry) : page_(page), carry_(carry), began_(now), ends_(ends), left_(now) {
    carry->ended_by_look = false;
  }

  // Whether Entering() and Left() belong around this entry. The hot path: one count.
  bool due() { return --until_due_ == 0; }

  // False: the slice's time is over, and there is no entry.
  bool Entering() {
    if (left_ == 0) return true;
    const uint64_t now = MonotonicNanoseconds();
    javascript_ += (now - left_) * weight_;
    if (now < ends_) return true;
    left_ = now;
    weight_ = 1;
    carry_->ended_by_look = true;
    return false;
  }
  void Left() {
    if (exact_ > 0) {
      exact_--;
      Open(1);
    } else if (left_ != 0) {
      left_ = 0;
      until_due_ = carry_->until_due;
    } else {
      carry_->until_due = kInterval - 1;
      Open(kInterval);
    }
  }
  // The slice has ended, or the run, whose program goes on before the slice returns. Idempotent.
  void End() {
    if (!page_) return;
    const uint64_t now = MonotonicNanoseconds();
    // What comes after the last exit comes once; a sample that it cuts short is taken of the next exit instead.
    if (left_ != 0) javascript_ += now - left_;
    if (exact_ == 0) carry_->until_due = left_ == 0 ? until_due_ : weight_ == kInterval ? 1 : carry_->until_due;
    const uint64_t whole = now - began_;
    javascript_ += carry_->javascript;
    const uint64_t javascript = std::min(javascript_, whole);
    carry_->javascript = javascript_ - javascript;
    page_->javascript_ns += javascript;
    page_->guest_ns += whole - javascript;
    page_ = nullptr;
  }

 private:
  static constexpr uint32_t kExact = 8;

  void Open(uint32_t weight) {
    left_ = MonotonicNanoseconds();
    weight_ = weight;
    until_due_ = 1;
  }

  ExitPage* page_;  // null: it has ended
  Carry* const carry_;
  const uint64_t began_;
  const uint64_t ends_;
  uint64_t left_;  // when JavaScript got the exit that is timed; 0: none is
  uint64_t javascript_ = 0;
  uint32_t weight_ = 1;
  uint32_t exact_ = kExact;
  uint32_t until_due_ = 1;
};

}  // namespace hax::binding

#endif  // NODE_HAX_BINDING_SLICE_TIME_H_

// How a thread outside makes a vCPU leave its guest, without losing a kick.
//
// The kicker sets a bit of the word, then the device's own flag (immediate_exit), then signals the thread if it is in the guest.
// The vCPU clears the device's flag, publishes its thread, and only then looks at the word: a kick that comes before the look is
// seen by it, one that comes after finds the thread published and either the flag or the signal ends the entry.
// The word is consumed only outside the guest.
#ifndef NODE_HAX_CORE_STOP_WORD_H_
#define NODE_HAX_CORE_STOP_WORD_H_

#include <atomic>
#include <cstdint>

#include "core/exit_page.h"
#include "core/kick_signal.h"

namespace hax {

class StopWord {
 public:
  // `flag` is what the device looks at when it enters the guest; it may be null and must outlive this object.
  void set_device_flag(uint8_t* flag) { flag_ = flag; }

  void Kick(InterruptReason reason) {
    word_.fetch_or(Bit(reason), std::memory_order_seq_cst);
    if (flag_) __atomic_store_n(flag_, 1, __ATOMIC_SEQ_CST);
    const int thread = thread_.load(std::memory_order_seq_cst);
    if (thread != 0) SendKickSignal(thread);
  }

  // False: a kick waits, do not enter the guest.
  bool Enter() {
    if (flag_) __atomic_store_n(flag_, 0, __ATOMIC_RELAXED);
    thread_.store(KickableThreadId(), std::memory_order_seq_cst);
    if (word_.load(std::memory_order_seq_cst) == 0) return true;
    Leave();
    return false;
  }
  void Leave() { thread_.store(0, std::memory_order_release); }

  bool pending() const { return word_.load(std::memory_order_acquire) != 0; }

  // A kick of the user's goes before the end of a slice; both are consumed.
  InterruptReason Consume() {
    const uint32_t word = word_.exchange(0, std::memory_order_seq_cst);
    return word & Bit(InterruptReason::kKick) ? InterruptReason::kKick : InterruptReason::kSlice;
  }
  void Forget(InterruptReason reason) { word_.fetch_and(~Bit(reason), std::memory_order_seq_cst); }

 private:
  static uint32_t Bit(InterruptReason reason) { return uint32_t{1} << static_cast<uint32_t>(reason); }

  std::atomic<uint32_t> word_{0};
  std::atomic<int> thread_{0};  // the kernel's id of the thread in the guest, 0 for none
  uint8_t* flag_ = nullptr;
};

}  // namespace hax

#endif  // NODE_HAX_CORE_STOP_WORD_H_

// How a thread outside makes a vCPU leave its guest, without losing a kick and without a fence on the way into the guest.
//
// The kicker sets a bit of the word and signals the thread that the vCPU belongs to, wherever that thread is. The vCPU tells its
// thread's signal handler where the device's own flag is (immediate_exit) and only then looks at the word. A kick that comes before
// the look is seen by it. After it, the signal is handled either before the device has been entered, and then the handler has set the
// flag, or inside, and then it ends the entry. Look and handler are one thread's: program order is enough.
// Where there is no signal for one thread the kicker sets the flag, and the fence is needed.
// A vCPU may change its thread between two entries: the first entry by another thread sends kicks there, with a fence.
// The word is consumed only outside the guest. docs/decisions/0003-kick-without-fence.md has what that saves.
#ifndef NODE_HAX_CORE_STOP_WORD_H_
#define NODE_HAX_CORE_STOP_WORD_H_

#include <atomic>
#include <cstdint>

#include "core/exit_page.h"
#include "core/kick_signal.h"

namespace hax {

class StopWord {
 public:
  // `flag` is what the device looks at when it enters the guest; it may be null. Written between Enter() and Leave() only.
  void set_device_flag(uint8_t* flag) { flag_ = flag; }

  // Until SignalKick() of what this gives the kick waits for the next look.
  KickTarget Mark(InterruptReason reason) {
    word_.fetch_or(Bit(reason), std::memory_order_seq_cst);
    if (kKicksBySignal) return {thread_.load(std::memory_order_seq_cst)};
    SetFlag(1);
    return {};
  }

  // False: a kick waits, do not enter the guest.
  bool Enter() {
    SetFlag(0);
    return EnterAsFlagIs();
  }
  // The same where the flag may have been set by somebody else, who means it: it is for ClearFlag() to end that, when the device has come
  // back without an exit.
  bool EnterAsFlagIs() {
    KickSlot& slot = kick_slot;
    // By number, not by the slot's address: a thread that begins may get the memory of one that has ended.
    if (__builtin_expect(thread_.load(std::memory_order_relaxed) != slot.thread_id, 0)) Own();
    slot.flag = flag_;
    kKicksBySignal ? std::atomic_signal_fence(std::memory_order_seq_cst) : std::atomic_thread_fence(std::memory_order_seq_cst);
    if (__builtin_expect(word_.load(std::memory_order_seq_cst) == 0, 1)) return true;
    Leave();
    return false;
  }
  void Leave() { kick_slot.flag = nullptr; }
  void ClearFlag() { SetFlag(0); }

  bool pending() const { return word_.load(std::memory_order_acquire) != 0; }

  // A kick of the user's goes before the end of a slice; both are consumed.
  InterruptReason Consume() {
    const uint32_t word = word_.exchange(0, std::memory_order_seq_cst);
    return word & Bit(InterruptReason::kKick) ? InterruptReason::kKick : InterruptReason::kSlice;
  }
  void Forget(InterruptReason reason) { word_.fetch_and(~Bit(reason), std::memory_order_seq_cst); }

 private:
  // The first entry by this thread: kicks go to it from here on.
  [[gnu::noinline, gnu::cold]] void Own() { thread_.store(KickableThreadId(), std::memory_order_seq_cst); }
  void SetFlag(uint8_t value) {
    if (flag_) __atomic_store_n(flag_, value, __ATOMIC_RELAXED);
  }
  static uint32_t Bit(InterruptReason reason) { return uint32_t{1} << static_cast<uint32_t>(reason); }

  std::atomic<uint32_t> word_{0};
  std::atomic<int> thread_{KickTarget::kNobody};  // the kernel's id of the thread that entered last
  uint8_t* flag_ = nullptr;
};

}  // namespace hax

#endif  // NODE_HAX_CORE_STOP_WORD_H_

// The signal that takes a thread out of the guest: a real-time signal, SIGRTMIN + 7 unless HAX_KICK_SIGNAL names another.
#ifndef NODE_HAX_CORE_KICK_SIGNAL_H_
#define NODE_HAX_CORE_KICK_SIGNAL_H_

#include "core/hot_tls.h"
#include "core/status.h"

namespace hax {

// Whether the host can signal one thread; kick_none.cc stands in where it cannot.
#if defined(__linux__)
inline constexpr bool kKicksBySignal = true;
#else
inline constexpr bool kKicksBySignal = false;
#endif

// What the signal's handler knows of its thread.
struct KickSlot {
  uint8_t* volatile flag;  // the flag of the device that is being entered, set to 1 by the handler; null outside
  int thread_id;           // what KickableThreadId() says; 0 before its first call
};
extern HAX_HOT_TLS KickSlot kick_slot;

// Installs the handler once a process; a handler that was there before is called too. HAX_KICK_SIGNAL must be a number from
// SIGRTMIN to SIGRTMAX.
Status InstallKickSignal();

// The thread that a kick's signal goes to.
struct KickTarget {
  static constexpr int kNobody = -1;  // not 0, which a thread's slot has before its first entry
  int thread_id = kNobody;
};

void SendKickSignal(int thread_id);

inline void SignalKick(KickTarget target) {
  // A thread that kicks its own vCPU is not in the guest.
  if (target.thread_id != KickTarget::kNobody && target.thread_id != kick_slot.thread_id) SendKickSignal(target.thread_id);
}

// The calling thread's kernel id, after making sure that it does not block the signal.
int KickableThreadId();

}  // namespace hax

#endif  // NODE_HAX_CORE_KICK_SIGNAL_H_

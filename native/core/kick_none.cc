// Hosts without a signal for one thread. HAXM needs none: its driver comes back at each interrupt of the host, and Windows has a request.
#include "core/kick_signal.h"

namespace hax {

HAX_HOT_TLS KickSlot kick_slot = {};

Status InstallKickSignal() { return Status::Ok(); }

void SendKickSignal(int) {}

// All threads are alike: nobody sends them signals.
int KickableThreadId() { return kick_slot.thread_id = 1; }

}  // namespace hax

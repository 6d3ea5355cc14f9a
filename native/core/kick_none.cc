// Hosts without a signal for one thread. HAXM needs none: its driver comes back at each interrupt of the host, and Windows has a request.
#include "core/kick_signal.h"

namespace hax {

HAX_HOT_TLS KickSlot kick_slot = {};

Status InstallKickSignal() { return Status::Ok(); }

void SendKickSignal(int) {}

// Not 0, which means that no thread has entered the guest.
int KickableThreadId() { return 1; }

}  // namespace hax

// The signal that takes a thread out of the guest: a real-time signal, SIGRTMIN + 7 unless HAX_KICK_SIGNAL names another.
#ifndef NODE_HAX_CORE_KICK_SIGNAL_H_
#define NODE_HAX_CORE_KICK_SIGNAL_H_

#include "core/status.h"

namespace hax {

// Installs the handler once a process; a handler that was there before is called too. HAX_KICK_SIGNAL must be a number from
// SIGRTMIN to SIGRTMAX.
Status InstallKickSignal();

void SendKickSignal(int thread_id);

// The calling thread's kernel id, after making sure that it does not block the signal.
int KickableThreadId();

}  // namespace hax

#endif  // NODE_HAX_CORE_KICK_SIGNAL_H_

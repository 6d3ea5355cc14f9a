// What VMX checks of a guest at each entry (Intel SDM vol. 3, 26.3.1), and the driver does not: with one wrong value the vCPU dies, for
// ever.
#ifndef NODE_HAX_BACKENDS_HAXM_GUEST_CHECK_H_
#define NODE_HAX_BACKENDS_HAXM_GUEST_CHECK_H_

#include <cstdint>

#include "backends/haxm/abi.h"
#include "core/status.h"

namespace hax::haxm {

// Sign-extended from bit 47 (Intel SDM vol. 1, 3.3.7.1).
bool IsCanonical(uint64_t address);

// What can be told of each register by itself, so nothing of RIP. `address_end`: where physical addresses of this processor end.
Status CheckGuest(const VcpuState& state, uint64_t address_end);

}  // namespace hax::haxm

#endif  // NODE_HAX_BACKENDS_HAXM_GUEST_CHECK_H_

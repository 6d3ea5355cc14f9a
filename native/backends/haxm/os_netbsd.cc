// NetBSD, amd64. The driver makes no nodes: pkgsrc's haxm-mknod does, HAX c 348 0, VMs c 349 and vCPUs c 350 with the unit
// (vm << 4) | vcpu, which is why there are 8 VMs. A node with nothing behind it cannot be opened. Compiled, never run.
#include <sys/mman.h>

#include "backends/haxm/os.h"
#include "backends/haxm/os_posix.h"

namespace hax::haxm {

uint32_t RequestCode(const Request& request) { return BsdCode(request); }

// The driver returns negative numbers, and errno becomes what it returned.
int DriverError(int error) { return error < 0 ? -error : error; }

const char* MissingNodeHint() { return "; run haxm-mknod, which makes the nodes"; }

uint32_t MaxVms() { return 8; }

uint64_t MaxGpa() { return kMaxGpa; }

void KeepFromFork(void* address, size_t size) { minherit(address, size, MAP_INHERIT_NONE); }

// Nothing is known of what is left mapped here.
void DropPage(void*, size_t) {}

}  // namespace hax::haxm

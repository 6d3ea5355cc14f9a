// macOS, x86-64. The nodes say that they are terminals, so that opening one must not make it the controlling terminal (os_posix.cc);
// TIOCSCTTY on one is an unknown request to the driver. Compiled, never run.
#include <mach/vm_inherit.h>
#include <sys/mman.h>

#include "backends/haxm/os.h"
#include "backends/haxm/os_posix.h"

namespace hax::haxm {

uint32_t RequestCode(const Request& request) { return BsdCode(request); }

// The driver returns negative numbers, and errno becomes what it returned. XNU takes -1 (EPERM) for ERESTART and makes the call again.
int DriverError(int error) { return error < 0 ? -error : error; }

const char* MissingNodeHint() { return "; is the kernel extension com.intel.kext.intelhaxm loaded?"; }

uint32_t MaxVms() { return 64; }

uint64_t MaxGpa() { return kMaxGpa; }

void KeepFromFork(void* address, size_t size) { minherit(address, size, VM_INHERIT_NONE); }

// Nothing is known of what is left mapped here.
void DropPage(void*, size_t) {}

}  // namespace hax::haxm

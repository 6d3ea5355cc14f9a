#include <sys/mman.h>

#include "backends/haxm/os.h"
#include "backends/haxm/os_posix.h"

namespace hax::haxm {

uint32_t RequestCode(const Request& request) { return LinuxCode(request); }

int DriverError(int error) { return error; }

const char* MissingNodeHint() { return ""; }

uint32_t MaxVms() { return 64; }

void KeepFromFork(void* address, size_t size) { madvise(address, size, MADV_DONTFORK); }

void DropPage(void* address, size_t size) { madvise(address, size, MADV_DONTNEED); }

}  // namespace hax::haxm

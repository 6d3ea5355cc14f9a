#include <sys/mman.h>

#include "backends/haxm/os.h"
#include "backends/haxm/os_posix.h"

namespace hax::haxm {

uint32_t RequestCode(const Request& request) { return LinuxCode(request); }

int DriverError(int error) { return error; }

const char* MissingNodeHint() { return ""; }

uint32_t MaxVms() { return 64; }

// The driver has a bit for each page up to the end, and 64 more, in one piece of kernel memory. The kernel gives pieces of 4 MiB at most.
uint64_t MaxGpa() { return (uint64_t{1} << 37) - (uint64_t{1} << 18); }

void KeepFromFork(void* address, size_t size) { madvise(address, size, MADV_DONTFORK); }

void DropPage(void* address, size_t size) { madvise(address, size, MADV_DONTNEED); }

}  // namespace hax::haxm

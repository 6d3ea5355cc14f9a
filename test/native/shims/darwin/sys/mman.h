// What macOS's <sys/mman.h> has beyond Linux's, as far as native/ uses it (minherit(2), XNU bsd/sys/mman.h).
#ifndef NODE_HAX_SHIM_DARWIN_MMAN_H_
#define NODE_HAX_SHIM_DARWIN_MMAN_H_

#include_next <sys/mman.h>

#undef MADV_DONTFORK
#undef MADV_HUGEPAGE
extern "C" int minherit(void* address, size_t length, int inherit);

#endif  // NODE_HAX_SHIM_DARWIN_MMAN_H_

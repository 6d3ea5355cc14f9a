// What NetBSD's <sys/mman.h> has beyond Linux's, as far as native/ uses it (minherit(2), NetBSD 9).
#ifndef NODE_HAX_SHIM_NETBSD_MMAN_H_
#define NODE_HAX_SHIM_NETBSD_MMAN_H_

#include_next <sys/mman.h>

#undef MADV_DONTFORK
#undef MADV_HUGEPAGE
#define MAP_INHERIT_NONE 2
extern "C" int minherit(void* address, size_t length, int inherit);

#endif  // NODE_HAX_SHIM_NETBSD_MMAN_H_

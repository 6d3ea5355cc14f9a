// Thread-local variables of the hot path.
#ifndef NODE_HAX_CORE_HOT_TLS_H_
#define NODE_HAX_CORE_HOT_TLS_H_

#include <cstdint>

// A load, where the default of a shared library is a call of __tls_get_addr. glibc has room for it in threads that run already; musl
// refuses to load such a library late. For types without constructors only.
#if defined(__GLIBC__)
#define HAX_HOT_TLS __thread __attribute__((tls_model("initial-exec")))
#else
#define HAX_HOT_TLS __thread
#endif

#endif  // NODE_HAX_CORE_HOT_TLS_H_

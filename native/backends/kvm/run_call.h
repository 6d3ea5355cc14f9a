// KVM_RUN. The C library's ioctl() is a page of code that each exit makes the processor forget, met on the way in and on the way back:
// where nothing stands before it, such as a preloaded library or a sanitizer, the kernel is called without it (docs/performance.md, "An
// exit").
#ifndef NODE_HAX_BACKENDS_KVM_RUN_CALL_H_
#define NODE_HAX_BACKENDS_KVM_RUN_CALL_H_

#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <cerrno>

#include "core/os.h"

#if defined(__GLIBC__) && defined(__x86_64__)
#include <dlfcn.h>
#endif

namespace hax::kvm {

#if defined(__GLIBC__) && defined(__x86_64__)

inline bool GoesPastLibrary() {
  void* const library = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  if (!library) return false;
  const void* const own = dlsym(library, "ioctl");
  dlclose(library);
  return own && own == os::FindSymbol("ioctl");
}

// 0, or the errno of the call that failed.
inline int CallRun(int fd, bool direct) {
  if (__builtin_expect(!direct, 0)) return ioctl(fd, KVM_RUN, 0) == 0 ? 0 : errno;
  long result = SYS_ioctl;
  // The kernel keeps all registers but these (syscall(2)).
  __asm__ volatile("syscall" : "+a"(result) : "D"(long{fd}), "S"(long{KVM_RUN}), "d"(0L) : "rcx", "r11", "memory");
  return static_cast<int>(-result);
}

#else

inline bool GoesPastLibrary() { return false; }
inline int CallRun(int fd, bool) { return ioctl(fd, KVM_RUN, 0) == 0 ? 0 : errno; }

#endif

}  // namespace hax::kvm

#endif  // NODE_HAX_BACKENDS_KVM_RUN_CALL_H_

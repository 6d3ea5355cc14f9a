// NetBSD and macOS. Compiled, never run.
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>

#include "core/os.h"

namespace hax::os {

uint8_t* AllocatePages(size_t size) {
  void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  KeepFromChildren(static_cast<uint8_t*>(pages), size);
  return static_cast<uint8_t*>(pages);
}

void KeepFromChildren(uint8_t* pages, size_t size) {
#ifdef MAP_INHERIT_NONE
  minherit(pages, size, MAP_INHERIT_NONE);
#else
  minherit(pages, size, 2);  // VM_INHERIT_NONE of <mach/vm_inherit.h>
#endif
}

void FreePages(uint8_t* pages, size_t size) { munmap(pages, size); }

uint64_t TimesPreempted() {
  static std::atomic<uint64_t> times{0};
  return ++times;
}

void* FindSymbol(const char* name) { return dlsym(RTLD_DEFAULT, name); }

// Node ignores SIGPIPE.
size_t SendNow(int socket, const uint8_t* bytes, size_t size) {
  const ssize_t sent = send(socket, bytes, size, MSG_DONTWAIT);
  return sent > 0 ? static_cast<size_t>(sent) : 0;
}

// Bits 28:16 (sys/ioccom.h).
size_t IoctlArgumentSize(uint64_t request) { return request >> 16 & 0x1fff; }

}  // namespace hax::os

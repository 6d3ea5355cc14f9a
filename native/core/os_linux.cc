#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "core/os.h"

namespace hax::os {

uint8_t* AllocatePages(size_t size) {
  void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  KeepFromChildren(static_cast<uint8_t*>(pages), size);
  // A wish, not a need.
  madvise(pages, size, MADV_HUGEPAGE);
  return static_cast<uint8_t*>(pages);
}

void KeepFromChildren(uint8_t* pages, size_t size) { madvise(pages, size, MADV_DONTFORK); }

void FreePages(uint8_t* pages, size_t size) { munmap(pages, size); }

void* FindSymbol(const char* name) { return dlsym(RTLD_DEFAULT, name); }

uint64_t TimesPreempted() {
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  return static_cast<uint64_t>(usage.ru_nivcsw);
}

size_t SendNow(int socket, const uint8_t* bytes, size_t size) {
  const ssize_t sent = send(socket, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent > 0 ? static_cast<size_t>(sent) : 0;
}

// Bits 29:16 (asm-generic/ioctl.h).
size_t IoctlArgumentSize(uint64_t request) { return request >> 16 & 0x3fff; }

}  // namespace hax::os

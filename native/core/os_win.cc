// Windows. Compiled and linked, never run.
#include <windows.h>

#include <atomic>

#include "core/os.h"

namespace hax::os {

uint8_t* AllocatePages(size_t size) { return static_cast<uint8_t*>(VirtualAlloc(nullptr, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)); }

void FreePages(uint8_t* pages, size_t) { VirtualFree(pages, 0, MEM_RELEASE); }

void KeepFromChildren(uint8_t*, size_t) {}  // no child of a process shares its pages

uint64_t TimesPreempted() {
  static std::atomic<uint64_t> times{0};
  return ++times;
}

void* FindSymbol(const char* name) { return reinterpret_cast<void*>(GetProcAddress(GetModuleHandleA(nullptr), name)); }

size_t SendNow(int, const uint8_t*, size_t) { return 0; }

size_t IoctlArgumentSize(uint64_t) { return 0; }

}  // namespace hax::os

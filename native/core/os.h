// What core and binding need of the host system. os_linux.cc, os_bsd.cc and os_win.cc implement it.
#ifndef NODE_HAX_CORE_OS_H_
#define NODE_HAX_CORE_OS_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace hax::os {

// Zero-filled pages of this process that forked children do not have; null where there are none left.
uint8_t* AllocatePages(size_t size);
void FreePages(uint8_t* pages, size_t size);

// A forked child would make the parent's pages copy on write under the guest: children do not get these.
void KeepFromChildren(uint8_t* pages, size_t size);

// A variable of the environment; null where it is not set, or empty.
inline const char* Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value && *value ? value : nullptr;
}

// A symbol that the running program exports, or null.
void* FindSymbol(const char* name);
// The same, for the type that the caller knows it to have; false where there is none.
template <typename F>
bool FindSymbol(const char* name, F* out) {
  *out = reinterpret_cast<F>(FindSymbol(name));
  return *out != nullptr;
}

// How often another thread has taken the calling thread's core from it. Where the host does not tell, a number that is new each time.
uint64_t TimesPreempted();

// How many of the bytes a connected socket takes without waiting; 0 for whatever reason it takes none.
size_t SendNow(int socket, const uint8_t* bytes, size_t size);

// The size of a request's argument, from its number; 0 where the number does not tell.
size_t IoctlArgumentSize(uint64_t request);

}  // namespace hax::os

#endif  // NODE_HAX_CORE_OS_H_

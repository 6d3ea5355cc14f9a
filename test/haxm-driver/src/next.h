// The function that a program would have called without us: the next one of that name in the order of loading.
#pragma once

#include <dlfcn.h>

#include <atomic>

#define HAXM_MODEL_EXPORT extern "C" __attribute__((visibility("default")))

namespace haxm_model {

template <typename Function>
class Next {
 public:
  constexpr explicit Next(const char* name) : name_(name) {}
  explicit operator bool() { return get() != nullptr; }
  template <typename... Arguments>
  auto operator()(Arguments... arguments) {
    return get()(arguments...);
  }

 private:
  Function* get() {
    Function* function = function_.load(std::memory_order_relaxed);
    if (!function) {
      function = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name_));
      function_.store(function, std::memory_order_relaxed);
    }
    return function;
  }

  const char* name_;
  std::atomic<Function*> function_{nullptr};
};

// The C convention for a result of ours: -1 and errno.
int Result(long result);

// What is ours to answer. False: not ours, the caller passes it on.
bool OpenOurs(int directory, const char* path, int flags, int* result);
bool IoctlOurs(int fd, unsigned long request, unsigned long argument, int* result);

}  // namespace haxm_model

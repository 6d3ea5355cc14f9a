// Threads of ours: they take no signal that is meant for the program.
#ifndef NODE_HAX_CORE_THREAD_H_
#define NODE_HAX_CORE_THREAD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/status.h"

namespace hax {

class Thread {
 public:
  // `name` is what debuggers show, 15 characters at most. `cpus`: the host's CPUs that it may run on; empty for any.
  static Status Start(const char* name, const std::vector<uint32_t>& cpus, std::function<void()> body, std::unique_ptr<Thread>* out);
  // Waits for the body to return.
  virtual ~Thread() = default;
};

// How many of the host's CPUs this process may use.
uint32_t UsableCpus();

}  // namespace hax

#endif  // NODE_HAX_CORE_THREAD_H_

// Compiled, never run.
#include <thread>

#include "core/thread.h"

namespace hax {

namespace {

class StandardThread final : public Thread {
 public:
  explicit StandardThread(std::function<void()> body) : thread_(std::move(body)) {}
  ~StandardThread() override { thread_.join(); }

 private:
  std::thread thread_;
};

}  // namespace

Status Thread::Start(const char*, const std::vector<uint32_t>& cpus, std::function<void()> body, std::unique_ptr<Thread>* out) {
  if (!cpus.empty()) return Status::Error(Code::kUnsupported, "affinity", "threads of this system do not choose their CPUs yet");
  *out = std::make_unique<StandardThread>(std::move(body));
  return Status::Ok();
}

uint32_t UsableCpus() {
  const uint32_t count = std::thread::hardware_concurrency();
  return count > 0 ? count : 1;
}

}  // namespace hax

// Which file descriptors of this process are the driver's. An open file is a Handle: it dies with its last descriptor and the last
// call in progress on it, as the kernel does it.
#pragma once

#include <atomic>
#include <memory>

namespace haxm_model {

class Vm;
class Vcpu;

enum class NodeKind { kSystem, kVm, kVcpu };

struct Handle {
  NodeKind kind = NodeKind::kSystem;
  std::shared_ptr<Vm> vm;
  std::shared_ptr<Vcpu> vcpu;
  std::atomic<int> references{0};  // descriptors and calls
  Handle* next_free = nullptr;
};

// A call on a descriptor: holds the handle while it lives. Empty for a descriptor that is not ours.
class HandleUse {
 public:
  explicit HandleUse(int fd);
  ~HandleUse();
  HandleUse(const HandleUse&) = delete;
  HandleUse& operator=(const HandleUse&) = delete;
  Handle* get() const { return handle_; }

 private:
  Handle* handle_;
};

bool IsOurs(int fd);

// Without a reference, for a caller that knows that nobody closes it meanwhile.
Handle* Peek(int fd);

void Attach(int fd, NodeKind kind, std::shared_ptr<Vm> vm, std::shared_ptr<Vcpu> vcpu);

// After the kernel has made `to` a duplicate of `from`, or given `fd` away again.
void Duplicate(int from, int to);
void Detach(int fd);
void DetachRange(unsigned first, unsigned last);

// False in a child that still shares or has copied this memory without knowing it (vfork): leave everything alone there.
bool InOwnProcess();
void ForgetHandlesInChild();

}  // namespace haxm_model

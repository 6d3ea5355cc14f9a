#include "handles.h"

#include <mutex>
#include <utility>

#include "driver.h"
#include "sys.h"

namespace haxm_model {

namespace {

constexpr int kTableSize = 1 << 16;

std::atomic<Handle*> table[kTableSize];
std::atomic<int> count{0};  // of entries: most processes' descriptors are not ours
std::atomic<long> owner{0};

// Handles are recycled, never freed: a call may hold a pointer to one for a moment after it died.
std::mutex* free_lock = new std::mutex;
Handle* free_list = nullptr;

Handle* Make() {
  const std::lock_guard<std::mutex> lock(*free_lock);
  if (!free_list) return new Handle;
  Handle* handle = free_list;
  free_list = handle->next_free;
  return handle;
}

void Drop(Handle* handle) {
  if (--handle->references != 0) return;
  auto vm = std::move(handle->vm);
  auto vcpu = std::move(handle->vcpu);
  const NodeKind kind = handle->kind;
  {
    const std::lock_guard<std::mutex> lock(*free_lock);
    handle->next_free = free_list;
    free_list = handle;
  }
  ReleaseNode(kind, std::move(vm), std::move(vcpu));
}

// Takes a reference unless the handle is already dead.
bool Take(Handle* handle) {
  int references = handle->references.load();
  while (references > 0) {
    if (handle->references.compare_exchange_weak(references, references + 1)) return true;
  }
  return false;
}

Handle* Find(int fd) {
  if (fd < 0 || fd >= kTableSize) return nullptr;
  for (;;) {
    Handle* handle = table[fd].load(std::memory_order_acquire);
    if (!handle) return nullptr;
    if (!Take(handle)) continue;
    if (table[fd].load() == handle) return handle;
    Drop(handle);
  }
}

void Put(int fd, Handle* handle) {
  if (handle) count++;
  Handle* before = table[fd].exchange(handle);
  if (!before) return;
  count--;
  Drop(before);
}

}  // namespace

HandleUse::HandleUse(int fd) : handle_(count.load(std::memory_order_relaxed) ? Find(fd) : nullptr) {}

HandleUse::~HandleUse() {
  if (handle_) Drop(handle_);
}

bool IsOurs(int fd) { return count.load(std::memory_order_relaxed) && fd >= 0 && fd < kTableSize && table[fd].load(); }

Handle* Peek(int fd) { return fd >= 0 && fd < kTableSize ? table[fd].load(std::memory_order_relaxed) : nullptr; }

void Attach(int fd, NodeKind kind, std::shared_ptr<Vm> vm, std::shared_ptr<Vcpu> vcpu) {
  if (!owner.load()) owner = Syscall(SYS_getpid);
  Handle* handle = Make();
  handle->kind = kind;
  handle->vm = std::move(vm);
  handle->vcpu = std::move(vcpu);
  handle->references = 1;
  Put(fd, handle);
}

void Duplicate(int from, int to) {
  if (from == to || to < 0 || to >= kTableSize || count.load() == 0 || !InOwnProcess()) return;
  Put(to, Find(from));  // the reference that Find took is the new descriptor's
}

void Detach(int fd) {
  if (IsOurs(fd) && InOwnProcess()) Put(fd, nullptr);
}

void DetachRange(unsigned first, unsigned last) {
  for (unsigned fd = first; fd <= last && fd < kTableSize && count.load() != 0; fd++) Detach(static_cast<int>(fd));
}

bool InOwnProcess() { return owner.load() == Syscall(SYS_getpid); }

void ForgetHandlesInChild() {
  for (int fd = 0; fd < kTableSize && count.load() != 0; fd++) {
    if (table[fd].exchange(nullptr)) count--;
  }
  free_lock = new std::mutex;
  free_list = nullptr;
  owner = 0;
}

}  // namespace haxm_model

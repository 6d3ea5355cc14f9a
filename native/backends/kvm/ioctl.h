// File descriptors and the one typed ioctl wrapper of the KVM backend.
#ifndef NODE_HAX_BACKENDS_KVM_IOCTL_H_
#define NODE_HAX_BACKENDS_KVM_IOCTL_H_

#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/status.h"

namespace hax::kvm {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// ioctl with an argument by address or by value; -1 becomes a Status that names the call. Not for KVM_RUN, whose EINTR is no error.
// SAFETY: the request number fixes the argument's size; each caller passes the structure that <linux/kvm.h> names for it.
template <typename T>
Status Call(const Fd& fd, unsigned long request, const char* name, T argument, int* result = nullptr) {
  const int value = ioctl(fd.get(), request, argument);
  if (value < 0) return Status::Os(name, errno);
  if (result) *result = value;
  return Status::Ok();
}

// A request that the caller has numbered: the binding has checked that a buffer is as large as the number says.
inline Status RawCall(const Fd& fd, uint64_t request, uintptr_t argument, int* result) {
  return Call(fd, request, "ioctl", argument, result);
}

#define HAX_KVM_CALL(fd, request, ...) ::hax::kvm::Call(fd, request, #request, __VA_ARGS__)

// Returns from the enclosing function when a Status is an error.
#define HAX_RETURN_IF_ERROR(expression)   \
  do {                                    \
    ::hax::Status status_ = (expression); \
    if (!status_.ok()) return status_;    \
  } while (0)

}  // namespace hax::kvm

#endif  // NODE_HAX_BACKENDS_KVM_IOCTL_H_

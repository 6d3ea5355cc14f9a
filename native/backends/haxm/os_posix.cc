#include "backends/haxm/os_posix.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "backends/haxm/os.h"

namespace hax::haxm {

namespace {

// Worked out once, not at each entry.
const uint32_t kRunCode = RequestCode(kRun);

}  // namespace

Node::~Node() {
  if (handle_ >= 0) close(static_cast<int>(handle_));
}

Status Node::Reserve() {
  const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (fd < 0) return Status::Os("open", errno);
  handle_ = fd;
  return Status::Ok();
}

Status Node::Open(const std::string& path) {
  if (handle_ >= 0) close(static_cast<int>(handle_));
  handle_ = -1;
  int fd;
  do {
    // O_NOCTTY: Darwin's driver says that its nodes are terminals.
    fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY);
  } while (fd < 0 && errno == EINTR);
  if (fd >= 0) {
    handle_ = fd;
    return Status::Ok();
  }
  const int error = DriverError(errno);
  const std::string reason = std::strerror(error);
  if (error == ENOENT || error == ENODEV || error == ENXIO) {
    return Status::Error(Code::kNoDevice, "open", path + " is not there: " + reason + MissingNodeHint(), error);
  }
  if (error == EACCES || error == EPERM) {
    return Status::Error(Code::kNoPermission, "open", path + " cannot be opened by this user: " + reason, error);
  }
  return Status::Error(Code::kIoctl, "open", "opening " + path + " failed: " + reason, error);
}

Status Node::Call(const Request& request, void* argument) const {
  // SAFETY: the request's number carries the size of the argument; callers pass the structure that requests.h pairs with it.
  if (ioctl(static_cast<int>(handle_), RequestCode(request), argument) == 0) return Status::Ok();
  return Status::Os(request.name, DriverError(errno));
}

Status Node::RawCall(uint64_t request, uintptr_t argument, int* result) const {
  *result = ioctl(static_cast<int>(handle_), request, argument);
  return *result == -1 ? Status::Os("ioctl", DriverError(errno)) : Status::Ok();
}

int Node::Run() const {
  // 1 on Linux: an MMIO instruction could not be resumed, and the status says so.
  return ioctl(static_cast<int>(handle_), kRunCode, 0) == -1 ? DriverError(errno) : 0;
}

void Node::Kick() const {}

Status Node::CallWithTable(const Request& request, void* table, size_t) const { return Call(request, &table); }

std::string SystemNode() { return "/dev/HAX"; }

std::string VmNode(uint32_t vm) {
  char path[64];
  std::snprintf(path, sizeof path, "/dev/hax_vm/vm%02u", vm);
  return path;
}

std::string VcpuNode(uint32_t vm, uint32_t vcpu) {
  char path[64];
  std::snprintf(path, sizeof path, "/dev/hax_vm%02u/vcpu%02u", vm, vcpu);
  return path;
}

bool IsUnknownRequest(const Status& status) { return status.os_code == ENOSYS; }

}  // namespace hax::haxm

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "backends/haxm/os.h"

namespace hax::haxm {

Node::~Node() {
  if (handle_ >= 0) close(static_cast<int>(handle_));
}

Status Node::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    handle_ = fd;
    return Status::Ok();
  }
  const int error = errno;
  const std::string reason = std::strerror(error);
  if (error == ENOENT || error == ENODEV || error == ENXIO) {
    return Status::Error(Code::kNoDevice, "open", path + " is not there: " + reason, error);
  }
  if (error == EACCES || error == EPERM) {
    return Status::Error(Code::kNoPermission, "open", path + " cannot be opened by this user: " + reason, error);
  }
  return Status::Error(Code::kIoctl, "open", "opening " + path + " failed: " + reason, error);
}

Status Node::Call(const Request& request, void* argument) const {
  // SAFETY: the request's number carries the size of the argument; callers pass the structure that requests.h pairs with it.
  if (ioctl(static_cast<int>(handle_), LinuxCode(request), argument) == 0) return Status::Ok();
  return Status::Os(request.name, errno);
}

Status Node::RawCall(uint64_t request, uintptr_t argument, int* result) const {
  *result = ioctl(static_cast<int>(handle_), request, argument);
  return *result < 0 ? Status::Os("ioctl", errno) : Status::Ok();
}

bool Node::Run(int* os_code) const {
  const int result = ioctl(static_cast<int>(handle_), LinuxCode(kRun), 0);
  *os_code = result < 0 ? errno : 0;
  return result >= 0;  // 1: an MMIO instruction could not be resumed, and the status says so
}

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

uint32_t MaxVms() { return 64; }

bool IsUnknownRequest(const Status& status) { return status.os_code == ENOSYS; }

void KeepFromFork(void* address, size_t size) { madvise(address, size, MADV_DONTFORK); }

}  // namespace hax::haxm

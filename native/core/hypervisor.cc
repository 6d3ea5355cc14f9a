#include "core/hypervisor.h"

namespace hax {

Status RawDevice::Ioctl(uint64_t, uintptr_t, int*) {
  return Status::Error(Code::kUnsupported, "ioctl", "this backend has no device to call");
}

}  // namespace hax

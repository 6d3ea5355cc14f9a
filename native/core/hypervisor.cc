#include "core/hypervisor.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace hax {

Status RawDevice::Ioctl(uint64_t, uintptr_t, int*) {
  return Status::Error(Code::kUnsupported, "ioctl", "this backend has no device to call");
}

Status RawDevice::Map(uint64_t, uint64_t, std::shared_ptr<DeviceMapping>*) {
  return Status::Error(Code::kUnsupported, "mmap", "this backend has no memory of a device");
}

#ifdef __linux__
DeviceMapping::~DeviceMapping() { munmap(data_, size_); }
#else
DeviceMapping::~DeviceMapping() = default;

namespace {
Status NoDescriptors() { return Status::Error(Code::kUnsupported, "descriptor", "there is no such descriptor on this platform"); }
}  // namespace

Status OpenEventfd(uint32_t, std::shared_ptr<Descriptor>*) { return NoDescriptors(); }
Status OpenMemfd(uint64_t, std::shared_ptr<Descriptor>*) { return NoDescriptors(); }
Status AdoptDescriptor(uint32_t, std::shared_ptr<Descriptor>*) { return NoDescriptors(); }
#endif

}  // namespace hax

// What objects of a backend offer below the interface: raw calls of their device, its memory, and descriptors that such calls return.
#ifndef NODE_HAX_CORE_RAW_DEVICE_H_
#define NODE_HAX_CORE_RAW_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/status.h"

namespace hax {

// Memory shared with a device. It stays mapped, and the device open, as long as this lives.
class DeviceMapping {
 public:
  DeviceMapping(uint8_t* data, size_t size) : data_(data), size_(size) {}
  ~DeviceMapping();
  DeviceMapping(const DeviceMapping&) = delete;
  DeviceMapping& operator=(const DeviceMapping&) = delete;
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  uint8_t* data_;
  size_t size_;
};

class RawDevice {
 public:
  // `argument` is a value or an address, as the request wants it; `result` what the call returned.
  virtual Status Ioctl(uint64_t request, uintptr_t argument, int* result);
  // Pages of the device, readable and writable. Fails where the device has none, rather than at the first access.
  virtual Status Map(uint64_t offset, uint64_t length, std::shared_ptr<DeviceMapping>* out);

 protected:
  ~RawDevice() = default;
};

// A descriptor of the operating system: an eventfd, a memfd, or what an ioctl returned. Closed with the last owner.
class Descriptor : public RawDevice {
 public:
  virtual ~Descriptor() = default;
  virtual int number() const = 0;
  // At `offset`, or where the descriptor is when it is negative. `count` is 0 when there is nothing to read now.
  virtual Status Read(uint8_t* to, size_t length, int64_t offset, size_t* count) = 0;
  virtual Status Write(const uint8_t* from, size_t length) = 0;
};

// An eventfd that never blocks.
Status OpenEventfd(uint32_t initial, std::shared_ptr<Descriptor>* out);
// Anonymous memory of a fixed size.
Status OpenMemfd(uint64_t size, std::shared_ptr<Descriptor>* out);
// Takes over what an ioctl has returned; nobody else may close it.
Status AdoptDescriptor(uint32_t number, std::shared_ptr<Descriptor>* out);

}  // namespace hax

#endif  // NODE_HAX_CORE_RAW_DEVICE_H_

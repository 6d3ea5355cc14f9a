// The model-specific registers that HAXM knows: which can be read and written, by the guest and by the client.
#pragma once

#include <cstdint>
#include <map>

namespace haxm_model {

// Makes KVM hand every MSR access of the guest to us but those that KVM itself does just as HAXM does. False if it cannot.
bool InterceptMsrs(int vm_fd);

// The registers that have no effect on the guest: kept here, one set a vCPU.
class StoredMsrs {
 public:
  // False: unknown, a #GP for the guest.
  bool Read(uint32_t index, uint64_t* value) const;
  bool Write(uint32_t index, uint64_t value);

 private:
  std::map<uint32_t, uint64_t> stored_;
};

// Those that KVM keeps for us.
bool IsKvmMsr(uint32_t index);

}  // namespace haxm_model

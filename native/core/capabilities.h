// What an opened device can do, the same record for every backend. A capability that is absent says why.
#ifndef NODE_HAX_CORE_CAPABILITIES_H_
#define NODE_HAX_CORE_CAPABILITIES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace hax {

struct Capability {
  const char* name;    // the name in JavaScript, a string literal
  int64_t value;       // 0: absent; otherwise 1 or the number that the device states
  std::string reason;  // why it is absent
};

struct Capabilities {
  std::string backend;
  std::string device;  // path of the node; empty for none
  uint32_t api_version = 0;
  std::vector<Capability> features;
};

// cpuid entries as KVM_GET_SUPPORTED_CPUID gives them.
struct CpuidEntry {
  uint32_t function, index, flags, eax, ebx, ecx, edx;
};

}  // namespace hax

#endif  // NODE_HAX_CORE_CAPABILITIES_H_

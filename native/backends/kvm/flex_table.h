// The structures of <linux/kvm.h> that end in an open array. Their C++ form in the headers of Linux 6.1 is four bytes too large (an
// empty struct has size 1 there), which shifts the entries and changes the request numbers, so both are stated here.
#ifndef NODE_HAX_BACKENDS_KVM_FLEX_TABLE_H_
#define NODE_HAX_BACKENDS_KVM_FLEX_TABLE_H_

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cstdint>
#include <vector>

namespace hax::kvm {

struct FlexHeader {
  uint32_t count;  // nent, nmsrs
  uint32_t padding;
};
static_assert(sizeof(FlexHeader) == 8);

inline constexpr unsigned long kGetSupportedCpuid = _IOWR(KVMIO, 0x05, FlexHeader);
inline constexpr unsigned long kSetCpuid2 = _IOW(KVMIO, 0x90, FlexHeader);
inline constexpr unsigned long kGetMsrs = _IOWR(KVMIO, 0x88, FlexHeader);
inline constexpr unsigned long kSetMsrs = _IOW(KVMIO, 0x89, FlexHeader);

// struct kvm_xsave without the open array at its end, which only KVM_GET_XSAVE2 fills.
struct XsaveArea {
  uint32_t region[1024];
};
static_assert(sizeof(XsaveArea) == 4096);

inline constexpr unsigned long kGetXsave = _IOR(KVMIO, 0xa4, XsaveArea);
inline constexpr unsigned long kSetXsave = _IOW(KVMIO, 0xa5, XsaveArea);

// A header and `capacity` zeroed entries behind it.
template <typename Entry>
class FlexTable {
 public:
  explicit FlexTable(uint32_t capacity) : storage_(1 + (capacity * sizeof(Entry) + 7) / 8) { header()->count = capacity; }
  FlexHeader* header() { return reinterpret_cast<FlexHeader*>(storage_.data()); }
  Entry& operator[](uint32_t index) { return reinterpret_cast<Entry*>(storage_.data() + 1)[index]; }

 private:
  std::vector<uint64_t> storage_;
};

}  // namespace hax::kvm

#endif  // NODE_HAX_BACKENDS_KVM_FLEX_TABLE_H_

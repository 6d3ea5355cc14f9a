#include "msrs.h"

#include "config.h"
#include "kvm.h"
#include "sys.h"

namespace haxm_model {

namespace {

enum Rule : uint8_t {
  kStored,    // written and read back
  kStored32,  // the same, low half only
  kFixed,     // reads a constant, writes are refused
  kIgnored,   // reads a constant, writes vanish
};

struct Range {
  uint32_t first;
  uint32_t last;
  Rule rule;
  uint64_t value;
};

constexpr Range kRanges[] = {
    {0x0, 0x1, kFixed, 0},
    {0x17, 0x17, kFixed, 0x18000000000000},
    {0x2a, 0x2c, kIgnored, 0},
    {0x3a, 0x3a, kFixed, 5},
    {0x3f, 0x3f, kFixed, 0},
    {0x8b, 0x8b, kIgnored, 0x67311111},
    {0xc1, 0xc4, kStored32, 0},  // performance counters and, at 186h, their selectors
    {0xcd, 0xcd, kFixed, 4},
    {0xee, 0xee, kFixed, 0x86791b00},
    {0xfe, 0xfe, kStored, 0},
    {0x11e, 0x11e, kFixed, 0xbe702111},
    {0x179, 0x179, kFixed, 1},
    {0x17a, 0x17a, kIgnored, 0},
    {0x17b, 0x17b, kFixed, 3},
    {0x186, 0x189, kStored32, 0},
    {0x1a0, 0x1a0, kIgnored, 0x1800},
    {0x1d9, 0x1d9, kIgnored, 0},
    {0x200, 0x213, kStored, 0},  // memory type ranges
    {0x250, 0x250, kStored, 0},
    {0x258, 0x259, kStored, 0},
    {0x268, 0x26f, kStored, 0},
    {0x280, 0x288, kIgnored, 0},
    {0x2ff, 0x2ff, kStored, 0},
    {0x300, 0x3ff, kIgnored, 0},
    {0x400, 0x403, kIgnored, 0},
    {0x478, 0x478, kStored, 0},
};

constexpr uint32_t kUpdateTrigger = 0x79;  // may be written, not read

const Range* Find(uint32_t index) {
  for (const Range& range : kRanges) {
    if (index >= range.first && index <= range.last) return &range;
  }
  return nullptr;
}

}  // namespace

bool StoredMsrs::Read(uint32_t index, uint64_t* value) const {
  const Range* range = Find(index);
  if (!range) return false;
  const auto at = stored_.find(index);
  *value = at == stored_.end() ? range->value : at->second;
  return true;
}

bool StoredMsrs::Write(uint32_t index, uint64_t value) {
  if (index == kUpdateTrigger) return true;
  const Range* range = Find(index);
  if (!range || range->rule == kFixed) return false;
  if (range->rule != kIgnored) stored_[index] = range->rule == kStored32 ? static_cast<uint32_t>(value) : value;
  return true;
}

bool IsKvmMsr(uint32_t index) {
  return index == 0x10 || (index >= 0x174 && index <= 0x176) || index == 0x277 || (index >= 0xc0000081 && index <= 0xc0000084) ||
         index == 0xc0000102 || index == 0xc0000103;
}

bool InterceptMsrs(int vm_fd) {
  kvm_enable_cap capability{};
  capability.cap = KVM_CAP_X86_USER_SPACE_MSR;
  capability.args[0] = KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER;
  if (Ioctl(vm_fd, KVM_ENABLE_CAP, &capability) < 0) {
    Log("haxm-model: this KVM does not hand MSR accesses to user space; it answers them itself");
    return true;
  }
  // A set bit lets the access through to KVM.
  static uint8_t low[0x400 / 8];
  static uint8_t high[0x110 / 8];
  for (uint32_t index = 0; index < 0x400; index++) {
    if (IsKvmMsr(index)) low[index / 8] |= static_cast<uint8_t>(1 << index % 8);
  }
  for (uint32_t index = 0; index < 0x110; index++) {
    const uint32_t number = 0xc0000000 + index;
    const bool base = number == 0xc0000080 || number == 0xc0000100 || number == 0xc0000101;  // EFER, FS and GS base: in the segments
    if (base || IsKvmMsr(number)) high[index / 8] |= static_cast<uint8_t>(1 << index % 8);
  }
  kvm_msr_filter filter{};
  filter.flags = KVM_MSR_FILTER_DEFAULT_DENY;
  filter.ranges[0] = {KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, 0x400, 0, low};
  filter.ranges[1] = {KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, 0x110, 0xc0000000, high};
  const long result = Ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &filter);
  if (result < 0) Log("haxm-model: KVM_X86_SET_MSR_FILTER: %ld", result);
  return true;
}

}  // namespace haxm_model

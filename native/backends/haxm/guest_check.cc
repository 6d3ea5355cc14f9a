#include "backends/haxm/guest_check.h"

#include <cerrno>
#include <string>

#include "backends/haxm/processor.h"
#include "backends/haxm/requests.h"

namespace hax::haxm {

namespace {

constexpr uint64_t kReservedFlags = ~uint64_t{0x3fffff} | 0x8028;
// Access rights (Intel SDM vol. 3, 24.4.1).
constexpr uint32_t kType = 0xf;
constexpr uint32_t kCodeOrData = 0x10;
constexpr uint32_t kPresent = 0x80;
constexpr uint32_t kUnusable = 0x10000;

Status Refuse(const std::string& detail) { return Status::Error(Code::kIoctl, kSetRegs.name, detail, EINVAL); }

// 0 is the driver's word for it, too.
bool IsUsable(const SegmentDesc& segment) { return segment.ar != 0 && !(segment.ar & kUnusable); }

// Code that has been accessed, which the driver sees to for 0xa, or data, as in real mode.
bool IsCode(const SegmentDesc& segment) {
  const uint32_t type = segment.ar & kType;
  const bool good = type == 3 || type == 0xa || (type & 9) == 9;
  return good && IsUsable(segment) && segment.ar & kCodeOrData && segment.ar & kPresent;
}

Status CheckBases(const VcpuState& state) {
  const struct {
    const char* name;
    const SegmentDesc& segment;
  } flat[] = {{"cs", state.cs}, {"ss", state.ss}, {"ds", state.ds}, {"es", state.es}},
    wide[] = {{"fs", state.fs}, {"gs", state.gs}, {"tr", state.tr}, {"ldt", state.ldt}, {"gdt", state.gdt}, {"idt", state.idt}};
  for (const auto& [name, segment] : flat) {
    if (IsUsable(segment) && segment.base >> 32 != 0) return Refuse(std::string(name) + ".base has no bits above 31");
  }
  for (const auto& [name, segment] : wide) {
    if (&segment == &state.ldt && !IsUsable(segment)) continue;
    if (!IsCanonical(segment.base)) return Refuse(std::string(name) + ".base must be a canonical address");
  }
  return Status::Ok();
}

}  // namespace

bool IsCanonical(uint64_t address) { return static_cast<uint64_t>(static_cast<int64_t>(address << 16) >> 16) == address; }

Status CheckGuest(const VcpuState& state, uint64_t address_end) {
  if (state.cr0 >> 32 != 0 || state.cr4 >> 32 != 0) return Refuse("cr0 and cr4 have no bits above 31");
  if ((state.cr0 & kCr0Pg) && !(state.cr0 & kCr0Pe)) return Refuse("cr0 has paging without protection");
  if (state.cr3 >= address_end) return Refuse("cr3 is no physical address of this processor");
  if (state.rflags & kReservedFlags) return Refuse("rflags has reserved bits: 3, 5, 15 and those above 21");
  if (!IsCode(state.cs)) return Refuse("cs must be a present segment of accessed code, or of data in real mode");
  if (!IsUsable(state.tr) || state.tr.ar & kCodeOrData || !(state.tr.ar & kPresent))
    return Refuse("tr must be a present task state segment");
  return CheckBases(state);
}

}  // namespace hax::haxm

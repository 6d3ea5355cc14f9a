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
constexpr uint32_t kReserved = 0xf00;
constexpr uint32_t kGranularity = 0x8000;
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

enum class Kind { kCode, kStack, kData, kTss, kLdt };

bool IsOf(Kind kind, const SegmentDesc& segment) {
  const uint32_t type = segment.ar & kType;
  const bool data = segment.ar & kCodeOrData && segment.ar & kPresent;
  switch (kind) {
    case Kind::kStack:
      return data && (type == 3 || type == 7);
    case Kind::kData:
      return data && type & 1 && (!(type & 8) || type & 2);
    case Kind::kLdt:
      return !(segment.ar & kCodeOrData) && segment.ar & kPresent && type == 2;
    default:
      return true;
  }
}

// Of a usable segment (26.3.1.2).
Status CheckDescriptor(Kind kind, const std::string& name, const SegmentDesc& segment) {
  if (!IsUsable(segment)) return Status::Ok();
  if (segment.ar & kReserved) return Refuse(name + ".attributes has no bits from 8 to 11");
  const bool granular = segment.ar & kGranularity;
  if (granular ? (segment.limit & 0xfff) != 0xfff : segment.limit >> 20 != 0)
    return Refuse(name + ".limit does not go with the bit of granularity (0x8000) in " + name + ".attributes");
  if (IsOf(kind, segment)) return Status::Ok();
  if (kind == Kind::kLdt) return Refuse(name + " must be a present local descriptor table");
  return Refuse(name + " must be a present segment of data" +
                (kind == Kind::kStack ? " that can be written" : ", or of code that can be read"));
}

Status CheckDescriptors(const VcpuState& state) {
  const struct {
    Kind kind;
    const char* name;
    const SegmentDesc& segment;
  } all[] = {{Kind::kCode, "cs", state.cs}, {Kind::kStack, "ss", state.ss}, {Kind::kData, "ds", state.ds}, {Kind::kData, "es", state.es},
             {Kind::kData, "fs", state.fs}, {Kind::kData, "gs", state.gs},  {Kind::kTss, "tr", state.tr},  {Kind::kLdt, "ldt", state.ldt}};
  for (const auto& [kind, name, segment] : all) {
    Status status = CheckDescriptor(kind, name, segment);
    if (!status.ok()) return status;
  }
  return Status::Ok();
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
  Status status = CheckDescriptors(state);
  return status.ok() ? CheckBases(state) : status;
}

}  // namespace hax::haxm

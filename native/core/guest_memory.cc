#include "core/guest_memory.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <iterator>
#include <new>
#include <vector>

#include "core/os.h"

namespace hax {

namespace {

// Guest-physical addresses end where safe integers of JavaScript do, and no x86 goes further than 52 bits.
constexpr uint64_t kMaxAddress = uint64_t{1} << 52;

std::string Range(uint64_t gpa, uint64_t size) {
  char text[64];
  std::snprintf(text, sizeof text, "0x%" PRIx64 "+0x%" PRIx64, gpa, size);
  return text;
}

Status Refuse(Code code, const std::string& detail) { return Status::Error(code, "mapMemory", detail); }

}  // namespace

Status GuestMemory::Allocate(uint64_t size, std::shared_ptr<GuestMemory>* out) {
  if (size == 0 || size % kPageSize != 0) {
    return Status::Error(Code::kInvalidArgument, "mmap", "the size of guest memory must be a positive multiple of 4096");
  }
  uint8_t* data = os::AllocatePages(size);
  if (!data) return Status::Error(Code::kNoMemory, "mmap", "the host has not " + std::to_string(size) + " bytes for guest memory", ENOMEM);
  auto* memory = new (std::nothrow) GuestMemory(data, size);
  if (!memory) {
    os::FreePages(data, size);
    return Status::Error(Code::kNoMemory, "mmap", "the host is out of memory");
  }
  out->reset(memory);
  return Status::Ok();
}

Status GuestMemory::Adopt(uint8_t* data, uint64_t size, std::shared_ptr<void> owner, std::shared_ptr<GuestMemory>* out) {
  if (size == 0 || size % kPageSize != 0 || reinterpret_cast<uintptr_t>(data) % kPageSize != 0) {
    return Status::Error(Code::kInvalidArgument, "adopt", "memory that is shared with a guest must consist of whole pages of 4096 bytes");
  }
  os::KeepFromChildren(data, size);
  auto* memory = new (std::nothrow) GuestMemory(data, size);
  if (!memory) return Status::Error(Code::kNoMemory, "adopt", "the host is out of memory");
  memory->owner_ = std::move(owner);
  out->reset(memory);
  return Status::Ok();
}

GuestMemory::~GuestMemory() {
  if (!owner_) os::FreePages(data_, size_);
}

Status MemoryMap::Check(Mapping* mapping) const {
  const uint64_t gpa = mapping->gpa;
  const uint64_t size = mapping->size;
  if (size == 0) return Refuse(Code::kInvalidArgument, "a memory range must not be empty");
  if (gpa % kPageSize || size % kPageSize || mapping->offset % kPageSize) {
    return Refuse(Code::kInvalidArgument, "address, size and offset of a memory range must be multiples of 4096: " + Range(gpa, size));
  }
  if (gpa >= kMaxAddress || size > kMaxAddress - gpa) {
    return Refuse(Code::kInvalidArgument, "a memory range must end below 2^52: " + Range(gpa, size));
  }
  if (mapping->offset > mapping->memory->size() || size > mapping->memory->size() - mapping->offset) {
    return Refuse(Code::kInvalidArgument, "the range is larger than the memory behind it: " + Range(gpa, size));
  }
  auto next = by_gpa_.lower_bound(gpa);
  if (next != by_gpa_.end() && next->first - gpa < size) {
    return Refuse(Code::kOverlap, Range(gpa, size) + " overlaps the memory mapped at " + Range(next->first, next->second.size));
  }
  if (next != by_gpa_.begin()) {
    const auto& before = std::prev(next)->second;
    if (gpa - before.gpa < before.size) {
      return Refuse(Code::kOverlap, Range(gpa, size) + " overlaps the memory mapped at " + Range(before.gpa, before.size));
    }
  }
  if (by_gpa_.size() >= max_slots_) {
    return Refuse(Code::kUnsupported, "the hypervisor takes no more than " + std::to_string(max_slots_) + " memory ranges a VM");
  }
  std::vector<bool> used(by_gpa_.size() + 1);
  for (const auto& entry : by_gpa_) {
    if (entry.second.slot < used.size()) used[entry.second.slot] = true;
  }
  uint32_t slot = 0;
  while (used[slot]) slot++;
  mapping->slot = slot;
  return Status::Ok();
}

const Mapping* MemoryMap::Find(uint64_t gpa) const {
  auto found = by_gpa_.find(gpa);
  return found == by_gpa_.end() ? nullptr : &found->second;
}

const Mapping* MemoryMap::Holding(uint64_t gpa) const {
  const auto next = by_gpa_.upper_bound(gpa);
  if (next == by_gpa_.begin()) return nullptr;
  const Mapping& mapping = std::prev(next)->second;
  return gpa - mapping.gpa < mapping.size ? &mapping : nullptr;
}

}  // namespace hax

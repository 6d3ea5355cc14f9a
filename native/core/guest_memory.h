// Host memory that serves as guest RAM. Shared by VM slots and by JavaScript buffers: it is unmapped when the last of them goes.
#ifndef NODE_HAX_CORE_GUEST_MEMORY_H_
#define NODE_HAX_CORE_GUEST_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "core/status.h"

namespace hax {

inline constexpr uint64_t kPageSize = 4096;

class GuestMemory {
 public:
  // Zero-filled, page-aligned, not inherited by fork. `size` is a multiple of the page size.
  static Status Allocate(uint64_t size, std::shared_ptr<GuestMemory>* out);
  // Memory of somebody else's, which `owner` keeps; page-aligned. Let go of on the owner's thread.
  static Status Adopt(uint8_t* data, uint64_t size, std::shared_ptr<void> owner, std::shared_ptr<GuestMemory>* out);
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  GuestMemory(uint8_t* data, uint64_t size) : data_(data), size_(size) {}
  uint8_t* data_;
  uint64_t size_;
  std::shared_ptr<void> owner_;  // null where the pages are ours
};

struct Mapping {
  uint64_t gpa = 0;
  uint64_t size = 0;
  uint64_t offset = 0;  // into memory
  bool read_only = false;
  uint32_t slot = 0;
  std::shared_ptr<GuestMemory> memory;
};

// The guest-physical map of one VM: what is mapped where, checked here because drivers check little or late.
class MemoryMap {
 public:
  explicit MemoryMap(uint32_t max_slots) : max_slots_(max_slots) {}

  // Refuses empty, unaligned, wrapping, overlapping ranges and ranges outside the memory; chooses a free slot.
  Status Check(Mapping* mapping) const;
  void Insert(const Mapping& mapping) { by_gpa_[mapping.gpa] = mapping; }
  void Erase(uint64_t gpa) { by_gpa_.erase(gpa); }
  // The mapping that starts at gpa.
  const Mapping* Find(uint64_t gpa) const;
  // The mapping that the address is in.
  const Mapping* Holding(uint64_t gpa) const;
  void Clear() { by_gpa_.clear(); }

 private:
  uint32_t max_slots_;
  std::map<uint64_t, Mapping> by_gpa_;
};

}  // namespace hax

#endif  // NODE_HAX_CORE_GUEST_MEMORY_H_

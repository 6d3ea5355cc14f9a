// Writes whose guest need not wait until JavaScript has seen them: they stay in a ring, in order, and are served before the next exit is.
// KVM's coalesced zones do the same inside the kernel; this is for the devices without them. Owned by one VM, used on one thread.
#ifndef NODE_HAX_CORE_POSTED_WRITES_H_
#define NODE_HAX_CORE_POSTED_WRITES_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "core/exit_page.h"

namespace hax {

// The layout of struct kvm_coalesced_mmio_ring and kvm_coalesced_mmio (api.rst 4.116), so that JavaScript reads both rings alike.
struct PostedWrite {
  uint64_t address;
  uint32_t size;
  uint32_t port;  // 1: the address is one of a port
  uint8_t data[8];
};
struct PostedRing {
  uint32_t first;  // written by JavaScript
  uint32_t last;
  PostedWrite writes[511];  // with the two numbers three pages; one place stays empty
};
inline constexpr uint32_t kPostedRoom = sizeof(PostedRing::writes) / sizeof(PostedWrite);
static_assert(sizeof(PostedWrite) == 24 && offsetof(PostedRing, writes) == 8 && sizeof(PostedRing) == 3 * 4096 - 16);

class PostedWrites {
 public:
  void Add(bool port, uint64_t first, uint64_t last);
  // The ranges as they were added.
  void Remove(bool port, uint64_t first, uint64_t last);

  // Whether there are ranges.
  bool active() const { return active_; }
  // Takes the exit if it is a write of one element to a range and there is room; false: it is JavaScript's.
  bool Take(const ExitPage& page) {
    if (page.direction != static_cast<uint32_t>(Direction::kOut)) return false;
    if (page.kind == static_cast<uint32_t>(ExitKind::kMmio)) return TakeMmio(page);
    const uint64_t last = uint64_t{page.port} + page.size - 1;
    if (page.kind != static_cast<uint32_t>(ExitKind::kIo) || page.count != 1 || last >= ports_.size()) return false;
    return ports_[page.port] && ports_[last] && Put<4>(page, page.port, 1);
  }
  // Shared with JavaScript; null until there was a range.
  const std::shared_ptr<PostedRing>& ring() const { return ring_; }

 private:
  struct Range {
    uint64_t first, last;
  };
  bool TakeMmio(const ExitPage& page);
  // `kBytes` of the data: a wider load than the store before it, which may be of four, would wait for that.
  template <size_t kBytes>
  bool Put(const ExitPage& page, uint64_t address, uint32_t port) {
    const uint32_t next = last_ + 1 == kPostedRoom ? 0 : last_ + 1;
    if (next == ring_->first) return false;
    PostedWrite& write = ring_->writes[last_];
    write.address = address;
    write.size = page.size;
    write.port = port;
    std::memcpy(write.data, page.data, kBytes);
    last_ = ring_->last = next;
    return true;
  }
  void Update();

  std::shared_ptr<PostedRing> ring_;
  uint32_t last_ = 0;               // JavaScript can write to the ring's own
  std::vector<uint8_t> ports_;      // one a port, or empty
  std::vector<Range> port_ranges_;  // what ports_ is made of
  std::vector<Range> mmio_;
  bool active_ = false;
};

}  // namespace hax

#endif  // NODE_HAX_CORE_POSTED_WRITES_H_

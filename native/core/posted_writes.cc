#include "core/posted_writes.h"

#include <algorithm>
#include <cstring>

namespace hax {

namespace {

constexpr uint64_t kPorts = 0x10000;
constexpr uint32_t kCapacity = sizeof(PostedRing::writes) / sizeof(PostedWrite);

}  // namespace

void PostedWrites::Add(bool port, uint64_t first, uint64_t last) {
  (port ? port_ranges_ : mmio_).push_back({first, last});
  Update();
}

void PostedWrites::Remove(bool port, uint64_t first, uint64_t last) {
  std::vector<Range>& ranges = port ? port_ranges_ : mmio_;
  const auto found =
      std::find_if(ranges.begin(), ranges.end(), [first, last](const Range& each) { return each.first == first && each.last == last; });
  if (found != ranges.end()) ranges.erase(found);
  Update();
}

void PostedWrites::Update() {
  active_ = !port_ranges_.empty() || !mmio_.empty();
  ports_.assign(port_ranges_.empty() ? 0 : kPorts, false);
  for (const Range& each : port_ranges_) {
    for (uint64_t port = each.first; port <= each.last && port < kPorts; port++) ports_[port] = true;
  }
  if (active_ && !ring_) ring_ = std::make_shared<PostedRing>();
}

bool PostedWrites::Covers(const ExitPage& page) const {
  if (page.direction != static_cast<uint32_t>(Direction::kOut)) return false;
  if (page.kind == static_cast<uint32_t>(ExitKind::kIo)) {
    const uint32_t last = page.port + page.size - 1;
    return page.count == 1 && last < ports_.size() && ports_[page.port] && ports_[last];
  }
  if (page.kind != static_cast<uint32_t>(ExitKind::kMmio)) return false;
  const uint64_t last = page.address + page.size - 1;
  return std::any_of(mmio_.begin(), mmio_.end(),
                     [&page, last](const Range& each) { return page.address >= each.first && last <= each.last; });
}

bool PostedWrites::Take(const ExitPage& page) {
  if (!Covers(page)) return false;
  const uint32_t next = last_ + 1 == kCapacity ? 0 : last_ + 1;
  if (next == ring_->first) return false;
  PostedWrite& write = ring_->writes[last_];
  write.port = page.kind == static_cast<uint32_t>(ExitKind::kIo) ? 1 : 0;
  write.address = write.port ? page.port : page.address;
  write.size = page.size;
  std::memcpy(write.data, page.data, sizeof write.data);
  last_ = ring_->last = next;
  return true;
}

}  // namespace hax

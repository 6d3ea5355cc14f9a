#include "core/posted_writes.h"

#include <algorithm>

namespace hax {

namespace {

constexpr uint64_t kPorts = 0x10000;

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
  ports_.assign(port_ranges_.empty() ? 0 : kPorts, 0);
  for (const Range& each : port_ranges_) {
    for (uint64_t port = each.first; port <= each.last && port < kPorts; port++) ports_[port] = 1;
  }
  if (active_ && !ring_) ring_ = std::make_shared<PostedRing>();
}

bool PostedWrites::TakeMmio(const ExitPage& page) {
  const uint64_t last = page.address + page.size - 1;
  const bool covered =
      std::any_of(mmio_.begin(), mmio_.end(), [&page, last](const Range& each) { return page.address >= each.first && last <= each.last; });
  return covered && Put<sizeof(PostedWrite::data)>(page, page.address, 0);
}

}  // namespace hax

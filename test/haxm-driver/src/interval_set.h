// A set of page numbers, kept as disjoint half-open ranges.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

namespace haxm_model {

class IntervalSet {
 public:
  bool empty() const { return ranges_.empty(); }
  const std::map<uint64_t, uint64_t>& ranges() const { return ranges_; }  // begin to end

  void Add(uint64_t begin, uint64_t end) {
    auto at = ranges_.upper_bound(begin);
    if (at != ranges_.begin() && std::prev(at)->second >= begin) --at;
    while (at != ranges_.end() && at->first <= end) {
      begin = std::min(begin, at->first);
      end = std::max(end, at->second);
      at = ranges_.erase(at);
    }
    ranges_[begin] = end;
  }

  void Remove(uint64_t begin, uint64_t end) {
    auto at = ranges_.upper_bound(begin);
    if (at != ranges_.begin()) --at;
    while (at != ranges_.end() && at->first < end) {
      const auto [first, last] = *at;
      if (last <= begin) {
        ++at;
        continue;
      }
      at = ranges_.erase(at);
      if (first < begin) ranges_[first] = begin;
      if (last > end) at = ranges_.emplace(end, last).first;
    }
  }

  bool Contains(uint64_t value) const {
    auto at = ranges_.upper_bound(value);
    return at != ranges_.begin() && std::prev(at)->second > value;
  }

  // The lowest member in the range, or false.
  bool First(uint64_t begin, uint64_t end, uint64_t* found) const {
    auto at = ranges_.upper_bound(begin);
    if (at != ranges_.begin() && std::prev(at)->second > begin) {
      *found = begin;
      return true;
    }
    if (at == ranges_.end() || at->first >= end) return false;
    *found = at->first;
    return true;
  }

 private:
  std::map<uint64_t, uint64_t> ranges_;
};

}  // namespace haxm_model

#include "ram.h"

#include <cerrno>
#include <mutex>

#include "abi.h"
#include "config.h"
#include "sys.h"

namespace haxm_model {

namespace {

constexpr uint64_t kShift = 12;
constexpr uint64_t kWindow = 512;  // pages of a 2 MiB window

bool Readable(uint64_t va) {
  uint8_t byte;
  return CopyIn(&byte, va) == 0;
}

}  // namespace

int Ram::AddBlock(uint64_t va, uint64_t size, bool standalone) {
  if (va == 0 || size == 0) return -EINVAL;
  const std::unique_lock<std::shared_mutex> lock(lock_);
  for (const Block& block : blocks_) {
    if (va < block.va + block.size && block.va < va + size) return -EINVAL;
  }
  blocks_.push_back({va, size, standalone, 0, Readable(va)});
  return 0;
}

void Ram::Drop(Blocks::iterator block) {
  if (--block->mappings == 0 && block->standalone) blocks_.erase(block);
}

void Ram::Unmap(uint64_t first, uint64_t end) {
  auto at = mappings_.upper_bound(first);
  if (at != mappings_.begin()) --at;
  while (at != mappings_.end() && at->first < end) {
    const uint64_t begin = at->first;
    const Mapping old = at->second;
    if (old.end <= first) {
      ++at;
      continue;
    }
    at = mappings_.erase(at);
    if (begin < first) {
      mappings_[begin] = {first, old.block, old.va, old.flags};
      old.block->mappings++;
    }
    if (old.end > end) {
      at = mappings_.emplace(end, Mapping{old.end, old.block, old.va + ((end - begin) << kShift), old.flags}).first;
      old.block->mappings++;
    }
    Drop(old.block);
  }
}

int Ram::SetMapping(uint64_t gpa, uint64_t size, uint64_t va, uint32_t flags) {
  const bool unmap = flags & kRamInvalid;
  if (size == 0) return -EINVAL;
  if (unmap && (flags != kRamInvalid || va != 0)) return -EINVAL;
  if (unmap && TheConfig().api < 4) return -EINVAL;
  if (!unmap && va == 0) return -EINVAL;
  const uint64_t first = gpa >> kShift;
  const uint64_t pages = size >> kShift;
  if (pages == 0 || first + pages > kMaxGuestPages) return -EINVAL;
  if (first + pages > kMaxBitmapPages) {
    Log("haxm_error: gpa_space_adjust_prot_bitmap: Not enough memory for new protection bitmap");
    return -ENOMEM;
  }
  if (!unmap && flags & kRamStandalone) {
    const int result = AddBlock(va, size, true);
    if (result) return result;
  }
  const std::unique_lock<std::shared_mutex> lock(lock_);
  auto block = blocks_.end();
  if (!unmap) {
    for (auto at = blocks_.begin(); at != blocks_.end(); ++at) {
      if (va >= at->va && va - at->va < at->size) block = at;
    }
    if (block == blocks_.end()) {
      Log("haxm_warning: can not find %#lx in ramblock list.", va);
      return -EINVAL;
    }
    block->mappings++;
  }
  Unmap(first, first + pages);
  seen_.Remove(first, first + pages);
  changed_ = true;
  if (unmap) return 0;
  mappings_[first] = {first + pages, block, va & ~(kPageSize - 1), flags};
  if (first + pages > highest_) highest_ = first + pages;
  return 0;
}

int Ram::Protect(uint64_t gpa, uint64_t size, uint32_t flags) {
  const uint32_t access = flags & 7;
  if (size == 0 || (access != 0 && access != 7)) return -EINVAL;
  const uint64_t first = gpa >> kShift;
  const uint64_t end = (gpa + size + kPageSize - 1) >> kShift;
  const std::unique_lock<std::shared_mutex> lock(lock_);
  if (end > highest_ || end <= first) return -EINVAL;
  changed_ = true;
  if (access) {
    protected_.Remove(first, end);
    return 0;
  }
  protected_.Add(first, end);
  seen_.Remove(first, end);
  return 0;
}

bool Ram::Broken(const Mapping& mapping, uint64_t va) {
  const Block& block = *mapping.block;
  if (block.va % kPageSize != 0 || va < block.va || va + kPageSize > block.va + block.size) return true;
  return !block.readable && !Readable(va);
}

bool Ram::Withheld(uint64_t page) const {
  if (protected_.empty()) return false;
  if (protected_.Contains(page)) return true;
  uint64_t found;
  const uint64_t window = page & ~(kWindow - 1);
  return !seen_.Contains(page) && protected_.First(window, window + kWindow, &found);
}

std::vector<Slot> Ram::SlotsLocked() const {
  std::vector<Slot> slots;
  const auto append = [&slots](uint64_t begin, uint64_t end, uint64_t va, bool rom) {
    if (begin >= end) return;
    const Slot slot{begin << kShift, (end - begin) << kShift, va, rom};
    if (!slots.empty()) {
      Slot& last = slots.back();
      if (last.gpa + last.size == slot.gpa && last.va + last.size == slot.va && last.rom == slot.rom) {
        last.size += slot.size;
        return;
      }
    }
    slots.push_back(slot);
  };
  for (const auto& [begin, mapping] : mappings_) {
    const bool rom = mapping.flags & kRamRom;
    const Block& block = *mapping.block;
    uint64_t end = mapping.end;
    if (block.va % kPageSize != 0) continue;
    const uint64_t usable = (block.va + block.size - mapping.va) >> kShift;
    if (end - begin > usable) end = begin + usable;
    if (protected_.empty()) {
      append(begin, end, mapping.va, rom);
      continue;
    }
    for (uint64_t page = begin; page < end; page++) {
      if (!Withheld(page)) append(page, page + 1, mapping.va + ((page - begin) << kShift), rom);
    }
  }
  return slots;
}

std::vector<Slot> Ram::Slots() const {
  const std::shared_lock<std::shared_mutex> lock(lock_);
  return SlotsLocked();
}

std::vector<std::pair<uint64_t, uint64_t>> Ram::MappedBlocks() const {
  const std::shared_lock<std::shared_mutex> lock(lock_);
  std::vector<std::pair<uint64_t, uint64_t>> blocks;
  for (const Block& block : blocks_) {
    if (block.mappings && block.readable) blocks.emplace_back(block.va, block.size);
  }
  return blocks;
}

Page Ram::Find(uint64_t gpa) const {
  const uint64_t number = gpa >> kShift;
  const std::shared_lock<std::shared_mutex> lock(lock_);
  auto at = mappings_.upper_bound(number);
  if (at == mappings_.begin()) return {};
  --at;
  const Mapping& mapping = at->second;
  if (number >= mapping.end) return {};
  const uint64_t va = mapping.va + ((number - at->first) << kShift);
  Page page;
  if (Broken(mapping, va)) {
    page.kind = PageKind::kBroken;
    return page;
  }
  page.host = reinterpret_cast<uint8_t*>(va + (gpa & (kPageSize - 1)));
  page.kind = Withheld(number) ? PageKind::kWithheld : mapping.flags & kRamRom ? PageKind::kRom : PageKind::kRam;
  return page;
}

uint64_t Ram::FaultAddress(uint64_t gpa) const {
  const std::shared_lock<std::shared_mutex> lock(lock_);
  const uint64_t window = (gpa >> kShift) & ~(kWindow - 1);
  uint64_t found;
  if (!protected_.First(window, window + kWindow, &found)) found = gpa >> kShift;
  return found << kShift;
}

bool Ram::Enter() {
  {
    const std::shared_lock<std::shared_mutex> lock(lock_);
    if (!changed_) return false;
  }
  const std::unique_lock<std::shared_mutex> lock(lock_);
  for (const Slot& slot : SlotsLocked()) seen_.Add(slot.gpa >> kShift, (slot.gpa + slot.size) >> kShift);
  changed_ = false;
  const bool first = !entered_;
  entered_ = true;
  return first;
}

}  // namespace haxm_model

#include "guest_view.h"

#include <algorithm>
#include <cstring>

#include "abi.h"

namespace haxm_model {

namespace {

constexpr uint64_t kPresent = 1;
constexpr uint64_t kLarge = 1 << 7;
constexpr uint64_t kFrame = 0x000ffffffffff000;

}  // namespace

Mode GuestView::mode() const {
  if (!(sregs_.cr0 & kCr0Pe) || rflags_ & kFlagVm86) return Mode::k16;
  if (sregs_.efer & kEferLma && sregs_.cs.l) return Mode::k64;
  return sregs_.cs.db ? Mode::k32 : Mode::k16;
}

uint64_t GuestView::Linear(SegmentName segment, uint64_t offset) const {
  const kvm_segment* const segments[] = {&sregs_.es, &sregs_.cs, &sregs_.ss, &sregs_.ds, &sregs_.fs, &sregs_.gs};
  const uint64_t base = segments[static_cast<int>(segment)]->base;
  if (mode() == Mode::k64) return segment == SegmentName::kFs || segment == SegmentName::kGs ? base + offset : offset;
  return static_cast<uint32_t>(base + offset);
}

bool GuestView::Load(uint64_t gpa, void* to, size_t size) const {
  const Page page = ram_.Find(gpa);
  if (!page.host) return false;
  memcpy(to, page.host, size);
  return true;
}

bool GuestView::Translate32(uint64_t linear, uint64_t* gpa) const {
  uint32_t entry;
  if (!Load((sregs_.cr3 & 0xfffff000) + ((linear >> 22) & 0x3ff) * 4, &entry, sizeof entry) || !(entry & kPresent)) return false;
  if (entry & kLarge && sregs_.cr4 & kCr4Pse) {
    *gpa = (uint64_t{(entry >> 13) & 0xff} << 32) | (entry & 0xffc00000) | (linear & 0x3fffff);
    return true;
  }
  if (!Load((entry & 0xfffff000) + ((linear >> 12) & 0x3ff) * 4, &entry, sizeof entry) || !(entry & kPresent)) return false;
  *gpa = (entry & 0xfffff000) | (linear & 0xfff);
  return true;
}

bool GuestView::TranslateLong(uint64_t linear, uint64_t table, int levels, uint64_t* gpa) const {
  for (int level = levels; level > 0; level--) {
    const int shift = 12 + (level - 1) * 9;
    uint64_t entry;
    if (!Load(table + ((linear >> shift) & 0x1ff) * 8, &entry, sizeof entry) || !(entry & kPresent)) return false;
    const uint64_t within = (uint64_t{1} << shift) - 1;
    if (level == 1 || (entry & kLarge && level <= 3)) {
      *gpa = (entry & kFrame & ~within) | (linear & within);
      return true;
    }
    table = entry & kFrame;
  }
  return false;
}

bool GuestView::Translate(uint64_t linear, uint64_t* gpa) const {
  if (!(sregs_.cr0 & kCr0Pg) || !(sregs_.cr0 & kCr0Pe)) {
    *gpa = linear;
    return true;
  }
  if (sregs_.efer & kEferLma) return TranslateLong(linear, sregs_.cr3 & kFrame, 4, gpa);
  if (!(sregs_.cr4 & kCr4Pae)) return Translate32(static_cast<uint32_t>(linear), gpa);
  uint64_t pointer;
  if (!Load((sregs_.cr3 & 0xffffffe0) + ((linear >> 30) & 3) * 8, &pointer, sizeof pointer) || !(pointer & kPresent)) return false;
  return TranslateLong(static_cast<uint32_t>(linear) & 0x3fffffff, pointer & kFrame, 2, gpa);
}

size_t GuestView::Read(uint64_t linear, void* to, size_t size) const {
  size_t done = 0;
  while (done < size) {
    uint64_t gpa;
    if (!Translate(linear + done, &gpa)) break;
    const Page page = ram_.Find(gpa);
    if (!page.host) break;
    const size_t part = std::min<size_t>(size - done, kPageSize - (gpa & (kPageSize - 1)));
    memcpy(static_cast<uint8_t*>(to) + done, page.host, part);
    done += part;
  }
  return done;
}

size_t GuestView::Write(uint64_t linear, const void* from, size_t size) const {
  size_t done = 0;
  while (done < size) {
    uint64_t gpa;
    if (!Translate(linear + done, &gpa)) break;
    const Page page = ram_.Find(gpa);
    if (!page.host || page.kind == PageKind::kRom) break;
    const size_t part = std::min<size_t>(size - done, kPageSize - (gpa & (kPageSize - 1)));
    memcpy(page.host, static_cast<const uint8_t*>(from) + done, part);
    done += part;
  }
  return done;
}

}  // namespace haxm_model

// INS and OUTS. The driver counts RCX down for each, as if all were repeated, and takes all of RCX, RSI and RDI whatever the size of an
// address is: what 16-bit code has in their upper halves is part of its count, and its addresses go on where a segment ends.
#include <algorithm>
#include <cstring>

#include "backends/haxm/haxm.h"
#include "backends/haxm/processor.h"

namespace hax::haxm {

namespace {

constexpr uint32_t kLong = 0x2000;     // of a code segment's access rights
constexpr uint32_t kDefault = 0x4000;  // its D: addresses of 32 bits
constexpr uint64_t kPresent = 1;       // of an entry of a page table
constexpr uint64_t kLarge = 0x80;
constexpr uint64_t kFrame = 0xffffffffff000;
constexpr int kMaxInstruction = 15;
constexpr uint8_t kAddressSize = 0x67;

bool IsRep(uint8_t byte) { return (byte & 0xfe) == 0xf2; }
bool IsStringIo(uint8_t byte) { return (byte & 0xfc) == 0x6c; }

// The other prefixes that INS and OUTS may have.
bool IsPrefix(uint8_t byte, bool long_mode) {
  if (byte == 0x66 || byte == kAddressSize || byte == 0x64 || byte == 0x65) return true;
  return (byte & 0xe7) == 0x26 || (long_mode && (byte & 0xf0) == 0x40);
}

uint64_t SetLow16(uint64_t value, uint64_t low) { return (value & ~uint64_t{0xffff}) | (low & 0xffff); }

// How many elements there are before the segment begins anew; one that lies across that counts as inside.
uint64_t UpToTheEnd(uint64_t offset, uint32_t size, bool downwards) {
  return downwards ? offset / size + 1 : std::max<uint64_t>((0x10000 - offset) / size, 1);
}

}  // namespace

// Intel SDM vol. 3, 4.3 to 4.5.
bool HaxmVcpu::Translate(const VcpuState& state, uint64_t efer, uint64_t linear, uint64_t* gpa) {
  *gpa = linear;
  if (!(state.cr0 & kCr0Pg)) return true;
  const bool wide = state.cr4 & kCr4Pae;
  const int bits = wide ? 9 : 10;
  const uint32_t size = wide ? 8 : 4;
  int level = efer & kEferLma ? 4 : wide ? 3 : 2;
  uint64_t table = level == 3 ? state.cr3 & 0xffffffe0 : state.cr3 & kFrame;
  for (;; level--) {
    const int shift = 12 + (level - 1) * bits;
    const uint64_t within = (uint64_t{1} << shift) - 1;
    uint64_t entry = 0;
    if (!vm_->Read(table + ((linear >> shift) & ((1u << bits) - 1)) * size, &entry, size) || !(entry & kPresent)) return false;
    const bool large = entry & kLarge && level < 4 && (wide || state.cr4 & kCr4Pse);
    if (level == 1 || large) {
      *gpa = (entry & kFrame & ~within) | (linear & within);
      if (large && !wide) *gpa |= ((entry >> 13) & 0xff) << 32;  // PSE-36
      return true;
    }
    table = entry & kFrame;
  }
}

// The instruction that begins at rip, or, where it is `over`, the one that ends there: where that begins is not certain, since the last
// bytes of the one before may look like prefixes, and so it has no length, and an address size only where there is no doubt.
bool HaxmVcpu::DecodeString(const VcpuState& state, bool over, StringInstruction* out) {
  MsrData efer = {};
  efer.nr_msr = 1;
  efer.entries[0].entry = kEfer;
  if (!Msrs(&efer, false).ok()) return false;
  const bool long_mode = efer.entries[0].value & kEferLma && state.cs.ar & kLong;
  bool other_size = false;
  *out = {};
  for (int i = 1; i <= kMaxInstruction; i++) {
    const uint64_t rip = over ? state.rip - 1 - i : state.rip + i - 1;
    const uint64_t linear = long_mode ? rip : (state.cs.base + rip) & 0xffffffff;
    uint64_t gpa;
    uint8_t byte;
    if (!Translate(state, efer.entries[0].value, linear, &gpa) || !vm_->Read(gpa, &byte, sizeof byte)) return false;
    const bool prefix = IsRep(byte) || IsPrefix(byte, long_mode);
    if (!prefix && !over && !IsStringIo(byte)) return false;
    if (!prefix) {
      out->length = i;
      break;
    }
    out->repeated = out->repeated || IsRep(byte);
    other_size = other_size || byte == kAddressSize;
  }
  if (!over && out->length == 0) return false;
  const bool wide = long_mode || state.cs.ar & kDefault;
  out->address_size = !wide && !other_size ? 16 : wide && !long_mode && other_size && !over ? 16 : 0;
  return true;
}

// Of an exit with `count` elements: puts the registers right, and gives how many of the elements are the instruction's.
uint32_t HaxmVcpu::SettleString(uint32_t count) {
  auto& io = tunnel_->io;
  // No 16-bit code has addresses there, and RCX is right where there are several.
  if (count > 1 && io.vaddr >> 33 != 0) return count;
  VcpuState state;
  if (!GetRegisters(&state).ok()) return count;
  uint64_t& index = io.direction == kIoIn ? state.rdi : state.rsi;
  const uint64_t bytes = uint64_t{count} * io.size;
  const uint64_t first = io.df ? index + bytes : index - bytes;
  const uint64_t rcx = state.rcx + count;
  const bool alone = count == 1 && state.rcx != 0;  // if it were repeated, there would be more elements
  // With addresses of 16 bits nothing would be different.
  const bool same = (first ^ index) >> 16 == 0 && (rcx >> 16 == 0 || count == 1);
  if (same && count > 1) return count;
  const bool over = count == 1 || state.rcx == 0;  // the driver has moved RIP past it
  StringInstruction instruction = {};
  if (!same || !alone) {
    // What cannot be read stays as the driver has it.
    if (!DecodeString(state, over, &instruction) && !alone) return count;
  }
  const bool narrows = instruction.address_size == 16 && !same;
  if (instruction.repeated && !alone && !narrows) return count;
  uint32_t own = count;
  if (narrows) {
    const uint64_t wanted = alone || !instruction.repeated ? 1 : rcx & 0xffff;
    if (!over) {
      own = static_cast<uint32_t>(std::min({uint64_t{count}, wanted, UpToTheEnd(first & 0xffff, io.size, io.df != 0)}));
      if (own == wanted) state.rip += instruction.length;
    }
    const uint64_t moved = uint64_t{own} * io.size;
    index = SetLow16(first, io.df ? first - moved : first + moved);
    state.rcx = SetLow16(rcx, rcx - own);
  }
  if (alone || !instruction.repeated) state.rcx = rcx;
  (void)SetRegisters(state);
  if (own == count || io.direction != kIoIn) return own;
  // What the driver copies to the guest at the next RUN.
  if (io.df) io.vaddr += uint64_t{count - own} * io.size;
  io.count = static_cast<uint16_t>(own);
  return own;
}

}  // namespace hax::haxm

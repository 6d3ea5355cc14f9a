// INS and OUTS that are not repeated: the driver counts RCX down for each, as if they were.
#include <cstring>

#include "backends/haxm/haxm.h"
#include "backends/haxm/processor.h"

namespace hax::haxm {

namespace {

constexpr uint32_t kLong = 0x2000;  // of a code segment's access rights
constexpr uint64_t kPresent = 1;    // of an entry of a page table
constexpr uint64_t kLarge = 0x80;
constexpr uint64_t kFrame = 0xffffffffff000;
constexpr int kMaxInstruction = 15;

// The prefixes that INS and OUTS may have between REP and the opcode.
bool IsPrefix(uint8_t byte, bool long_mode) {
  if (byte == 0x66 || byte == 0x67 || byte == 0x64 || byte == 0x65) return true;
  return (byte & 0xe7) == 0x26 || (long_mode && (byte & 0xf0) == 0x40);
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

// Looks for REP before the opcode, which ends at rip. What cannot be read counts as repeated: the driver's count stays.
bool HaxmVcpu::IsRepeated(const VcpuState& state) {
  MsrData efer = {};
  efer.nr_msr = 1;
  efer.entries[0].entry = kEfer;
  if (!Msrs(&efer, false).ok()) return true;
  const bool long_mode = efer.entries[0].value & kEferLma && state.cs.ar & kLong;
  const uint64_t end = long_mode ? state.rip : state.cs.base + state.rip;
  for (int back = 2; back <= kMaxInstruction; back++) {
    uint64_t linear = end - back;
    if (!long_mode) linear &= 0xffffffff;
    uint64_t gpa;
    uint8_t byte;
    if (!Translate(state, efer.entries[0].value, linear, &gpa) || !vm_->Read(gpa, &byte, sizeof byte)) return true;
    if ((byte & 0xfe) == 0xf2) return true;
    if (!IsPrefix(byte, long_mode)) return false;
  }
  return false;
}

// Of an exit with one element. A repeated instruction has come to its end then, with RCX 0: it would have brought more elements otherwise.
void HaxmVcpu::RestoreCount() {
  VcpuState state;
  if (!GetRegisters(&state).ok() || (state.rcx == 0 && IsRepeated(state))) return;
  state.rcx++;
  (void)SetRegisters(state);
}

}  // namespace hax::haxm

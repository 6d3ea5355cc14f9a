// GET_REGS and SET_REGS: the driver's registers out of KVM's and back. What the client set comes back as it was, until the guest
// changes it.
#include <cerrno>
#include <cstring>

#include "config.h"
#include "sys.h"
#include "vcpu.h"

namespace haxm_model {

namespace {

constexpr uint64_t kReservedFlags = ~uint64_t{0x3fffff} | 0x8028;  // must be 0
constexpr uint64_t kAlwaysFlag = 2;

kvm_segment* SegmentOf(kvm_sregs* sregs, int index) {
  kvm_segment* const segments[] = {&sregs->cs, &sregs->ss, &sregs->ds, &sregs->es, &sregs->fs, &sregs->gs, &sregs->ldt, &sregs->tr};
  return segments[index];
}

uint32_t AccessRights(const kvm_segment& segment) {
  return static_cast<uint32_t>(segment.type | segment.s << 4 | segment.dpl << 5 | segment.present << 7 | segment.avl << 12 |
                               segment.l << 13 | segment.db << 14 | segment.g << 15 | (segment.unusable ? kArUnusable : 0));
}

kvm_segment ToKvm(const Segment& segment, int index) {
  kvm_segment result{};
  const uint32_t ar = segment.ar ? segment.ar : kArUnusable;
  result.base = segment.base;
  result.limit = segment.limit;
  result.selector = segment.selector;
  result.type = ar & 0xf;
  result.s = (ar >> 4) & 1;
  result.dpl = (ar >> 5) & 3;
  result.present = (ar >> 7) & 1;
  result.avl = (ar >> 12) & 1;
  result.l = (ar >> 13) & 1;
  result.db = (ar >> 14) & 1;
  result.g = (ar >> 15) & 1;
  result.unusable = ar & kArUnusable ? 1 : 0;
  if (index == kCs && result.type == 3) result.type = 0xb;  // what the reset leaves; KVM wants to see code
  return result;
}

// Sign-extended from bit 47.
bool IsCanonical(uint64_t address) { return static_cast<uint64_t>(static_cast<int64_t>(address << 16) >> 16) == address; }

bool Same(const kvm_segment& a, const kvm_segment& b) {
  return a.base == b.base && a.limit == b.limit && a.selector == b.selector && AccessRights(a) == AccessRights(b);
}

bool Same(const Segment& a, const Segment& b) { return memcmp(&a, &b, sizeof a) == 0; }

Segment Plain(uint16_t selector, uint64_t base, uint32_t ar) { return {selector, 0, 0xffff, base, ar, 0}; }

void NarrowState(const VcpuState520& wide, VcpuState* state) {
  auto* bytes = reinterpret_cast<uint8_t*>(state);
  memcpy(bytes, wide.head, sizeof wide.head);
  memcpy(bytes + sizeof wide.head, wide.tail, sizeof wide.tail);
}

}  // namespace

void Vcpu::Reset() {
  regs() = kvm_regs{};
  regs().rip = 0xfff0;
  regs().rflags = kAlwaysFlag;
  for (int i = kSs; i <= kGs; i++) shown_[i] = Plain(0, 0, 0x93);
  shown_[kCs] = Plain(0xf000, 0xffff0000, 0x93);
  shown_[kLdt] = Plain(0, 0, 0x82);
  shown_[kTr] = Plain(0, 0, 0x83);
  shown_[kGdt] = shown_[kIdt] = Plain(0, 0, kArUnusable);
  memcpy(cached_, shown_, sizeof cached_);
  sregs().cr0 = 0x60000010;
  sregs().cr2 = sregs().cr3 = sregs().cr4 = sregs().efer = 0;
  debug_registers_.dr6 = kDr6Set;
  debug_registers_.dr7 = kDr7Set;
  regs_dirty_ = sregs_dirty_ = fpu_dirty_ = true;
}

// What the processor makes of the two enable bits.
uint64_t Vcpu::Efer() const {
  const uint64_t efer = sregs().efer & ~kEferLma;
  return efer & kEferLme && sregs().cr0 & kCr0Pg ? efer | kEferLma : efer;
}

void Vcpu::ShowState(VcpuState* state) {
  const kvm_regs& general = operation_.rolled_back ? operation_.shown : regs();
  static constexpr int kOrder[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  for (int i = 0; i < 16; i++) state->gpr[i] = GetRegister(general, kOrder[i]);
  state->rip = general.rip;
  state->rflags = general.rflags;
  if (resume_flag_) state->rflags |= kFlagResume;
  if (trap_) state->rflags |= kFlagTrap;
  for (int i = kCs; i <= kTr; i++) {
    const kvm_segment& now = *SegmentOf(&sregs(), i);
    if (!sregs_dirty_ && !Same(now, flushed_[i])) {
      shown_[i] = {now.selector, shown_[i].dummy, now.limit, now.base, AccessRights(now), shown_[i].ipad};
      flushed_[i] = now;
    }
    state->segment[i] = shown_[i];
  }
  if (!sregs_dirty_) {
    shown_[kGdt].base = sregs().gdt.base;
    shown_[kGdt].limit = sregs().gdt.limit;
    shown_[kIdt].base = sregs().idt.base;
    shown_[kIdt].limit = sregs().idt.limit;
  }
  for (int i = kGdt; i <= kIdt; i++) state->segment[i] = shown_[i];
  for (Segment& segment : state->segment) {
    if (segment.ar == 0) segment.ar = kArUnusable;
  }
  state->cr0 = sregs().cr0;
  state->cr2 = sregs().cr2;
  state->cr3 = sregs().cr3;
  state->cr4 = sregs().cr4;
  if (debug_.control & kDebugEnable) {
    for (int i = 0; i < 4; i++) state->dr[i] = debug_.dr[i];
    state->dr6 = kDr6Set;
    state->dr7 = debug_.dr[7];
    return;
  }
  const kvm_debugregs& debug = DebugRegisters();
  for (int i = 0; i < 4; i++) state->dr[i] = debug.db[i];
  state->dr6 = debug.dr6;
  state->dr7 = debug.dr7;
}

// GET_REGS reads the segments once after each run, and those of the time before are shown until then; it never sees that SET_MSRS has set
// the base of GS.
void Vcpu::ReadSegments(VcpuState* state) {
  for (int i = 0; i < kSegments; i++) {
    if (segments_stale_ && !(i == kFs && fs_base_waits_)) cached_[i] = state->segment[i];
    state->segment[i] = cached_[i];
  }
  segments_stale_ = false;
}

// SET_REGS compares with what was read last: what is the same is not written, whatever the processor has. Exits read CS, DS and ES.
void Vcpu::SkipSegments(const VcpuState& now, VcpuState* wanted) {
  for (int i = 0; i < kSegments; i++) {
    if (segments_stale_ && (i == kCs || i == kDs || i == kEs)) cached_[i] = now.segment[i];
    if (Same(wanted->segment[i], cached_[i])) {
      wanted->segment[i] = now.segment[i];
    } else {
      cached_[i] = wanted->segment[i];
    }
  }
}

int Vcpu::GetRegs(uint64_t argument, bool wide) {
  VcpuState state{};
  if (fd_ >= 0) Settle();
  shadow_back_ = halt_behind_sti_;
  ShowState(&state);
  ReadSegments(&state);
  if (!wide) return CopyOut(argument, state);
  VcpuState520 other{};
  memcpy(other.head, &state, sizeof other.head);
  memcpy(other.tail, reinterpret_cast<uint8_t*>(&state) + sizeof other.head, sizeof other.tail);
  other.xcr0 = 1;
  return CopyOut(argument, other);
}

int Vcpu::SetRegs(uint64_t argument, bool wide) {
  VcpuState state;
  if (wide) {
    VcpuState520 other;
    if (CopyIn(&other, argument)) return -EFAULT;
    NarrowState(other, &state);
  } else if (CopyIn(&state, argument)) {
    return -EFAULT;
  }
  if (fd_ >= 0) Settle();
  TakeGeneral(state);
  if (TakeSystem(state)) sregs_dirty_ = true;
  if (!(debug_.control & kDebugEnable)) TakeDebug(state);
  window_known_ = false;
  return 0;
}

void Vcpu::TakeGeneral(const VcpuState& state) {
  VcpuState before{};
  ShowState(&before);
  kvm_regs taken{};
  for (int i = 0; i < 16; i++) SetRegister(&taken, i, state.gpr[i]);
  taken.rip = state.rip;
  taken.rflags = state.rflags;
  if (resume_flag_) {
    resume_flag_ = state.rflags & kFlagResume;
    taken.rflags &= ~kFlagResume;
  }
  // Whoever takes TF away ends the stepping.
  if (trap_ || Steps()) {
    trap_ = taken.rflags & kFlagTrap;
    taken.rflags &= ~kFlagTrap;
    debug_armed_ = false;
  }
  regs_dirty_ = true;
  if (!operation_.rolled_back) {
    regs() = taken;
    return;
  }
  // The instruction is not finished for the client, but is for KVM: what the client left alone keeps the instruction's result.
  const kvm_regs shown = operation_.shown;
  operation_.shown = taken;
  for (int i = 0; i < 16; i++) {
    if (GetRegister(taken, i) != GetRegister(shown, i)) SetRegister(&regs(), i, GetRegister(taken, i));
  }
  if (taken.rip != shown.rip) regs().rip = taken.rip;
  if (state.rflags != before.rflags) regs().rflags = taken.rflags;
}

// True when anything changed.
bool Vcpu::TakeSystem(VcpuState state) {
  VcpuState before{};
  ShowState(&before);
  SkipSegments(before, &state);
  bool changed = state.cr0 != before.cr0 || state.cr2 != before.cr2 || state.cr3 != before.cr3 || state.cr4 != before.cr4;
  for (int i = 0; i < kSegments; i++) {
    if (!Same(state.segment[i], before.segment[i])) changed = true;
  }
  if (!changed) return false;
  for (int i = 0; i < kSegments; i++) {
    shown_[i] = state.segment[i];
    if (i <= kTr) *SegmentOf(&sregs(), i) = ToKvm(shown_[i], i);
  }
  sregs().gdt.base = shown_[kGdt].base;
  sregs().gdt.limit = static_cast<uint16_t>(shown_[kGdt].limit);
  sregs().idt.base = shown_[kIdt].base;
  sregs().idt.limit = static_cast<uint16_t>(shown_[kIdt].limit);
  sregs().cr0 = state.cr0;
  sregs().cr2 = state.cr2;
  sregs().cr3 = state.cr3;
  sregs().cr4 = state.cr4;
  if (state.cr0 & kCr0Pg && !(state.cr4 & kCr4Pae)) sregs().efer = 0;
  const bool moved = (state.cr0 ^ before.cr0) & kCr0Pg || (state.cr4 ^ before.cr4) & kCr4Pae || state.cr3 != before.cr3;
  pointers_missing_ = state.cr0 & kCr0Pg && state.cr4 & kCr4Pae && (pointers_missing_ || moved);
  return true;
}

// Addresses that VMX checks at an entry (Intel SDM vol. 3, 26.3.1).
bool Vcpu::Loadable() const {
  for (int i = kCs; i <= kIdt; i++) {
    const bool unusable = shown_[i].ar == 0 || shown_[i].ar & kArUnusable;
    const bool flat = i <= kEs;
    if (unusable && i != kCs && (flat || i == kLdt)) continue;
    if (flat ? shown_[i].base >> 32 != 0 : !IsCanonical(shown_[i].base)) return false;
  }
  return shown_[kGdt].limit <= 0xffff && shown_[kIdt].limit <= 0xffff && sregs().cr3 >> 52 == 0;
}

// What VMX checks of a segment's access rights and limit (26.3.1.2); the driver puts right what it puts right only of CS and TR.
bool Vcpu::WellFormed(int index) const {
  const uint32_t ar = shown_[index].ar;
  const uint32_t limit = shown_[index].limit;
  if (ar == 0 || ar & kArUnusable) return true;
  const uint32_t type = ar & 0xf;
  const bool system = index == kLdt || index == kTr;
  if (ar & 0xf00 || !(ar & 0x80) || (ar & 0x10) == (system ? 0x10u : 0)) return false;
  if ((limit & 0xfff) != 0xfff && ar & 0x8000) return false;
  if (limit >> 20 != 0 && !(ar & 0x8000)) return false;
  if (index == kSs) return type == 3 || type == 7;
  if (index == kLdt) return type == 2;
  return system || index == kCs || ((type & 1) && (!(type & 8) || type & 2));
}

// What VMX checks at an entry, as far as KVM would let it pass.
bool Vcpu::Enterable() const {
  const uint32_t cs = shown_[kCs].ar;
  const uint32_t type = cs & 0xf;
  const bool code = type == 3 || type == 0xa || ((type & 9) == 9);
  if (sregs_dirty_) {
    if (!Loadable()) return false;
    for (int i = kCs; i <= kTr; i++) {
      if (!WellFormed(i)) return false;
    }
    if (cs == 0 || cs & kArUnusable || !(cs & 0x10) || !(cs & 0x80) || !code) return false;
    if (shown_[kTr].ar == 0 || shown_[kTr].ar & kArUnusable) return false;
    if (sregs().cr0 & kCr0Pg && !(sregs().cr0 & kCr0Pe)) return false;
    if (Efer() & kEferLma && (cs & 0x6000) == 0x6000) return false;
    // Those of PAE paging are 0, or of other tables, until the guest writes CR0 or CR4: the first instruction is a triple fault.
    if (pointers_missing_ && !(Efer() & kEferLma)) return false;
  }
  if (!regs_dirty_) return true;
  if (!(regs().rflags & kAlwaysFlag) || regs().rflags & kReservedFlags) return false;
  return Efer() & kEferLma && sregs().cs.l ? IsCanonical(regs().rip) : regs().rip >> 32 == 0;
}

// False: this state cannot be entered.
bool Vcpu::FlushSystem() {
  // The driver puts these two right at each entry.
  if ((shown_[kCs].ar & 0xf) == 0xa) shown_[kCs].ar++;
  shown_[kTr].ar = (shown_[kTr].ar & ~0xfu) | 0xb;
  for (int i = kCs; i <= kTr; i++) *SegmentOf(&sregs(), i) = ToKvm(shown_[i], i);
  sregs().efer = Efer();
  if (!(sregs().efer & kEferLma)) sregs().cs.l = 0;
  sregs().apic_base = apic_base_;
  sregs().cr8 = 0;
  memset(sregs().interrupt_bitmap, 0, sizeof sregs().interrupt_bitmap);
  kvm_sregs wanted = sregs();
  const long result = haxm_model::Ioctl(fd_, KVM_SET_SREGS, &wanted);
  if (result < 0) {
    Log("haxm-model: KVM_SET_SREGS: %ld", result);
    return false;
  }
  haxm_model::Ioctl(fd_, KVM_GET_SREGS, &sregs());
  for (int i = kCs; i <= kTr; i++) flushed_[i] = *SegmentOf(&sregs(), i);
  sregs_dirty_ = false;
  return true;
}

}  // namespace haxm_model

// Registers: between the driver's structures and the state block that both backends share.
#include <algorithm>
#include <cstring>

#include "backends/haxm/haxm.h"

namespace hax::haxm {

namespace {

constexpr uint32_t kEfer = 0xc0000080;
constexpr uint32_t kApicBase = 0x1b;

// The order of StateBlock::general, but for r8 to r15, rip and rflags.
constexpr uint64_t VcpuState::*kFirstEight[] = {&VcpuState::rax, &VcpuState::rbx, &VcpuState::rcx, &VcpuState::rdx,
                                                &VcpuState::rsi, &VcpuState::rdi, &VcpuState::rsp, &VcpuState::rbp};
// The order of StateBlock::segments.
constexpr SegmentDesc VcpuState::*kSegment[kSegments] = {&VcpuState::cs, &VcpuState::ds, &VcpuState::es, &VcpuState::fs,
                                                         &VcpuState::gs, &VcpuState::ss, &VcpuState::tr, &VcpuState::ldt};

SegmentState FromHaxm(const SegmentDesc& s) { return {s.base, s.limit, s.ar, s.selector, 0}; }

SegmentDesc ToHaxm(const SegmentState& s) {
  SegmentDesc out = {};
  out.selector = static_cast<uint16_t>(s.selector);
  out.limit = s.limit;
  out.base = s.base;
  out.ar = s.attributes;
  return out;
}

void GeneralFromHaxm(const VcpuState& from, StateBlock* to) {
  for (size_t i = 0; i < 8; i++) to->general[i] = from.*kFirstEight[i];
  std::copy(from.r8_15, from.r8_15 + 8, to->general + 8);
  to->general[16] = from.rip;
  to->general[17] = from.rflags;
}

void GeneralToHaxm(const StateBlock& from, VcpuState* to) {
  for (size_t i = 0; i < 8; i++) to->*kFirstEight[i] = from.general[i];
  std::copy(from.general + 8, from.general + 16, to->r8_15);
  to->rip = from.general[16];
  to->rflags = from.general[17];
}

}  // namespace

// The layout is told by which of the two numbers the driver knows.
Status HaxmVcpu::GetRegisters(VcpuState* state) {
  uint8_t wide[kVcpuStateWithXcr0Size] = {};
  if (!layout_known_) {
    *state = {};
    Status status = node_->Call(kGetRegs, state);
    if (!IsUnknownRequest(status)) {
      layout_known_ = status.ok();
      return status;
    }
    with_xcr0_ = true;
    layout_known_ = true;
  }
  if (!with_xcr0_) {
    *state = {};
    return node_->Call(kGetRegs, state);
  }
  Status status = node_->Call(kGetRegsWithXcr0, wide);
  auto* bytes = reinterpret_cast<uint8_t*>(state);
  std::memcpy(bytes, wide, kXcr0Offset);
  std::memcpy(bytes + kXcr0Offset, wide + kXcr0Offset + sizeof(uint64_t), kVcpuStateSize - kXcr0Offset);
  return status;
}

Status HaxmVcpu::SetRegisters(const VcpuState& state) {
  if (!with_xcr0_) {
    VcpuState copy = state;
    return node_->Call(kSetRegs, &copy);
  }
  // XCR0 goes back as the driver has it.
  uint8_t wide[kVcpuStateWithXcr0Size] = {};
  Status status = node_->Call(kGetRegsWithXcr0, wide);
  if (!status.ok()) return status;
  const auto* bytes = reinterpret_cast<const uint8_t*>(&state);
  std::memcpy(wide, bytes, kXcr0Offset);
  std::memcpy(wide + kXcr0Offset + sizeof(uint64_t), bytes + kXcr0Offset, kVcpuStateSize - kXcr0Offset);
  return node_->Call(kSetRegsWithXcr0, wide);
}

Status HaxmVcpu::ClearUpperRax() {
  VcpuState state;
  Status status = GetRegisters(&state);
  if (!status.ok() || state.rax >> 32 == 0) return status;
  state.rax &= 0xffffffff;
  return SetRegisters(state);
}

Status HaxmVcpu::Msr(uint32_t index, uint64_t* value, bool set) {
  MsrData data = {};
  data.nr_msr = 1;
  data.entries[0] = {index, *value};
  Status status = node_->Call(set ? kSetMsrs : kGetMsrs, &data);
  if (status.ok() && !set) *value = data.entries[0].value;
  return status;
}

Status HaxmVcpu::GetState(uint32_t mask) {
  StateBlock& state = shared_->state;
  if (mask & kStateMp) return Status::Error(Code::kUnsupported, "mpState", "HAXM does not tell what a halted vCPU does");
  if (mask & (kStateGeneral | kStateSystem)) {
    VcpuState from;
    Status status = GetRegisters(&from);
    if (!status.ok()) return status;
    if (mask & kStateGeneral) GeneralFromHaxm(from, &state);
    if (mask & kStateSystem) {
      for (size_t i = 0; i < kSegments; i++) state.segments[i] = FromHaxm(from.*kSegment[i]);
      state.gdt = {from.gdt.base, from.gdt.limit, 0};
      state.idt = {from.idt.base, from.idt.limit, 0};
      state.cr0 = from.cr0;
      state.cr2 = from.cr2;
      state.cr3 = from.cr3;
      state.cr4 = from.cr4;
      state.cr8 = 0;
      status = Msr(kEfer, &state.efer, false);
      if (status.ok()) status = Msr(kApicBase, &state.apic_base, false);
      if (!status.ok()) return status;
    }
  }
  if (mask & kStateFpu) {
    FxLayout fpu = {};
    Status status = node_->Call(kGetFpu, &fpu);
    if (!status.ok()) return status;
    std::memcpy(state.fxsave, fpu.image, sizeof fpu.image);
  }
  return mask & kStateMsrs ? MoveMsrs(false) : Status::Ok();
}

Status HaxmVcpu::SetState(uint32_t mask) {
  StateBlock& state = shared_->state;
  if (mask & kStateMp) return Status::Error(Code::kUnsupported, "mpState", "HAXM cannot set what a halted vCPU does");
  if (mask & (kStateGeneral | kStateSystem)) {
    VcpuState to;
    Status status = GetRegisters(&to);
    if (!status.ok()) return status;
    // EFER first and by its MSR: the structure's member is ignored, and paging in 64-bit mode wants LME to be there already.
    if (mask & kStateSystem) status = Msr(kEfer, &state.efer, true);
    if (!status.ok()) return status;
    if (mask & kStateGeneral) GeneralToHaxm(state, &to);
    if (mask & kStateSystem) {
      for (size_t i = 0; i < kSegments; i++) to.*kSegment[i] = ToHaxm(state.segments[i]);
      to.gdt.base = state.gdt.base;
      to.gdt.limit = state.gdt.limit;
      to.idt.base = state.idt.base;
      to.idt.limit = state.idt.limit;
      to.cr0 = state.cr0;
      to.cr2 = state.cr2;
      to.cr3 = state.cr3;
      to.cr4 = state.cr4;
    }
    status = SetRegisters(to);
    if (!status.ok()) return status;
  }
  if (mask & kStateFpu) {
    FxLayout fpu;
    std::memcpy(fpu.image, state.fxsave, sizeof fpu.image);
    Status status = node_->Call(kSetFpu, &fpu);
    if (!status.ok()) return status;
  }
  return mask & kStateMsrs ? MoveMsrs(true) : Status::Ok();
}

// In batches. A list stops at the first MSR that is refused; SET does not say where that was, so the same list is read afterwards.
Status HaxmVcpu::MoveMsrs(bool set) {
  StateBlock& state = shared_->state;
  const uint32_t wanted = std::min<uint32_t>(state.msr_count, hax::kMaxMsrs);
  state.msr_count = 0;
  for (uint32_t first = 0; first < wanted;) {
    MsrData data = {};
    data.nr_msr = static_cast<uint16_t>(std::min<uint32_t>(wanted - first, haxm::kMaxMsrs));
    for (uint32_t i = 0; i < data.nr_msr; i++) data.entries[i] = {state.msrs[first + i].index, state.msrs[first + i].value};
    const uint16_t asked = data.nr_msr;
    Status status = node_->Call(set ? kSetMsrs : kGetMsrs, &data);
    if (!status.ok()) return status;
    uint16_t done = asked;
    if (set) {
      // What cannot be read is not known to have been set.
      MsrData check = data;
      check.done = 0;
      status = node_->Call(kGetMsrs, &check);
      if (!status.ok()) return status;
      done = std::min(asked, check.done);
    } else {
      done = std::min(asked, data.done);
      for (uint32_t i = 0; i < done; i++) state.msrs[first + i].value = data.entries[i].value;
    }
    state.msr_count += done;
    if (done < asked) return Status::Ok();
    first += asked;
  }
  return Status::Ok();
}

}  // namespace hax::haxm

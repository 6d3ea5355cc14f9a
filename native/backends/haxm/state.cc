// Registers: between the driver's structures and the state block that both backends share.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "backends/haxm/guest_check.h"
#include "backends/haxm/haxm.h"
#include "backends/haxm/processor.h"

namespace hax::haxm {

namespace {

constexpr uint32_t kApicBase = 0x1b;
constexpr uint32_t kFsBase = 0xc0000100;
constexpr uint32_t kGsBase = 0xc0000101;
constexpr uint64_t kAlwaysFlag = 2;  // of RFLAGS, Intel SDM vol. 1, 3.4.3
constexpr uint64_t kTrapFlag = 0x100;
constexpr uint64_t kInterruptFlag = 0x200;
constexpr uint32_t kCodeOrData = 0x10;  // of access rights, Intel SDM vol. 3, 24.4.1
constexpr uint32_t kAccessed = 1;
constexpr uint32_t kUnusable = 0x10000;
constexpr size_t kFlags = 17;  // in StateBlock::general
// Where MXCSR is in an FXSAVE image, and what it has (Intel SDM vol. 1, 10.2.3).
constexpr size_t kMxcsrOffset = 24;
constexpr uint32_t kMxcsrBits = 0xffff;
// An MSR that means nothing on this processor: Intel's SYSCALL exists in 64-bit mode only (SDM vol. 3, 5.8.8).
constexpr uint32_t kCstar = 0xc0000083;

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
  to->general[kFlags] = from.rflags;
}

void GeneralToHaxm(const StateBlock& from, VcpuState* to) {
  for (size_t i = 0; i < 8; i++) to->*kFirstEight[i] = from.general[i];
  std::copy(from.general + 8, from.general + 16, to->r8_15);
  to->rip = from.general[16];
  to->rflags = from.general[kFlags] | kAlwaysFlag;
}

// Calls that move registers fail when the driver cannot load the vCPU into the processor, and for no other reason (on Windows as EIO).
Status ExplainRegisters(Status status) {
  if (status.os_code == EFAULT || status.os_code == EIO) {
    status.detail = std::string(status.operation) + " failed: the driver cannot load the vCPU, most likely because another hypervisor " +
                    "(KVM, VirtualBox, VMware) owns VT-x; stop its guests and unload it";
  }
  return status;
}

// The driver restores the image as it is, in the kernel: a reserved bit faults there.
Status CheckFpu(const uint8_t* image) {
  uint32_t mxcsr;
  std::memcpy(&mxcsr, image + kMxcsrOffset, sizeof mxcsr);
  if ((mxcsr & ~kMxcsrBits) == 0) return Status::Ok();
  return Status::Error(Code::kIoctl, kSetFpu.name, "mxcsr has no bits above 15", EINVAL);
}

// SYSENTER_ESP and _EIP, LSTAR, CSTAR, and the bases of FS, GS and SWAPGS. The driver takes any value: releases before 7.7 load it in the
// kernel, which faults, and with later ones the vCPU dies at the next entry.
bool IsLoadable(const MsrState& msr) {
  const bool address = msr.index == 0x175 || msr.index == 0x176 || msr.index == 0xc0000082 || msr.index == kCstar ||
                       (msr.index >= 0xc0000100 && msr.index <= 0xc0000102);
  return !address || IsCanonical(msr.value);
}

// Paging with page-directory pointers, Intel SDM vol. 3, 4.4.1.
bool IsPae(const VcpuState& state, uint64_t efer) { return state.cr0 & kCr0Pg && state.cr4 & kCr4Pae && !(efer & kEferLme); }

}  // namespace

Status HaxmVcpu::GetRegisters(VcpuState* state) {
  Status status = ReadRegisters(state);
  if (status.ok()) halt_read_ = halted_;
  return status;
}

// The layout is told by which of the two numbers the driver knows.
Status HaxmVcpu::ReadRegisters(VcpuState* state) {
  *state = {};
  if (!with_xcr0_) {
    Status status = node_->Call(kGetRegs, state);
    layout_known_ = layout_known_ || status.ok();
    if (layout_known_ || !IsUnknownRequest(status)) return ExplainRegisters(std::move(status));
  }
  uint8_t wide[kVcpuStateWithXcr0Size] = {};
  Status status = node_->Call(kGetRegsWithXcr0, wide);
  if (!status.ok()) return ExplainRegisters(std::move(status));
  with_xcr0_ = layout_known_ = true;
  auto* bytes = reinterpret_cast<uint8_t*>(state);
  std::memcpy(bytes, wide, kXcr0Offset);
  std::memcpy(bytes + kXcr0Offset, wide + kXcr0Offset + sizeof(uint64_t), kVcpuStateSize - kXcr0Offset);
  return Status::Ok();
}

// A SET_REGS that changes no debug register makes the driver forget those that wait to be loaded at the next entry. So it is made to change
// one.
Status HaxmVcpu::SetRegisters(const VcpuState& state) {
  if (debug_by_hand_) {
    VcpuState other = state;
    other.dr0 ^= 1;
    Status status = WriteRegisters(other);
    if (!status.ok()) return status;
  }
  return WriteRegisters(state);
}

Status HaxmVcpu::WriteRegisters(const VcpuState& state) {
  if (!with_xcr0_) {
    VcpuState copy = state;
    return ExplainRegisters(node_->Call(kSetRegs, &copy));
  }
  // XCR0 goes back as the driver has it.
  uint8_t wide[kVcpuStateWithXcr0Size] = {};
  Status status = node_->Call(kGetRegsWithXcr0, wide);
  if (!status.ok()) return ExplainRegisters(std::move(status));
  const auto* bytes = reinterpret_cast<const uint8_t*>(&state);
  std::memcpy(wide, bytes, kXcr0Offset);
  std::memcpy(wide + kXcr0Offset + sizeof(uint64_t), bytes + kXcr0Offset, kVcpuStateSize - kXcr0Offset);
  return ExplainRegisters(node_->Call(kSetRegsWithXcr0, wide));
}

Status HaxmVcpu::ClearUpperRax() {
  VcpuState state;
  Status status = GetRegisters(&state);
  if (!status.ok() || state.rax >> 32 == 0) return status;
  state.rax &= 0xffffffff;
  return SetRegisters(state);
}

Status HaxmVcpu::Msrs(MsrData* data, bool set) {
  data->done = 0;
  return node_->Call(set ? kSetMsrs : kGetMsrs, data);
}

Status HaxmVcpu::GetState(uint32_t mask) {
  StateBlock& state = shared_->state;
  if (mask & kStateMp) return Status::Error(Code::kUnsupported, "mpState", "HAXM does not tell what a halted vCPU does");
  if (mask & (kStateGeneral | kStateSystem)) {
    VcpuState from;
    Status status = GetRegisters(&from);
    if (!status.ok()) return status;
    if (mask & kStateGeneral) GeneralFromHaxm(from, &state);
    if (mask & kStateGeneral && TrapIsDrivers()) state.general[kFlags] &= ~kTrapFlag;
    if (mask & kStateSystem) status = GetSystem(from);
    if (!status.ok()) return status;
  }
  if (mask & kStateFpu) {
    FxLayout fpu = {};
    Status status = node_->Call(kGetFpu, &fpu);
    if (!status.ok()) return status;
    std::memcpy(state.fxsave, fpu.image, sizeof fpu.image);
  }
  return mask & kStateMsrs ? MoveMsrs(false) : Status::Ok();
}

Status HaxmVcpu::GetSystem(const VcpuState& from) {
  StateBlock& state = shared_->state;
  for (size_t i = 0; i < kSegments; i++) state.segments[i] = FromHaxm(from.*kSegment[i]);
  state.gdt = {from.gdt.base, from.gdt.limit, 0};
  state.idt = {from.idt.base, from.idt.limit, 0};
  state.cr0 = from.cr0;
  state.cr2 = from.cr2;
  state.cr3 = from.cr3;
  state.cr4 = from.cr4;
  state.cr8 = 0;
  MsrData data = {};
  data.nr_msr = 2;
  data.entries[0].entry = kEfer;
  data.entries[1].entry = kApicBase;
  Status status = Msrs(&data, false);
  if (status.ok() && data.done != 2) status = Status::Error(Code::kIoctl, kGetMsrs.name, "the driver does not give EFER and APIC_BASE");
  state.efer = data.entries[0].value;
  state.apic_base = data.entries[1].value;
  return status;
}

Status HaxmVcpu::SetState(uint32_t mask) {
  StateBlock& state = shared_->state;
  if (mask & kStateMp) return Status::Error(Code::kUnsupported, "mpState", "HAXM cannot set what a halted vCPU does");
  if (mask & kStateFpu) {
    Status status = CheckFpu(state.fxsave);
    if (!status.ok()) return status;
  }
  if (mask & (kStateGeneral | kStateSystem)) {
    VcpuState to;
    Status status = GetRegisters(&to);
    if (!status.ok()) return status;
    const VcpuState from = to;
    if (mask & kStateGeneral) GeneralToHaxm(state, &to);
    if (mask & kStateGeneral && steps_) to.rflags |= kTrapFlag;
    if (mask & kStateSystem) SystemToHaxm(&to);
    status = CheckGuest(to, vm_->hypervisor().address_end());
    if (status.ok() && halted_ && from.rflags & kInterruptFlag && !(to.rflags & kInterruptFlag)) status = EndShadow();
    if (status.ok() && (mask & kStateSystem)) status = PrepareSystem(from, to);
    if (status.ok()) status = SetRegisters(to);
    if (status.ok() && (mask & kStateSystem)) status = KeepEfer(to);
    if (!status.ok()) return status;
    if (to.rip != from.rip) halted_ = halt_read_ = false;
  }
  if (mask & kStateFpu) {
    FxLayout fpu;
    std::memcpy(fpu.image, state.fxsave, sizeof fpu.image);
    Status status = node_->Call(kSetFpu, &fpu);
    if (!status.ok()) return status;
  }
  return mask & kStateMsrs ? SetMsrs() : Status::Ok();
}

void HaxmVcpu::SystemToHaxm(VcpuState* to) const {
  const StateBlock& state = shared_->state;
  for (size_t i = 0; i < kSegments; i++) to->*kSegment[i] = ToHaxm(state.segments[i]);
  // As the processor does when it loads one, and KVM: VMX enters with none that has not been accessed. The driver sees to CS.
  for (SegmentDesc* segment : {&to->ss, &to->ds, &to->es, &to->fs, &to->gs}) {
    if (segment->ar & kCodeOrData && !(segment->ar & kUnusable)) segment->ar |= kAccessed;
  }
  to->gdt.base = state.gdt.base;
  to->gdt.limit = state.gdt.limit;
  to->idt.base = state.idt.base;
  to->idt.limit = state.idt.limit;
  to->cr0 = state.cr0;
  to->cr2 = state.cr2;
  to->cr3 = state.cr3;
  to->cr4 = state.cr4;
}

// EFER by its MSR, because the structure's member is ignored, and before the registers, because paging in 64-bit mode wants LME to be
// there. The driver says nothing when it refuses an MSR: what it has made of them is read back, and put right again if it is wrong.
Status HaxmVcpu::PrepareSystem(const VcpuState& from, const VcpuState& to) {
  const StateBlock& state = shared_->state;
  if (state.cr8 != 0) return Status::Error(Code::kUnsupported, "setState", "cr8 must be 0: HAXM has no task priority");
  MsrData before = {};
  before.nr_msr = 2;
  before.entries[0].entry = kEfer;
  before.entries[1].entry = kApicBase;
  Status status = Msrs(&before, false);
  if (!status.ok()) return status;
  if (IsPae(to, state.efer) && !(IsPae(from, before.entries[0].value) && from.cr3 == to.cr3)) {
    return Status::Error(Code::kUnsupported, kSetRegs.name,
                         "HAXM has the page-directory pointers of PAE paging loaded only when the guest writes cr0 or cr4: let the guest "
                         "switch it on, or use 64-bit paging");
  }
  const uint64_t wanted[2] = {state.efer, state.apic_base};
  MsrData data = before;
  for (int i = 0; i < 2; i++) data.entries[i].value = wanted[i];
  if (before.entries[1].value == wanted[1]) data.nr_msr = 1;
  status = Msrs(&data, true);
  MsrData after = before;
  if (status.ok()) status = Msrs(&after, false);
  if (!status.ok()) return status;
  for (int i = 0; i < 2; i++) {
    if (((after.entries[i].value ^ wanted[i]) & (i == 0 ? ~kEferLma : ~uint64_t{0})) == 0) continue;
    before.nr_msr = 2;
    (void)Msrs(&before, true);
    return Status::Error(
        Code::kIoctl, kSetMsrs.name,
        i == 0 ? "HAXM refuses this value of efer: it takes SCE, LME, LMA and NXE" : "HAXM refuses this value of apicBase");
  }
  return Status::Ok();
}

// SET_REGS that changes a control register clears EFER where paging is without PAE; the MSR can be set after it.
Status HaxmVcpu::KeepEfer(const VcpuState& set) {
  const uint64_t efer = shared_->state.efer;
  if (efer == 0 || !(set.cr0 & kCr0Pg) || set.cr4 & kCr4Pae) return Status::Ok();
  MsrData data = {};
  data.nr_msr = 1;
  data.entries[0] = {kEfer, efer};
  return Msrs(&data, true);
}

// Sets the list and says whether all of it was taken: a change of CSTAR goes at its end, and is seen only if nothing before it was
// refused. Its value is put right again.
Status HaxmVcpu::Takes(const MsrState* list, uint32_t count, bool* all) {
  MsrData probe = {};
  probe.nr_msr = 1;
  probe.entries[0].entry = kCstar;
  Status status = Msrs(&probe, false);
  if (!status.ok()) return status;
  const uint64_t before = probe.entries[0].value;
  uint64_t keep = before;
  const uint64_t mark = before ^ 1;
  MsrData data = {};
  data.nr_msr = static_cast<uint16_t>(count + 1);
  for (uint32_t i = 0; i < count; i++) {
    data.entries[i] = {list[i].index, list[i].value};
    if (list[i].index == kCstar) keep = list[i].value;
  }
  data.entries[count] = {kCstar, mark};
  status = Msrs(&data, true);
  if (status.ok()) status = Msrs(&probe, false);
  if (!status.ok()) return status;
  *all = probe.entries[0].value == mark;
  if (!*all) return Status::Ok();
  probe.entries[0].value = keep;
  return Msrs(&probe, true);
}

Status HaxmVcpu::SetBatch(const MsrState* list, uint32_t count, uint32_t* done) {
  bool all = false;
  Status status = Takes(list, count, &all);
  *done = count;
  if (!status.ok() || all) return status;
  for (*done = 0; *done < count; ++*done) {
    status = Takes(list + *done, 1, &all);
    if (!status.ok() || !all) return status;
  }
  return status;
}

// FS and GS have their bases in MSRs, too, and the driver keeps what it has read of a segment. After SET_MSRS of the one it reads no more
// of FS before the next entry: so it is made to read before. Of the other it sees nothing, shows the old base, and SET_REGS of that changes
// nothing: so SET_REGS tells it.
Status HaxmVcpu::SetMsrs() {
  const StateBlock& state = shared_->state;
  const auto end = state.msrs + std::min<uint32_t>(state.msr_count, hax::kMaxMsrs);
  const auto names = [&](uint32_t index) {
    return std::any_of(state.msrs, end, [index](const MsrState& msr) { return msr.index == index; });
  };
  const bool gs = names(kGsBase);
  if (names(kFsBase)) {
    VcpuState read;
    Status status = GetRegisters(&read);
    if (!status.ok()) return status;
  }
  Status status = MoveMsrs(true);
  return status.ok() && gs ? SettleGsBase() : status;
}

Status HaxmVcpu::SettleGsBase() {
  MsrData data = {};
  data.nr_msr = 1;
  data.entries[0].entry = kGsBase;
  Status status = Msrs(&data, false);
  VcpuState state;
  if (status.ok()) status = GetRegisters(&state);
  if (!status.ok()) return status;
  state.gs.base = data.entries[0].value;
  return SetRegisters(state);
}

// In batches. A list stops at the first MSR that is refused.
Status HaxmVcpu::MoveMsrs(bool set) {
  StateBlock& state = shared_->state;
  uint32_t wanted = std::min<uint32_t>(state.msr_count, hax::kMaxMsrs);
  const uint32_t batch = set ? haxm::kMaxMsrs - 1 : haxm::kMaxMsrs;
  if (set) wanted = static_cast<uint32_t>(std::find_if_not(state.msrs, state.msrs + wanted, IsLoadable) - state.msrs);
  state.msr_count = 0;
  for (uint32_t first = 0; first < wanted; first += batch) {
    const uint32_t asked = std::min(wanted - first, batch);
    uint32_t done = 0;
    Status status;
    if (set) {
      status = SetBatch(state.msrs + first, asked, &done);
    } else {
      MsrData data = {};
      data.nr_msr = static_cast<uint16_t>(asked);
      for (uint32_t i = 0; i < asked; i++) data.entries[i].entry = state.msrs[first + i].index;
      status = Msrs(&data, false);
      done = std::min<uint32_t>(asked, data.done);
      for (uint32_t i = 0; i < done; i++) state.msrs[first + i].value = data.entries[i].value;
    }
    if (!status.ok()) return status;
    state.msr_count += done;
    if (done < asked) return Status::Ok();
  }
  return Status::Ok();
}

}  // namespace hax::haxm

// Registers: between KVM's structures and the state block that both backends share.
#include <cstring>

#include "backends/kvm/flex_table.h"
#include "backends/kvm/kvm.h"

namespace hax::kvm {

namespace {

// The order of StateBlock::general; both structures list the same registers.
constexpr __u64 kvm_regs::*kGeneral[kGeneralRegisters] = {&kvm_regs::rax, &kvm_regs::rbx, &kvm_regs::rcx,   &kvm_regs::rdx, &kvm_regs::rsi,
                                                          &kvm_regs::rdi, &kvm_regs::rsp, &kvm_regs::rbp,   &kvm_regs::r8,  &kvm_regs::r9,
                                                          &kvm_regs::r10, &kvm_regs::r11, &kvm_regs::r12,   &kvm_regs::r13, &kvm_regs::r14,
                                                          &kvm_regs::r15, &kvm_regs::rip, &kvm_regs::rflags};

constexpr kvm_segment kvm_sregs::*kSegment[kSegments] = {&kvm_sregs::cs, &kvm_sregs::ds, &kvm_sregs::es, &kvm_sregs::fs,
                                                         &kvm_sregs::gs, &kvm_sregs::ss, &kvm_sregs::tr, &kvm_sregs::ldt};

SegmentState FromKvm(const kvm_segment& s) {
  SegmentState out = {};
  out.base = s.base;
  out.limit = s.limit;
  out.selector = s.selector;
  out.attributes = (s.type & 15u) | (s.s & 1u) << 4 | (s.dpl & 3u) << 5 | (s.present & 1u) << 7 | (s.avl & 1u) << 12 | (s.l & 1u) << 13 |
                   (s.db & 1u) << 14 | (s.g & 1u) << 15 | (s.unusable & 1u) << 16;
  return out;
}

kvm_segment ToKvm(const SegmentState& s) {
  const uint32_t a = s.attributes;
  kvm_segment out = {};
  out.base = s.base;
  out.limit = s.limit;
  out.selector = static_cast<uint16_t>(s.selector);
  out.type = a & 15;
  out.s = a >> 4 & 1;
  out.dpl = a >> 5 & 3;
  out.present = a >> 7 & 1;
  out.avl = a >> 12 & 1;
  out.l = a >> 13 & 1;
  out.db = a >> 14 & 1;
  out.g = a >> 15 & 1;
  out.unusable = a >> 16 & 1;
  return out;
}

void FromKvm(const kvm_sregs& s, StateBlock* state) {
  for (size_t i = 0; i < kSegments; i++) state->segments[i] = FromKvm(s.*kSegment[i]);
  state->gdt = {s.gdt.base, s.gdt.limit, 0};
  state->idt = {s.idt.base, s.idt.limit, 0};
  state->cr0 = s.cr0;
  state->cr2 = s.cr2;
  state->cr3 = s.cr3;
  state->cr4 = s.cr4;
  state->cr8 = s.cr8;
  state->efer = s.efer;
  state->apic_base = s.apic_base;
}

void ToKvm(const StateBlock& state, kvm_sregs* s) {
  for (size_t i = 0; i < kSegments; i++) s->*kSegment[i] = ToKvm(state.segments[i]);
  s->gdt.base = state.gdt.base;
  s->gdt.limit = static_cast<uint16_t>(state.gdt.limit);
  s->idt.base = state.idt.base;
  s->idt.limit = static_cast<uint16_t>(state.idt.limit);
  s->cr0 = state.cr0;
  s->cr2 = state.cr2;
  s->cr3 = state.cr3;
  s->cr4 = state.cr4;
  s->cr8 = state.cr8;
  s->efer = state.efer;
  s->apic_base = state.apic_base;
}

// The legacy area of the XSAVE area is the FXSAVE image; what lies behind byte 416 of it is software's own (Intel SDM vol. 1, 13.4.1).
constexpr size_t kLegacySize = 416;
constexpr size_t kMxcsrMask = 28;
// The word that tells which components hold something, XSTATE_BV: x87 is bit 0, SSE bit 1 (13.4.2).
constexpr size_t kXstateBv = 512 / 4;
constexpr uint32_t kX87AndSse = 3;

}  // namespace

Status KvmVcpu::SyncState(uint32_t mask) {
  HAX_RETURN_IF_ERROR(FlushRegs());
  const int supported = vm_->Extension(KVM_CAP_SYNC_REGS);
  sync_mask_ = 0;
  if (supported & KVM_SYNC_X86_REGS) sync_mask_ |= mask & kStateGeneral;
  if (supported & KVM_SYNC_X86_SREGS) sync_mask_ |= mask & kStateSystem;
  synced_ &= sync_mask_;
  run_->kvm_valid_regs = (sync_mask_ & kStateGeneral ? KVM_SYNC_X86_REGS : 0) | (sync_mask_ & kStateSystem ? KVM_SYNC_X86_SREGS : 0);
  return Status::Ok();
}

Status KvmVcpu::GetRegs(kvm_regs* regs) {
  if (!(synced_ & kStateGeneral)) return HAX_KVM_CALL(fd_, KVM_GET_REGS, regs);
  *regs = run_->s.regs.regs;
  return Status::Ok();
}

Status KvmVcpu::SetRegs(const kvm_regs& regs) {
  if (!(synced_ & kStateGeneral)) return HAX_KVM_CALL(fd_, KVM_SET_REGS, &regs);
  run_->s.regs.regs = regs;
  run_->s.regs.regs.rflags |= 2;  // as the kernel does: always set, Intel SDM vol. 1, 3.4.3
  run_->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
  regs_wait_ = true;
  return Status::Ok();
}

// Without the kernel's local APIC each entry sets CR8 from here (api.rst 5, cr8), and fails where it has more than its four bits.
void KvmVcpu::SetNextCr8(uint64_t cr8) {
  if (cr8 <= 15) run_->cr8 = cr8;
}

// Tells the kernel of general registers that wait for the next entry.
Status KvmVcpu::FlushRegs() {
  if (!regs_wait_) return Status::Ok();
  HAX_RETURN_IF_ERROR(HAX_KVM_CALL(fd_, KVM_SET_REGS, &run_->s.regs.regs));
  run_->kvm_dirty_regs &= ~uint64_t{KVM_SYNC_X86_REGS};
  regs_wait_ = false;
  return Status::Ok();
}

Status KvmVcpu::GetSregs(kvm_sregs* sregs) {
  if (!(synced_ & kStateSystem)) return HAX_KVM_CALL(fd_, KVM_GET_SREGS, sregs);
  *sregs = run_->s.regs.sregs;
  return Status::Ok();
}

// First of all parts: the call has the vCPU take an INIT or a SIPI that waits for it, which changes its registers.
Status KvmVcpu::GetMpState() {
  HAX_RETURN_IF_ERROR(FlushRegs());
  synced_ = 0;
  kvm_mp_state mp;
  HAX_RETURN_IF_ERROR(HAX_KVM_CALL(fd_, KVM_GET_MP_STATE, &mp));
  shared_->state.mp_state = mp.mp_state;
  return Status::Ok();
}

Status KvmVcpu::GetState(uint32_t mask) {
  StateBlock& state = shared_->state;
  if (mask & kStateMp) HAX_RETURN_IF_ERROR(GetMpState());
  if (mask & kStateGeneral) {
    kvm_regs regs;
    HAX_RETURN_IF_ERROR(GetRegs(&regs));
    for (size_t i = 0; i < kGeneralRegisters; i++) state.general[i] = regs.*kGeneral[i];
  }
  if (mask & kStateSystem) {
    kvm_sregs sregs;
    HAX_RETURN_IF_ERROR(GetSregs(&sregs));
    FromKvm(sregs, &state);
  }
  if (mask & kStateFpu) HAX_RETURN_IF_ERROR(GetFpu());
  if (mask & kStateMsrs) HAX_RETURN_IF_ERROR(MoveMsrs(false));
  return Status::Ok();
}

Status KvmVcpu::SetState(uint32_t mask) {
  const StateBlock& state = shared_->state;
  if (mask & kStateSystem) {
    // Read first: the structure also holds a pending interrupt, which is not ours to drop.
    kvm_sregs sregs;
    HAX_RETURN_IF_ERROR(GetSregs(&sregs));
    ToKvm(state, &sregs);
    synced_ &= ~uint32_t{kStateSystem};  // the kernel keeps what the processor can have
    HAX_RETURN_IF_ERROR(HAX_KVM_CALL(fd_, KVM_SET_SREGS, &sregs));
    SetNextCr8(sregs.cr8);
  }
  if (mask & kStateGeneral) {
    kvm_regs regs;
    for (size_t i = 0; i < kGeneralRegisters; i++) regs.*kGeneral[i] = state.general[i];
    HAX_RETURN_IF_ERROR(SetRegs(regs));
  }
  if (mask & kStateFpu) HAX_RETURN_IF_ERROR(SetFpu());
  if (mask & kStateMsrs) HAX_RETURN_IF_ERROR(MoveMsrs(true));
  if (mask & kStateMp) {
    HAX_RETURN_IF_ERROR(FlushRegs());
    synced_ = 0;
    kvm_mp_state mp = {state.mp_state};
    HAX_RETURN_IF_ERROR(HAX_KVM_CALL(fd_, KVM_SET_MP_STATE, &mp));
  }
  return Status::Ok();
}

// By the XSAVE calls: KVM_GET_FPU and KVM_SET_FPU leave MXCSR out.
Status KvmVcpu::GetFpu() {
  XsaveArea area = {};
  HAX_RETURN_IF_ERROR(Call(fd_, kGetXsave, "KVM_GET_XSAVE", &area));
  uint8_t* image = shared_->state.fxsave;
  std::memset(image, 0, sizeof shared_->state.fxsave);
  std::memcpy(image, area.region, kLegacySize);
  return Status::Ok();
}

Status KvmVcpu::SetFpu() {
  // Read first: the area also holds what is wider than SSE.
  XsaveArea area = {};
  HAX_RETURN_IF_ERROR(Call(fd_, kGetXsave, "KVM_GET_XSAVE", &area));
  const uint8_t* image = shared_->state.fxsave;
  uint8_t* legacy = reinterpret_cast<uint8_t*>(area.region);
  std::memcpy(legacy, image, kMxcsrMask);  // the mask is the processor's
  std::memcpy(legacy + kMxcsrMask + 4, image + kMxcsrMask + 4, kLegacySize - kMxcsrMask - 4);
  area.region[kXstateBv] |= kX87AndSse;
  return Call(fd_, kSetXsave, "KVM_SET_XSAVE", &area);
}

// Both calls go through the list in order and return how many they did (api.rst 4.18, 4.19).
Status KvmVcpu::MoveMsrs(bool set) {
  StateBlock& state = shared_->state;
  if (set) synced_ &= ~uint32_t{kStateSystem};  // EFER and the APIC's base are MSRs too
  const uint32_t wanted = state.msr_count < kMaxMsrs ? state.msr_count : kMaxMsrs;
  FlexTable<kvm_msr_entry> list(wanted);
  for (uint32_t i = 0; i < wanted; i++) {
    list[i].index = state.msrs[i].index;
    list[i].data = state.msrs[i].value;
  }
  int done = 0;
  HAX_RETURN_IF_ERROR(set ? Call(fd_, kSetMsrs, "KVM_SET_MSRS", list.header(), &done)
                          : Call(fd_, kGetMsrs, "KVM_GET_MSRS", list.header(), &done));
  state.msr_count = static_cast<uint32_t>(done);
  for (uint32_t i = 0; !set && i < state.msr_count; i++) state.msrs[i].value = list[i].data;
  return Status::Ok();
}

}  // namespace hax::kvm

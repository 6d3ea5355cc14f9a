// VCPU_DEBUG. KVMs differ in what they do with INT3, and some never stop at a hardware breakpoint, so there the guest goes by single
// steps and the model looks at each instruction before it is executed.
#include <cerrno>
#include <cstring>

#include "config.h"
#include "kvm.h"
#include "sys.h"
#include "vcpu.h"

namespace haxm_model {

namespace {

constexpr uint64_t kDr6Causes = 0xe00f;
constexpr uint8_t kInt1 = 0xf1;
constexpr uint8_t kInt3 = 0xcc;
constexpr uint8_t kHlt = 0xf4;

}  // namespace

int Vcpu::SetDebug(uint64_t argument) {
  DebugInfo info;
  if (CopyIn(&info, argument)) return -EFAULT;
  debug_ = DebugInfo{};
  if (info.control & kDebugEnable) {
    debug_.control = info.control;
    if (info.control & kDebugHardware) {
      for (int i = 0; i < 4; i++) debug_.dr[i] = info.dr[i];
      debug_.dr[7] = static_cast<uint32_t>(info.dr[7]);
    }
  }
  debug_.dr[7] |= kDr7Set;
  debug_registers_ = kvm_debugregs{};  // the guest's own are reset by every call
  debug_registers_.dr6 = kDr6Set;
  debug_registers_.dr7 = kDr7Set;
  debug_registers_stale_ = false;
  debug_registers_wait_ = true;
  debug_armed_ = false;
  debug_waits_ = true;
  return 0;
}

// As GET_REGS gives them.
const kvm_debugregs& Vcpu::DebugRegisters() {
  if (debug_registers_stale_ && haxm_model::Ioctl(fd_, KVM_GET_DEBUGREGS, &debug_registers_) == 0) debug_registers_stale_ = false;
  return debug_registers_;
}

// Of SET_REGS. One that changes none of them keeps those that wait from the processor, for good.
void Vcpu::TakeDebug(const VcpuState& state) {
  kvm_debugregs wanted{};
  for (int i = 0; i < 4; i++) wanted.db[i] = state.dr[i];
  wanted.dr6 = static_cast<uint32_t>(state.dr6) | kDr6Set;
  wanted.dr7 = static_cast<uint32_t>(state.dr7) | kDr7Set;
  const bool changed = memcmp(&wanted, &DebugRegisters(), sizeof wanted) != 0;
  if (debug_registers_wait_ && !changed) {
    Log("haxm-model: SET_REGS keeps debug registers from the processor that were to be loaded");
    debug_registers_lost_ = true;
  }
  debug_registers_ = wanted;
  debug_registers_wait_ = changed;
}

// At an entry: what the processor has is what KVM gives the guest.
void Vcpu::LoadDebugRegisters() {
  if (!debug_registers_wait_) return;
  kvm_debugregs wanted = debug_registers_;
  if (debug_.control & kDebugHardware) {
    for (int i = 0; i < 4; i++) wanted.db[i] = debug_.dr[i];
    wanted.dr7 = debug_.dr[7];
  }
  haxm_model::Ioctl(fd_, KVM_SET_DEBUGREGS, &wanted);
  debug_registers_wait_ = debug_registers_lost_ = false;
}

// Does the model have to look for breakpoints itself?
bool Vcpu::Watches() const {
  if (!(debug_.control & kDebugEnable)) return false;
  return debug_.control & kDebugSoftware || (debug_.control & kDebugHardware && !TheKvm()->breakpoints);
}

void Vcpu::ArmDebug() {
  if (debug_waits_) trap_ = Steps();
  debug_waits_ = false;
  const bool enabled = debug_.control & kDebugEnable;
  const bool stepping = trap_ || Watches() || blocked_;
  if (debug_armed_ && !stepping) return;
  // With the driver HLT ends in its own exit, not in a step's.
  const bool step = stepping && NextByte() != kHlt;
  kvm_guest_debug wanted{};
  if (enabled && debug_.control & kDebugHardware && TheKvm()->breakpoints) {
    wanted.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
    for (int i = 0; i < 8; i++) wanted.arch.debugreg[i] = debug_.dr[i];
  }
  if (step) wanted.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
  // KVM remembers at which instruction the step begins: it must know the registers first, and hear of each step anew.
  if (regs_dirty_) {
    haxm_model::Ioctl(fd_, KVM_SET_REGS, &regs());
    regs_dirty_ = false;
  }
  haxm_model::Ioctl(fd_, KVM_SET_GUEST_DEBUG, &wanted);
  debug_armed_ = !blocked_;
}

// Is there a breakpoint at the next instruction that only the model can see? Tells the tunnel. INT1 is a #DB without a cause.
bool Vcpu::AtBreakpoint() {
  if (!(debug_.control & kDebugEnable)) return false;
  if (debug_.control & (kDebugStep | kDebugHardware) && NextByte() == kInt1) {
    tunnel_->debug = {regs().rip, 0, debug_.dr[7]};
  } else if (!Watches()) {
    return false;
  } else if (debug_.control & kDebugSoftware && NextByte() == kInt3) {
    tunnel_->debug = {regs().rip, 0, 0};
  } else {
    uint64_t causes = 0;
    const uint64_t linear = view().Linear(SegmentName::kCs, regs().rip);
    for (int i = 0; i < 4; i++) {
      const bool enabled = debug_.dr[7] >> (2 * i) & 3;
      const bool execution = (debug_.dr[7] >> (16 + 4 * i) & 3) == 0;
      if (enabled && execution && debug_.dr[i] == linear) causes |= uint64_t{1} << i;
    }
    if (causes == 0) return false;
    tunnel_->debug = {regs().rip, causes, debug_.dr[7]};
  }
  tunnel_->exit_reason = kReasonException;
  tunnel_->exit_status = kStatusDebug;
  return true;
}

uint8_t Vcpu::NextByte() const {
  uint8_t byte = 0;
  const GuestView guest = view();
  guest.Read(guest.Linear(SegmentName::kCs, regs().rip), &byte, 1);
  return byte;
}

Vcpu::Next Vcpu::DeliverDebug() {
  const auto& debug = run_->debug.arch;
  const uint64_t causes = debug.dr6 & kDr6Causes;
  const bool stepped = causes & 0x4000;
  const bool breakpoint = causes & 0xf && debug_.control & kDebugHardware;
  if (stepped && !breakpoint && !trap_) return Next::kEnter;  // the model's own step
  tunnel_->exit_reason = kReasonException;
  tunnel_->debug.rip = regs().rip;
  tunnel_->debug.dr6 = trap_ ? causes : causes & ~uint64_t{0x4000};
  tunnel_->debug.dr7 = debug_.dr[7];
  return Stop(kStatusDebug);
}

}  // namespace haxm_model

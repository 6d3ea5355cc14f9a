// The vCPU node: the tunnel, entering the guest, interrupts and CPUID.
#include <cerrno>
#include <cstring>

#include "backends/haxm/haxm.h"

namespace hax::haxm {

namespace {

constexpr size_t kPage = 4096;
constexpr uint16_t kPowerUpFcw = 0x037f;    // FNINIT, Intel SDM vol. 1, 8.1.5
constexpr uint32_t kPowerUpMxcsr = 0x1f80;  // Intel SDM vol. 1, 10.2.3
constexpr size_t kMxcsrOffset = 24;
constexpr uint64_t kFlagInterrupt = 0x200;  // RFLAGS.IF, Intel SDM vol. 1, 3.4.3.3
// How often the host may interrupt one instruction before that is an error.
constexpr int kMaxAttempts = 1000;

}  // namespace

Status HaxmVcpu::Open() {
  TunnelInfo info = {};
  Status status = node_->Call(kSetupTunnel, &info);
  if (!status.ok()) return status;
  if (info.size < offsetof(Tunnel, apic_base) || info.va == 0 || info.io_va == 0) {
    return Status::Error(Code::kApiVersion, kSetupTunnel.name, "the driver's tunnel is smaller than any release's");
  }
  tunnel_ = reinterpret_cast<Tunnel*>(info.va);
  io_buffer_ = reinterpret_cast<uint8_t*>(info.io_va);
  KeepFromFork(tunnel_, kPage);
  KeepFromFork(io_buffer_, kPage);
  tunnel_->exit_status = 0;
  tunnel_->exit_reason = 0;
  // SAFETY: x86 is little-endian, so this is the byte with bit 0; it lives as long as the tunnel.
  stop_.set_device_flag(reinterpret_cast<uint8_t*>(&tunnel_->user_event_pending));
  shared_ = std::make_shared<VcpuShared>();
  shared_->exit.version = kExitPageVersion;
  // The driver starts with an image of zeros: every exception unmasked.
  FxLayout fpu = {};
  std::memcpy(fpu.image, &kPowerUpFcw, sizeof kPowerUpFcw);
  std::memcpy(fpu.image + kMxcsrOffset, &kPowerUpMxcsr, sizeof kPowerUpMxcsr);
  status = node_->Call(kSetFpu, &fpu);
  opened_ = status.ok();
  return status;
}

// Before the node closes, while the pages are the driver's for certain. Not of a vCPU that may still be opened again.
HaxmVcpu::~HaxmVcpu() {
  if (!opened_) return;
  DropPage(tunnel_, kPage);
  DropPage(io_buffer_, kPage);
}

void HaxmVcpu::RunGuest() {
  ExitPage& page = shared_->exit;
  if (exit_kept_) {
    exit_kept_ = false;
    if (moves_ ? FillMoved() : FillExit()) return;
  }
  if (dead_) return Failed(0);
  MoveReply();
  for (;;) {
    int error;
    {
      // Before the stop word: a kick that comes while the gate is closed is seen.
      const MemoryGate::Passage passage(vm_->gate());
      if (!stop_.Enter()) return Interrupted();
      page.entries++;
      tunnel_->request_interrupt_window = page.request_window != 0;
      error = node_->Run();
      stop_.Leave();
    }
    DropStaleStatus();
    reply_waits_ = false;
    halted_ = error == 0 && tunnel_->exit_status == kExitHlt;
    halt_read_ = false;
    page.interrupt_ready = tunnel_->ready_for_interrupt_injection;
    if (error != 0) return Failed(error);
    if (FillExit()) return;
    // The driver comes back on every interrupt of the host.
    if (stop_.pending()) return Interrupted();
    page.interrupted++;
  }
}

void HaxmVcpu::Interrupted() {
  ExitPage& page = shared_->exit;
  page.kind = static_cast<uint32_t>(ExitKind::kInterrupted);
  page.subcode = static_cast<uint32_t>(stop_.Consume());
  page.kicks++;
}

// Apart from Run(): a Status costs its making and its end at each exit.
void HaxmVcpu::Failed(int os_code) {
  Status status = EntryFailed(os_code);
  if (!status.ok()) RunFailed(std::move(status));
}

// RUN beside the way of each exit.
int HaxmVcpu::RunOnce() {
  const MemoryGate::Passage passage(vm_->gate());
  const int error = node_->Run();
  DropStaleStatus();
  return error;
}

// Releases before 7.5.2 skip a guest's write to ROM and come back with the status of the exit before it, of which they would complete an IN
// once more. None of these statuses has this reason. That of an MMIO exit or a page fault has it too: there is no telling then.
void HaxmVcpu::DropStaleStatus() {
  if (tunnel_->exit_reason != kReasonEptViolation) return;
  const uint32_t status = tunnel_->exit_status;
  if (status == kExitIo || status == kExitHlt || status == kExitDebug) tunnel_->exit_status = kExitInterrupt;
}

// With reason 8 the driver finishes what is outstanding and does not enter the guest; but an instruction that reads memory and writes it
// comes back with its write. Releases before 7.5.4 know no pause and run on: whatever they come back with is kept all the same.
Status HaxmVcpu::Complete() {
  if (!reply_waits_ || dead_) return Status::Ok();
  if (moves_) {
    TakeMoved();
    return Status::Ok();
  }
  MoveReply();
  tunnel_->exit_reason = kReasonPause;
  const int error = RunOnce();
  tunnel_->exit_reason = 0;
  reply_waits_ = false;
  if (error != 0 && tunnel_->exit_status != kExitStatechange) return Status::Os(kRun.name, error);
  exit_kept_ = tunnel_->exit_status != kExitPaused;
  return Status::Ok();
}

Status HaxmVcpu::Inject(uint32_t vector) {
  Status status = HaltAgain();
  if (status.ok()) status = node_->Call(kInterrupt, &vector);
  // From here on the guest would run on at an entry.
  if (status.ok()) halted_ = false;
  return status;
}

// GET_REGS after the exit of an HLT behind STI brings the shadow of the STI back, which the exit had ended: the driver reads it from the
// VMCS, where its end is not written yet. An interrupt then waits for one instruction more, and if that is CLI, the guest never gets it.
// So that instruction is the HLT itself, once more. In the shadow it exits as before. If there is none, the guest takes interrupts before
// it: the driver says so, and the guest is put behind it again.
Status HaxmVcpu::HaltAgain() {
  if (!halt_read_) return Status::Ok();
  VcpuState state;
  Status status = GetRegisters(&state);
  halt_read_ = false;
  // Without IF there is no shadow. HLT has one byte; where rip has wrapped behind it, the hazard stays.
  if (!status.ok() || !(state.rflags & kFlagInterrupt) || state.rip == 0) return status;
  state.rip--;
  status = SetRegisters(state);
  if (!status.ok()) return status;
  tunnel_->request_interrupt_window = 1;
  for (int attempt = 0; attempt < kMaxAttempts; attempt++) {
    const int error = RunOnce();
    if (error != 0) return Status::Os(kRun.name, error);
    if (tunnel_->exit_status == kExitHlt) return Status::Ok();
    if (tunnel_->exit_status != kExitInterrupt) {
      exit_kept_ = true;
      halted_ = false;
      return Status::Ok();
    }
    if (!tunnel_->ready_for_interrupt_injection) continue;
    state.rip++;
    return SetRegisters(state);
  }
  return Status::Error(Code::kIoctl, kRun.name, "the host interrupts the guest before each instruction", EINTR);
}

// The shadow of an STI must be gone before IF is taken away: VMX enters with none without IF, and the vCPU would be dead. Behind one more
// HLT, of which nobody has read registers, the driver has its end; the next entry, which an open window ends before the guest does
// anything, writes that to the VMCS, so that no GET_REGS brings it back.
Status HaxmVcpu::EndShadow() {
  halt_read_ = halted_;
  Status status = HaltAgain();
  if (!status.ok() || exit_kept_) return status;
  tunnel_->request_interrupt_window = 1;
  for (int attempt = 0; attempt < kMaxAttempts; attempt++) {
    const int error = RunOnce();
    if (error != 0) return Status::Os(kRun.name, error);
    if (tunnel_->exit_status != kExitInterrupt) {
      exit_kept_ = true;
      return Status::Ok();
    }
    if (tunnel_->ready_for_interrupt_injection) return Status::Ok();
  }
  return Status::Error(Code::kIoctl, kRun.name, "the host interrupts the guest before each instruction", EINTR);
}

Status HaxmVcpu::SetCpuid(const std::vector<hax::CpuidEntry>& entries) {
  if (!vm_->hypervisor().cpuid_is_safe()) {
    return Status::Error(Code::kUnsupported, kSetCpuid.name, "the driver's CPUID calls are not safe on this host");
  }
  if (entries.empty() || entries.size() > kMaxCpuidEntries) {
    return Status::Error(Code::kInvalidArgument, kSetCpuid.name, "HAXM takes 1 to 64 CPUID entries");
  }
  Cpuid table = {};
  table.total = static_cast<uint32_t>(entries.size());
  for (size_t i = 0; i < entries.size(); i++) {
    const hax::CpuidEntry& e = entries[i];
    table.entries[i] = {e.function, e.index, e.flags, e.eax, e.ebx, e.ecx, e.edx, {}};
  }
  return node_->CallWithTable(kSetCpuid, &table, offsetof(Cpuid, entries) + entries.size() * sizeof(CpuidEntry));
}

}  // namespace hax::haxm

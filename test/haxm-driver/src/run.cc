// RUN: completes what the last exit left open, enters the guest through KVM, and turns KVM's exits into the driver's.
#include <cerrno>
#include <cstdio>

#include "config.h"
#include "kvm.h"
#include "sys.h"
#include "vcpu.h"

namespace haxm_model {

namespace {

constexpr uint8_t kSti = 0xfb;

}  // namespace

long Vcpu::Run() {
  const std::lock_guard<std::mutex> lock(run_lock_);
  running_thread_ = static_cast<int>(Syscall(SYS_gettid));
  vm_->BeginRun();
  runner_.runs++;
  long result = 0;
  if (!TheConfig().unrestricted_guest && !(sregs().cr0 & kCr0Pe)) {
    tunnel_->exit_reason = 0;
    tunnel_->exit_status = kStatusRealMode;
  } else if (!entry_failed_) {
    result = Execute();
  }
  if (entry_failed_) {
    tunnel_->exit_reason = 0;
    tunnel_->exit_status = kStatusUnknown;
    result = -EINVAL;
  }
  tunnel_->apic_base = apic_base_;
  vm_->EndRun();
  running_thread_ = 0;
  return result;
}

long Vcpu::Execute() {
  if (FinishBeforeEntry() || Pause()) return 0;
  for (;;) {
    TakeShadow();
    if (!panicked_) Flush();
    if (panicked_) {
      Log("haxm_error: vcpu has panicked, id:%u", id_);
      tunnel_->exit_status = kStatusStateChange;
      return 0;
    }
    segments_stale_ = true;
    fs_base_waits_ = false;
    if (AtBreakpoint()) return 0;
    Inject();
    if (WindowIsOpen()) return 0;
    if (vm_->ram().Enter()) tunnel_->exit_reason = kReasonEptViolation;  // the driver maps memory at the first touch
    previous_ = operation_;
    operation_ = Operation();
    resume_flag_ = false;
    if (Deliver(Enter(false)) == Next::kReturn) return 0;
  }
}

// True when that ends in an exit of its own.
bool Vcpu::FinishBeforeEntry() {
  switch (operation_.kind) {
    case Operation::Kind::kNone:
      RepeatIn();
      return false;
    case Operation::Kind::kOut:
      // A step is to stop behind the next instruction, not behind this one.
      if (debug_.control & kDebugEnable) Settle();
      return false;
    case Operation::Kind::kIn:
    case Operation::Kind::kInSettled:
    case Operation::Kind::kIns:
      FinishIo();
      return false;
    default:
      return ResumeMemory();
  }
}

// The client wrote 8 into the reason: what is open completes, but the guest is not entered.
bool Vcpu::Pause() {
  if (tunnel_->exit_reason != kReasonPause) return false;
  while (operation_.kind != Operation::Kind::kNone && !panicked_) {
    previous_ = operation_;
    operation_ = Operation();
    resume_flag_ = false;
    const long result = Enter(true);
    if (result == -EINTR) break;
    if (Deliver(result) == Next::kReturn) return true;  // or it was the rest of a read over a page's end
  }
  tunnel_->exit_status = kStatusPaused;
  return true;
}

// Gives KVM the state that the client has set.
void Vcpu::Flush() {
  if (((sregs_dirty_ || regs_dirty_) && !Enterable()) || !unloadable_.empty()) {
    Panic("invalid guest state");
    return;
  }
  vm_->cpuid().Apply(fd_, &cpuid_version_);
  if (sregs_dirty_ && !FlushSystem()) {
    Panic("invalid guest state");
    return;
  }
  if (fpu_dirty_) FlushFpu();
  LoadDebugRegisters();
  ArmDebug();
}

long Vcpu::Enter(bool immediate) {
  if (regs_dirty_) run_->kvm_dirty_regs = KVM_SYNC_X86_REGS;
  regs_dirty_ = false;
  BeginRun(&runner_, run_);
  if (immediate) run_->immediate_exit = 1;
  vm_->gate().Enter();
  const long result = haxm_model::Ioctl(fd_, KVM_RUN);
  vm_->gate().Leave();
  EndRun(&runner_, run_);
  fpu_stale_ = !fpu_dirty_;
  debug_registers_stale_ = !debug_registers_lost_;
  window_known_ = true;
  return result;
}

int Vcpu::HighestPending() const {
  for (int word = 3; word >= 0; word--) {
    const uint64_t bits = pending_[word].load(std::memory_order_relaxed);
    if (bits) return word * 64 + 63 - __builtin_clzll(bits);
  }
  return -1;
}

// GET_REGS reads the shadow of interrupts from before the exit's end of it: one instruction runs in it, and no interrupt comes before.
// Without IF no processor is entered with the shadow of an STI (Intel SDM vol. 3, 26.3.1.5).
void Vcpu::TakeShadow() {
  if (shadow_back_ && !panicked_ && !(regs().rflags & kFlagInterrupt)) Panic("invalid guest state");
  blocked_ = shadow_back_ && regs().rflags & kFlagInterrupt;
  shadow_back_ = halt_behind_sti_ = false;
}

void Vcpu::Inject() {
  const int vector = HighestPending();
  // Registers that were set may have opened the window. Asked without the guest: a software KVM may run an instruction first.
  if (vector >= 0 && !window_known_ && operation_.kind == Operation::Kind::kNone) Enter(true);
  if (vector >= 0 && !blocked_ && window_known_ && run_->ready_for_interrupt_injection && run_->if_flag) {
    kvm_interrupt interrupt{static_cast<uint32_t>(vector)};
    if (haxm_model::Ioctl(fd_, KVM_INTERRUPT, &interrupt) == 0) {
      pending_[vector / 64] &= ~(uint64_t{1} << vector % 64);
      window_known_ = false;
    }
  }
  run_->request_interrupt_window = !blocked_ && (AnyPending() || tunnel_->request_interrupt_window);
}

// An open window ends an entry before the guest does anything (Intel SDM vol. 3, 26.7.5); a software KVM may run an instruction first.
bool Vcpu::WindowIsOpen() {
  if (!tunnel_->request_interrupt_window || AnyPending() || blocked_ || operation_.kind != Operation::Kind::kNone) return false;
  if (!window_known_) Enter(true);
  if (!window_known_ || !run_->ready_for_interrupt_injection || !run_->if_flag) return false;
  tunnel_->exit_reason = kReasonInterruptWindow;
  tunnel_->ready_for_interrupt_injection = 1;
  Stop(kStatusInterrupt);
  return true;
}

Vcpu::Next Vcpu::Stop(uint32_t status) {
  tunnel_->exit_status = status;
  return Next::kReturn;
}

Vcpu::Next Vcpu::Panic(const char* why) {
  Log("haxm_panic: %s: vcpu_id=%u CS:IP=%#lx:%#lx", why, id_, static_cast<unsigned long>(sregs().cs.base),
      static_cast<unsigned long>(regs().rip));
  panicked_ = true;
  return Next::kEnter;
}

Vcpu::Next Vcpu::Resumable() {
  const bool wants_window = !AnyPending() && tunnel_->request_interrupt_window;
  const bool event = !wants_window && tunnel_->user_event_pending & 1;
  if (event) tunnel_->user_event_pending &= ~1u;
  return wants_window || event ? Stop(kStatusInterrupt) : Next::kEnter;
}

Vcpu::Next Vcpu::Deliver(long result) {
  const bool interrupted = result == -EINTR || result == -EAGAIN;
  shadow_back_ = blocked_ && interrupted;
  tunnel_->ready_for_interrupt_injection = !AnyPending() && !shadow_back_ && run_->ready_for_interrupt_injection ? 1 : 0;
  if (interrupted) return Stop(kStatusInterrupt);
  if (result < 0) return Failed(result);
  switch (run_->exit_reason) {
    case KVM_EXIT_IO:
      return DeliverIo();
    case KVM_EXIT_MMIO:
      return DeliverMmio();
    case KVM_EXIT_HLT:
      return Halt();
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      tunnel_->exit_reason = kReasonInterruptWindow;
      return Resumable();
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
      return DeliverMsr();
    case KVM_EXIT_DEBUG:
      return DeliverDebug();
    case KVM_EXIT_INTR:
      return Stop(kStatusInterrupt);
    case KVM_EXIT_SET_TPR:
      return Next::kEnter;
    case KVM_EXIT_SHUTDOWN:
      resume_flag_ = true;
      return Panic("Triple fault");
    case KVM_EXIT_INTERNAL_ERROR:
      return InternalError();
    case KVM_EXIT_FAIL_ENTRY:
      entry_failed_ = true;
      return Next::kReturn;
    default:
      Log("haxm-model: KVM exit %u", run_->exit_reason);
      return Panic("Unhandled vmx vmexit");
  }
}

Vcpu::Next Vcpu::Halt() {
  tunnel_->exit_reason = kReasonHlt;
  tunnel_->exit_status = kStatusHlt;
  if (AnyPending()) return Resumable();
  tunnel_->ready_for_interrupt_injection = 1;
  uint8_t before = 0;
  const GuestView guest = view();
  guest.Read(guest.Linear(SegmentName::kCs, regs().rip - 2), &before, 1);
  halt_behind_sti_ = before == kSti;
  return Stop(kStatusHlt);
}

Vcpu::Next Vcpu::DeliverMsr() {
  const bool write = run_->exit_reason == KVM_EXIT_X86_WRMSR;
  tunnel_->exit_reason = write ? kReasonWrmsr : kReasonRdmsr;
  uint64_t value = run_->msr.data;
  const bool known = write ? WriteMsr(run_->msr.index, value) : ReadMsr(run_->msr.index, &value);
  run_->msr.error = known ? 0 : 1;
  run_->msr.data = value;
  if (!known && !(sregs().cr0 & kCr0Pe)) {
    // The driver injects #GP with an error code; in real mode the processor refuses such an entry, now and for ever.
    entry_failed_ = true;
    return Next::kReturn;
  }
  operation_.kind = Operation::Kind::kOut;  // KVM has yet to step over the instruction
  // Or to raise #GP, over which it forgets an interrupt that it has been given: none before it has been in the guest again.
  window_known_ = false;
  tunnel_->ready_for_interrupt_injection = 0;
  return tunnel_->user_event_pending & 1 ? Resumable() : Next::kEnter;
}

void Vcpu::DropQueuedException() {
  kvm_vcpu_events events{};
  if (haxm_model::Ioctl(fd_, KVM_GET_VCPU_EVENTS, &events) < 0) return;
  events.exception.injected = 0;
  events.exception.pending = 0;
  haxm_model::Ioctl(fd_, KVM_SET_VCPU_EVENTS, &events);
}

// KVM's emulator gave up: over an instruction that it could not fetch, or one that it does not know.
Vcpu::Next Vcpu::InternalError() {
  const GuestView guest = view();
  const uint64_t linear = guest.Linear(SegmentName::kCs, regs().rip);
  for (const uint64_t address : {linear, linear + 14}) {
    uint64_t gpa;
    if (!guest.Translate(address, &gpa)) continue;
    const PageKind kind = vm_->ram().Find(gpa).kind;
    if (kind == PageKind::kRam || kind == PageKind::kRom) continue;
    if (kind == PageKind::kUnmapped && address != linear) continue;
    tunnel_->exit_reason = kReasonEptViolation;
    resume_flag_ = true;
    if (kind != PageKind::kWithheld) return Panic("mmio_fetch_instruction() failed");
    DropQueuedException();
    return Fault(gpa, kAccessFetch);
  }
  Insn insn;
  uint64_t touched;
  if (DecodeAt(regs().rip, &insn) && insn.place != Insn::Place::kNone && !insn.supported &&
      guest.Translate(OperandAddress(insn, regs(), guest, insn.writes), &touched) && vm_->ram().Find(touched).kind == PageKind::kUnmapped) {
    tunnel_->exit_reason = kReasonEptViolation;
    resume_flag_ = true;
    return Panic("em_decode_insn() failed");  // KVM cannot do it either
  }
  char line[160];
  uint8_t bytes[15] = {};
  guest.Read(linear, bytes, sizeof bytes);
  int length = snprintf(line, sizeof line, "haxm-model: this host's KVM cannot execute the instruction at %#lx:", linear);
  for (const uint8_t byte : bytes) length += snprintf(line + length, sizeof line - static_cast<size_t>(length), " %02x", byte);
  line[length++] = '\n';
  Syscall(SYS_write, 2, Word(line), length);
  return Panic("KVM's internal error");
}

Vcpu::Next Vcpu::Failed(long result) {
  if (result == -EFAULT) {
    tunnel_->exit_reason = kReasonEptViolation;
    return Panic("the client's memory is not there");
  }
  Log("haxm-model: KVM_RUN: %ld", result);
  return Panic("KVM_RUN failed");
}

}  // namespace haxm_model

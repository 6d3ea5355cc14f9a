// What KVM_RUN ended with, as the exit page says it (api.rst chapter 5).
#include <cstring>

#include "backends/kvm/kvm.h"

namespace hax::kvm {

namespace {

// Newer than the headers of the oldest kernel that this builds on; numbers from the kernel's include/uapi/linux/kvm.h.
constexpr uint32_t kExitMemoryFault = 39;
constexpr uint32_t kInternalErrorEmulation = 1;
constexpr uint64_t kEmulationHasInstruction = 1;

// Small moves without a call: nearly every access is one of these.
inline void Copy(uint8_t* to, const uint8_t* from, uint32_t bytes) {
  switch (bytes) {
    case 1:
      *to = *from;
      break;
    case 2:
      std::memcpy(to, from, 2);
      break;
    case 4:
      std::memcpy(to, from, 4);
      break;
    default:
      std::memcpy(to, from, bytes);
  }
}

// SAFETY: the kernel keeps size * count within the page that data_offset names; the bound here holds whatever it says.
inline uint32_t IoBytes(const kvm_run* run) {
  const uint64_t bytes = uint64_t{run->io.size} * run->io.count;
  return bytes > kExitDataSize ? kExitDataSize : static_cast<uint32_t>(bytes);
}

void FillInternalError(const kvm_run* run, ExitPage* page) {
  page->subcode = run->internal.suberror;
  const uint32_t count = run->internal.ndata < 8 ? run->internal.ndata : 8;
  for (uint32_t i = 0; i < count; i++) page->detail[i] = run->internal.data[i];
  page->count = count;
  page->instruction_length = 0;
  if (run->internal.suberror == kInternalErrorEmulation && run->internal.ndata >= 2 &&
      (run->emulation_failure.flags & kEmulationHasInstruction)) {
    const uint32_t length = run->emulation_failure.insn_size;
    page->instruction_length = length < 15 ? length : 15;
    std::memcpy(page->instruction, run->emulation_failure.insn_bytes, page->instruction_length);
  }
}

}  // namespace

void KvmVcpu::MoveReply() {
  if (!reply_waits_) return;
  const ExitPage& page = shared_->exit;
  switch (run_->exit_reason) {
    case KVM_EXIT_IO:
      if (run_->io.direction == KVM_EXIT_IO_IN) {
        Copy(reinterpret_cast<uint8_t*>(run_) + run_->io.data_offset, page.data, IoBytes(run_));
      }
      break;
    case KVM_EXIT_MMIO:
      if (!run_->mmio.is_write) std::memcpy(run_->mmio.data, page.data, sizeof run_->mmio.data);
      break;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
      run_->msr.data = page.detail[0];
      run_->msr.error = static_cast<uint8_t>(page.detail[1] != 0);
      break;
    case KVM_EXIT_HYPERCALL:
      run_->hypercall.ret = page.detail[0];
      break;
  }
}

void KvmVcpu::FillExit() {
  ExitPage& page = shared_->exit;
  const auto set = [&page](ExitKind kind) { page.kind = static_cast<uint32_t>(kind); };
  page.raw_code = run_->exit_reason;
  reply_waits_ = false;
  switch (run_->exit_reason) {
    case KVM_EXIT_IO: {
      set(ExitKind::kIo);
      page.port = run_->io.port;
      page.size = run_->io.size;
      page.count = run_->io.count;
      page.direction = run_->io.direction;  // KVM_EXIT_IO_IN 0, KVM_EXIT_IO_OUT 1: a Direction
      uint8_t* data = reinterpret_cast<uint8_t*>(run_) + run_->io.data_offset;
      if (run_->io.direction == KVM_EXIT_IO_OUT) Copy(page.data, data, IoBytes(run_));
      reply_waits_ = true;
      break;
    }
    case KVM_EXIT_MMIO:
      set(ExitKind::kMmio);
      page.address = run_->mmio.phys_addr;
      page.size = run_->mmio.len < 8 ? run_->mmio.len : 8;
      page.count = 1;
      page.direction = run_->mmio.is_write ? 1 : 0;
      if (run_->mmio.is_write) std::memcpy(page.data, run_->mmio.data, sizeof run_->mmio.data);
      reply_waits_ = true;
      break;
    case KVM_EXIT_HLT:
      set(ExitKind::kHlt);
      break;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      set(ExitKind::kIrqWindow);
      break;
    case KVM_EXIT_SHUTDOWN:
      set(ExitKind::kShutdown);
      break;
    case KVM_EXIT_DEBUG:
      set(ExitKind::kDebug);
      page.subcode = run_->debug.arch.exception;
      page.detail[0] = run_->debug.arch.pc;
      page.detail[1] = run_->debug.arch.dr6;
      page.detail[2] = run_->debug.arch.dr7;
      break;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
      set(ExitKind::kMsr);
      page.address = run_->msr.index;
      page.subcode = run_->msr.reason;
      page.direction = run_->exit_reason == KVM_EXIT_X86_WRMSR ? 1 : 0;
      page.detail[0] = run_->msr.data;
      page.detail[1] = 1;  // unanswered: the guest gets #GP
      reply_waits_ = true;
      break;
    case KVM_EXIT_HYPERCALL:
      set(ExitKind::kHypercall);
      page.address = run_->hypercall.nr;
      for (int i = 0; i < 6; i++) page.detail[i + 1] = run_->hypercall.args[i];
      page.detail[0] = ~uint64_t{0};
      reply_waits_ = true;
      break;
    case KVM_EXIT_SYSTEM_EVENT:
      set(ExitKind::kSystemEvent);
      page.subcode = run_->system_event.type;
      page.detail[0] = run_->system_event.flags;
      break;
    case KVM_EXIT_FAIL_ENTRY:
      set(ExitKind::kFailEntry);
      page.detail[0] = run_->fail_entry.hardware_entry_failure_reason;
      page.detail[1] = run_->fail_entry.cpu;
      break;
    case KVM_EXIT_INTERNAL_ERROR:
      set(ExitKind::kInternalError);
      FillInternalError(run_, &page);
      break;
    default:
      set(ExitKind::kUnknown);
      page.detail[0] = run_->hw.hardware_exit_reason;
  }
}

// KVM_RUN that returned -1 for another reason than a signal. A memory fault carries a valid exit all the same (api.rst 5, KVM_EXIT_MEMORY_FAULT).
Status KvmVcpu::EntryFailed(int error) {
  ExitPage& page = shared_->exit;
  if (run_->exit_reason == kExitMemoryFault && (error == EFAULT || error == EHWPOISON)) {
    // struct { u64 flags, gpa, size } memory_fault stands at the start of the exit union.
    uint64_t fault[3];
    std::memcpy(fault, &run_->hw, sizeof fault);
    page.kind = static_cast<uint32_t>(ExitKind::kMemoryFault);
    page.raw_code = kExitMemoryFault;
    page.detail[0] = fault[0];
    page.address = fault[1];
    page.detail[1] = fault[2];
    return Status::Ok();
  }
  return Status::Os("KVM_RUN", error);
}

}  // namespace hax::kvm

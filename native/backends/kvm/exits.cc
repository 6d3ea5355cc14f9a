// What KVM_RUN ended with, as the exit page says it (api.rst chapter 5).
#include <cstring>

#include "backends/kvm/kvm.h"
#include "backends/kvm/newer.h"

namespace hax::kvm {

namespace {

// What hypercalls that nobody answers give: HV_STATUS_INVALID_HYPERCALL_CODE of Microsoft's TLFS, appendix A, and Xen's -ENOSYS.
constexpr uint64_t kHypervUnknownCall = 2;
constexpr uint64_t kXenUnknownCall = ~uint64_t{0} - 37;

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

// Words of 64 bits behind a count of them, as far as the kernel has room for them.
template <size_t room>
void FillWords(uint32_t count, const __u64 (&words)[room], ExitPage* page) {
  page->count = count < room ? count : room;
  std::memcpy(page->data, words, page->count * sizeof(uint64_t));
}

void FillInternalError(const kvm_run* run, ExitPage* page) {
  page->subcode = run->internal.suberror;
  FillWords(run->internal.ndata, run->internal.data, page);
  page->instruction_length = 0;
  if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && run->internal.ndata >= 2 &&
      (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
    const uint32_t length = run->emulation_failure.insn_size;
    page->instruction_length = length < 15 ? length : 15;
    std::memcpy(page->instruction, run->emulation_failure.insn_bytes, page->instruction_length);
  }
}

// Hyper-V's enlightenments: a SynIC or debugger MSR was written, or a hypercall made that KVM leaves to user space.
bool FillHyperv(const kvm_run* run, ExitPage* page) {
  page->subcode = run->hyperv.type;
  switch (run->hyperv.type) {
    case KVM_EXIT_HYPERV_SYNIC:
      page->address = run->hyperv.u.synic.msr;
      page->detail[0] = 0;
      page->detail[1] = run->hyperv.u.synic.control;
      page->detail[2] = run->hyperv.u.synic.evt_page;
      page->detail[3] = run->hyperv.u.synic.msg_page;
      return false;
    case KVM_EXIT_HYPERV_HCALL:
      page->detail[0] = kHypervUnknownCall;
      page->detail[1] = run->hyperv.u.hcall.input;
      page->detail[2] = run->hyperv.u.hcall.params[0];
      page->detail[3] = run->hyperv.u.hcall.params[1];
      return true;
    case KVM_EXIT_HYPERV_SYNDBG:
      page->address = run->hyperv.u.syndbg.msr;
      page->detail[0] = run->hyperv.u.syndbg.status;
      page->detail[1] = run->hyperv.u.syndbg.control;
      page->detail[2] = run->hyperv.u.syndbg.send_page;
      page->detail[3] = run->hyperv.u.syndbg.recv_page;
      page->detail[4] = run->hyperv.u.syndbg.pending_page;
      return true;
  }
  return false;
}

// A hypercall of a guest that believes to run on Xen; there is no other type.
bool FillXen(const kvm_run* run, ExitPage* page) {
  const auto& call = run->xen.u.hcall;
  page->subcode = run->xen.type;
  page->address = call.input;
  page->detail[0] = kXenUnknownCall;
  for (int i = 0; i < 6; i++) page->detail[i + 1] = call.params[i];
  page->detail[7] = call.cpl | uint64_t{call.longmode != 0} << 8;
  return run->xen.type == KVM_EXIT_XEN_HCALL;
}

}  // namespace

void MoveReply(const ExitPage& page, kvm_run* run) {
  switch (run->exit_reason) {
    case KVM_EXIT_IO:
      if (run->io.direction == KVM_EXIT_IO_IN) {
        Copy(reinterpret_cast<uint8_t*>(run) + run->io.data_offset, page.data, IoBytes(run));
      }
      break;
    case KVM_EXIT_MMIO:
      if (!run->mmio.is_write) std::memcpy(run->mmio.data, page.data, sizeof run->mmio.data);
      break;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
      run->msr.data = page.detail[0];
      run->msr.error = static_cast<uint8_t>(page.detail[1] != 0);
      break;
    case KVM_EXIT_HYPERCALL:
      run->hypercall.ret = page.detail[0];
      break;
    case KVM_EXIT_HYPERV:
      if (run->hyperv.type == KVM_EXIT_HYPERV_HCALL) run->hyperv.u.hcall.result = page.detail[0];
      if (run->hyperv.type == KVM_EXIT_HYPERV_SYNDBG) run->hyperv.u.syndbg.status = page.detail[0];
      break;
    case KVM_EXIT_XEN:
      if (run->xen.type == KVM_EXIT_XEN_HCALL) run->xen.u.hcall.result = page.detail[0];
      break;
  }
}

bool DescribeExit(kvm_run* run, ExitPage* page) {
  const auto set = [page](ExitKind kind) { page->kind = static_cast<uint32_t>(kind); };
  page->raw_code = run->exit_reason;
  switch (run->exit_reason) {
    case KVM_EXIT_IO: {
      set(ExitKind::kIo);
      page->port = run->io.port;
      page->size = run->io.size;
      page->count = run->io.count;
      page->direction = run->io.direction;  // KVM_EXIT_IO_IN 0, KVM_EXIT_IO_OUT 1: a Direction
      uint8_t* data = reinterpret_cast<uint8_t*>(run) + run->io.data_offset;
      if (run->io.direction == KVM_EXIT_IO_OUT) Copy(page->data, data, IoBytes(run));
      return true;
    }
    case KVM_EXIT_MMIO:
      set(ExitKind::kMmio);
      page->address = run->mmio.phys_addr;
      page->size = run->mmio.len < 8 ? run->mmio.len : 8;
      page->count = 1;
      page->direction = run->mmio.is_write ? 1 : 0;
      if (run->mmio.is_write) std::memcpy(page->data, run->mmio.data, sizeof run->mmio.data);
      return true;
    case KVM_EXIT_HLT:
      set(ExitKind::kHlt);
      return false;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      set(ExitKind::kIrqWindow);
      return false;
    case KVM_EXIT_SHUTDOWN:
      set(ExitKind::kShutdown);
      return false;
    case KVM_EXIT_DEBUG:
      set(ExitKind::kDebug);
      page->subcode = run->debug.arch.exception;
      page->detail[0] = run->debug.arch.pc;
      page->detail[1] = run->debug.arch.dr6;
      page->detail[2] = run->debug.arch.dr7;
      return false;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
      set(ExitKind::kMsr);
      page->address = run->msr.index;
      page->subcode = run->msr.reason;
      page->direction = run->exit_reason == KVM_EXIT_X86_WRMSR ? 1 : 0;
      page->detail[0] = run->msr.data;
      page->detail[1] = 1;  // unanswered: the guest gets #GP
      // The kernel forgets an interrupt that it is given before it raises that: there is a window behind it.
      page->interrupt_ready = 0;
      return true;
    case KVM_EXIT_HYPERCALL:
      set(ExitKind::kHypercall);
      page->address = run->hypercall.nr;
      for (int i = 0; i < 6; i++) page->detail[i + 1] = run->hypercall.args[i];
      page->detail[0] = ~uint64_t{0};
      page->detail[7] = uint64_t{run->hypercall.longmode & 1} << 8;
      return true;
    case KVM_EXIT_SYSTEM_EVENT:
      set(ExitKind::kSystemEvent);
      page->subcode = run->system_event.type;
      page->detail[0] = run->system_event.flags;
      FillWords(run->system_event.ndata, run->system_event.data, page);
      return false;
    case KVM_EXIT_FAIL_ENTRY:
      set(ExitKind::kFailEntry);
      page->detail[0] = run->fail_entry.hardware_entry_failure_reason;
      page->detail[1] = run->fail_entry.cpu;
      return false;
    case KVM_EXIT_INTERNAL_ERROR:
      set(ExitKind::kInternalError);
      FillInternalError(run, page);
      return false;
    case KVM_EXIT_EXCEPTION:
      set(ExitKind::kException);
      page->subcode = run->ex.exception;
      page->detail[0] = run->ex.error_code;
      return false;
    case KVM_EXIT_SET_TPR:
      set(ExitKind::kSetTpr);
      page->detail[0] = run->cr8;
      return false;
    case KVM_EXIT_TPR_ACCESS:
      set(ExitKind::kTprAccess);
      page->detail[0] = run->tpr_access.rip;
      page->direction = run->tpr_access.is_write ? 1 : 0;
      return false;
    case KVM_EXIT_NMI:
      set(ExitKind::kNmi);
      return false;
    case KVM_EXIT_IOAPIC_EOI:
      set(ExitKind::kIoapicEoi);
      page->subcode = run->eoi.vector;
      return false;
    case KVM_EXIT_HYPERV:
      set(ExitKind::kHyperv);
      return FillHyperv(run, page);
    case KVM_EXIT_XEN:
      set(ExitKind::kXen);
      return FillXen(run, page);
    case KVM_EXIT_DIRTY_RING_FULL:
      set(ExitKind::kDirtyRingFull);
      return false;
    case KVM_EXIT_X86_BUS_LOCK:
      set(ExitKind::kBusLock);
      return false;
    case KVM_EXIT_NOTIFY:
      set(ExitKind::kNotify);
      page->detail[0] = run->notify.flags;
      return false;
    default:
      set(ExitKind::kUnknown);
      page->detail[0] = run->hw.hardware_exit_reason;
      page->size = sizeof run->padding;
      page->count = 1;
      std::memcpy(page->data, run->padding, sizeof run->padding);
      return false;
  }
}

void KvmVcpu::FillExit() { reply_waits_ = reply_moves_ = DescribeExit(run_, &shared_->exit); }

// KVM_RUN that returned -1 for another reason than a signal. A memory fault carries a valid exit all the same (api.rst 5,
// KVM_EXIT_MEMORY_FAULT).
void KvmVcpu::EntryFailed(int error) {
  ExitPage& page = shared_->exit;
  if (run_->exit_reason == KVM_EXIT_MEMORY_FAULT && (error == EFAULT || error == EHWPOISON)) {
    // struct { u64 flags, gpa, size } memory_fault stands at the start of the exit union.
    uint64_t fault[3];
    std::memcpy(fault, &run_->hw, sizeof fault);
    page.kind = static_cast<uint32_t>(ExitKind::kMemoryFault);
    page.raw_code = KVM_EXIT_MEMORY_FAULT;
    page.detail[0] = fault[0];
    page.address = fault[1];
    page.detail[1] = fault[2];
    return;
  }
  RunFailed(Status::Os("KVM_RUN", error));
}

}  // namespace hax::kvm

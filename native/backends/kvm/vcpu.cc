// The vCPU descriptor: entering the guest, and CPUID.
#include <sys/mman.h>

#include <cstddef>
#include <cstring>

#include "backends/kvm/flex_table.h"
#include "backends/kvm/kvm.h"
#include "backends/kvm/run_call.h"

namespace hax::kvm {

static_assert(offsetof(kvm_sregs, cr8) == offsetof(kvm_sregs2, cr8));

namespace {

// How often KVM_RUN may say EAGAIN before it is asked why.
constexpr int kMaxRefusals = 16;

}  // namespace

Status KvmVcpu::Create(std::shared_ptr<KvmVm> vm, Fd* fd, size_t run_size, std::shared_ptr<Vcpu>* out) {
  void* run = mmap(nullptr, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0);
  if (run == MAP_FAILED) return Status::Os("mmap", errno);
  madvise(run, run_size, MADV_DONTFORK);
  std::shared_ptr<KvmVcpu> vcpu(new KvmVcpu(std::move(vm), std::move(*fd)));
  vcpu->run_ = static_cast<kvm_run*>(run);
  vcpu->run_size_ = run_size;
  vcpu->stop_.set_device_flag(&vcpu->run_->immediate_exit);
  static const bool direct = GoesPastLibrary();
  vcpu->direct_ = direct;
  vcpu->is_kvm_ = true;
  vcpu->shared_ = std::make_shared<VcpuShared>();
  vcpu->shared_->exit.version = kExitPageVersion;
  *out = std::move(vcpu);
  return Status::Ok();
}

// The host gives the VM no thread of its own (pids.max, RLIMIT_NPROC): KVM_RUN says EAGAIN to that, too, and would for ever.
bool KvmVcpu::IsRunnable() const {
  kvm_mp_state state = {};
  return ioctl(fd_.get(), KVM_GET_MP_STATE, &state) != 0 || state.mp_state == KVM_MP_STATE_RUNNABLE;
}

KvmVcpu::~KvmVcpu() {
  ring_.reset();  // which writes to what is unmapped now
  if (run_) munmap(run_, run_size_);
}

// One KVM_RUN: 0 for an exit, otherwise its errno.
inline int KvmVcpu::Enter(ExitPage* page) {
  page->entries++;
  run_->request_interrupt_window = page->request_window != 0;
  const int error = CallRun(fd_.get(), direct_);
  stop_.Leave();
  synced_ = sync_mask_;
  regs_wait_ = false;
  page->interrupt_ready = run_->ready_for_interrupt_injection;
  return error;
}

// The hot path: a port and one element. What else there may be to do is a tail call, so that this saves few registers, and out of line: an
// exit makes the processor forget where branches lead and what code is near, so that the way through is one piece without a jump.
[[gnu::hot, gnu::always_inline]] inline void KvmVcpu::RunGuest() {
  ExitPage& page = shared_->exit;
  if (__builtin_expect(exit_kept_, 0)) return KeptExit();
  if (__builtin_expect(reply_moves_, 0)) MoveReply(page, run_);
  if (__builtin_expect(!stop_.EnterAsFlagIs(), 0)) return Interrupted();
  const int error = Enter(&page);
  if (__builtin_expect(error != 0, 0)) return EnterAgain(error);
  const kvm_run* run = run_;
  if (__builtin_expect(run->exit_reason != KVM_EXIT_IO || run->io.count != 1, 0)) return FillExit();
  page.kind = static_cast<uint32_t>(ExitKind::kIo);
  page.raw_code = KVM_EXIT_IO;
  page.port = run->io.port;
  page.size = run->io.size;
  page.count = 1;
  page.direction = run->io.direction;
  // Four bytes whatever the size: they are inside the page that data_offset names.
  std::memcpy(page.data, reinterpret_cast<const uint8_t*>(run) + run->io.data_offset, 4);
  reply_waits_ = true;
  reply_moves_ = run->io.direction == KVM_EXIT_IO_IN;
}

[[gnu::hot]] void RunGuest(Vcpu* vcpu) { static_cast<KvmVcpu*>(vcpu)->RunGuest(); }

void KvmVcpu::KeptExit() {
  exit_kept_ = false;
  FillExit();
}

// After a KVM_RUN that failed, most often because of a signal: until there is an exit or a kick.
void KvmVcpu::EnterAgain(int error) {
  ExitPage& page = shared_->exit;
  int refusals = 0;
  do {
    reply_waits_ = reply_moves_ = false;  // an entry that was interrupted has still taken the reply
    // A vCPU that waits for INIT or its SIPI would not take registers that wait for its next entry: they are set at once until it has run.
    synced_ = 0;
    // EAGAIN: an application processor that has just had its SIPI (api.rst 4.10).
    if (error != EINTR && (error != EAGAIN || (++refusals >= kMaxRefusals && IsRunnable()))) return EntryFailed(error);
    stop_.ClearFlag();
    LookAtRing();
    if (stop_.pending()) return Interrupted();
    page.interrupted++;
    if (!stop_.EnterAsFlagIs()) return Interrupted();
    error = Enter(&page);
  } while (error != 0);
  FillExit();
}

[[gnu::noinline]] void KvmVcpu::Interrupted() {
  ExitPage& page = shared_->exit;
  stop_.ClearFlag();
  page.kind = static_cast<uint32_t>(ExitKind::kInterrupted);
  page.subcode = static_cast<uint32_t>(stop_.Consume());
  page.kicks++;
}

bool KvmVcpu::BeginSlice(int loop_fd, uint64_t ends, uint64_t deadline) {
  if (!ring_is_made_) ring_ = SliceRing::Create(&run_->immediate_exit);
  ring_is_made_ = true;
  return ring_ends_slice_ = ring_ && ring_->Begin(loop_fd, ends, deadline);
}

// The ring may have set the flag that has been cleared since.
void KvmVcpu::LookAtRing() {
  if (ring_ends_slice_ && ring_->Ended()) stop_.Mark(InterruptReason::kSlice);
}

Status KvmVcpu::Complete() {
  if (!reply_waits_ || exit_kept_) return Status::Ok();
  if (reply_moves_) MoveReply(shared_->exit, run_);
  __atomic_store_n(&run_->immediate_exit, 1, __ATOMIC_SEQ_CST);
  int result;
  do {
    result = ioctl(fd_.get(), KVM_RUN, 0);
  } while (result != 0 && errno == EAGAIN);
  const int error = errno;
  __atomic_store_n(&run_->immediate_exit, 0, __ATOMIC_SEQ_CST);
  LookAtRing();
  reply_waits_ = reply_moves_ = false;
  synced_ = sync_mask_;
  regs_wait_ = false;
  if (result == 0) {
    exit_kept_ = true;  // for example the next piece of a string instruction
    return Status::Ok();
  }
  return error == EINTR ? Status::Ok() : Status::Os("KVM_RUN", error);
}

Status KvmVcpu::Inject(uint32_t vector) {
  synced_ &= ~uint32_t{kStateSystem};  // kvm_sregs shows it
  kvm_interrupt interrupt = {vector};
  return HAX_KVM_CALL(fd_, KVM_INTERRUPT, &interrupt);
}

// The kernel shall know the registers, and may change any.
Status KvmVcpu::Ioctl(uint64_t request, uintptr_t argument, int* result) {
  HAX_RETURN_IF_ERROR(FlushRegs());
  synced_ = 0;
  HAX_RETURN_IF_ERROR(RawCall(fd_, request, argument, result));
  // SAFETY: the kernel has just read the structure there.
  if (request == KVM_SET_SREGS || request == KVM_SET_SREGS2) SetNextCr8(reinterpret_cast<const kvm_sregs*>(argument)->cr8);
  return Status::Ok();
}

Status KvmVcpu::SetCpuid(const std::vector<CpuidEntry>& entries) {
  synced_ = synced_ & kStateGeneral;
  FlexTable<kvm_cpuid_entry2> table(static_cast<uint32_t>(entries.size()));
  for (uint32_t i = 0; i < entries.size(); i++) {
    const CpuidEntry& e = entries[i];
    kvm_cpuid_entry2& to = table[i];
    to.function = e.function;
    to.index = e.index;
    to.flags = e.flags;
    to.eax = e.eax;
    to.ebx = e.ebx;
    to.ecx = e.ecx;
    to.edx = e.edx;
  }
  return Call(fd_, kSetCpuid2, "KVM_SET_CPUID2", table.header());
}

}  // namespace hax::kvm

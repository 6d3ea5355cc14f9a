#include "core/slice_ring.h"

#include <sys/mman.h>

// Headers of a kernel before 5.17 lack something of it: the watcher's thread ends all slices then.
#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#endif
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "core/loop_watch.h"
#include "core/os.h"

namespace hax {

SliceRing::Pages::~Pages() {
  if (at) munmap(at, size);
}

#if defined(IORING_FEAT_CQE_SKIP) && defined(IORING_TIMEOUT_ETIME_SUCCESS)

namespace {

constexpr unsigned kEntries = 8;  // more than are ever prepared at once
constexpr uint32_t kFeatures = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_CQE_SKIP;

// An eventfd that reads as 1 for ever: a semaphore of 2^64 - 2. One for the process, and never closed.
std::atomic<int> ones{-1};

bool MakeOnes() {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  if (ones.load(std::memory_order_relaxed) >= 0) return true;
  const int made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
  if (made < 0) return false;
  const uint64_t most = ~uint64_t{1};
  if (write(made, &most, sizeof most) != sizeof most) {
    close(made);
    return false;
  }
  ones = made;
  return true;
}

std::string AskForRefusal() {
  if (os::Variable("HAX_PLAIN_WATCH")) return "HAX_PLAIN_WATCH asks for the watcher's thread instead";
  io_uring_params params = {};
  const int fd = static_cast<int>(syscall(SYS_io_uring_setup, kEntries, &params));
  if (fd < 0) {
    // Of which there may be more the next time.
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) return "";
    return std::string("io_uring_setup failed: ") + std::strerror(errno);
  }
  close(fd);
  return (params.features & kFeatures) == kFeatures ? "" : "io_uring of a kernel before Linux 5.17";
}

}  // namespace

const std::string& SliceRing::Refusal() {
  static const std::string refusal = AskForRefusal();
  return refusal;
}

bool SliceRing::Pages::Map(int ring, size_t length, uint64_t offset) {
  void* const made = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, static_cast<off_t>(offset));
  if (made == MAP_FAILED) return false;
  madvise(made, length, MADV_DONTFORK);
  at = made;
  size = length;
  return true;
}

std::unique_ptr<SliceRing> SliceRing::Create(uint8_t* flag) {
  if (!Refusal().empty() || !MakeOnes()) return nullptr;
  std::unique_ptr<SliceRing> ring(new SliceRing(flag));
  if (!ring->Open()) ring.reset();
  return ring;
}

SliceRing::SliceRing(uint8_t* flag) : places_{{flag, 1}, {rest_, sizeof rest_}} {}

void SliceRing::SetFlag(uint8_t value) { __atomic_store_n(static_cast<uint8_t*>(places_[0].iov_base), value, __ATOMIC_RELAXED); }

bool SliceRing::Open() {
  io_uring_params params = {};
  fd_ = static_cast<int>(syscall(SYS_io_uring_setup, kEntries, &params));
  if (fd_ < 0) return false;
  const size_t size =
      std::max(params.sq_off.array + params.sq_entries * sizeof(uint32_t), params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe));
  if (!rings_.Map(fd_, size, IORING_OFF_SQ_RING) || !entries_.Map(fd_, params.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES)) {
    return false;
  }
  queue_tail_ = InRings<uint32_t>(params.sq_off.tail);
  queue_order_ = InRings<uint32_t>(params.sq_off.array);
  queue_mask_ = *InRings<uint32_t>(params.sq_off.ring_mask);
  done_head_ = InRings<uint32_t>(params.cq_off.head);
  done_tail_ = InRings<uint32_t>(params.cq_off.tail);
  done_mask_ = *InRings<uint32_t>(params.cq_off.ring_mask);
  done_entries_ = params.cq_off.cqes;
  return true;
}

SliceRing::~SliceRing() {
  if (fd_ < 0) return;
  if (outstanding_ > 0) Reap();
  if (outstanding_ > 0) {
    Cancel(kReadable);
    Cancel(kExpired);
  }
  // Until the kernel has nothing left that would write.
  while (outstanding_ > 0 && Submit(1)) Reap();
  close(fd_);
}

io_uring_sqe* SliceRing::Next(uint8_t operation, Tag tag) {
  const uint32_t index = (*queue_tail_ + prepared_++) & queue_mask_;
  io_uring_sqe* const entry = static_cast<io_uring_sqe*>(entries_.at) + index;
  std::memset(entry, 0, sizeof *entry);
  entry->opcode = operation;
  entry->user_data = tag;
  queue_order_[index] = index;
  return entry;
}

// One after the other, in one go: the kernel does both before the thread is back in the guest, or anywhere else outside the kernel.
void SliceRing::ThenSetFlag(io_uring_sqe* first) {
  first->flags = IOSQE_IO_LINK;
  io_uring_sqe* const entry = Next(IORING_OP_READV, kFlagSet);
  entry->fd = ones.load(std::memory_order_relaxed);
  entry->addr = reinterpret_cast<uintptr_t>(places_);
  entry->len = 2;
}

void SliceRing::WatchLoop(int loop_fd) {
  io_uring_sqe* const entry = Next(IORING_OP_POLL_ADD, kReadable);
  entry->fd = loop_fd;
  entry->poll32_events = POLLIN;
  ThenSetFlag(entry);
  watches_ = true;
}

void SliceRing::SetTimer(uint64_t deadline) {
  timer_[0] = static_cast<int64_t>(deadline / 1000000000);
  timer_[1] = static_cast<int64_t>(deadline % 1000000000);
  set_deadline_ = deadline;
  io_uring_sqe* entry;
  if (timer_is_set_) {
    // Where it has expired meanwhile this does nothing, and Ended() sets it anew.
    entry = Next(IORING_OP_TIMEOUT_REMOVE, kOther);
    entry->addr = kExpired;
    entry->addr2 = reinterpret_cast<uintptr_t>(timer_);
    entry->timeout_flags = IORING_TIMEOUT_UPDATE | IORING_TIMEOUT_ABS;
  } else {
    entry = Next(IORING_OP_TIMEOUT, kExpired);
    entry->addr = reinterpret_cast<uintptr_t>(timer_);
    entry->len = 1;
    entry->timeout_flags = IORING_TIMEOUT_ABS | IORING_TIMEOUT_ETIME_SUCCESS;
    ThenSetFlag(entry);
    timer_is_set_ = true;
  }
}

void SliceRing::Cancel(Tag tag) { Next(IORING_OP_ASYNC_CANCEL, kOther)->addr = tag; }

bool SliceRing::Submit(unsigned wait_for) {
  __atomic_store_n(queue_tail_, *queue_tail_ + prepared_, __ATOMIC_RELEASE);
  while (prepared_ > 0 || wait_for > 0) {
    const long done = syscall(SYS_io_uring_enter, fd_, prepared_, wait_for, wait_for > 0 ? IORING_ENTER_GETEVENTS : 0, nullptr, 0);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 || (done == 0 && prepared_ > 0)) {
      // What the kernel has not taken it is never to see, and the slice in progress has no other end.
      __atomic_store_n(queue_tail_, *queue_tail_ - prepared_, __ATOMIC_RELEASE);
      prepared_ = 0;
      SetFlag(1);
      return works_ = false;
    }
    prepared_ -= static_cast<uint32_t>(done);
    outstanding_ += static_cast<uint32_t>(done);
    wait_for = 0;
  }
  return true;
}

void SliceRing::Reap() {
  uint32_t head = *done_head_;
  for (const uint32_t tail = __atomic_load_n(done_tail_, __ATOMIC_ACQUIRE); head != tail; head++, outstanding_--) {
    const io_uring_cqe& done = InRings<io_uring_cqe>(done_entries_)[head & done_mask_];
    switch (done.user_data) {
      case kReadable:
        watches_ = false;
        readable_ = true;
        break;
      case kExpired:
        timer_is_set_ = false;
        break;
    }
    // A descriptor that cannot be waited for, or a timer: it would end each slice at once.
    const bool failed = done.res < 0 && done.res != -ECANCELED && !(done.user_data == kExpired && done.res == -ETIME);
    if (failed && done.user_data != kOther) works_ = false;
  }
  __atomic_store_n(done_head_, head, __ATOMIC_RELEASE);
}

bool SliceRing::Begin(int loop_fd, uint64_t ends, uint64_t deadline) {
  SetFlag(0);
  Reap();
  if (!works_) return false;
  readable_ = false;
  deadline_ = deadline;
  // A timer that is early costs an exit, one that is put off a part of a call that is made anyway, or a call of its own, which costs less
  // than an exit, where there would be none.
  const bool calls = !watches_ || !timer_is_set_ || deadline < set_deadline_ || (ends < deadline && set_deadline_ < ends);
  if (!watches_) WatchLoop(loop_fd);
  if (calls) SetTimer(deadline);
  return !calls || Submit(0);
}

void SliceRing::Advance(uint64_t deadline) {
  if (deadline >= deadline_) return;
  deadline_ = deadline;
  Reap();  // each change of the timer leaves a word there, and the room for them has an end
  if (timer_is_set_ && deadline >= set_deadline_) return;
  SetTimer(deadline);
  Submit(0);
}

bool SliceRing::Ended() {
  Reap();
  if (readable_ || !works_) return true;
  if (timer_is_set_) return false;
  if (MonotonicNanoseconds() >= deadline_) return true;
  // It was an earlier slice's.
  SetTimer(deadline_);
  return !Submit(0);
}

#else

const std::string& SliceRing::Refusal() {
  static const std::string refusal = "this addon was built with the headers of a kernel before Linux 5.17";
  return refusal;
}
std::unique_ptr<SliceRing> SliceRing::Create(uint8_t*) { return nullptr; }
SliceRing::~SliceRing() = default;
bool SliceRing::Begin(int, uint64_t, uint64_t) { return false; }
void SliceRing::Advance(uint64_t) {}
bool SliceRing::Ended() { return true; }

#endif

}  // namespace hax

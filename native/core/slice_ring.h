// Ends a slice of one vCPU's guest time by io_uring: when the event loop's back-end descriptor becomes readable, or at a deadline, the
// kernel itself takes the thread out of the guest and sets the flag that the device looks at before an entry. No other thread has to
// wake up for it, and no signal is sent. docs/decisions/0007-slices-by-io_uring.md has what that saves.
//
// All methods but the destructor belong to the thread that made it: it is the one that the kernel takes out.
#ifndef NODE_HAX_CORE_SLICE_RING_H_
#define NODE_HAX_CORE_SLICE_RING_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

struct io_uring_sqe;

namespace hax {

class SliceRing {
 public:
  // Why there is none: this kernel has no io_uring, or not for this process, or is older than 5.17, or HAX_PLAIN_WATCH asks not to. Empty
  // where there is one. Asked of the kernel once.
  static const std::string& Refusal();
  // `flag` is set to 1, not before Begin() and not after the destructor. Null where there is none, or no descriptor or memory for it now.
  static std::unique_ptr<SliceRing> Create(uint8_t* flag);
  ~SliceRing();
  SliceRing(const SliceRing&) = delete;
  SliceRing& operator=(const SliceRing&) = delete;

  // A slice begins, and the flag is 0. It ends when `loop_fd`, always the same, is readable, or at `deadline`; before, at `ends`, it is
  // expected to end without the ring. Both are CLOCK_MONOTONIC nanoseconds. False: something else has to end it.
  bool Begin(int loop_fd, uint64_t ends, uint64_t deadline);
  // An earlier deadline for the slice in progress; later ones are ignored.
  void Advance(uint64_t deadline);
  // Whether what Begin() waits for has happened. To be asked when the device came back without an exit, after the flag has been set to 0.
  bool Ended();
  // Whether that was the descriptor.
  bool loop_is_readable() const { return readable_; }

 private:
  enum Tag : uint64_t { kReadable, kExpired, kFlagSet, kOther };  // of an entry, and of what the kernel answers

  explicit SliceRing(uint8_t* flag);
  bool Open();
  void SetFlag(uint8_t value);
  io_uring_sqe* Next(uint8_t operation, Tag tag);
  void ThenSetFlag(io_uring_sqe* first);
  void WatchLoop(int loop_fd);
  void SetTimer(uint64_t deadline);
  void Cancel(Tag tag);
  bool Submit(unsigned wait_for);
  void Reap();

  struct Pages {
    ~Pages();
    bool Map(int ring, size_t length, uint64_t offset);
    void* at = nullptr;
    size_t size = 0;
  };
  template <typename T>
  T* InRings(uint32_t offset) const {
    return reinterpret_cast<T*>(static_cast<uint8_t*>(rings_.at) + offset);
  }

  int fd_ = -1;
  Pages rings_, entries_;
  uint32_t* queue_tail_ = nullptr;
  uint32_t* queue_order_ = nullptr;
  uint32_t queue_mask_ = 0;
  uint32_t* done_head_ = nullptr;
  uint32_t* done_tail_ = nullptr;
  uint32_t done_mask_ = 0;
  uint32_t done_entries_ = 0;
  uint32_t prepared_ = 0;  // entries that the kernel has not been told of

  // The flag and where the rest of an eventfd's eight bytes goes.
  uint8_t rest_[7];
  iovec places_[2];
  int64_t timer_[2] = {};  // struct __kernel_timespec

  uint64_t deadline_ = 0;
  uint64_t set_deadline_ = 0;  // the timer's
  uint32_t outstanding_ = 0;   // what the kernel has not answered
  bool watches_ = false;       // the descriptor is waited for
  bool timer_is_set_ = false;
  bool readable_ = false;  // since Begin()
  bool works_ = true;
};

}  // namespace hax

#endif  // NODE_HAX_CORE_SLICE_RING_H_

// A vCPU on a native thread of its own, and the queue in which its exits wait for the thread that owns the devices, the owner.
//
// Vcpu and exit page belong to one side at a time. Resume() gives them to the vCPU's thread, which enters the guest; each return of
// Vcpu::Run() gives them back, and the VcpuThread waits in the queue. That is two stores to one cache line, of which there should be no
// more: each costs a tenth of a microsecond from core to core. All but ExitQueue::Posted() is for the owner to call.
#ifndef NODE_HAX_CORE_VCPU_THREAD_H_
#define NODE_HAX_CORE_VCPU_THREAD_H_

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "core/hypervisor.h"
#include "core/spin.h"
#include "core/thread.h"

namespace hax {

class VcpuThread;

// std::hardware_destructive_interference_size, which compilers warn of: it may differ between them.
inline constexpr size_t kCacheLine = 64;

// The exits of all vCPUs that one thread serves. There is no list of them: the owner asks each vCPU, in turns.
class ExitQueue {
 public:
  // `wake` is called on a vCPU's thread when an exit comes and the owner does not look at the queue.
  explicit ExitQueue(std::function<void()> wake) : wake_(std::move(wake)) {}

  // On the vCPU's thread: it has an exit.
  void Posted();
  // The next that has an exit, or null. The owner looks at the queue from here on, so that none wakes it.
  VcpuThread* Take();
  // Where Take() gave null at `now`: spins for a while where that pays, and takes what has come.
  VcpuThread* SpinAndTake(uint64_t now);
  // The owner turns to something else, for which it may sleep. False: an exit waits, do not.
  bool Leave();
  bool Empty() const;
  // Takes the thread's exit out; false if it is not in here.
  bool Remove(VcpuThread* thread);

  void Add(VcpuThread* thread) { threads_.push_back(thread); }
  void Forget(VcpuThread* thread);

 private:
  const std::function<void()> wake_;
  std::vector<VcpuThread*> threads_;
  size_t next_ = 0;
  uint64_t left_at_ = 0;
  Spinner spinner_;  // the owner's
  alignas(kCacheLine) std::atomic<bool> owner_is_away_{true};
};

class VcpuThread {
 public:
  static Status Start(std::shared_ptr<Vcpu> vcpu, ExitQueue* queue, const std::vector<uint32_t>& cpus, std::unique_ptr<VcpuThread>* out);
  // Gets the vCPU out of the guest and waits for the thread's end.
  ~VcpuThread();

  // Whether the vCPU is the owner's to use.
  bool idle() const { return turn_.load(std::memory_order_seq_cst) == Turn::kOwner; }
  // Whether its exit waits to be taken.
  bool has_exit() const { return exit_to_take_ && idle(); }
  // Idle, and its exit has been taken.
  bool Ready() const { return !exit_to_take_ && idle(); }
  // When it is ready, gives the vCPU to its thread, which enters the guest. `now` by Spinner::Now().
  void Resume(uint64_t now);
  // When the guest was left.
  uint64_t left_at() const { return left_at_; }
  // Gets the vCPU out of the guest; on return it is idle. Its exit, which may be a kInterrupted, is in the queue as ever.
  void Hold();
  // Vcpu::Complete() on the vCPU's thread: KVM is slow to let another thread enter.
  Status Complete();
  // What Vcpu::Run() failed with; the exit page then says kNone.
  const Status& failure() const { return vcpu_->failure(); }

 private:
  friend class ExitQueue;
  enum class Turn : uint32_t { kOwner, kRun, kComplete, kEnd };
  VcpuThread(std::shared_ptr<Vcpu> vcpu, ExitQueue* queue) : vcpu_(std::move(vcpu)), page_(&vcpu_->shared()->exit), queue_(queue) {}
  void Loop();
  // Whether the thread has slept for it.
  bool AwaitTurn();
  void Give(Turn turn);
  void GiveBack();
  void AwaitIdle();

  // What both sides read, and the slow parts.
  const std::shared_ptr<Vcpu> vcpu_;
  ExitPage* const page_;
  ExitQueue* const queue_;
  std::mutex mutex_;
  std::condition_variable given_;
  std::condition_variable given_back_;
  Status completed_;
  MaySpin may_spin_;
  // The one line that both sides write.
  alignas(kCacheLine) std::atomic<Turn> turn_{Turn::kOwner};
  std::atomic<bool> asleep_{false};       // the thread waits for given_
  std::atomic<bool> owner_waits_{false};  // for given_back_
  uint64_t given_at_ = 0;                 // the owner's, before the turn, as left_at_ is the thread's
  uint64_t left_at_ = 0;
  // The owner's: of the last Resume() an exit has been or will be in the queue.
  alignas(kCacheLine) bool exit_to_take_ = false;
  // The thread's.
  alignas(kCacheLine) Spinner spinner_;
  std::unique_ptr<Thread> thread_;  // last: it uses the others
};

}  // namespace hax

#endif  // NODE_HAX_CORE_VCPU_THREAD_H_

// A vCPU on a native thread of its own, and the queue in which its exits wait for the thread that owns the devices, the owner.
//
// Vcpu and exit page belong to one side at a time. Resume() gives them to the vCPU's thread, which enters the guest; each return of
// Vcpu::Run() gives them back and puts the VcpuThread into the queue. All but ExitQueue::Post() is for the owner to call.
#ifndef NODE_HAX_CORE_VCPU_THREAD_H_
#define NODE_HAX_CORE_VCPU_THREAD_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "core/hypervisor.h"
#include "core/spin.h"
#include "core/thread.h"

namespace hax {

class VcpuThread;

// The exits of all vCPUs that one thread serves, first come first served.
class ExitQueue {
 public:
  // `wake` is called on a vCPU's thread when an exit comes and the owner does not look at the queue.
  explicit ExitQueue(std::function<void()> wake) : wake_(std::move(wake)) {}

  void Post(VcpuThread* thread);
  // The next that has an exit, or null. The owner looks at the queue from here on, so that none wakes it.
  VcpuThread* Take();
  // Where Take() gave null: spins for a while where that pays, and takes what has come.
  VcpuThread* SpinAndTake();
  // The owner turns to something else, for which it may sleep. False: an exit waits, do not.
  bool Leave();
  bool Empty();
  // Takes the thread's exit out; false if it is not in here.
  bool Remove(VcpuThread* thread);

 private:
  void Taken(VcpuThread* thread);

  const std::function<void()> wake_;
  std::mutex mutex_;
  std::deque<VcpuThread*> waiting_;
  std::atomic<int> posted_{0};  // how many waiting_ has, a moment later: for whoever spins
  bool owner_looks_ = false;
  uint64_t left_at_ = 0;
  Spinner spinner_;  // the owner's
};

class VcpuThread {
 public:
  static Status Start(std::shared_ptr<Vcpu> vcpu, ExitQueue* queue, const std::vector<uint32_t>& cpus, std::unique_ptr<VcpuThread>* out);
  // Gets the vCPU out of the guest and waits for the thread's end.
  ~VcpuThread();

  // Whether the vCPU is the owner's to use.
  bool idle() const { return turn_.load(std::memory_order_acquire) == Turn::kOwner; }
  // Idle, and its exit has been taken out of the queue.
  bool Ready() const { return idle() && !queued_.load(std::memory_order_relaxed); }
  // When it is ready, gives the vCPU to its thread, which enters the guest.
  void Resume();
  // Gets the vCPU out of the guest; on return it is idle. Its exit, which may be a kInterrupted, is in the queue as ever.
  void Hold();
  // Vcpu::Complete() on the vCPU's thread: KVM is slow to let another thread enter.
  Status Complete();
  // What Vcpu::Run() failed with; the exit page then says kNone.
  const Status& failure() const { return vcpu_->failure(); }

 private:
  friend class ExitQueue;
  enum class Turn : uint32_t { kOwner, kRun, kComplete, kEnd };
  VcpuThread(std::shared_ptr<Vcpu> vcpu, ExitQueue* queue) : vcpu_(std::move(vcpu)), queue_(queue) {}
  void Loop();
  Turn AwaitTurn();
  void Give(Turn turn);
  void GiveBack();
  void AwaitIdle();

  std::shared_ptr<Vcpu> vcpu_;
  ExitQueue* const queue_;
  std::atomic<Turn> turn_{Turn::kOwner};
  std::atomic<bool> queued_{false};  // has an exit that the owner has not taken
  std::atomic<bool> asleep_{false};  // waits for given_
  std::mutex mutex_;
  std::condition_variable given_;
  std::condition_variable given_back_;
  Status completed_;
  Spinner spinner_;  // the thread's
  MaySpin may_spin_;
  std::unique_ptr<Thread> thread_;  // last: it uses the others
};

}  // namespace hax

#endif  // NODE_HAX_CORE_VCPU_THREAD_H_

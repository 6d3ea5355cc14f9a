// The driver's lists of a VM's memory have no lock: a change of them while a vCPU is in RUN frees what that one reads, in the kernel. So no
// vCPU is in RUN while they change. Changes come from the thread that has made the VM; what enters the guest there needs no gate.
//
// RUN comes back at the host's next tick at the latest, and a thread in it waits for nobody: whoever changes memory waits that long. A vCPU
// that wants to enter meanwhile waits for the change.
#ifndef NODE_HAX_BACKENDS_HAXM_MEMORY_GATE_H_
#define NODE_HAX_BACKENDS_HAXM_MEMORY_GATE_H_

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace hax::haxm {

class MemoryGate {
 public:
  // While it lives its thread may be in RUN.
  class Passage {
   public:
    explicit Passage(MemoryGate* gate) : gate_(std::this_thread::get_id() == gate->owner_ ? nullptr : gate) {
      if (gate_) gate_->Enter();
    }
    ~Passage() {
      if (gate_) gate_->Leave();
    }
    Passage(const Passage&) = delete;
    Passage& operator=(const Passage&) = delete;

   private:
    MemoryGate* const gate_;
  };

  // While it lives no vCPU is in RUN. On the owner's thread.
  class Change {
   public:
    explicit Change(MemoryGate* gate) : gate_(gate) { gate_->Close(); }
    ~Change() { gate_->Open(); }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

   private:
    MemoryGate* const gate_;
  };

 private:
  // Each side says what it does before it looks at the other.
  void Enter() {
    inside_.fetch_add(1, std::memory_order_seq_cst);
    while (closed_.load(std::memory_order_seq_cst)) AwaitOpen();
  }
  void Leave() {
    if (inside_.fetch_sub(1, std::memory_order_seq_cst) == 1 && closed_.load(std::memory_order_seq_cst)) NotifyEmpty();
  }
  void AwaitOpen();
  void NotifyEmpty();
  void Close();
  void Open();

  const std::thread::id owner_ = std::this_thread::get_id();
  std::atomic<int> inside_{0};
  std::atomic<bool> closed_{false};
  std::mutex mutex_;
  std::condition_variable empty_;
  std::condition_variable open_;
};

}  // namespace hax::haxm

#endif  // NODE_HAX_BACKENDS_HAXM_MEMORY_GATE_H_

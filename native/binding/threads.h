// Threaded mode: the vCPUs of one environment that have native threads of their own. Their exits wait in one queue; the loop's check
// phase calls a JavaScript function, the pump, which serves them: `while ((slot = nextExit()) >= 0) …`. docs/run-loop.md tells why.
#ifndef NODE_HAX_BINDING_THREADS_H_
#define NODE_HAX_BINDING_THREADS_H_

#include <memory>
#include <vector>

#include "binding/binding.h"
#include "core/vcpu_thread.h"

namespace hax::binding {

class LoopContext;

// One vCPU on a thread: `new ThreadRunner(vcpu, slot, cpus)`. `slot` is what nextExit() says; cpus are 32-bit numbers, none for any.
class ThreadRunner final : public Napi::ObjectWrap<ThreadRunner> {
 public:
  explicit ThreadRunner(const Napi::CallbackInfo& info);
  ~ThreadRunner() override;
  static Napi::Function Define(Napi::Env env);

  bool referenced() const { return referenced_; }
  uint32_t slot() const { return slot_; }
  VcpuThread* thread() const { return thread_.get(); }
  ExitPage* page() const { return &shared_->exit; }  // after start()
  void End();

 private:
  Napi::Value Start(const Napi::CallbackInfo& info);
  Napi::Value Stop(const Napi::CallbackInfo& info);
  Napi::Value Ready(const Napi::CallbackInfo& info);
  Napi::Value Poke(const Napi::CallbackInfo& info);
  Napi::Value Hold(const Napi::CallbackInfo& info);
  Napi::Value TakeExit(const Napi::CallbackInfo& info);
  Napi::Value Check(const Napi::CallbackInfo& info);
  Napi::Value SetReferenced(const Napi::CallbackInfo& info);

  std::shared_ptr<VcpuBox> box_;
  std::unique_ptr<VcpuThread> thread_;
  std::shared_ptr<VcpuShared> shared_;
  LoopContext* context_ = nullptr;  // between start() and the end
  std::vector<uint32_t> cpus_;
  uint32_t slot_ = 0;
  bool referenced_ = true;
};

// What nextExit() and the pump tell each other: a call that compiled JavaScript makes as C has no arguments and no result.
struct ExitSlots {
  int32_t next;     // of nextExit(): the slot of the exit to serve; -1: nothing to serve, or the loop's turn
  uint32_t resume;  // to nextExit(): the slot of a vCPU that is to be given to its thread first; 0 for none
};

class ThreadHub {
 public:
  explicit ThreadHub(std::function<void()> wake) : queue_(std::move(wake)) {}

  ExitQueue* queue() { return &queue_; }
  void Add(ThreadRunner* runner) { runners_.push_back(runner); }
  void Remove(ThreadRunner* runner);
  bool empty() const { return runners_.empty(); }
  bool referenced() const;
  void EndAll();

  void set_pump(Napi::Function pump) { pump_ = Napi::Persistent(pump); }
  // Serves what waits, for a while; true when the loop should come back without sleeping.
  bool Serve(const LoopContext& context);
  // nextExit(), on the words of slots().
  void Next();
  const std::shared_ptr<ExitSlots>& slots() const { return slots_; }
  // Gives a vCPU to its thread. Nothing happens while an exit of it waits to be served.
  void Resume(uint32_t slot, uint64_t now);

 private:
  // Whatever time passes until the next exit is taken belongs to the handlers of the last.
  void Served(uint64_t now);

  ExitQueue queue_;
  const std::shared_ptr<ExitSlots> slots_ = std::make_shared<ExitSlots>();
  std::vector<ThreadRunner*> runners_;
  Napi::FunctionReference pump_;
  const LoopContext* context_ = nullptr;  // while the pump runs, and until when it does
  uint64_t until_ = 0;
  const ThreadRunner* serving_ = nullptr;
  uint64_t serving_since_ = 0;
};

// setPump(function), exitSlots() and resumeSlot(slot).
Napi::Value SetPump(const Napi::CallbackInfo& info);
Napi::Value GetExitSlots(const Napi::CallbackInfo& info);
Napi::Value ResumeSlot(const Napi::CallbackInfo& info);
// nextExit(), which each exit costs: of the pump that runs on this thread. As compiled JavaScript calls it, and as all other does.
void NextExit(void* receiver);
void NextExitSlowly(const void* info);

}  // namespace hax::binding

#endif  // NODE_HAX_BINDING_THREADS_H_

// A run of one vCPU inline, as the loop sees it (loop.h): whether it can go on, and how long its slices may be.
#ifndef NODE_HAX_BINDING_SLICE_RUNNER_H_
#define NODE_HAX_BINDING_SLICE_RUNNER_H_

#include <memory>

#include "binding/binding.h"
#include "binding/loop.h"

namespace hax::binding {

// One vCPU whose slices call a JavaScript function: `() => Next`.
class SliceRunner final : public Napi::ObjectWrap<SliceRunner> {
 public:
  // What the function returns: the guest can go on; it waits for wake(); it has ended.
  enum Next { kGoOn = 0, kPark = 1, kEnd = 2 };

  explicit SliceRunner(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SliceRunner>(info) {
    Napi::Function function;
    if (!VcpuHandle::Argument(info, 0, &box_) || !Argument(info, 1, "slice", &function) || !ReadCap(info, 2)) return;
    function_ = Napi::Persistent(function);
  }

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "SliceRunner",
                       {InstanceMethod<&SliceRunner::Start>("start"), InstanceMethod<&SliceRunner::Stop>("stop"),
                        InstanceMethod<&SliceRunner::Wake>("wake"), InstanceMethod<&SliceRunner::SetReferenced>("setReferenced"),
                        InstanceMethod<&SliceRunner::SetCap>("setCap"), InstanceMethod<&SliceRunner::SetIdle>("setIdle")});
  }

  bool runnable() const { return !parked_; }
  bool referenced() const { return referenced_; }
  uint64_t cap() const { return cap_; }
  // How long a slice may be at most. Of a guest that exits all the time looks at the clock end it after `cap`.
  uint64_t longest() const { return box_->times.ended_by_look ? late_cap_ : cap_; }
  bool idle() const { return idle_; }

  // And further ones at once, as long as the loop has nothing to do.
  void RunSlices(Napi::Env env, LoopContext* context, SliceLimits limits);

 private:
  bool ReadCap(const Napi::CallbackInfo& info, size_t at) {
    return Argument(info, at, "cap", &cap_) && Argument(info, at + 1, "lateCap", &late_cap_);
  }
  Napi::Value Start(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    LoopContext* context = LoopContext::Get(env);
    if (!context || started_ || ended_) return {};
    context->Start(this);
    started_ = true;
    parked_ = false;
    Ref();  // the context points to this object
    return {};
  }
  Napi::Value Stop(const Napi::CallbackInfo& info) {
    if (started_) End(LoopContext::Get(info.Env()));
    return {};
  }
  // Also from inside the slice: then the park that it returns is void.
  Napi::Value Wake(const Napi::CallbackInfo& info) {
    woken_ = true;
    if (!started_ || !parked_) return {};
    woken_ = false;
    parked_ = false;
    LoopContext::Get(info.Env())->Wake();
    return {};
  }
  Napi::Value SetReferenced(const Napi::CallbackInfo& info) {
    if (!Argument(info, 0, "referenced", &referenced_)) return {};
    if (started_) LoopContext::Get(info.Env())->UpdateReferences();
    return {};
  }
  Napi::Value SetCap(const Napi::CallbackInfo& info) {
    ReadCap(info, 0);
    return {};
  }
  Napi::Value SetIdle(const Napi::CallbackInfo& info) {
    Argument(info, 0, "idle", &idle_);
    return {};
  }
  void End(LoopContext* context);

  std::shared_ptr<VcpuBox> box_;
  Napi::FunctionReference function_;
  uint64_t cap_ = 0;  // nanoseconds
  uint64_t late_cap_ = 0;
  bool idle_ = false;  // the guest slept at the end of its last slice
  bool started_ = false;
  bool ended_ = false;  // once: a run has a runner of its own
  bool parked_ = false;
  bool woken_ = false;
  bool referenced_ = true;
};

}  // namespace hax::binding

#endif  // NODE_HAX_BINDING_SLICE_RUNNER_H_

#include "binding/loop.h"

#include <algorithm>

#include "core/hot_tls.h"

namespace hax::binding {

namespace {

constexpr uint64_t kMillisecond = 1000000;
// How long a blocking entry may keep a worker from being terminated.
constexpr uint64_t kLookUpInterval = 20 * kMillisecond;
// What a guest gets when the loop always has something due, for example a program that lives in setImmediate.
constexpr uint64_t kForcedSlice = 300000;
// The longest slice while another guest waits for its turn on the same thread; of a guest that sleeps while the other has work.
constexpr uint64_t kShare = 10 * kMillisecond;
constexpr uint64_t kIdleShare = kMillisecond;
// How long slices follow each other before the loop has a turn that it has not asked for.
constexpr uint64_t kTurn = 100 * kMillisecond;

// The slice in progress on this thread. What run() needs of other objects is copied here: an exit leaves the translation buffers cold, and
// each page that the way to JavaScript touches costs (docs/performance.md).
struct Slice {
  Vcpu* vcpu;            // null once it has been closed
  bool looks;            // at what the loop has to do
  LoopMark mark;         // of the loop
  uint64_t due;          // loop time in milliseconds at which the loop wants to run
  Shortcuts* shortcuts;  // null while there are none
  SliceTime time;
  ExitPage* page;
  LoopContext* context;
  const VcpuBox* box;
  LoopWatch* watch;
  uint64_t deadline;
  Slice* outer;
};
HAX_HOT_TLS Slice* current = nullptr;

// What took the watcher from the slice in progress has ended.
void GiveBack(LoopWatch* watch) {
  watch->End();
  if (current && current->watch == watch && current->vcpu) watch->Begin(current->box->vcpu, current->deadline);
}

// True while JavaScript can be called: not in a worker that is being terminated.
bool JavaScriptRuns(Napi::Env env) {
  napi_value result;
  return napi_call_function(env, env.Undefined(), env.GetInstanceData<AddonData>()->nothing.Value(), 0, nullptr, &result) == napi_ok;
}

// Calls `body`, inside which run() enters the guest, until the limits are reached, if nothing ends it earlier.
template <typename Body>
napi_status InSlice(VcpuBox* box, LoopContext* context, LoopWatch* watch, const SliceLimits& limits, Body body) {
  const std::shared_ptr<VcpuShared> shared = box->vcpu->shared();  // the slice may close the vCPU
  Slice slice = {box->vcpu.get(),
                 context != nullptr,
                 context ? context->mark() : LoopMark(),
                 limits.due,
                 box->shortcuts->active() ? box->shortcuts.get() : nullptr,
                 SliceTime(limits.now, &shared->exit, &box->times),
                 &shared->exit,
                 context,
                 box,
                 watch,
                 limits.now + limits.length,
                 current};
  slice.mark.Take();
  current = &slice;
  watch->Begin(box->vcpu, slice.deadline);
  const napi_status status = body();
  current = slice.outer;
  GiveBack(watch);
  slice.time.End();
  return status;
}

// For what happens while the loop's own context is not to be had: deadlines alone end an entry.
LoopWatch* DeadlineWatch(Napi::Env env) {
  auto* data = env.GetInstanceData<AddonData>();
  if (!data->enter_watch) Check(env, LoopWatch::Create(-1, &data->enter_watch));
  return data->enter_watch.get();
}

}  // namespace

void ReportUncaught(Napi::Env env) {
  napi_value error;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok && JavaScriptRuns(env)) napi_fatal_exception(env, error);
}

// One vCPU whose slices call a JavaScript function: `() => Next`.
class SliceRunner final : public Napi::ObjectWrap<SliceRunner> {
 public:
  // What the function returns: the guest can go on; it waits for wake(); it has ended.
  enum Next { kGoOn = 0, kPark = 1, kEnd = 2 };

  explicit SliceRunner(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SliceRunner>(info) {
    Napi::Function function;
    if (!VcpuHandle::Argument(info, 0, &box_) || !Argument(info, 1, "slice", &function) || !Argument(info, 2, "cap", &cap_)) return;
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
  bool idle() const { return idle_; }

  // And further ones at once, as long as the loop has nothing to do.
  void RunSlices(Napi::Env env, LoopContext* context, SliceLimits limits) {
    Napi::HandleScope scope(env);
    [[maybe_unused]] const Napi::Object self = Value();  // a slice may end this runner: it is not collected before the turn is over
    const std::shared_ptr<VcpuBox> box = box_;
    const napi_value function = function_.Value();
    const napi_value receiver = env.Global();
    const uint64_t turn_ends = limits.now + kTurn;
    do {
      if (!box->vcpu) return End(context);
      // Node-API as it is: its C++ wrapper ends the process when an exception cannot be wrapped, as in a worker that is being terminated.
      napi_value result;
      const napi_status status = InSlice(box.get(), limits.due == 0 ? nullptr : context, context->watch(), limits,
                                         [&] { return napi_make_callback(env, nullptr, receiver, function, 0, nullptr, &result); });
      int32_t next = kEnd;
      if (status == napi_ok) {
        napi_get_value_int32(env, result, &next);
      } else {
        ReportUncaught(env);
        // The slice catches what it throws: this was a tick after it, and the program may go on.
        if (!ended_ && JavaScriptRuns(env)) next = kGoOn;
      }
      if (next == kEnd) return End(context);
      parked_ = next == kPark && !woken_;
      woken_ = false;
      // A tick may have ended this run while another one, parked, is alone on the thread.
    } while (started_ && !parked_ && context->AllowsNext(this, turn_ends, &limits));
  }

 private:
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
    Argument(info, 0, "cap", &cap_);
    return {};
  }
  Napi::Value SetIdle(const Napi::CallbackInfo& info) {
    Argument(info, 0, "idle", &idle_);
    return {};
  }
  void End(LoopContext* context) {
    if (!started_) return;
    if (current && current->box == box_.get()) {
      current->time.End();
      // What the slice leaves to promises may run the vCPU again, on a thread: nothing of this slice may end that.
      current->watch->Forget(current->vcpu);
    }
    started_ = false;
    ended_ = true;
    context->Stop(this);
    // The function leads back to this object: held on to, neither would ever be collected.
    function_.Reset();
    Unref();
  }

  std::shared_ptr<VcpuBox> box_;
  Napi::FunctionReference function_;
  uint64_t cap_ = 0;   // nanoseconds
  bool idle_ = false;  // the guest slept at the end of its last slice
  bool started_ = false;
  bool ended_ = false;  // once: a run has a runner of its own
  bool parked_ = false;
  bool woken_ = false;
  bool referenced_ = true;
};

LoopContext* LoopContext::Get(Napi::Env env) {
  auto* data = env.GetInstanceData<AddonData>();
  if (data->loop) return data->loop;
  const Uv* uv = Uv::Get();
  uv_loop_t* loop = nullptr;
  if (!uv || napi_get_uv_event_loop(env, &loop) != napi_ok) {
    Throw(env, Status::Error(Code::kUnsupported, "napi_get_uv_event_loop", "this runtime hides its event loop"));
    return nullptr;
  }
  auto* context = new LoopContext(env, *uv, loop);
  if (!Check(env, LoopWatch::Create(uv->backend_fd(loop), &context->watch_))) {
    delete context;
    return nullptr;
  }
  uv->check_init(loop, &context->check_);
  uv->idle_init(loop, &context->idle_);
  // Nothing to do in its callback: the check phase comes next.
  uv->async_init(loop, &context->async_, [](uv_async_t*) {});
  uv->unref(reinterpret_cast<uv_handle_t*>(&context->async_));
  for (auto* handle : context->handles()) handle->data = context;
  napi_add_async_cleanup_hook(
      env, [](napi_async_cleanup_hook_handle hook, void* self) { static_cast<LoopContext*>(self)->Close(hook); }, context, &context->hook_);
  data->loop = context;
  return context;
}

void LoopContext::Close(napi_async_cleanup_hook_handle hook) {
  hook_ = hook;
  // Before the handle goes that they wake.
  threads_.EndAll();
  watch_->Remove();
  const auto closed = [](uv_handle_t* handle) {
    auto* self = static_cast<LoopContext*>(handle->data);
    if (--self->open_handles_ > 0) return;
    napi_remove_async_cleanup_hook(self->hook_);
    delete self;
  };
  for (auto* handle : handles()) uv_.close(handle, closed);
}

void LoopContext::Start(SliceRunner* runner) {
  runners_.push_back(runner);
  StartChecks();
  Idle(true);
}

void LoopContext::Stop(SliceRunner* runner) {
  runners_.erase(std::remove(runners_.begin(), runners_.end(), runner), runners_.end());
  StopChecks();
}

void LoopContext::AddThread(ThreadRunner* runner) {
  threads_.Add(runner);
  StartChecks();
}

void LoopContext::RemoveThread(ThreadRunner* runner) {
  threads_.Remove(runner);
  StopChecks();
}

void LoopContext::StartChecks() {
  uv_.check_start(&check_, [](uv_check_t* handle) { static_cast<LoopContext*>(handle->data)->OnCheck(); });
  UpdateReferences();
}

void LoopContext::StopChecks() {
  if (runners_.empty() && threads_.empty()) {
    uv_.check_stop(&check_);
    Idle(false);
  }
  UpdateReferences();
}

void LoopContext::UpdateReferences() {
  const bool referenced =
      threads_.referenced() || std::any_of(runners_.begin(), runners_.end(), [](SliceRunner* runner) { return runner->referenced(); });
  for (auto* handle : {reinterpret_cast<uv_handle_t*>(&check_), reinterpret_cast<uv_handle_t*>(&idle_)}) {
    referenced ? uv_.ref(handle) : uv_.unref(handle);
  }
}

void LoopContext::Idle(bool active) {
  if (active == idle_active_) return;
  idle_active_ = active;
  if (active) {
    uv_.idle_start(&idle_, [](uv_idle_t*) {});
  } else {
    uv_.idle_stop(&idle_);
  }
}

SliceRunner* LoopContext::NextRunnable() {
  for (size_t i = 0; i < runners_.size(); i++) {
    SliceRunner* runner = runners_[(next_ + i) % runners_.size()];
    if (runner->runnable()) {
      next_ = (next_ + i + 1) % runners_.size();
      return runner;
    }
  }
  return nullptr;
}

uint64_t LoopContext::LongestSlice(const SliceRunner* runner) const {
  bool shared = false;
  bool busy = false;
  for (const SliceRunner* other : runners_) {
    if (other == runner || !other->runnable()) continue;
    shared = true;
    busy |= !other->idle();
  }
  // Nothing that happens to the other guest ends this slice.
  return shared ? std::min(runner->cap(), busy && runner->idle() ? kIdleShare : kShare) : runner->cap();
}

void LoopContext::OnCheck() {
  // Our own idle handle would make the loop look busy.
  Idle(false);
  const bool more = threads_.Serve(*this);
  RunSlices(more);
  if (more || std::any_of(runners_.begin(), runners_.end(), [](SliceRunner* each) { return each->runnable(); })) Idle(true);
}

void LoopContext::RunSlices(bool exits_wait) {
  if (std::none_of(runners_.begin(), runners_.end(), [](const SliceRunner* each) { return each->runnable(); })) return;
  uv_.update_time(loop_);
  const int timeout = Timeout();
  const bool others_wait = timeout == 0 || exits_wait;
  if (others_wait && !gave_turn_) {
    // Due timers, immediates, closing handles, descriptors not yet polled: the loop goes first. So do exits of threads, which wake nobody
    // while one of them waits.
    gave_turn_ = true;
    return;
  }
  gave_turn_ = false;
  SliceRunner* const runner = NextRunnable();  // not before: the turn is its own
  const uint64_t now = MonotonicNanoseconds();
  runner->RunSlices(env_, this, others_wait ? SliceLimits{now, kForcedSlice, 0} : Limits(runner, now, timeout));
}

SliceLimits LoopContext::Limits(const SliceRunner* runner, uint64_t now, int timeout) const {
  const uint64_t longest = LongestSlice(runner);
  if (timeout < 0) return {now, longest, UINT64_MAX};
  return {now, std::min(longest, static_cast<uint64_t>(timeout) * kMillisecond), Now() + static_cast<uint64_t>(timeout)};
}

bool LoopContext::AllowsNext(const SliceRunner* runner, uint64_t turn_ends, SliceLimits* limits) const {
  if (runners_.size() != 1 || !threads_.empty() || limits->due == 0 || watch_->LoopIsReadable()) return false;
  uv_.update_time(loop_);
  const int timeout = Timeout();
  const uint64_t now = MonotonicNanoseconds();
  if (timeout == 0 || now >= turn_ends) return false;
  *limits = Limits(runner, now, timeout);
  return true;
}

AddonData::~AddonData() {
  if (enter_watch) enter_watch->Remove();
}

// Runs until there is an exit for JavaScript.
static void RunWithShortcuts(Vcpu* vcpu, Shortcuts* shortcuts) {
  do {
    vcpu->Run();
  } while (shortcuts->Take(&vcpu->shared()->exit));
}

void EnterBlocking(Napi::Env env, const std::shared_ptr<VcpuBox>& box) {
  const std::shared_ptr<Vcpu> vcpu = box->vcpu;
  LoopWatch* const watch = DeadlineWatch(env);
  if (!watch) return;
  ExitPage& page = vcpu->shared()->exit;
  for (;;) {
    const uint64_t start = MonotonicNanoseconds();
    watch->Begin(vcpu, start + kLookUpInterval);
    RunWithShortcuts(vcpu.get(), box->shortcuts.get());
    GiveBack(watch);
    const uint64_t spent = MonotonicNanoseconds() - start;
    page.guest_ns += spent;
    page.blocking_ns += spent;
    if (page.kind == static_cast<uint32_t>(ExitKind::kNone)) return Throw(env, vcpu->failure());
    if (page.kind != static_cast<uint32_t>(ExitKind::kInterrupted) || page.subcode != static_cast<uint32_t>(InterruptReason::kSlice))
      return;
    if (!JavaScriptRuns(env)) return;
  }
}

Napi::Value PlainSlice(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<VcpuBox> box;
  Napi::Function function;
  uint64_t length = 0;
  if (!VcpuHandle::Argument(info, 0, &box) || !Argument(info, 1, "slice", &function) || !Argument(info, 2, "length", &length)) return {};
  if (!box->vcpu) {
    Throw(env, Status::Error(Code::kClosed, "plainSlice", "this vCPU has been closed"));
    return {};
  }
  LoopWatch* const watch = DeadlineWatch(env);
  if (!watch) return {};
  napi_value result;
  const napi_status status = InSlice(box.get(), nullptr, watch, {MonotonicNanoseconds(), length, 0},
                                     [&] { return napi_call_function(env, env.Undefined(), function, 0, nullptr, &result); });
  return status == napi_ok ? Napi::Value(env, result) : Napi::Value();
}

void ForgetInSlices(const VcpuBox* box) {
  for (Slice* slice = current; slice; slice = slice->outer) {
    if (slice->box != box) continue;
    slice->vcpu = nullptr;
    slice->watch->Forget(box->vcpu.get());
  }
}

bool LoopIsAccessible() { return Uv::Get() != nullptr; }

Napi::Function DefineSliceRunner(Napi::Env env) { return SliceRunner::Define(env); }

namespace {

// What run() has to do now and then; apart, so that the hot path saves no registers for it.

// A handler has closed the vCPU.
[[gnu::noinline]] void Refuse(Slice* slice) {
  if (slice) slice->page->kind = static_cast<uint32_t>(ExitKind::kNone);
}

// A handler has given the loop something to do.
[[gnu::noinline]] void EndSlice(Slice* slice) {
  slice->page->kind = static_cast<uint32_t>(ExitKind::kInterrupted);
  slice->page->subcode = static_cast<uint32_t>(InterruptReason::kSlice);
}

// A handler has changed something of the loop's: false if it has given it something to do at once, and a timer ends the slice earlier.
[[gnu::noinline]] bool GoesOn(Slice* slice) {
  const int timeout = slice->context->Timeout();
  if (timeout == 0) return false;
  if (timeout > 0) {
    const uint64_t due = slice->context->Now() + static_cast<uint64_t>(timeout);
    if (due < slice->due) {
      slice->due = due;
      slice->context->watch()->Advance(MonotonicNanoseconds() + static_cast<uint64_t>(timeout) * kMillisecond);
    }
  }
  slice->mark.Take();
  return true;
}

inline void Enter(Slice* slice) {
  if (__builtin_expect(slice->shortcuts != nullptr, 0)) return RunWithShortcuts(slice->vcpu, slice->shortcuts);
  slice->vcpu->Run();
}

[[gnu::noinline]] void EnterTimed(Slice* slice) {
  slice->time.Entering();
  Enter(slice);
  slice->time.Left();
}

}  // namespace

// The hot path: enters the vCPU of the slice in progress once; the exit page says what happened. Nothing here may touch JavaScript
// (fast_call.h), so that an error is told by checkRun().
[[gnu::hot]] void Run(void*) {
  Slice* const slice = current;
  if (__builtin_expect(!slice || !slice->vcpu, 0)) return Refuse(slice);
  if (__builtin_expect(!slice->mark.Stands(), 0) && slice->looks && !GoesOn(slice)) return EndSlice(slice);
  if (__builtin_expect(slice->time.due(), 0)) return EnterTimed(slice);
  Enter(slice);
}

void RunSlowly(const void*) {
  if (current) current->page->slow_calls++;
  Run(nullptr);
}

Napi::Value CheckRun(const Napi::CallbackInfo& info) {
  const Slice* const slice = current;
  if (slice && slice->vcpu) {
    Check(info.Env(), slice->vcpu->failure());
  } else {
    Throw(info.Env(), Status::Error(slice ? Code::kClosed : Code::kInvalidArgument, "run",
                                    slice ? "this vCPU has been closed" : "run() belongs inside a slice"));
  }
  return {};
}

}  // namespace hax::binding

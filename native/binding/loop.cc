#include "binding/loop.h"

#include "binding/slice_runner.h"
#include "core/hot_tls.h"

namespace hax::binding {

namespace {

// How long a blocking entry may keep a worker from being terminated.
constexpr uint64_t kLookUpInterval = 20 * kMillisecond;
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
  uint64_t ends;
  uint64_t deadline;
  Slice* outer;
};
HAX_HOT_TLS Slice* current = nullptr;

// What took the watcher from the slice in progress has ended.
void GiveBack(LoopWatch* watch) {
  watch->End();
  if (current && current->watch == watch && current->vcpu) watch->Begin(current->box->vcpu, current->ends, current->deadline);
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
                 SliceTime(limits.now, limits.ends, &shared->exit, &box->times),
                 &shared->exit,
                 context,
                 box,
                 watch,
                 limits.ends,
                 limits.deadline,
                 current};
  slice.mark.Take();
  current = &slice;
  watch->Begin(box->vcpu, slice.ends, slice.deadline);
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

void SliceRunner::RunSlices(Napi::Env env, LoopContext* context, SliceLimits limits) {
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

void SliceRunner::End(LoopContext* context) {
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
    watch->Begin(vcpu, start + kLookUpInterval, start + kLookUpInterval);
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
  const uint64_t now = MonotonicNanoseconds();
  const napi_status status = InSlice(box.get(), nullptr, watch, {now, now + length, now + length, 0},
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

// A handler has given the loop something to do, or its time is over.
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
  if (!slice->time.Entering()) return EndSlice(slice);
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

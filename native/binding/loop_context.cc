// The turns of an environment's event loop: who of the runs gets the next slice, and how long it may be.
#include <algorithm>

#include "binding/loop.h"
#include "binding/slice_runner.h"

namespace hax::binding {

namespace {

// What a guest gets when the loop always has something due, for example a program that lives in setImmediate.
constexpr uint64_t kForcedSlice = 300000;
// The longest slice while another guest waits for its turn on the same thread; of a guest that sleeps while the other has work.
constexpr uint64_t kShare = 10 * kMillisecond;
constexpr uint64_t kIdleShare = kMillisecond;

}  // namespace

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

uint64_t LoopContext::Share(const SliceRunner* runner) const {
  bool shared = false;
  bool busy = false;
  for (const SliceRunner* other : runners_) {
    if (other == runner || !other->runnable()) continue;
    shared = true;
    busy |= !other->idle();
  }
  // Nothing that happens to the other guest ends this slice.
  return !shared ? UINT64_MAX : busy && runner->idle() ? kIdleShare : kShare;
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
  runner->RunSlices(env_, this, others_wait ? SliceLimits{now, now + kForcedSlice, now + kForcedSlice, 0} : Limits(runner, now, timeout));
}

SliceLimits LoopContext::Limits(const SliceRunner* runner, uint64_t now, int timeout) const {
  uint64_t most = Share(runner);
  uint64_t due = UINT64_MAX;
  if (timeout >= 0) {
    most = std::min(most, static_cast<uint64_t>(timeout) * kMillisecond);
    due = Now() + static_cast<uint64_t>(timeout);
  }
  return {now, now + std::min(runner->cap(), most), now + std::min(runner->longest(), most), due};
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

}  // namespace hax::binding

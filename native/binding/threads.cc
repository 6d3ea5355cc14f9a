#include "binding/threads.h"

#include <algorithm>
#include <cstring>

#include "binding/loop.h"

namespace hax::binding {

namespace {

// How long exits are served before the loop gets a turn, nanoseconds. Long against a turn of it, short for sockets and timers.
constexpr uint64_t kServe = 100000;

}  // namespace

ThreadRunner::ThreadRunner(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ThreadRunner>(info) {
  Napi::Uint8Array cpus;
  if (!VcpuHandle::Argument(info, 0, &box_) || !Argument(info, 1, "slot", &slot_) || !Argument(info, 2, "cpus", &cpus)) return;
  cpus_.resize(cpus.ByteLength() / sizeof(uint32_t));
  if (!cpus_.empty()) std::memcpy(cpus_.data(), cpus.Data(), cpus_.size() * sizeof(uint32_t));
}

ThreadRunner::~ThreadRunner() { End(); }

Napi::Function ThreadRunner::Define(Napi::Env env) {
  return DefineClass(env, "ThreadRunner",
                     {InstanceMethod<&ThreadRunner::Start>("start"), InstanceMethod<&ThreadRunner::Stop>("stop"),
                      InstanceMethod<&ThreadRunner::Ready>("ready"), InstanceMethod<&ThreadRunner::Poke>("poke"),
                      InstanceMethod<&ThreadRunner::Hold>("hold"), InstanceMethod<&ThreadRunner::TakeExit>("takeExit"),
                      InstanceMethod<&ThreadRunner::Check>("check"), InstanceMethod<&ThreadRunner::SetReferenced>("setReferenced")});
}

// The vCPU is the owner's until resume().
Napi::Value ThreadRunner::Start(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (context_ || !box_) return {};
  if (!box_->vcpu || box_->thread) {
    Throw(env, Status::Error(box_->thread ? Code::kRunning : Code::kClosed, "start", "this vCPU cannot be started"));
    return {};
  }
  LoopContext* context = LoopContext::Get(env);
  if (!context || !binding::Check(env, VcpuThread::Start(box_->vcpu, context->threads()->queue(), cpus_, &thread_))) return {};
  box_->thread = thread_.get();
  context_ = context;
  context->AddThread(this);
  Ref();  // the context points to this object
  return {};
}

Napi::Value ThreadRunner::Stop(const Napi::CallbackInfo&) {
  if (!context_) return {};
  End();
  Unref();
  return {};
}

void ThreadRunner::End() {
  if (!context_) return;
  box_->thread = nullptr;
  thread_.reset();
  std::exchange(context_, nullptr)->RemoveThread(this);
}

// Whether resumeSlot() would resume it.
Napi::Value ThreadRunner::Ready(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), thread_ && thread_->Ready()); }

// Has the guest come out, without waiting for it.
Napi::Value ThreadRunner::Poke(const Napi::CallbackInfo&) {
  if (thread_ && !thread_->idle() && box_->vcpu) box_->vcpu->Kick(InterruptReason::kSlice);
  return {};
}

Napi::Value ThreadRunner::Hold(const Napi::CallbackInfo&) {
  if (thread_) thread_->Hold();
  return {};
}

// Takes the exit out of the queue, for a caller who serves it now.
Napi::Value ThreadRunner::TakeExit(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), thread_ && context_->threads()->queue()->Remove(thread_.get()));
}

// Throws what entering the guest failed with.
Napi::Value ThreadRunner::Check(const Napi::CallbackInfo& info) {
  if (thread_) binding::Check(info.Env(), thread_->failure());
  return {};
}

Napi::Value ThreadRunner::SetReferenced(const Napi::CallbackInfo& info) {
  if (Argument(info, 0, "referenced", &referenced_) && context_) context_->UpdateReferences();
  return {};
}

void ThreadHub::Remove(ThreadRunner* runner) { runners_.erase(std::remove(runners_.begin(), runners_.end(), runner), runners_.end()); }

bool ThreadHub::referenced() const {
  return std::any_of(runners_.begin(), runners_.end(), [](const ThreadRunner* runner) { return runner->referenced(); });
}

void ThreadHub::EndAll() {
  while (!runners_.empty()) runners_.back()->End();
}

bool ThreadHub::Serve(Napi::Env env) {
  if (queue_.Empty()) return false;
  Napi::HandleScope scope(env);
  until_ = MonotonicNanoseconds() + kServe;
  napi_value result;
  if (napi_make_callback(env, nullptr, env.Global(), pump_.Value(), 0, nullptr, &result) != napi_ok) ReportUncaught(env);
  Served(MonotonicNanoseconds());
  return !queue_.Leave();
}

int32_t ThreadHub::Next(const LoopContext& context) {
  uint64_t now = MonotonicNanoseconds();
  Served(now);
  if (now > until_) return -1;
  const VcpuThread* thread = queue_.Take();
  if (!thread && !context.HasWork()) {
    thread = queue_.SpinAndTake();
    now = MonotonicNanoseconds();
  }
  for (const ThreadRunner* runner : runners_) {
    if (runner->thread() != thread || !thread) continue;
    if (const auto& vcpu = runner->box()->vcpu) serving_ = vcpu->shared();
    serving_since_ = now;
    return static_cast<int32_t>(runner->slot());
  }
  return -1;
}

void ThreadHub::Served(uint64_t now) {
  if (serving_) serving_->exit.javascript_ns += now - serving_since_;
  serving_.reset();
}

Napi::Value SetPump(const Napi::CallbackInfo& info) {
  Napi::Function pump;
  if (!Argument(info, 0, "pump", &pump)) return {};
  if (LoopContext* context = LoopContext::Get(info.Env())) context->threads()->set_pump(pump);
  return {};
}

void ThreadHub::Resume(uint32_t slot) {
  for (const ThreadRunner* runner : runners_) {
    if (runner->slot() == slot && runner->thread()) runner->thread()->Resume();
  }
}

napi_value ResumeSlot(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t count = 1;
  uint32_t slot = 0;
  LoopContext* const context = Napi::Env(env).GetInstanceData<AddonData>()->loop;
  if (!context || napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr) != napi_ok || count < 1 ||
      napi_get_value_uint32(env, argument, &slot) != napi_ok) {
    return nullptr;
  }
  context->threads()->Resume(slot);
  return nullptr;
}

napi_value NextExit(napi_env env, napi_callback_info) {
  LoopContext* const context = Napi::Env(env).GetInstanceData<AddonData>()->loop;
  napi_value slot;
  return napi_create_int32(env, context ? context->threads()->Next(*context) : -1, &slot) == napi_ok ? slot : nullptr;
}

}  // namespace hax::binding

#include "binding/threads.h"

#include <algorithm>
#include <cstring>

#include "binding/loop.h"
#include "core/hot_tls.h"

namespace hax::binding {

namespace {

// How long exits are served before the loop gets a turn, nanoseconds. Long against a turn of it, short for sockets and timers.
constexpr uint64_t kServe = 100000;

// Whose pump runs on this thread.
HAX_HOT_TLS ThreadHub* pumping = nullptr;

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
  shared_ = box_->vcpu->shared();
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

// Throws what entering the guest failed with. While the thread is in the guest it is that thread's.
Napi::Value ThreadRunner::Check(const Napi::CallbackInfo& info) {
  if (thread_ && thread_->idle()) binding::Check(info.Env(), thread_->failure());
  return {};
}

Napi::Value ThreadRunner::SetReferenced(const Napi::CallbackInfo& info) {
  if (Argument(info, 0, "referenced", &referenced_) && context_) context_->UpdateReferences();
  return {};
}

void ThreadHub::Remove(ThreadRunner* runner) {
  if (serving_ == runner) Served(MonotonicNanoseconds());
  runners_.erase(std::remove(runners_.begin(), runners_.end(), runner), runners_.end());
}

bool ThreadHub::referenced() const {
  return std::any_of(runners_.begin(), runners_.end(), [](const ThreadRunner* runner) { return runner->referenced(); });
}

void ThreadHub::EndAll() {
  while (!runners_.empty()) runners_.back()->End();
}

bool ThreadHub::Serve(const LoopContext& context) {
  // An exit that has woken the loop may have been taken meanwhile: the next is to wake it again.
  if (queue_.Empty()) return !queue_.Leave();
  const Napi::Env env = context.env();
  Napi::HandleScope scope(env);
  until_ = MonotonicNanoseconds() + kServe;
  slots_->resume = 0;
  context_ = &context;
  ThreadHub* const outer = std::exchange(pumping, this);
  napi_value result;
  if (napi_make_callback(env, nullptr, env.Global(), pump_.Value(), 0, nullptr, &result) != napi_ok) ReportUncaught(env);
  pumping = outer;
  Served(MonotonicNanoseconds());
  return !queue_.Leave();
}

void ThreadHub::Next() {
  const uint64_t now = MonotonicNanoseconds();
  Served(now);
  if (const uint32_t slot = std::exchange(slots_->resume, 0)) Resume(slot, now);
  slots_->next = -1;
  if (now > until_) return;
  const VcpuThread* thread = queue_.Take();
  serving_since_ = now;
  if (!thread && !context_->HasWork()) {
    thread = queue_.SpinAndTake(now);
    if (thread) serving_since_ = thread->left_at();
  }
  for (const ThreadRunner* runner : runners_) {
    if (runner->thread() != thread || !thread) continue;
    serving_ = runner;
    slots_->next = static_cast<int32_t>(runner->slot());
  }
}

void ThreadHub::Served(uint64_t now) {
  if (serving_) serving_->page()->javascript_ns += now - serving_since_;
  serving_ = nullptr;
}

Napi::Value SetPump(const Napi::CallbackInfo& info) {
  Napi::Function pump;
  if (!Argument(info, 0, "pump", &pump)) return {};
  if (LoopContext* context = LoopContext::Get(info.Env())) context->threads()->set_pump(pump);
  return {};
}

void ThreadHub::Resume(uint32_t slot, uint64_t now) {
  for (const ThreadRunner* runner : runners_) {
    if (runner->slot() == slot && runner->thread()) runner->thread()->Resume(now);
  }
}

Napi::Value ResumeSlot(const Napi::CallbackInfo& info) {
  uint32_t slot = 0;
  LoopContext* const context = info.Env().GetInstanceData<AddonData>()->loop;
  if (context && Argument(info, 0, "slot", &slot)) context->threads()->Resume(slot, MonotonicNanoseconds());
  return {};
}

Napi::Value GetExitSlots(const Napi::CallbackInfo& info) {
  LoopContext* const context = LoopContext::Get(info.Env());
  return context ? SharedBuffer(info.Env(), context->threads()->slots()) : Napi::Value();
}

void NextExit(void*) {
  if (pumping) pumping->Next();
}

void NextExitSlowly(const void*) { NextExit(nullptr); }

}  // namespace hax::binding

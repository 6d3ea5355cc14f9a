// Node-API, and V8's call of run() (fast_call.h): converts, validates by type and throws; never an ioctl. Everything here runs on a
// JavaScript thread.
#ifndef NODE_HAX_BINDING_BINDING_H_
#define NODE_HAX_BINDING_BINDING_H_

#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "binding/slice_time.h"
#include "core/hypervisor.h"
#include "core/loop_watch.h"
#include "core/posted_writes.h"
#include "core/standing_answers.h"
#include "core/vcpu_thread.h"

namespace hax::binding {

class LoopContext;

// One of these for each environment (main thread, worker) and each load of the addon in it; no state is shared between them.
struct AddonData {
  Napi::FunctionReference make_error;  // (code, message, operation, errno) => HaxError, given by initialize()
  Napi::FunctionReference hypervisor, vm, memory, vcpu, descriptor, descriptor_watch, runner, thread_runner;
  LoopContext* loop = nullptr;             // owns itself; ends with the environment
  std::shared_ptr<LoopWatch> enter_watch;  // deadlines of EnterBlocking(); made at its first use
  Napi::FunctionReference nothing;         // () => undefined: calling it tells whether JavaScript may still run

  ~AddonData();
  void* pending = nullptr;  // what the constructor that Make() is calling is to wrap
  // Objects that belong to no JavaScript object: napi_wrap() does nothing in a worker that is being terminated.
  std::vector<std::shared_ptr<void>> unwrapped;
};

// Throws `status` as a HaxError.
void Throw(Napi::Env env, const Status& status);
// True if `status` is good; otherwise it has been thrown.
inline bool Check(Napi::Env env, const Status& status) {
  if (status.ok()) return true;
  Throw(env, status);
  return false;
}

// Argument `index` by type; on a wrong type they throw ERR_HAX_INVALID_ARGUMENT that names it and return false.
bool Argument(const Napi::CallbackInfo& info, size_t index, const char* name, uint32_t* out);
bool Argument(const Napi::CallbackInfo& info, size_t index, const char* name, uint64_t* out);  // a safe integer, not negative
bool Argument(const Napi::CallbackInfo& info, size_t index, const char* name, bool* out);
bool Argument(const Napi::CallbackInfo& info, size_t index, const char* name, std::string* out);
bool Argument(const Napi::CallbackInfo& info, size_t index, const char* name, Napi::Uint8Array* out);
bool Argument(const Napi::CallbackInfo& info, size_t index, const char* name, Napi::Function* out);

// ioctl(request, argument): the raw call of a device. A buffer must be as large as the request number says.
Napi::Value Ioctl(const Napi::CallbackInfo& info, RawDevice* device);

// Memory shared with JavaScript as an ArrayBuffer, which keeps it alive.
template <typename T>
Napi::Value SharedBuffer(Napi::Env env, std::shared_ptr<T> memory) {
  auto* owner = new std::shared_ptr<T>(std::move(memory));
  napi_value buffer;
  const napi_status status = napi_create_external_arraybuffer(
      env, owner->get(), sizeof(T), [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<T>*>(hint); }, owner, &buffer);
  if (status == napi_ok) return {env, buffer};
  delete owner;
  Throw(env, Status::Error(Code::kUnsupported, "napi_create_external_arraybuffer", "this runtime allows no external buffers; use Node.js"));
  return {};
}

// descriptor.cc: map(offset, length) of a device; openEventfd(initial), openMemfd(size), adoptDescriptor(number).
Napi::Value Map(const Napi::CallbackInfo& info, RawDevice* device);
Napi::Value MakeEventfd(const Napi::CallbackInfo& info);
Napi::Value MakeMemfd(const Napi::CallbackInfo& info);
Napi::Value Adopt(const Napi::CallbackInfo& info);

// Exits that a VM's vCPUs need no JavaScript for.
struct Shortcuts {
  PostedWrites posted;
  StandingAnswers answers;

  bool active() const { return posted.active() || answers.active(); }
  // True: the guest can go on at once.
  bool Take(ExitPage* page) {
    if (!answers.Answer(page) && !posted.Take(*page)) return false;
    page->taken++;
    return true;
  }
};

// A vCPU that a thread may have selected: the pointer goes when the handle is closed, the box stays.
struct VcpuBox {
  std::shared_ptr<Vcpu> vcpu;
  VcpuThread* thread = nullptr;          // that runs it, in threaded mode
  std::shared_ptr<Shortcuts> shortcuts;  // of its VM
  SliceTime::Carry times;
};

// A class whose objects wrap a shared_ptr of core and are made by C++ only. `close` drops the pointer; later calls throw ERR_HAX_CLOSED.
template <typename Derived, typename Core>
class Handle : public Napi::ObjectWrap<Derived> {
 public:
  explicit Handle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Derived>(info) {
    auto* data = info.Env().GetInstanceData<AddonData>();
    if (this->IsEmpty()) data->unwrapped.emplace_back(this);
    auto* pending = static_cast<std::shared_ptr<Core>*>(data->pending);
    data->pending = nullptr;
    if (!pending) {
      Throw(info.Env(), Status::Error(Code::kInvalidArgument, "new", std::string(Derived::kName) + " objects are made by node-hax only"));
      return;
    }
    core_ = std::move(*pending);
    info.This().As<Napi::Object>().TypeTag(&Derived::kTag);
  }

  static Napi::Object Make(Napi::Env env, const Napi::FunctionReference& constructor, std::shared_ptr<Core> core) {
    auto* data = env.GetInstanceData<AddonData>();
    data->pending = &core;
    const Napi::Object object = constructor.New({});
    data->pending = nullptr;  // the constructor was not reached: the stack is full, or the worker is being terminated
    return object;
  }

  // The core object behind argument `index`, which must be an open handle of this class.
  static bool Argument(const Napi::CallbackInfo& info, size_t index, std::shared_ptr<Core>* out) {
    Napi::Value value = info[index];
    if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&Derived::kTag)) {
      Throw(info.Env(), Status::Error(Code::kInvalidArgument, "argument", std::string("expected a ") + Derived::kName));
      return false;
    }
    Derived* handle = Derived::Unwrap(value.As<Napi::Object>());
    return handle && handle->Open(info.Env(), out);  // null: the worker is being terminated
  }

  bool Open(Napi::Env env, std::shared_ptr<Core>* out) {
    *out = core_;
    if (core_) return true;
    Throw(env, Status::Error(Code::kClosed, "closed", std::string("this ") + Derived::kName + " has been closed"));
    return false;
  }

 protected:
  std::shared_ptr<Core> core_;
};

class HypervisorHandle final : public Handle<HypervisorHandle, Hypervisor> {
 public:
  static constexpr const char* kName = "hypervisor";
  static const napi_type_tag kTag;
  static Napi::Function Define(Napi::Env env);
  using Handle::Handle;

 private:
  Napi::Value RawIoctl(const Napi::CallbackInfo& info);
  Napi::Value Capabilities(const Napi::CallbackInfo& info);
  Napi::Value SupportedCpuid(const Napi::CallbackInfo& info);
  Napi::Value CreateVm(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
};

class MemoryHandle final : public Handle<MemoryHandle, GuestMemory> {
 public:
  static constexpr const char* kName = "guest memory";
  static const napi_type_tag kTag;
  static Napi::Function Define(Napi::Env env);
  using Handle::Handle;

 private:
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Write(const Napi::CallbackInfo& info);
  Napi::Value Buffer(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
};

class VmHandle final : public Handle<VmHandle, Vm> {
 public:
  static constexpr const char* kName = "virtual machine";
  static const napi_type_tag kTag;
  static Napi::Function Define(Napi::Env env);
  explicit VmHandle(const Napi::CallbackInfo& info);
  ~VmHandle() override;

 private:
  Napi::Value RawIoctl(const Napi::CallbackInfo& info);
  Napi::Value MapMemory(const Napi::CallbackInfo& info);
  Napi::Value UnmapMemory(const Napi::CallbackInfo& info);
  Napi::Value CreateVcpu(const Napi::CallbackInfo& info);
  Napi::Value SetIrqLine(const Napi::CallbackInfo& info);
  Napi::Value Post(const Napi::CallbackInfo& info);
  Napi::Value Unpost(const Napi::CallbackInfo& info);
  Napi::Value Answer(const Napi::CallbackInfo& info);
  Napi::Value Unanswer(const Napi::CallbackInfo& info);
  Napi::Value PostedRing(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  std::shared_ptr<Shortcuts> shortcuts_ = std::make_shared<Shortcuts>();
};

class VcpuHandle final : public Handle<VcpuHandle, VcpuBox> {
 public:
  static constexpr const char* kName = "vCPU";
  static const napi_type_tag kTag;
  static Napi::Function Define(Napi::Env env);
  using Handle::Handle;

 private:
  // The vCPU, unless its guest runs on another thread: every call of the device would block until it comes out.
  bool Vcpu_(Napi::Env env, std::shared_ptr<Vcpu>* out);
  Napi::Value RawIoctl(const Napi::CallbackInfo& info);
  Napi::Value RawMap(const Napi::CallbackInfo& info);
  Napi::Value Shared(const Napi::CallbackInfo& info);
  Napi::Value Enter(const Napi::CallbackInfo& info);
  Napi::Value Complete(const Napi::CallbackInfo& info);
  Napi::Value Kick(const Napi::CallbackInfo& info);
  Napi::Value GetState(const Napi::CallbackInfo& info);
  Napi::Value SetState(const Napi::CallbackInfo& info);
  Napi::Value SyncState(const Napi::CallbackInfo& info);
  Napi::Value Inject(const Napi::CallbackInfo& info);
  Napi::Value SetCpuid(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
};

class DescriptorHandle final : public Handle<DescriptorHandle, Descriptor> {
 public:
  static constexpr const char* kName = "descriptor";
  static const napi_type_tag kTag;
  static Napi::Function Define(Napi::Env env);
  using Handle::Handle;

 private:
  Napi::Value RawIoctl(const Napi::CallbackInfo& info);
  Napi::Value RawMap(const Napi::CallbackInfo& info);
  Napi::Value Number(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Write(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
};

// Enters the guest until an exit and blocks meanwhile; looks up now and then, so that a worker can be terminated.
void EnterBlocking(Napi::Env env, const std::shared_ptr<VcpuBox>& box);

// The slice function and the pump catch what devices throw: what gets here is a bug of ours, unless the worker is being terminated.
void ReportUncaught(Napi::Env env);

// slice_runner.h: the class SliceRunner; loop.cc: run() of the hot path: as compiled JavaScript calls it, and as all other JavaScript does.
Napi::Function DefineSliceRunner(Napi::Env env);
void Run(void* receiver);
void RunSlowly(const void* info);
// checkRun(): throws what run() has failed with in the slice in progress.
Napi::Value CheckRun(const Napi::CallbackInfo& info);
// This vCPU is being closed: slices in progress on this thread do not enter it any more.
void ForgetInSlices(const VcpuBox* box);
bool LoopIsAccessible();
// plainSlice(vcpu, function, nanoseconds): a slice right now, for run loops of runtimes that hide their event loop.
Napi::Value PlainSlice(const Napi::CallbackInfo& info);
// descriptor_watch.cc: the class DescriptorWatch.
Napi::Function DefineDescriptorWatch(Napi::Env env);

}  // namespace hax::binding

#endif  // NODE_HAX_BINDING_BINDING_H_

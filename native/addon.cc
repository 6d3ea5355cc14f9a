// The module: what JavaScript sees of the addon. lib/native/addon.ts declares the same surface.
#include <napi.h>

#include "backends/registry.h"
#include "binding/binding.h"
#include "binding/fast_call.h"
#include "binding/threads.h"
#include "core/os.h"

namespace hax::binding {

namespace {

// initialize(makeError): every error from here on is made by JavaScript's own class.
Napi::Value Initialize(const Napi::CallbackInfo& info) {
  Napi::Function make_error;
  if (Argument(info, 0, "makeError", &make_error)) info.Env().GetInstanceData<AddonData>()->make_error = Napi::Persistent(make_error);
  return {};
}

Napi::Value OpenHypervisor(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string name;
  std::shared_ptr<Hypervisor> hypervisor;
  if (!Argument(info, 0, "backend", &name) || !Check(env, OpenBackend(name, &hypervisor))) return {};
  return HypervisorHandle::Make(env, env.GetInstanceData<AddonData>()->hypervisor, std::move(hypervisor));
}

Napi::Value AllocateMemory(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint64_t size;
  std::shared_ptr<GuestMemory> memory;
  if (!Argument(info, 0, "size", &size) || !Check(env, GuestMemory::Allocate(size, &memory))) return {};
  return MemoryHandle::Make(env, env.GetInstanceData<AddonData>()->memory, std::move(memory));
}

// adoptMemory(bytes): memory of JavaScript's own as guest memory, kept as long as it is mapped.
Napi::Value AdoptMemory(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Uint8Array bytes;
  std::shared_ptr<GuestMemory> memory;
  if (!Argument(info, 0, "bytes", &bytes)) return {};
  auto owner = std::make_shared<Napi::Reference<Napi::Uint8Array>>(Napi::Persistent(bytes));
  if (!Check(env, GuestMemory::Adopt(bytes.Data(), bytes.ByteLength(), std::move(owner), &memory))) return {};
  return MemoryHandle::Make(env, env.GetInstanceData<AddonData>()->memory, std::move(memory));
}

// detach(buffer): what views see of it afterwards is empty, and the memory goes with its last owner.
Napi::Value Detach(const Napi::CallbackInfo& info) {
  if (!info[0].IsArrayBuffer()) {
    Throw(info.Env(), Status::Error(Code::kInvalidArgument, "detach", "expected an ArrayBuffer"));
  } else {
    info[0].As<Napi::ArrayBuffer>().Detach();
  }
  return {};
}

// addressOf(bytes): where they are in this process, for structures that hold pointers. Good as long as the array lives.
Napi::Value AddressOf(const Napi::CallbackInfo& info) {
  Napi::Uint8Array bytes;
  if (!Argument(info, 0, "bytes", &bytes)) return {};
  return Napi::BigInt::New(info.Env(), static_cast<uint64_t>(reinterpret_cast<uintptr_t>(bytes.Data())));
}

// sendNow(socket, bytes): how many it takes without waiting, 0 where it takes none.
Napi::Value SendNow(const Napi::CallbackInfo& info) {
  uint32_t socket;
  Napi::Uint8Array bytes;
  if (!Argument(info, 0, "socket", &socket) || !Argument(info, 1, "bytes", &bytes)) return {};
  return Napi::Number::New(info.Env(), static_cast<double>(os::SendNow(static_cast<int>(socket), bytes.Data(), bytes.ByteLength())));
}

// makeFast(): run() and nextExit() as compiled JavaScript calls them fastest, without what cannot be had. For the versions of V8
// that fast_call.h is about.
Napi::Value MakeFast(const Napi::CallbackInfo& info) {
  Napi::Object made = Napi::Object::New(info.Env());
  const auto add = [&made](const char* name, Napi::Value function) {
    if (!function.IsEmpty()) made[name] = function;
  };
  add("run", MakeFastFunction(info.Env(), Run, RunSlowly));
  add("nextExit", MakeFastFunction(info.Env(), NextExit, NextExitSlowly));
  return made;
}

Napi::Value Backends(const Napi::CallbackInfo& info) {
  Napi::Array names = Napi::Array::New(info.Env());
  for (const char* const* name = PublicBackends(); *name; name++) names[names.Length()] = Napi::String::New(info.Env(), *name);
  return names;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto* data = new AddonData;
  env.SetInstanceData(data);
  data->hypervisor = Napi::Persistent(HypervisorHandle::Define(env));
  data->vm = Napi::Persistent(VmHandle::Define(env));
  data->memory = Napi::Persistent(MemoryHandle::Define(env));
  data->vcpu = Napi::Persistent(VcpuHandle::Define(env));
  data->descriptor = Napi::Persistent(DescriptorHandle::Define(env));
  data->runner = Napi::Persistent(DefineSliceRunner(env));
  data->descriptor_watch = Napi::Persistent(DefineDescriptorWatch(env));
  data->thread_runner = Napi::Persistent(ThreadRunner::Define(env));
  data->nothing = Napi::Persistent(Napi::Function::New(
      env, [](const Napi::CallbackInfo&) {}, "nothing"));
  exports["initialize"] = Napi::Function::New<Initialize>(env, "initialize");
  exports["openHypervisor"] = Napi::Function::New<OpenHypervisor>(env, "openHypervisor");
  exports["allocateMemory"] = Napi::Function::New<AllocateMemory>(env, "allocateMemory");
  exports["adoptMemory"] = Napi::Function::New<AdoptMemory>(env, "adoptMemory");
  exports["detach"] = Napi::Function::New<Detach>(env, "detach");
  exports["addressOf"] = Napi::Function::New<AddressOf>(env, "addressOf");
  exports["sendNow"] = Napi::Function::New<SendNow>(env, "sendNow");
  exports["openEventfd"] = Napi::Function::New<MakeEventfd>(env, "openEventfd");
  exports["openMemfd"] = Napi::Function::New<MakeMemfd>(env, "openMemfd");
  exports["adoptDescriptor"] = Napi::Function::New<Adopt>(env, "adoptDescriptor");
  exports["backends"] = Napi::Function::New<Backends>(env, "backends");
  exports["SliceRunner"] = data->runner.Value();
  exports["DescriptorWatch"] = data->descriptor_watch.Value();
  exports["ThreadRunner"] = data->thread_runner.Value();
  exports["setPump"] = Napi::Function::New<SetPump>(env, "setPump");
  exports["plainSlice"] = Napi::Function::New<PlainSlice>(env, "plainSlice");
  exports["exitSlots"] = Napi::Function::New<GetExitSlots>(env, "exitSlots");
  exports["resumeSlot"] = Napi::Function::New<ResumeSlot>(env, "resumeSlot");
  exports["makeFast"] = Napi::Function::New<MakeFast>(env, "makeFast");
  exports["checkRun"] = Napi::Function::New<CheckRun>(env, "checkRun");
  exports["loopIsAccessible"] = Napi::Boolean::New(env, LoopIsAccessible());
  const auto define = [&](const char* name, napi_callback callback) {
    napi_value function;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function) == napi_ok) {
      exports[name] = Napi::Value(env, function);
    }
  };
  define("run", [](napi_env, napi_callback_info) -> napi_value {
    RunSlowly(nullptr);
    return nullptr;
  });
  define("nextExit", [](napi_env, napi_callback_info) -> napi_value {
    NextExitSlowly(nullptr);
    return nullptr;
  });
  return exports;
}

}  // namespace

}  // namespace hax::binding

static Napi::Object InitModule(Napi::Env env, Napi::Object exports) { return hax::binding::Init(env, exports); }

NODE_API_MODULE(node_hax, InitModule)

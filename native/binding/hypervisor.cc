#include <cstring>

#include "binding/binding.h"

namespace hax::binding {

const napi_type_tag HypervisorHandle::kTag = {0x6e6f6465686178a1, 0x1d0c52b7a9e14f01};

Napi::Function HypervisorHandle::Define(Napi::Env env) {
  return DefineClass(env, "NativeHypervisor",
                     {InstanceMethod<&HypervisorHandle::RawIoctl>("ioctl"), InstanceMethod<&HypervisorHandle::Capabilities>("capabilities"),
                      InstanceMethod<&HypervisorHandle::SupportedCpuid>("supportedCpuid"),
                      InstanceMethod<&HypervisorHandle::CreateVm>("createVm"), InstanceMethod<&HypervisorHandle::Close>("close")});
}
Napi::Value HypervisorHandle::RawIoctl(const Napi::CallbackInfo& info) {
  std::shared_ptr<Hypervisor> core;
  return Open(info.Env(), &core) ? Ioctl(info, core.get()) : Napi::Value();
}

Napi::Value HypervisorHandle::Capabilities(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Hypervisor> core;
  if (!Open(env, &core)) return {};
  const hax::Capabilities& from = core->capabilities();
  Napi::Object out = Napi::Object::New(env);
  out["backend"] = from.backend;
  out["device"] = from.device;
  out["apiVersion"] = Napi::Number::New(env, from.api_version);
  Napi::Object features = Napi::Object::New(env);
  for (const Capability& feature : from.features) {
    Napi::Object entry = Napi::Object::New(env);
    entry["available"] = Napi::Boolean::New(env, feature.value != 0);
    entry["value"] = Napi::Number::New(env, static_cast<double>(feature.value));
    if (!feature.reason.empty()) entry["reason"] = feature.reason;
    features[feature.name] = entry;
  }
  out["features"] = features;
  return out;
}

// Seven 32-bit numbers an entry: function, index, flags, eax, ebx, ecx, edx.
Napi::Value HypervisorHandle::SupportedCpuid(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Hypervisor> core;
  std::vector<CpuidEntry> entries;
  if (!Open(env, &core) || !Check(env, core->SupportedCpuid(&entries))) return {};
  static_assert(sizeof(CpuidEntry) == 7 * sizeof(uint32_t));
  Napi::Uint32Array out = Napi::Uint32Array::New(env, entries.size() * 7);
  // Without data: the worker is being terminated, and nothing can be made any more.
  if (!entries.empty() && out.Data()) std::memcpy(out.Data(), entries.data(), entries.size() * sizeof(CpuidEntry));
  return out;
}

Napi::Value HypervisorHandle::CreateVm(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Hypervisor> core;
  VmOptions options;
  std::shared_ptr<Vm> vm;
  if (!Open(env, &core) || !binding::Argument(info, 0, "kernelIrqchip", &options.kernel_irqchip) ||
      !binding::Argument(info, 1, "pit", &options.pit) || !binding::Argument(info, 2, "type", &options.type) ||
      !Check(env, core->CreateVm(options, &vm))) {
    return {};
  }
  return VmHandle::Make(env, env.GetInstanceData<AddonData>()->vm, std::move(vm));
}

void HypervisorHandle::Close(const Napi::CallbackInfo&) { core_.reset(); }

}  // namespace hax::binding

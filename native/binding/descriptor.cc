#include "binding/binding.h"

namespace hax::binding {

const napi_type_tag DescriptorHandle::kTag = {0x6e6f6465686178a5, 0x1d0c52b7a9e14f05};

Napi::Function DescriptorHandle::Define(Napi::Env env) {
  return DefineClass(env, "NativeDescriptor",
                     {InstanceMethod<&DescriptorHandle::RawIoctl>("ioctl"), InstanceMethod<&DescriptorHandle::RawMap>("map"),
                      InstanceMethod<&DescriptorHandle::Number>("number"), InstanceMethod<&DescriptorHandle::Read>("read"),
                      InstanceMethod<&DescriptorHandle::Write>("write"), InstanceMethod<&DescriptorHandle::Close>("close")});
}

Napi::Value DescriptorHandle::RawIoctl(const Napi::CallbackInfo& info) {
  std::shared_ptr<Descriptor> core;
  return Open(info.Env(), &core) ? Ioctl(info, core.get()) : Napi::Value();
}

Napi::Value DescriptorHandle::RawMap(const Napi::CallbackInfo& info) {
  std::shared_ptr<Descriptor> core;
  return Open(info.Env(), &core) ? Map(info, core.get()) : Napi::Value();
}

Napi::Value DescriptorHandle::Number(const Napi::CallbackInfo& info) {
  std::shared_ptr<Descriptor> core;
  return Open(info.Env(), &core) ? Napi::Number::New(info.Env(), core->number()) : Napi::Value();
}

// read(target, offset?): how many bytes, 0 when there is nothing now.
Napi::Value DescriptorHandle::Read(const Napi::CallbackInfo& info) {
  std::shared_ptr<Descriptor> core;
  Napi::Uint8Array target;
  uint64_t offset = 0;
  const bool positioned = !info[1].IsUndefined();
  if (!Open(info.Env(), &core) || !binding::Argument(info, 0, "target", &target)) return {};
  if (positioned && !binding::Argument(info, 1, "offset", &offset)) return {};
  size_t count = 0;
  if (!Check(info.Env(), core->Read(target.Data(), target.ByteLength(), positioned ? static_cast<int64_t>(offset) : -1, &count))) return {};
  return Napi::Number::New(info.Env(), static_cast<double>(count));
}

Napi::Value DescriptorHandle::Write(const Napi::CallbackInfo& info) {
  std::shared_ptr<Descriptor> core;
  Napi::Uint8Array source;
  if (Open(info.Env(), &core) && binding::Argument(info, 0, "source", &source))
    Check(info.Env(), core->Write(source.Data(), source.ByteLength()));
  return {};
}

void DescriptorHandle::Close(const Napi::CallbackInfo&) { core_.reset(); }

// map(offset, length): pages of the device as an ArrayBuffer, which keeps them mapped until it is collected.
Napi::Value Map(const Napi::CallbackInfo& info, RawDevice* device) {
  Napi::Env env = info.Env();
  uint64_t offset, length;
  std::shared_ptr<DeviceMapping> mapping;
  if (!Argument(info, 0, "offset", &offset) || !Argument(info, 1, "length", &length) ||
      !Check(env, device->Map(offset, length, &mapping))) {
    return {};
  }
  auto* owner = new std::shared_ptr<DeviceMapping>(std::move(mapping));
  napi_value buffer;
  const napi_status status = napi_create_external_arraybuffer(
      env, (*owner)->data(), (*owner)->size(),
      [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<DeviceMapping>*>(hint); }, owner, &buffer);
  if (status == napi_ok) return {env, buffer};
  delete owner;
  Throw(env, Status::Error(Code::kUnsupported, "napi_create_external_arraybuffer", "this runtime allows no external buffers; use Node.js"));
  return {};
}

namespace {

Napi::Value Made(Napi::Env env, const Status& status, std::shared_ptr<Descriptor> descriptor) {
  if (!Check(env, status)) return {};
  return DescriptorHandle::Make(env, env.GetInstanceData<AddonData>()->descriptor, std::move(descriptor));
}

}  // namespace

Napi::Value MakeEventfd(const Napi::CallbackInfo& info) {
  uint32_t initial = 0;
  std::shared_ptr<Descriptor> descriptor;
  if (!Argument(info, 0, "initial", &initial)) return {};
  const Status status = OpenEventfd(initial, &descriptor);
  return Made(info.Env(), status, std::move(descriptor));
}

Napi::Value MakeMemfd(const Napi::CallbackInfo& info) {
  uint64_t size = 0;
  std::shared_ptr<Descriptor> descriptor;
  if (!Argument(info, 0, "size", &size)) return {};
  const Status status = OpenMemfd(size, &descriptor);
  return Made(info.Env(), status, std::move(descriptor));
}

Napi::Value Adopt(const Napi::CallbackInfo& info) {
  uint32_t number = 0;
  std::shared_ptr<Descriptor> descriptor;
  if (!Argument(info, 0, "number", &number)) return {};
  const Status status = AdoptDescriptor(number, &descriptor);
  return Made(info.Env(), status, std::move(descriptor));
}

}  // namespace hax::binding

#include <cstring>

#include "binding/binding.h"

namespace hax::binding {

const napi_type_tag MemoryHandle::kTag = {0x6e6f6465686178a2, 0x1d0c52b7a9e14f02};

namespace {

bool InRange(const Napi::CallbackInfo& info, const GuestMemory& memory, uint64_t offset, uint64_t length) {
  if (offset <= memory.size() && length <= memory.size() - offset) return true;
  Throw(info.Env(),
        Status::Error(Code::kMemory, "memory", "the range ends outside the memory of " + std::to_string(memory.size()) + " bytes"));
  return false;
}

}  // namespace

Napi::Function MemoryHandle::Define(Napi::Env env) {
  return DefineClass(env, "NativeMemory",
                     {InstanceMethod<&MemoryHandle::Read>("read"), InstanceMethod<&MemoryHandle::Write>("write"),
                      InstanceMethod<&MemoryHandle::Buffer>("buffer"), InstanceMethod<&MemoryHandle::Close>("close")});
}

Napi::Value MemoryHandle::Read(const Napi::CallbackInfo& info) {
  std::shared_ptr<GuestMemory> core;
  uint64_t offset;
  Napi::Uint8Array bytes;
  if (!Open(info.Env(), &core) || !binding::Argument(info, 0, "offset", &offset) || !binding::Argument(info, 1, "target", &bytes) ||
      !InRange(info, *core, offset, bytes.ByteLength())) {
    return {};
  }
  if (bytes.ByteLength() > 0) std::memmove(bytes.Data(), core->data() + offset, bytes.ByteLength());
  return {};
}

Napi::Value MemoryHandle::Write(const Napi::CallbackInfo& info) {
  std::shared_ptr<GuestMemory> core;
  uint64_t offset;
  Napi::Uint8Array bytes;
  if (!Open(info.Env(), &core) || !binding::Argument(info, 0, "offset", &offset) || !binding::Argument(info, 1, "source", &bytes) ||
      !InRange(info, *core, offset, bytes.ByteLength())) {
    return {};
  }
  if (bytes.ByteLength() > 0) std::memmove(core->data() + offset, bytes.Data(), bytes.ByteLength());
  return {};
}

// An ArrayBuffer over the memory itself; it keeps the memory mapped until it is collected.
Napi::Value MemoryHandle::Buffer(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<GuestMemory> core;
  uint64_t offset, length;
  if (!Open(env, &core) || !binding::Argument(info, 0, "offset", &offset) || !binding::Argument(info, 1, "length", &length) ||
      !InRange(info, *core, offset, length)) {
    return {};
  }
  auto* owner = new std::shared_ptr<GuestMemory>(core);
  napi_value buffer;
  const napi_status status = napi_create_external_arraybuffer(
      env, core->data() + offset, length, [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<GuestMemory>*>(hint); },
      owner, &buffer);
  if (status == napi_ok) return {env, buffer};
  delete owner;
  Throw(env, Status::Error(Code::kUnsupported, "napi_create_external_arraybuffer",
                           "this runtime gives no zero-copy view of " + std::to_string(length) + " bytes; use read and write"));
  return {};
}

void MemoryHandle::Close(const Napi::CallbackInfo&) { core_.reset(); }

}  // namespace hax::binding

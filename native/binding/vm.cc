#include "binding/binding.h"

namespace hax::binding {

namespace {

// About what the kernel and this addon hold for a VM and its first vCPU. V8 sees handles of a few bytes and would let a thousand closed
// machines pile up before it collects one.
constexpr int64_t kUnseenBytes = 1024 * 1024;

}  // namespace

const napi_type_tag VmHandle::kTag = {0x6e6f6465686178a3, 0x1d0c52b7a9e14f03};

Napi::Function VmHandle::Define(Napi::Env env) {
  return DefineClass(env, "NativeVm",
                     {InstanceMethod<&VmHandle::RawIoctl>("ioctl"), InstanceMethod<&VmHandle::MapMemory>("mapMemory"),
                      InstanceMethod<&VmHandle::UnmapMemory>("unmapMemory"), InstanceMethod<&VmHandle::CreateVcpu>("createVcpu"),
                      InstanceMethod<&VmHandle::SetIrqLine>("setIrqLine"), InstanceMethod<&VmHandle::Post>("post"),
                      InstanceMethod<&VmHandle::Unpost>("unpost"), InstanceMethod<&VmHandle::PostedRing>("postedRing"),
                      InstanceMethod<&VmHandle::Answer>("answer"), InstanceMethod<&VmHandle::Unanswer>("unanswer"),
                      InstanceMethod<&VmHandle::Close>("close")});
}

VmHandle::VmHandle(const Napi::CallbackInfo& info) : Handle(info) {
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), kUnseenBytes);
}

VmHandle::~VmHandle() {
  if (!IsEmpty()) Napi::MemoryManagement::AdjustExternalMemory(Env(), -kUnseenBytes);
}

Napi::Value VmHandle::RawIoctl(const Napi::CallbackInfo& info) {
  std::shared_ptr<Vm> core;
  return Open(info.Env(), &core) ? Ioctl(info, core.get()) : Napi::Value();
}

Napi::Value VmHandle::MapMemory(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Vm> core;
  Mapping mapping;
  if (!Open(env, &core) || !binding::Argument(info, 0, "gpa", &mapping.gpa) || !MemoryHandle::Argument(info, 1, &mapping.memory) ||
      !binding::Argument(info, 2, "offset", &mapping.offset) || !binding::Argument(info, 3, "size", &mapping.size) ||
      !binding::Argument(info, 4, "readOnly", &mapping.read_only)) {
    return {};
  }
  Check(env, core->MapMemory(std::move(mapping)));
  return {};
}

Napi::Value VmHandle::UnmapMemory(const Napi::CallbackInfo& info) {
  std::shared_ptr<Vm> core;
  uint64_t gpa;
  if (Open(info.Env(), &core) && binding::Argument(info, 0, "gpa", &gpa)) Check(info.Env(), core->UnmapMemory(gpa));
  return {};
}

Napi::Value VmHandle::CreateVcpu(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Vm> core;
  uint32_t id;
  auto box = std::make_shared<VcpuBox>();
  if (!Open(env, &core) || !binding::Argument(info, 0, "id", &id) || !Check(env, core->CreateVcpu(id, &box->vcpu))) return {};
  box->shortcuts = shortcuts_;
  return VcpuHandle::Make(env, env.GetInstanceData<AddonData>()->vcpu, std::move(box));
}

Napi::Value VmHandle::SetIrqLine(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Vm> core;
  uint32_t line;
  bool level;
  if (!Open(env, &core) || !binding::Argument(info, 0, "line", &line) || !binding::Argument(info, 1, "level", &level)) return {};
  InterruptController* controller = core->interrupts();
  Check(env, controller ? controller->SetLine(line, level)
                        : Status::Error(Code::kNoIrqchip, "KVM_IRQ_LINE", "this VM was created without an interrupt controller"));
  return {};
}

// post(port, first, last): writes there wait in the ring.
Napi::Value VmHandle::Post(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Vm> core;
  bool port;
  uint64_t first, last;
  if (!Open(env, &core) || !binding::Argument(info, 0, "port", &port) || !binding::Argument(info, 1, "first", &first) ||
      !binding::Argument(info, 2, "last", &last)) {
    return {};
  }
  shortcuts_->posted.Add(port, first, last);
  return {};
}

// The ring as an ArrayBuffer, to be asked for once, after a post().
Napi::Value VmHandle::PostedRing(const Napi::CallbackInfo& info) {
  std::shared_ptr<Vm> core;
  if (!Open(info.Env(), &core) || !shortcuts_->posted.ring()) return {};
  return SharedBuffer(info.Env(), shortcuts_->posted.ring());
}

Napi::Value VmHandle::Unpost(const Napi::CallbackInfo& info) {
  std::shared_ptr<Vm> core;
  bool port;
  uint64_t first, last;
  if (Open(info.Env(), &core) && binding::Argument(info, 0, "port", &port) && binding::Argument(info, 1, "first", &first) &&
      binding::Argument(info, 2, "last", &last)) {
    shortcuts_->posted.Remove(port, first, last);
  }
  return {};
}

// answer(port, value): reads of a byte there need no JavaScript.
Napi::Value VmHandle::Answer(const Napi::CallbackInfo& info) {
  std::shared_ptr<Vm> core;
  uint32_t port, value;
  if (Open(info.Env(), &core) && binding::Argument(info, 0, "port", &port) && binding::Argument(info, 1, "value", &value)) {
    shortcuts_->answers.Set(static_cast<uint16_t>(port), static_cast<uint8_t>(value));
  }
  return {};
}

Napi::Value VmHandle::Unanswer(const Napi::CallbackInfo& info) {
  std::shared_ptr<Vm> core;
  uint32_t port;
  if (Open(info.Env(), &core) && binding::Argument(info, 0, "port", &port)) shortcuts_->answers.Remove(static_cast<uint16_t>(port));
  return {};
}

void VmHandle::Close(const Napi::CallbackInfo&) { core_.reset(); }

}  // namespace hax::binding

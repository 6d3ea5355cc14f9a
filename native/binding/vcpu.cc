#include <cstring>

#include "binding/binding.h"

namespace hax::binding {

const napi_type_tag VcpuHandle::kTag = {0x6e6f6465686178a4, 0x1d0c52b7a9e14f04};

namespace {

constexpr size_t kMaxCpuidEntries = 256;  // KVM_MAX_CPUID_ENTRIES

}  // namespace

Napi::Function VcpuHandle::Define(Napi::Env env) {
  return DefineClass(env, "NativeVcpu",
                     {InstanceMethod<&VcpuHandle::RawIoctl>("ioctl"), InstanceMethod<&VcpuHandle::RawMap>("map"),
                      InstanceMethod<&VcpuHandle::Shared>("shared"), InstanceMethod<&VcpuHandle::Enter>("enter"),
                      InstanceMethod<&VcpuHandle::Complete>("complete"), InstanceMethod<&VcpuHandle::Kick>("kick"),
                      InstanceMethod<&VcpuHandle::GetState>("getState"), InstanceMethod<&VcpuHandle::SetState>("setState"),
                      InstanceMethod<&VcpuHandle::SyncState>("syncState"), InstanceMethod<&VcpuHandle::Inject>("inject"),
                      InstanceMethod<&VcpuHandle::SetCpuid>("setCpuid"), InstanceMethod<&VcpuHandle::Close>("close")});
}

bool VcpuHandle::Vcpu_(Napi::Env env, std::shared_ptr<Vcpu>* out) {
  std::shared_ptr<VcpuBox> box;
  if (!Open(env, &box)) return false;
  if (box->thread && !box->thread->idle()) {
    Throw(env, Status::Error(Code::kRunning, "vCPU", "this vCPU runs on a thread of its own; pause() or stop() it first"));
    return false;
  }
  *out = box->vcpu;
  return true;
}

Napi::Value VcpuHandle::RawIoctl(const Napi::CallbackInfo& info) {
  std::shared_ptr<Vcpu> vcpu;
  return Vcpu_(info.Env(), &vcpu) ? Ioctl(info, vcpu.get()) : Napi::Value();
}

// Also while the guest is in: mmap() of the descriptor does not touch the vCPU.
Napi::Value VcpuHandle::RawMap(const Napi::CallbackInfo& info) {
  std::shared_ptr<VcpuBox> box;
  return Open(info.Env(), &box) ? Map(info, box->vcpu.get()) : Napi::Value();
}

// The exit page and the state block as one ArrayBuffer, which keeps them alive beyond close().
Napi::Value VcpuHandle::Shared(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Vcpu> vcpu;
  if (!Vcpu_(env, &vcpu)) return {};
  return SharedBuffer(env, vcpu->shared());
}

// A thread of the vCPU's own would take the kick that is to end this entry, even while its exit waits to be served.
Napi::Value VcpuHandle::Enter(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<VcpuBox> box;  // stays when the handle is closed meanwhile
  if (!Open(env, &box)) return {};
  if (box->thread) {
    Throw(env, Status::Error(Code::kRunning, "enter", "this vCPU has a thread of its own; stop() it first"));
  } else {
    EnterBlocking(env, box);
  }
  return {};
}

Napi::Value VcpuHandle::Complete(const Napi::CallbackInfo& info) {
  std::shared_ptr<Vcpu> vcpu;
  if (Vcpu_(info.Env(), &vcpu)) Check(info.Env(), core_->thread ? core_->thread->Complete() : vcpu->Complete());
  return {};
}

Napi::Value VcpuHandle::Kick(const Napi::CallbackInfo& info) {
  std::shared_ptr<VcpuBox> box;
  if (Open(info.Env(), &box)) box->vcpu->Kick(InterruptReason::kKick);
  return {};
}

Napi::Value VcpuHandle::GetState(const Napi::CallbackInfo& info) {
  std::shared_ptr<Vcpu> vcpu;
  uint32_t mask;
  if (Vcpu_(info.Env(), &vcpu) && binding::Argument(info, 0, "mask", &mask)) Check(info.Env(), vcpu->GetState(mask));
  return {};
}

Napi::Value VcpuHandle::SetState(const Napi::CallbackInfo& info) {
  std::shared_ptr<Vcpu> vcpu;
  uint32_t mask;
  if (Vcpu_(info.Env(), &vcpu) && binding::Argument(info, 0, "mask", &mask)) Check(info.Env(), vcpu->SetState(mask));
  return {};
}

Napi::Value VcpuHandle::SyncState(const Napi::CallbackInfo& info) {
  std::shared_ptr<Vcpu> vcpu;
  uint32_t mask;
  if (Vcpu_(info.Env(), &vcpu) && binding::Argument(info, 0, "mask", &mask)) Check(info.Env(), vcpu->SyncState(mask));
  return {};
}

Napi::Value VcpuHandle::Inject(const Napi::CallbackInfo& info) {
  std::shared_ptr<Vcpu> vcpu;
  uint32_t vector;
  if (!Vcpu_(info.Env(), &vcpu) || !binding::Argument(info, 0, "vector", &vector)) return {};
  Check(info.Env(), vector < 256 ? vcpu->Inject(vector)
                                 : Status::Error(Code::kInvalidArgument, "inject", "an interrupt vector is a number from 0 to 255"));
  return {};
}

// Seven 32-bit numbers an entry, as supportedCpuid() gives them; in bytes, because that is the one array type that arguments take.
Napi::Value VcpuHandle::SetCpuid(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::shared_ptr<Vcpu> vcpu;
  Napi::Uint8Array bytes;
  if (!Vcpu_(env, &vcpu) || !binding::Argument(info, 0, "entries", &bytes)) return {};
  const size_t count = bytes.ByteLength() / sizeof(CpuidEntry);
  if (bytes.ByteLength() % sizeof(CpuidEntry) != 0 || count > kMaxCpuidEntries) {
    Throw(env, Status::Error(Code::kInvalidArgument, "KVM_SET_CPUID2", "a CPUID table has at most 256 entries of 28 bytes"));
    return {};
  }
  std::vector<CpuidEntry> entries(count);
  if (count > 0) std::memcpy(entries.data(), bytes.Data(), bytes.ByteLength());
  Check(env, vcpu->SetCpuid(entries));
  return {};
}

void VcpuHandle::Close(const Napi::CallbackInfo&) {
  if (core_) {
    ForgetInSlices(core_.get());
    core_->vcpu.reset();
  }
  core_.reset();
}

}  // namespace hax::binding

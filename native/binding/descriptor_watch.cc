// A descriptor in the event loop: calls a JavaScript function whenever there is something to read.
#include "binding/binding.h"
#include "binding/uv.h"

namespace hax::binding {

// Owns itself once it is started: the loop has its handle until the close callback.
struct Watched {
  uv_poll_t handle = {};
  const Uv* uv = nullptr;
  Napi::Env env;
  Napi::FunctionReference callback;
  std::shared_ptr<Descriptor> descriptor;
  napi_async_cleanup_hook_handle hook = nullptr;
  Watched** owner = nullptr;  // where the JavaScript object keeps its pointer

  explicit Watched(Napi::Env environment) : env(environment) {}

  void Close() {
    if (owner) *owner = nullptr;
    owner = nullptr;
    callback.Reset();
    uv->close(reinterpret_cast<uv_handle_t*>(&handle), [](uv_handle_t* closed) {
      auto* self = static_cast<Watched*>(closed->data);
      napi_remove_async_cleanup_hook(self->hook);
      delete self;
    });
  }

  static void OnReadable(uv_poll_t* handle, int, int) {
    auto* self = static_cast<Watched*>(handle->data);
    const Napi::Env env = self->env;
    Napi::HandleScope scope(env);
    napi_value result;
    if (napi_make_callback(env, nullptr, env.Global(), self->callback.Value(), 0, nullptr, &result) != napi_ok) ReportUncaught(env);
  }
};

// new DescriptorWatch(descriptor, callback); it does not keep the loop alive, and lasts until close() or until it is collected.
class DescriptorWatch final : public Napi::ObjectWrap<DescriptorWatch> {
 public:
  explicit DescriptorWatch(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DescriptorWatch>(info) {
    Napi::Env env = info.Env();
    std::shared_ptr<Descriptor> descriptor;
    Napi::Function callback;
    if (!DescriptorHandle::Argument(info, 0, &descriptor) || !Argument(info, 1, "callback", &callback)) return;
    const Uv* uv = Uv::Get();
    uv_loop_t* loop = nullptr;
    if (!uv || napi_get_uv_event_loop(env, &loop) != napi_ok) {
      Throw(env, Status::Error(Code::kUnsupported, "napi_get_uv_event_loop", "this runtime hides its event loop"));
      return;
    }
    auto watched = std::make_unique<Watched>(env);
    const int error = uv->poll_init(loop, &watched->handle, descriptor->number());
    if (error != 0) {
      Throw(env, Status::Os("uv_poll_init", -error));
      return;
    }
    watched->handle.data = watched.get();
    watched->uv = uv;
    watched->callback = Napi::Persistent(callback);
    watched->descriptor = std::move(descriptor);
    watched->owner = &watched_;
    napi_add_async_cleanup_hook(
        env, [](napi_async_cleanup_hook_handle, void* self) { static_cast<Watched*>(self)->Close(); }, watched.get(), &watched->hook);
    uv->unref(reinterpret_cast<uv_handle_t*>(&watched->handle));
    uv->poll_start(&watched->handle, UV_READABLE, Watched::OnReadable);
    watched_ = watched.release();
  }
  ~DescriptorWatch() override { CloseNow(); }

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "DescriptorWatch", {InstanceMethod<&DescriptorWatch::Close>("close")});
  }

 private:
  Napi::Value Close(const Napi::CallbackInfo&) {
    CloseNow();
    return {};
  }
  void CloseNow() {
    if (watched_) watched_->Close();
  }

  Watched* watched_ = nullptr;
};

Napi::Function DefineDescriptorWatch(Napi::Env env) { return DescriptorWatch::Define(env); }

}  // namespace hax::binding

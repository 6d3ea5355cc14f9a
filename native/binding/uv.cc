#include "binding/uv.h"

#include <cstdlib>

#include "core/os.h"

namespace hax::binding {

namespace {

template <typename F>
bool Find(const char* name, F* out) {
  // SAFETY: the symbol has the type that uv.h declares for its name; libuv keeps its ABI through version 1.
  *out = reinterpret_cast<F>(os::FindSymbol(name));
  return *out != nullptr;
}

}  // namespace

const Uv* Uv::Get() {
  static Uv uv;
  static const bool found =
      !std::getenv("HAX_PLAIN_SLICES") && Find("uv_check_init", &uv.check_init) && Find("uv_check_start", &uv.check_start) &&
      Find("uv_check_stop", &uv.check_stop) && Find("uv_idle_init", &uv.idle_init) && Find("uv_idle_start", &uv.idle_start) &&
      Find("uv_idle_stop", &uv.idle_stop) && Find("uv_async_init", &uv.async_init) && Find("uv_async_send", &uv.async_send) &&
      Find("uv_poll_init", &uv.poll_init) && Find("uv_poll_start", &uv.poll_start) && Find("uv_loop_size", &uv.loop_size) &&
      Find("uv_backend_fd", &uv.backend_fd) && Find("uv_backend_timeout", &uv.backend_timeout) && Find("uv_update_time", &uv.update_time) &&
      Find("uv_now", &uv.now) && Find("uv_ref", &uv.ref) && Find("uv_unref", &uv.unref) && Find("uv_close", &uv.close);
  return found ? &uv : nullptr;
}

}  // namespace hax::binding

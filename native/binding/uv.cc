#include "binding/uv.h"

#include "core/os.h"

namespace hax::binding {

const Uv* Uv::Get() {
  using os::FindSymbol;
  static Uv uv;
  // SAFETY: each symbol has the type that uv.h declares for its name; libuv keeps its ABI through version 1.
  static const bool found = !os::Variable("HAX_PLAIN_SLICES") && FindSymbol("uv_check_init", &uv.check_init) &&
                            FindSymbol("uv_check_start", &uv.check_start) && FindSymbol("uv_check_stop", &uv.check_stop) &&
                            FindSymbol("uv_idle_init", &uv.idle_init) && FindSymbol("uv_idle_start", &uv.idle_start) &&
                            FindSymbol("uv_idle_stop", &uv.idle_stop) && FindSymbol("uv_async_init", &uv.async_init) &&
                            FindSymbol("uv_async_send", &uv.async_send) && FindSymbol("uv_poll_init", &uv.poll_init) &&
                            FindSymbol("uv_poll_start", &uv.poll_start) && FindSymbol("uv_loop_size", &uv.loop_size) &&
                            FindSymbol("uv_backend_fd", &uv.backend_fd) && FindSymbol("uv_backend_timeout", &uv.backend_timeout) &&
                            FindSymbol("uv_update_time", &uv.update_time) && FindSymbol("uv_now", &uv.now) &&
                            FindSymbol("uv_ref", &uv.ref) && FindSymbol("uv_unref", &uv.unref) && FindSymbol("uv_close", &uv.close);
  return found ? &uv : nullptr;
}

}  // namespace hax::binding

#include "binding/uv.h"

#include <cstdlib>

#include "core/os.h"

namespace hax::binding {

const Uv* Uv::Get() {
  static Uv uv;
  // SAFETY: each symbol has the type that uv.h declares for its name; libuv keeps its ABI through version 1.
  static const bool found = !std::getenv("HAX_PLAIN_SLICES") && os::FindSymbol("uv_check_init", &uv.check_init) &&
                            os::FindSymbol("uv_check_start", &uv.check_start) && os::FindSymbol("uv_check_stop", &uv.check_stop) &&
                            os::FindSymbol("uv_idle_init", &uv.idle_init) && os::FindSymbol("uv_idle_start", &uv.idle_start) &&
                            os::FindSymbol("uv_idle_stop", &uv.idle_stop) && os::FindSymbol("uv_async_init", &uv.async_init) &&
                            os::FindSymbol("uv_async_send", &uv.async_send) && os::FindSymbol("uv_poll_init", &uv.poll_init) &&
                            os::FindSymbol("uv_poll_start", &uv.poll_start) && os::FindSymbol("uv_loop_size", &uv.loop_size) &&
                            os::FindSymbol("uv_backend_fd", &uv.backend_fd) && os::FindSymbol("uv_backend_timeout", &uv.backend_timeout) &&
                            os::FindSymbol("uv_update_time", &uv.update_time) && os::FindSymbol("uv_now", &uv.now) &&
                            os::FindSymbol("uv_ref", &uv.ref) && os::FindSymbol("uv_unref", &uv.unref) &&
                            os::FindSymbol("uv_close", &uv.close);
  return found ? &uv : nullptr;
}

}  // namespace hax::binding

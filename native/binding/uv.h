// libuv's loop calls: node exports them, but they are not part of Node-API, so they are looked up and never linked.
#ifndef NODE_HAX_BINDING_UV_H_
#define NODE_HAX_BINDING_UV_H_

#include <uv.h>

namespace hax::binding {

struct Uv {
  decltype(&uv_check_init) check_init;
  decltype(&uv_check_start) check_start;
  decltype(&uv_check_stop) check_stop;
  decltype(&uv_idle_init) idle_init;
  decltype(&uv_idle_start) idle_start;
  decltype(&uv_idle_stop) idle_stop;
  decltype(&uv_async_init) async_init;
  decltype(&uv_async_send) async_send;
  decltype(&uv_poll_init) poll_init;
  decltype(&uv_poll_start) poll_start;
  decltype(&uv_loop_size) loop_size;
  decltype(&uv_backend_fd) backend_fd;
  decltype(&uv_backend_timeout) backend_timeout;
  decltype(&uv_update_time) update_time;
  decltype(&uv_now) now;
  decltype(&uv_ref) ref;
  decltype(&uv_unref) unref;
  decltype(&uv_close) close;

  // Null where the runtime hides its loop, or HAX_PLAIN_SLICES tells to leave it alone.
  static const Uv* Get();
};

}  // namespace hax::binding

#endif  // NODE_HAX_BINDING_UV_H_

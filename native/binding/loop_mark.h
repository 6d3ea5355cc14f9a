// Whether a program has given its event loop something to do since the last look, without a call: uv_backend_timeout() goes through pages
// that an exit has made the processor forget, a fifth of the way to a handler (docs/performance.md). uv_loop_t is what libuv 1 keeps as it
// is; where it is another one all the same, or Windows', the loop is asked each time.
#ifndef NODE_HAX_BINDING_LOOP_MARK_H_
#define NODE_HAX_BINDING_LOOP_MARK_H_

#include "binding/uv.h"

namespace hax::binding {

class LoopMark {
 public:
  // Of no loop: never stands.
  LoopMark() = default;
  LoopMark(const Uv& uv, const uv_loop_t* loop) : loop_(HasKnownLayout(uv, loop) ? loop : nullptr) {}

#ifdef _WIN32
  void Take() {}
  bool Stands() const { return false; }

 private:
  static bool HasKnownLayout(const Uv&, const uv_loop_t*) { return false; }
#else
  // Right after a look that found nothing due.
  void Take() {
    if (!loop_) return;
    handles_ = loop_->active_handles;
    requests_ = loop_->active_reqs.count;
    timers_ = loop_->timer_counter;
  }
  // True: uv_backend_timeout() would still not give 0, nor an earlier time. A timer or an immediate that is set, a handle that is started
  // or closed, a request that is made and a descriptor that is to be polled each change one of these.
  bool Stands() const {
    if (!loop_) return false;
    // One branch: each costs after an exit.
    uint64_t changed = (loop_->active_handles ^ handles_) | (loop_->active_reqs.count ^ requests_) | (loop_->timer_counter ^ timers_);
    changed |= reinterpret_cast<uintptr_t>(loop_->closing_handles) | uint64_t{!IsEmpty(loop_->watcher_queue)};
    // An immediate is an idle handle: set while another handle is stopped or unreferenced, it leaves active_handles as it was.
    changed |= uint64_t{!IsEmpty(loop_->idle_handles)};
    return changed == 0;
  }

 private:
  // By what libuv says of it: its size, a member at its beginning and one at its end.
  static bool HasKnownLayout(const Uv& uv, const uv_loop_t* loop) {
    return uv.loop_size() == sizeof(uv_loop_t) && uv.backend_fd(loop) == loop->backend_fd && uv.now(loop) == loop->time;
  }
  // A queue is empty when its head points to itself. Its type has had two names.
  template <typename Queue>
  static bool IsEmpty(const Queue& queue) {
    return *reinterpret_cast<const void* const*>(&queue) == &queue;
  }

  unsigned handles_ = 0;
  unsigned requests_ = 0;
  uint64_t timers_ = 0;
#endif

  const uv_loop_t* loop_ = nullptr;
};

}  // namespace hax::binding

#endif  // NODE_HAX_BINDING_LOOP_MARK_H_

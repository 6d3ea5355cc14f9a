// Guest time on a JavaScript thread: slices between the turns of its event loop. docs/run-loop.md tells the order and why.
#ifndef NODE_HAX_BINDING_LOOP_H_
#define NODE_HAX_BINDING_LOOP_H_

#include <memory>
#include <vector>

#include "binding/binding.h"
#include "binding/uv.h"
#include "core/loop_watch.h"

namespace hax::binding {

class SliceRunner;

// The check and idle handles of one environment's loop and the runners that take turns in it. Only the check phase knows the truth
// about what the loop has to do, so slices begin there; the idle handle makes the loop come round again. Owns itself: the
// environment's cleanup hook closes the handles, and the last close callback deletes it.
class LoopContext {
 public:
  static LoopContext* Get(Napi::Env env);

  Status Start(SliceRunner* runner);
  void Stop(SliceRunner* runner);
  void Wake() { Idle(true); }
  void UpdateReferences();

  uv_loop_t* loop() const { return loop_; }
  const Uv& uv() const { return uv_; }
  LoopWatch* watch() const { return watch_.get(); }

 private:
  LoopContext(Napi::Env env, const Uv& uv, uv_loop_t* loop) : env_(env), uv_(uv), loop_(loop) {}
  void OnCheck();
  void Idle(bool active);
  void Close(napi_async_cleanup_hook_handle hook);
  SliceRunner* NextRunnable();

  Napi::Env env_;
  const Uv& uv_;
  uv_loop_t* loop_;
  uv_check_t check_;
  uv_idle_t idle_;
  std::shared_ptr<LoopWatch> watch_;
  std::vector<SliceRunner*> runners_;
  size_t next_ = 0;
  bool idle_active_ = false;
  bool gave_turn_ = false;  // the last turn went to the loop, because it had something due
  int open_handles_ = 2;
  napi_async_cleanup_hook_handle hook_ = nullptr;
};

}  // namespace hax::binding

#endif  // NODE_HAX_BINDING_LOOP_H_

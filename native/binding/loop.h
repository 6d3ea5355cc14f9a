// Guest time on a JavaScript thread: slices between the turns of its event loop. docs/run-loop.md tells the order and why.
#ifndef NODE_HAX_BINDING_LOOP_H_
#define NODE_HAX_BINDING_LOOP_H_

#include <array>
#include <memory>
#include <vector>

#include "binding/binding.h"
#include "binding/loop_mark.h"
#include "binding/threads.h"
#include "binding/uv.h"
#include "core/loop_watch.h"

namespace hax::binding {

class SliceRunner;

constexpr uint64_t kMillisecond = 1000000;  // nanoseconds

// Of one slice, in CLOCK_MONOTONIC nanoseconds: when it begins, when the first look at the clock ends it, and when something else does
// where there is none. `due` is the loop time in milliseconds at which the loop wants to run. 0: whatever the loop wants.
struct SliceLimits {
  uint64_t now;
  uint64_t ends;
  uint64_t deadline;
  uint64_t due;
};

// The handles of one environment's loop and the runners that take turns in it. Only the check phase knows the truth about what the loop
// has to do, so slices begin there; the idle handle makes the loop come round again, the async handle wakes it when a vCPU with a thread
// of its own has an exit. Owns itself: the environment's cleanup hook closes the handles, and the last close callback deletes it.
class LoopContext {
 public:
  static LoopContext* Get(Napi::Env env);

  void Start(SliceRunner* runner);
  void Stop(SliceRunner* runner);
  void Wake() { Idle(true); }
  void AddThread(ThreadRunner* runner);
  void RemoveThread(ThreadRunner* runner);
  void UpdateReferences();

  Napi::Env env() const { return env_; }
  // In the check phase: whether the loop has anything due.
  bool HasWork() const { return Timeout() == 0; }
  // When the loop wants to run: in so many milliseconds, 0 for at once, -1 for not before a descriptor has something.
  int Timeout() const { return uv_.backend_timeout(loop_); }
  // In milliseconds.
  uint64_t Now() const { return uv_.now(loop_); }

  ThreadHub* threads() { return &threads_; }
  const LoopMark& mark() const { return mark_; }
  LoopWatch* watch() const { return watch_.get(); }
  // Whether the next slice may follow at once, and its limits: a loop that has nothing to do gets no turn before `turn_ends`, since the way
  // round it costs as much as the rest of a slice's end (docs/performance.md).
  bool AllowsNext(const SliceRunner* runner, uint64_t turn_ends, SliceLimits* limits) const;

 private:
  LoopContext(Napi::Env env, const Uv& uv, uv_loop_t* loop)
      : env_(env), uv_(uv), loop_(loop), mark_(uv, loop), threads_([this] { uv_.async_send(&async_); }) {}
  void StartChecks();
  void StopChecks();
  void OnCheck();
  // `exits_wait`: of vCPUs with threads.
  void RunSlices(bool exits_wait);
  void Idle(bool active);
  void Close(napi_async_cleanup_hook_handle hook);
  SliceRunner* NextRunnable();
  // What others on the thread leave of a slice, nanoseconds.
  uint64_t Share(const SliceRunner* runner) const;
  SliceLimits Limits(const SliceRunner* runner, uint64_t now, int timeout) const;
  std::array<uv_handle_t*, 3> handles() {
    return {reinterpret_cast<uv_handle_t*>(&check_), reinterpret_cast<uv_handle_t*>(&idle_), reinterpret_cast<uv_handle_t*>(&async_)};
  }

  Napi::Env env_;
  const Uv& uv_;
  uv_loop_t* loop_;
  const LoopMark mark_;  // as each slice begins with it
  uv_check_t check_;
  uv_idle_t idle_;
  uv_async_t async_;
  std::shared_ptr<LoopWatch> watch_;
  std::vector<SliceRunner*> runners_;
  size_t next_ = 0;
  ThreadHub threads_;
  bool idle_active_ = false;
  bool gave_turn_ = false;  // the last turn went to the loop, because it had something due
  int open_handles_ = 3;
  napi_async_cleanup_hook_handle hook_ = nullptr;
};

}  // namespace hax::binding

#endif  // NODE_HAX_BINDING_LOOP_H_

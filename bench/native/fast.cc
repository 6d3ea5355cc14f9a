// What raw.c takes from node-hax itself: the kind of call that its run() is, so that the smallest loop has none that is slower.
#include "binding/fast_call.h"

extern "C" napi_value make_fast_function(napi_env env, void (*fast)(void* receiver), void (*slow)(const void* info)) {
  return hax::binding::MakeFastFunction(env, fast, slow);
}

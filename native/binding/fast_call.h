// Functions that V8's optimized code calls as the C that they are. A call through Node-API costs as much as all the rest of an exit on its
// way to a handler, and on KVM its pages are among those that an exit makes the processor forget (docs/decisions/0006-fast-calls.md).
#ifndef NODE_HAX_BINDING_FAST_CALL_H_
#define NODE_HAX_BINDING_FAST_CALL_H_

#include <napi.h>

namespace hax::binding {

// A JavaScript function without arguments and result: compiled code calls `fast`, which must touch nothing of JavaScript (no Node-API, no
// exception), all other code `slow`. Their arguments mean nothing to them. Empty where V8's functions are not to be found. Only for
// versions of V8 whose layout of these calls is the one below: lib/native/addon.ts knows them.
Napi::Value MakeFastFunction(Napi::Env env, void (*fast)(void* receiver), void (*slow)(const void* info));

}  // namespace hax::binding

#endif  // NODE_HAX_BINDING_FAST_CALL_H_

#include "binding/fast_call.h"

#include <cstdint>

#include "core/os.h"

namespace hax::binding {

namespace {

// v8-fast-api-calls.h, which Node does not install: CTypeInfo, CFunctionInfo and CFunction.
struct TypeInfo {
  uint8_t type;
  uint8_t sequence;
  uint8_t flags;
};
struct FunctionInfo {
  TypeInfo result;
  uint8_t int64_representation;
  uint32_t argument_count;
  const TypeInfo* arguments;
};
struct FastFunction {
  const void* address;
  const FunctionInfo* info;
};
constexpr uint8_t kVoid = 0;
constexpr uint8_t kV8Value = 10;

constexpr TypeInfo kReceiver = {kV8Value, 0, 0};
constexpr FunctionInfo kNothing = {{kVoid, 0, 0}, 0, 1, &kReceiver};

// A v8::Local<T> is passed as the pointer that it is, which is what a napi_value is, too.
using Local = void*;
struct V8 {
  void* (*current_isolate)();
  Local (*current_context)(void* isolate);
  Local (*new_template)(void* isolate, void (*slow)(const void* info), Local data, Local signature, int length, int constructor,
                        int side_effect, const FastFunction*, uint16_t, uint16_t, uint16_t);
  Local (*get_function)(Local function_template, Local context);
};

}  // namespace

Napi::Value MakeFastFunction(Napi::Env env, void (*fast)(void* receiver), void (*slow)(const void* info)) {
  using os::FindSymbol;
  V8 v8;
  // SAFETY: each symbol has the type that V8's headers declare for its name, which has the types of the arguments in it.
  if (!FindSymbol("_ZN2v87Isolate10GetCurrentEv", &v8.current_isolate) ||
      !FindSymbol("_ZN2v87Isolate17GetCurrentContextEv", &v8.current_context) ||
      !FindSymbol("_ZN2v816FunctionTemplate11GetFunctionENS_5LocalINS_7ContextEEE", &v8.get_function) ||
      !FindSymbol(
          "_ZN2v816FunctionTemplate3NewEPNS_7IsolateEPFvRKNS_20FunctionCallbackInfoINS_5ValueEEEENS_5LocalIS4_EENSA_INS_9SignatureEEEi"
          "NS_19ConstructorBehaviorENS_14SideEffectTypeEPKNS_9CFunctionEttt",
          &v8.new_template)) {
    return {};
  }
  void* const isolate = v8.current_isolate();
  const FastFunction fast_function = {reinterpret_cast<const void*>(fast), &kNothing};
  const Local made = v8.new_template(isolate, slow, nullptr, nullptr, 0, 0, 0, &fast_function, 0, 0, 0);
  const Local function = made ? v8.get_function(made, v8.current_context(isolate)) : nullptr;
  return {env, static_cast<napi_value>(function)};
}

}  // namespace hax::binding

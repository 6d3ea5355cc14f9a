// Errors and arguments.
#include <cmath>

#include "binding/binding.h"
#include "core/os.h"

namespace hax::binding {

namespace {

const char* Name(Code code) {
  switch (code) {
    case Code::kApiVersion:
      return "ERR_HAX_API_VERSION";
    case Code::kClosed:
      return "ERR_HAX_CLOSED";
    case Code::kInvalidArgument:
      return "ERR_HAX_INVALID_ARGUMENT";
    case Code::kMemory:
      return "ERR_HAX_MEMORY";
    case Code::kNoDevice:
      return "ERR_HAX_NO_DEVICE";
    case Code::kNoIrqchip:
      return "ERR_HAX_NO_IRQCHIP";
    case Code::kNoMemory:
      return "ERR_HAX_NO_MEMORY";
    case Code::kNoPermission:
      return "ERR_HAX_NO_PERMISSION";
    case Code::kOverlap:
      return "ERR_HAX_OVERLAP";
    case Code::kRunning:
      return "ERR_HAX_RUNNING";
    case Code::kUnknownBackend:
      return "ERR_HAX_UNKNOWN_BACKEND";
    case Code::kUnsupported:
      return "ERR_HAX_UNSUPPORTED";
    case Code::kWrongThread:
      return "ERR_HAX_WRONG_THREAD";
    case Code::kOk:
    case Code::kIoctl:
      break;
  }
  return "ERR_HAX_IOCTL";
}

bool WrongType(const Napi::CallbackInfo& info, const char* name, const char* expected) {
  Throw(info.Env(), Status::Error(Code::kInvalidArgument, "argument", std::string(name) + " must be " + expected));
  return false;
}

}  // namespace

void Throw(Napi::Env env, const Status& status) {
  if (env.IsExceptionPending()) return;
  auto* data = env.GetInstanceData<AddonData>();
  if (data->make_error.IsEmpty()) {
    Napi::Error::New(env, status.detail).ThrowAsJavaScriptException();
    return;
  }
  Napi::Value error = data->make_error.Call({Napi::String::New(env, Name(status.code)), Napi::String::New(env, status.detail),
                                             Napi::String::New(env, status.operation), Napi::Number::New(env, status.os_code)});
  if (!env.IsExceptionPending()) napi_throw(env, error);
}

bool Argument(const Napi::CallbackInfo& info, size_t index, const char* name, uint64_t* out) {
  constexpr double kMaxSafeInteger = 9007199254740991;
  const Napi::Value value = info[index];
  if (!value.IsNumber()) return WrongType(info, name, "a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= kMaxSafeInteger && std::trunc(number) == number)) {
    return WrongType(info, name, "a whole number from 0 to 2^53 - 1");
  }
  *out = static_cast<uint64_t>(number);
  return true;
}

bool Argument(const Napi::CallbackInfo& info, size_t index, const char* name, uint32_t* out) {
  uint64_t wide = 0;
  if (!Argument(info, index, name, &wide)) return false;
  if (wide > UINT32_MAX) return WrongType(info, name, "a whole number below 2^32");
  *out = static_cast<uint32_t>(wide);
  return true;
}

bool Argument(const Napi::CallbackInfo& info, size_t index, const char* name, bool* out) {
  const Napi::Value value = info[index];
  if (!value.IsBoolean()) return WrongType(info, name, "true or false");
  *out = value.As<Napi::Boolean>().Value();
  return true;
}

bool Argument(const Napi::CallbackInfo& info, size_t index, const char* name, std::string* out) {
  const Napi::Value value = info[index];
  if (!value.IsString()) return WrongType(info, name, "a string");
  *out = value.As<Napi::String>().Utf8Value();
  return true;
}

bool Argument(const Napi::CallbackInfo& info, size_t index, const char* name, Napi::Uint8Array* out) {
  const Napi::Value value = info[index];
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    return WrongType(info, name, "a Uint8Array");
  }
  *out = value.As<Napi::Uint8Array>();
  return true;
}

bool Argument(const Napi::CallbackInfo& info, size_t index, const char* name, Napi::Function* out) {
  const Napi::Value value = info[index];
  if (!value.IsFunction()) return WrongType(info, name, "a function");
  *out = value.As<Napi::Function>();
  return true;
}

Napi::Value Ioctl(const Napi::CallbackInfo& info, RawDevice* device) {
  uint32_t request;  // what a kernel takes of it, whatever is above
  if (!Argument(info, 0, "request", &request)) return {};
  uintptr_t argument = 0;
  if (info[1].IsNumber()) {
    uint64_t value;
    if (!Argument(info, 1, "argument", &value)) return {};
    // A number in place of a structure would be an address that the kernel reads and writes.
    if (os::IoctlArgumentSize(request) != 0) {
      WrongType(info, "argument", "a Uint8Array: this request takes a structure");
      return {};
    }
    argument = value;
  } else if (info[1].IsNull()) {
    // No structure: the kernel refuses the address 0, or means something by it.
  } else if (!info[1].IsUndefined()) {
    Napi::Uint8Array bytes;
    if (!Argument(info, 1, "argument", &bytes)) return {};
    if (bytes.ByteLength() < os::IoctlArgumentSize(request) || bytes.ByteLength() == 0) {
      Throw(info.Env(), Status::Error(Code::kInvalidArgument, "ioctl",
                                      "this request takes " + std::to_string(os::IoctlArgumentSize(request)) + " bytes, not " +
                                          std::to_string(bytes.ByteLength())));
      return {};
    }
    argument = reinterpret_cast<uintptr_t>(bytes.Data());
  } else if (os::IoctlArgumentSize(request) != 0) {
    WrongType(info, "argument", "a Uint8Array: this request takes a structure");
    return {};
  }
  int result = 0;
  if (!Check(info.Env(), device->Ioctl(request, argument, &result))) return {};
  return Napi::Number::New(info.Env(), result);
}

}  // namespace hax::binding

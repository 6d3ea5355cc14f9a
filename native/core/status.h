// The result of every call in core and backends: no exception crosses these layers, and nothing aborts.
#ifndef NODE_HAX_CORE_STATUS_H_
#define NODE_HAX_CORE_STATUS_H_

#include <string>
#include <utility>

namespace hax {

// One to one with the ERR_HAX_ codes that native code can cause; binding/errors.cc holds the names.
enum class Code {
  kOk,
  kApiVersion,
  kClosed,
  kInvalidArgument,
  kIoctl,
  kMemory,
  kNoDevice,
  kNoIrqchip,
  kNoMemory,
  kNoPermission,
  kOverlap,
  kRunning,
  kUnknownBackend,
  kUnsupported,
  kWrongThread,
};

struct [[nodiscard]] Status {
  Code code = Code::kOk;
  const char* operation = "";  // the ioctl or call, a string literal
  int os_code = 0;             // errno, positive
  std::string detail;          // one sentence for the message

  bool ok() const { return code == Code::kOk; }

  static Status Ok() { return {}; }
  static Status Error(Code code, const char* operation, std::string detail, int os_code = 0) {
    return Status{code, operation, os_code, std::move(detail)};
  }
  // A call that the operating system refused.
  static Status Os(const char* operation, int os_code);
};

}  // namespace hax

#endif  // NODE_HAX_CORE_STATUS_H_

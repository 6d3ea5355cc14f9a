#include "core/status.h"

#include <cerrno>
#include <cstring>

namespace hax {

Status Status::Os(const char* operation, int os_code) {
  const Code code = os_code == ENOMEM ? Code::kNoMemory : Code::kIoctl;
  return Error(code, operation, std::string(operation) + " failed: " + std::strerror(os_code), os_code);
}

}  // namespace hax

// Which paths are the driver's.
#pragma once

#include <sys/types.h>

#include "driver.h"

namespace haxm_model {

struct PathMatch {
  enum class Kind { kNone, kNode, kVmDirectory, kVcpuDirectory };
  Kind kind = Kind::kNone;
  NodeName name;
};

// `directory` as openat takes it: AT_FDCWD or an open directory.
PathMatch MatchPath(int directory, const char* path);

}  // namespace haxm_model

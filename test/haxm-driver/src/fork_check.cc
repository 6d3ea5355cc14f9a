// HAXM_MODEL_FORK: the driver pins the client's pages. After a fork the parent's next write goes to a copy that the guest never sees,
// unless the memory was kept out of the child. The model's guests would not notice, so it looks at the kernel's list instead.
#include "fork_check.h"

#include <fcntl.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "config.h"
#include "driver.h"
#include "sys.h"

namespace haxm_model {

namespace {

std::string ReadAll(const char* path) {
  std::string text;
  char part[4096];
  const long fd = Syscall(SYS_openat, AT_FDCWD, Word(path), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  for (long length; (length = Syscall(SYS_read, fd, Word(part), sizeof part)) > 0;) text.append(part, static_cast<size_t>(length));
  Syscall(SYS_close, fd);
  return text;
}

// The ranges that a child does not get: those with "dc" among their flags.
std::vector<Area> KeptFromChildren() {
  const std::string text = ReadAll("/proc/self/smaps");
  std::vector<Area> kept;
  unsigned long first = 0;
  unsigned long end = 0;
  for (size_t at = 0; at < text.size();) {
    size_t next = text.find('\n', at);
    if (next == std::string::npos) next = text.size();
    const std::string line = text.substr(at, next - at);
    at = next + 1;
    unsigned long low;
    unsigned long high;
    if (sscanf(line.c_str(), "%lx-%lx ", &low, &high) == 2) {
      first = low;
      end = high;
      continue;
    }
    if (line.compare(0, 8, "VmFlags:") != 0 || line.find(" dc") == std::string::npos) continue;
    if (!kept.empty() && kept.back().begin + kept.back().size == first) {
      kept.back().size += end - first;
    } else {
      kept.push_back({first, end - first});
    }
  }
  return kept;
}

}  // namespace

void CheckFork() {
  if (!TheConfig().check_fork) return;
  const std::vector<Area> kept = KeptFromChildren();
  for (const Area& area : LiveMemory()) {
    bool found = false;
    for (const Area& one : kept) found = found || (area.begin >= one.begin && area.begin + area.size <= one.begin + one.size);
    if (found) continue;
    char what[100];
    snprintf(what, sizeof what, "fork with the driver's memory at %#lx (%#lx bytes) not MADV_DONTFORK", area.begin, area.size);
    Die(what, "the real driver's guest would lose it");
  }
}

}  // namespace haxm_model

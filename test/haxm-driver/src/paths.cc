#include "paths.h"

#include <fcntl.h>
#include <limits.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sys.h"

namespace haxm_model {

namespace {

// The number that printf's %02d writes, at *text, which moves past it.
bool ReadNumber(const char** text, uint32_t* number) {
  char* end;
  if (**text < '0' || **text > '9') return false;
  const unsigned long value = strtoul(*text, &end, 10);
  char written[24];
  const int length = snprintf(written, sizeof written, "%02lu", value);
  if (value > 4095 || end - *text != length || strncmp(written, *text, static_cast<size_t>(length)) != 0) return false;
  *text = end;
  *number = static_cast<uint32_t>(value);
  return true;
}

bool Skip(const char** text, const char* expected) {
  const size_t length = strlen(expected);
  if (strncmp(*text, expected, length) != 0) return false;
  *text += length;
  return true;
}

PathMatch Match(const char* path) {
  PathMatch match;
  if (!Skip(&path, "/dev/")) return match;
  if (strcmp(path, "HAX") == 0) {
    match.kind = PathMatch::Kind::kNode;
    return match;
  }
  if (!Skip(&path, "hax_vm")) return match;
  if (!*path) {
    match.kind = PathMatch::Kind::kVmDirectory;
  } else if (Skip(&path, "/vm")) {
    match.name.kind = NodeKind::kVm;
    if (ReadNumber(&path, &match.name.vm) && !*path) match.kind = PathMatch::Kind::kNode;
  } else if (ReadNumber(&path, &match.name.vm)) {
    match.name.kind = NodeKind::kVcpu;
    if (!*path) {
      match.kind = PathMatch::Kind::kVcpuDirectory;
    } else if (Skip(&path, "/vcpu") && ReadNumber(&path, &match.name.vcpu) && !*path) {
      match.kind = PathMatch::Kind::kNode;
    }
  }
  return match;
}

// Without //, /./ and /../, and without a slash at the end.
void Normalize(char* path) {
  char* to = path;
  for (const char* from = path; *from;) {
    while (*from == '/') from++;
    const size_t length = strcspn(from, "/");
    if (length == 2 && from[0] == '.' && from[1] == '.') {
      while (to > path && *--to != '/') {
      }
    } else if (length > 0 && !(length == 1 && from[0] == '.')) {
      *to++ = '/';
      memmove(to, from, length);
      to += length;
    }
    from += length;
  }
  *to = 0;
}

}  // namespace

PathMatch MatchPath(int directory, const char* path) {
  if (!path) return {};
  // The last part tells most paths apart at once.
  const char* last = strrchr(path, '/');
  const bool device = strstr(path, "HAX") || strstr(path, "hax_vm");
  last = last ? last + 1 : path;
  if (!device && strncmp(last, "vm", 2) != 0 && strncmp(last, "vcpu", 4) != 0) return {};
  char full[PATH_MAX + NAME_MAX];
  if (*path == '/') {
    if (!device) return {};
    snprintf(full, sizeof full, "%s", path);
  } else {
    char link[32] = "/proc/self/cwd";
    if (directory != AT_FDCWD) snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    const long length = Syscall(SYS_readlink, Word(link), Word(full), PATH_MAX);
    if (length <= 0 || length >= PATH_MAX) return {};
    snprintf(full + length, sizeof full - static_cast<size_t>(length), "/%s", path);
  }
  Normalize(full);
  return Match(full);
}

}  // namespace haxm_model

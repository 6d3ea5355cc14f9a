// open, close, dup and their kin, as libc exports them.
#include <fcntl.h>
#include <stdarg.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>

#include "handles.h"
#include "next.h"
#include "paths.h"

namespace haxm_model {

int Result(long result) {
  if (result >= 0) return static_cast<int>(result);
  errno = static_cast<int>(-result);
  return -1;
}

bool OpenOurs(int directory, const char* path, int flags, int* result) {
  const PathMatch match = MatchPath(directory, path);
  if (match.kind != PathMatch::Kind::kNode) return false;
  *result = Result(OpenNode(match.name, flags));
  return true;
}

namespace {

// A number that a descriptor of someone else's gets is not ours any more, however ours was closed.
int Fresh(int fd) {
  if (fd >= 0) Detach(fd);
  return fd;
}

bool TakesMode(int flags) { return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE; }

template <typename Function>
int OpenBy(Next<Function>* next, const char* path, int flags, mode_t mode) {
  int result;
  if (OpenOurs(AT_FDCWD, path, flags, &result)) return result;
  return Fresh((*next)(path, flags, mode));
}

template <typename Function>
int OpenAtBy(Next<Function>* next, int directory, const char* path, int flags, mode_t mode) {
  int result;
  if (OpenOurs(directory, path, flags, &result)) return result;
  return Fresh((*next)(directory, path, flags, mode));
}

using Open = int(const char*, int, ...);
using OpenAt = int(int, const char*, int, ...);
using Fortified = int(const char*, int);
using FortifiedAt = int(int, const char*, int);

}  // namespace
}  // namespace haxm_model

using namespace haxm_model;

#define HAXM_MODEL_MODE(flags)   \
  mode_t mode = 0;               \
  if (TakesMode(flags)) {        \
    va_list list;                \
    va_start(list, flags);       \
    mode = va_arg(list, mode_t); \
    va_end(list);                \
  }

HAXM_MODEL_EXPORT int open(const char* path, int flags, ...) {
  static haxm_model::Next<Open> next("open");
  HAXM_MODEL_MODE(flags)
  return OpenBy(&next, path, flags, mode);
}

HAXM_MODEL_EXPORT int open64(const char* path, int flags, ...) {
  static haxm_model::Next<Open> next("open64");
  HAXM_MODEL_MODE(flags)
  return OpenBy(&next, path, flags, mode);
}

HAXM_MODEL_EXPORT int openat(int directory, const char* path, int flags, ...) {
  static haxm_model::Next<OpenAt> next("openat");
  HAXM_MODEL_MODE(flags)
  return OpenAtBy(&next, directory, path, flags, mode);
}

HAXM_MODEL_EXPORT int openat64(int directory, const char* path, int flags, ...) {
  static haxm_model::Next<OpenAt> next("openat64");
  HAXM_MODEL_MODE(flags)
  return OpenAtBy(&next, directory, path, flags, mode);
}

// The forms that a program compiled with _FORTIFY_SOURCE calls.
HAXM_MODEL_EXPORT int __open_2(const char* path, int flags) {
  static haxm_model::Next<Fortified> next("__open_2");
  int result;
  return OpenOurs(AT_FDCWD, path, flags, &result) ? result : Fresh(next(path, flags));
}

HAXM_MODEL_EXPORT int __open64_2(const char* path, int flags) {
  static haxm_model::Next<Fortified> next("__open64_2");
  int result;
  return OpenOurs(AT_FDCWD, path, flags, &result) ? result : Fresh(next(path, flags));
}

HAXM_MODEL_EXPORT int __openat_2(int directory, const char* path, int flags) {
  static haxm_model::Next<FortifiedAt> next("__openat_2");
  int result;
  return OpenOurs(directory, path, flags, &result) ? result : Fresh(next(directory, path, flags));
}

HAXM_MODEL_EXPORT int __openat64_2(int directory, const char* path, int flags) {
  static haxm_model::Next<FortifiedAt> next("__openat64_2");
  int result;
  return OpenOurs(directory, path, flags, &result) ? result : Fresh(next(directory, path, flags));
}

// The kernel's descriptor goes first: were ours to go first, another thread could get the number in between and lose it again.
HAXM_MODEL_EXPORT int close(int fd) {
  static haxm_model::Next<int(int)> next("close");
  if (!IsOurs(fd)) return next(fd);
  Detach(fd);
  return next(fd);
}

HAXM_MODEL_EXPORT int close_range(unsigned first, unsigned last, int flags) {
  static haxm_model::Next<int(unsigned, unsigned, int)> next("close_range");
  constexpr int kCloexec = 4;
  if (!(flags & kCloexec)) DetachRange(first, last);
  return next(first, last, flags);
}

HAXM_MODEL_EXPORT void closefrom(int first) {
  static haxm_model::Next<void(int)> next("closefrom");
  DetachRange(first < 0 ? 0 : static_cast<unsigned>(first), ~0u);
  next(first);
}

HAXM_MODEL_EXPORT int dup(int fd) {
  static haxm_model::Next<int(int)> next("dup");
  const int copy = next(fd);
  if (copy >= 0) Duplicate(fd, copy);
  return copy;
}

HAXM_MODEL_EXPORT int dup2(int fd, int wanted) {
  static haxm_model::Next<int(int, int)> next("dup2");
  const int copy = next(fd, wanted);
  if (copy >= 0) Duplicate(fd, copy);
  return copy;
}

HAXM_MODEL_EXPORT int dup3(int fd, int wanted, int flags) {
  static haxm_model::Next<int(int, int, int)> next("dup3");
  const int copy = next(fd, wanted, flags);
  if (copy >= 0) Duplicate(fd, copy);
  return copy;
}

namespace {

int FcntlBy(haxm_model::Next<int(int, int, ...)>* next, int fd, int command, void* argument) {
  const int result = (*next)(fd, command, argument);
  if (result >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC)) Duplicate(fd, result);
  return result;
}

}  // namespace

HAXM_MODEL_EXPORT int fcntl(int fd, int command, ...) {
  static haxm_model::Next<int(int, int, ...)> next("fcntl");
  va_list list;
  va_start(list, command);
  void* argument = va_arg(list, void*);
  va_end(list);
  return FcntlBy(&next, fd, command, argument);
}

HAXM_MODEL_EXPORT int fcntl64(int fd, int command, ...) {
  static haxm_model::Next<int(int, int, ...)> next("fcntl64");
  va_list list;
  va_start(list, command);
  void* argument = va_arg(list, void*);
  va_end(list);
  return FcntlBy(&next, fd, command, argument);
}

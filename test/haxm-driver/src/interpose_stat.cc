// stat, access and their kin, as libc exports them, old and new.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "config.h"
#include "handles.h"
#include "interpose_stat.h"
#include "next.h"
#include "paths.h"

namespace haxm_model {

namespace {

constexpr unsigned kDevtmpfs = 5;  // minor of its device
constexpr unsigned kMiscMajor = 10;

template <typename Stat>
void Fill(const NodeStat& node, Stat* to) {
  memset(to, 0, sizeof *to);
  to->st_dev = makedev(0, kDevtmpfs);
  to->st_ino = node.inode;
  to->st_mode = node.mode;
  to->st_nlink = S_ISDIR(node.mode) ? 2 : 1;
  to->st_uid = node.uid;
  to->st_gid = node.gid;
  if (S_ISCHR(node.mode)) to->st_rdev = makedev(kMiscMajor, node.minor);
  if (S_ISDIR(node.mode)) to->st_size = 20 * (2 + node.entries);
  to->st_blksize = 4096;
}

void FillX(const NodeStat& node, struct statx* to) {
  memset(to, 0, sizeof *to);
  to->stx_mask = STATX_BASIC_STATS;
  to->stx_blksize = 4096;
  to->stx_nlink = S_ISDIR(node.mode) ? 2 : 1;
  to->stx_uid = node.uid;
  to->stx_gid = node.gid;
  to->stx_mode = static_cast<uint16_t>(node.mode);
  to->stx_ino = node.inode;
  if (S_ISDIR(node.mode)) to->stx_size = 20 * (2 + node.entries);
  if (S_ISCHR(node.mode)) {
    to->stx_rdev_major = kMiscMajor;
    to->stx_rdev_minor = node.minor;
  }
  to->stx_dev_minor = kDevtmpfs;
}

// HAXM_MODEL_OPEN=EACCES: permissions that even root has not.
bool RefusesOpen(const NodeStat& stat) { return TheConfig().open_error == EACCES && (stat.mode & 0777) == TheConfig().mode; }

}  // namespace

bool StatOurs(int directory, const char* path, int flags, NodeStat* stat, int* result) {
  if (path && !*path && flags & AT_EMPTY_PATH) {
    const HandleUse use(directory);
    if (!use.get()) return false;
    *result = StatHandle(*use.get(), stat);
    return true;
  }
  const PathMatch match = MatchPath(directory, path);
  switch (match.kind) {
    case PathMatch::Kind::kNode:
      *result = StatNode(match.name, stat);
      return true;
    case PathMatch::Kind::kVmDirectory:
      *result = StatVmDirectory(stat);
      return true;
    case PathMatch::Kind::kVcpuDirectory:
      *result = StatVcpuDirectory(match.name.vm, stat);
      return true;
    default:
      return false;
  }
}

template <typename Stat>
bool StatInto(int directory, const char* path, int flags, Stat* to, int* result) {
  NodeStat stat;
  if (!StatOurs(directory, path, flags, &stat, result)) return false;
  if (*result == 0) Fill(stat, to);
  *result = Result(*result);
  return true;
}

bool StatxOurs(int directory, const char* path, int flags, struct statx* to, int* result) {
  NodeStat stat;
  if (!StatOurs(directory, path, flags, &stat, result)) return false;
  if (*result == 0) FillX(stat, to);
  *result = Result(*result);
  return true;
}

bool FstatatOurs(int directory, const char* path, struct stat* to, int flags, int* result) {
  return StatInto(directory, path, flags, to, result);
}

bool AccessOurs(int directory, const char* path, int mode, int* result) {
  NodeStat stat;
  if (!StatOurs(directory, path, 0, &stat, result)) return false;
  if (*result == 0 && mode != F_OK && RefusesOpen(stat)) {
    *result = -EACCES;
  } else if (*result == 0 && mode != F_OK && geteuid() != 0) {
    const unsigned shift = stat.uid == geteuid() ? 6 : stat.gid == getegid() ? 3 : 0;
    if ((stat.mode >> shift & 7 & static_cast<unsigned>(mode)) != static_cast<unsigned>(mode)) *result = -EACCES;
  } else if (*result == 0 && mode & X_OK && S_ISCHR(stat.mode)) {
    *result = -EACCES;
  }
  *result = Result(*result);
  return true;
}

}  // namespace haxm_model

using namespace haxm_model;

#define HAXM_MODEL_STAT(name, type, at_flags)                                         \
  HAXM_MODEL_EXPORT int name(const char* path, struct type* to) {                     \
    static haxm_model::Next<int(const char*, struct type*)> next(#name);              \
    int result;                                                                       \
    return StatInto(AT_FDCWD, path, at_flags, to, &result) ? result : next(path, to); \
  }
HAXM_MODEL_STAT(stat, stat, 0)
HAXM_MODEL_STAT(stat64, stat64, 0)
HAXM_MODEL_STAT(lstat, stat, AT_SYMLINK_NOFOLLOW)
HAXM_MODEL_STAT(lstat64, stat64, AT_SYMLINK_NOFOLLOW)

#define HAXM_MODEL_FSTAT(name, type)                                             \
  HAXM_MODEL_EXPORT int name(int fd, struct type* to) {                          \
    static haxm_model::Next<int(int, struct type*)> next(#name);                 \
    int result;                                                                  \
    return StatInto(fd, "", AT_EMPTY_PATH, to, &result) ? result : next(fd, to); \
  }
HAXM_MODEL_FSTAT(fstat, stat)
HAXM_MODEL_FSTAT(fstat64, stat64)

#define HAXM_MODEL_FSTATAT(name, type)                                                                \
  HAXM_MODEL_EXPORT int name(int directory, const char* path, struct type* to, int flags) {           \
    static haxm_model::Next<int(int, const char*, struct type*, int)> next(#name);                    \
    int result;                                                                                       \
    return StatInto(directory, path, flags, to, &result) ? result : next(directory, path, to, flags); \
  }
HAXM_MODEL_FSTATAT(fstatat, stat)
HAXM_MODEL_FSTATAT(fstatat64, stat64)

// What programs built against a glibc before 2.33 call.
#define HAXM_MODEL_XSTAT(name, type, at_flags)                                                 \
  HAXM_MODEL_EXPORT int name(int version, const char* path, struct type* to) {                 \
    static haxm_model::Next<int(int, const char*, struct type*)> next(#name);                  \
    int result;                                                                                \
    return StatInto(AT_FDCWD, path, at_flags, to, &result) ? result : next(version, path, to); \
  }
HAXM_MODEL_XSTAT(__xstat, stat, 0)
HAXM_MODEL_XSTAT(__xstat64, stat64, 0)
HAXM_MODEL_XSTAT(__lxstat, stat, AT_SYMLINK_NOFOLLOW)
HAXM_MODEL_XSTAT(__lxstat64, stat64, AT_SYMLINK_NOFOLLOW)

#define HAXM_MODEL_FXSTAT(name, type)                                                     \
  HAXM_MODEL_EXPORT int name(int version, int fd, struct type* to) {                      \
    static haxm_model::Next<int(int, int, struct type*)> next(#name);                     \
    int result;                                                                           \
    return StatInto(fd, "", AT_EMPTY_PATH, to, &result) ? result : next(version, fd, to); \
  }
HAXM_MODEL_FXSTAT(__fxstat, stat)
HAXM_MODEL_FXSTAT(__fxstat64, stat64)

#define HAXM_MODEL_FXSTATAT(name, type)                                                                        \
  HAXM_MODEL_EXPORT int name(int version, int directory, const char* path, struct type* to, int flags) {       \
    static haxm_model::Next<int(int, int, const char*, struct type*, int)> next(#name);                        \
    int result;                                                                                                \
    return StatInto(directory, path, flags, to, &result) ? result : next(version, directory, path, to, flags); \
  }
HAXM_MODEL_FXSTATAT(__fxstatat, stat)
HAXM_MODEL_FXSTATAT(__fxstatat64, stat64)

HAXM_MODEL_EXPORT int statx(int directory, const char* path, int flags, unsigned mask, struct statx* to) {
  static haxm_model::Next<int(int, const char*, int, unsigned, struct statx*)> next("statx");
  int result;
  return StatxOurs(directory, path, flags, to, &result) ? result : next(directory, path, flags, mask, to);
}

HAXM_MODEL_EXPORT int access(const char* path, int mode) {
  static haxm_model::Next<int(const char*, int)> next("access");
  int result;
  return AccessOurs(AT_FDCWD, path, mode, &result) ? result : next(path, mode);
}

HAXM_MODEL_EXPORT int euidaccess(const char* path, int mode) {
  static haxm_model::Next<int(const char*, int)> next("euidaccess");
  int result;
  return AccessOurs(AT_FDCWD, path, mode, &result) ? result : next(path, mode);
}

HAXM_MODEL_EXPORT int eaccess(const char* path, int mode) {
  static haxm_model::Next<int(const char*, int)> next("eaccess");
  int result;
  return AccessOurs(AT_FDCWD, path, mode, &result) ? result : next(path, mode);
}

HAXM_MODEL_EXPORT int faccessat(int directory, const char* path, int mode, int flags) {
  static haxm_model::Next<int(int, const char*, int, int)> next("faccessat");
  int result;
  return AccessOurs(directory, path, mode, &result) ? result : next(directory, path, mode, flags);
}

// ioctl and syscall: libuv closes files and asks for their state through the latter. And what a fork needs.
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi.h"
#include "config.h"
#include "fork_check.h"
#include "handles.h"
#include "interpose_stat.h"
#include "next.h"
#include "ticker.h"
#include "vcpu.h"
#include "vm.h"

namespace haxm_model {

bool IoctlOurs(int fd, unsigned long request, unsigned long argument, int* result) {
  if (request == kRun && TheConfig().null_device) {  // timed to the nanosecond
    Handle* handle = Peek(fd);
    if (handle && handle->kind == NodeKind::kVcpu) {
      *result = static_cast<int>(handle->vcpu->RunNull());
      return true;
    }
  }
  const HandleUse use(fd);
  const Handle* handle = use.get();
  if (!handle) return false;
  const auto number = static_cast<uint32_t>(request);
  long answer;
  switch (handle->kind) {
    case NodeKind::kVcpu:
      answer = handle->vcpu->Ioctl(number, argument);
      break;
    case NodeKind::kVm:
      answer = handle->vm->Ioctl(handle->vm, number, argument);
      break;
    default:
      answer = SystemIoctl(number, argument);
  }
  *result = Result(answer);
  return true;
}

namespace {

// A child process begins without the driver: the VMs are its parent's.
void InChild() {
  ForgetHandlesInChild();
  ForgetDriverInChild();
  ForgetTickerInChild();
}

__attribute__((constructor)) void Load() {
  TheConfig();
  pthread_atfork(CheckFork, nullptr, InChild);
}

template <typename T>
T* Pointer(long word) {
  return reinterpret_cast<T*>(word);
}

bool SyscallOurs(long number, const long* a, int* result) {
  const auto fd = static_cast<int>(a[0]);
  switch (number) {
    case SYS_open:
      return OpenOurs(AT_FDCWD, Pointer<char>(a[0]), static_cast<int>(a[1]), result);
    case SYS_openat:
      return OpenOurs(fd, Pointer<char>(a[1]), static_cast<int>(a[2]), result);
    case SYS_ioctl:
      return IoctlOurs(fd, static_cast<unsigned long>(a[1]), static_cast<unsigned long>(a[2]), result);
    case SYS_stat:
    case SYS_lstat:
      return FstatatOurs(AT_FDCWD, Pointer<char>(a[0]), Pointer<struct stat>(a[1]), 0, result);
    case SYS_fstat:
      return FstatatOurs(fd, "", Pointer<struct stat>(a[1]), AT_EMPTY_PATH, result);
    case SYS_newfstatat:
      return FstatatOurs(fd, Pointer<char>(a[1]), Pointer<struct stat>(a[2]), static_cast<int>(a[3]), result);
    case SYS_statx:
      return StatxOurs(fd, Pointer<char>(a[1]), static_cast<int>(a[2]), Pointer<struct statx>(a[4]), result);
    case SYS_access:
      return AccessOurs(AT_FDCWD, Pointer<char>(a[0]), static_cast<int>(a[1]), result);
    case SYS_faccessat:
    case SYS_faccessat2:
      return AccessOurs(fd, Pointer<char>(a[1]), static_cast<int>(a[2]), result);
    case SYS_close:
      Detach(fd);
      return false;
    case SYS_close_range:
      if (!(a[2] & 4)) DetachRange(static_cast<unsigned>(a[0]), static_cast<unsigned>(a[1]));
      return false;
    default:
      return false;
  }
}

void AfterSyscall(long number, const long* a, long result) {
  if (result < 0) return;
  const auto fd = static_cast<int>(result);
  const bool duplicate = number == SYS_dup || number == SYS_dup2 || number == SYS_dup3 ||
                         (number == SYS_fcntl && (a[1] == F_DUPFD || a[1] == F_DUPFD_CLOEXEC));
  if (duplicate) Duplicate(static_cast<int>(a[0]), fd);
  if (number == SYS_open || number == SYS_openat) Detach(fd);
}

}  // namespace
}  // namespace haxm_model

HAXM_MODEL_EXPORT int ioctl(int fd, unsigned long request, ...) {
  static haxm_model::Next<int(int, unsigned long, ...)> next("ioctl");
  va_list list;
  va_start(list, request);
  const unsigned long argument = va_arg(list, unsigned long);
  va_end(list);
  int result;
  return haxm_model::IoctlOurs(fd, request, argument, &result) ? result : next(fd, request, argument);
}

HAXM_MODEL_EXPORT long syscall(long number, ...) {
  static haxm_model::Next<long(long, ...)> next("syscall");
  long a[6];
  va_list list;
  va_start(list, number);
  for (long& argument : a) argument = va_arg(list, long);
  va_end(list);
  int ours;
  if (haxm_model::SyscallOurs(number, a, &ours)) return ours;
  const long result = next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  haxm_model::AfterSyscall(number, a, result);
  return result;
}

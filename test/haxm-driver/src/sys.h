// System calls that pass by every interposer, and copies from and to the client that fail with EFAULT instead of crashing.
#pragma once

#include <sys/syscall.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace haxm_model {

// The kernel's answer: negative errno on failure.
inline long Syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
}

template <typename T>
inline long Word(T* pointer) {
  return reinterpret_cast<long>(pointer);
}

inline long Ioctl(int fd, unsigned long request, long argument = 0) { return Syscall(SYS_ioctl, fd, static_cast<long>(request), argument); }

template <typename T>
inline long Ioctl(int fd, unsigned long request, T* argument) {
  return Ioctl(fd, request, Word(argument));
}

inline int Copy(long call, void* ours, uint64_t theirs, size_t size) {
  iovec local{ours, size};
  iovec remote{reinterpret_cast<void*>(theirs), size};
  const long done = Syscall(call, Syscall(SYS_getpid), Word(&local), 1, Word(&remote), 1, 0);
  if (done == static_cast<long>(size)) return 0;
  if (done >= 0 || done == -EFAULT || theirs < 4096) return -EFAULT;
  // A sandbox forbids the calls: trust the pointer.
  if (call == SYS_process_vm_readv) {
    memcpy(ours, reinterpret_cast<void*>(theirs), size);
  } else {
    memcpy(reinterpret_cast<void*>(theirs), ours, size);
  }
  return 0;
}

template <typename T>
inline int CopyIn(T* ours, uint64_t theirs) {
  return Copy(SYS_process_vm_readv, ours, theirs, sizeof *ours);
}

template <typename T>
inline int CopyOut(uint64_t theirs, const T& ours) {
  return Copy(SYS_process_vm_writev, const_cast<T*>(&ours), theirs, sizeof ours);
}

}  // namespace haxm_model

// Preloaded: the FAIL_AT-th io_uring_enter() of the process fails, as for want of memory.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>

long syscall(long number, ...) {
  static atomic_int calls;
  long values[6];
  va_list arguments;
  va_start(arguments, number);
  for (int i = 0; i < 6; i++) values[i] = va_arg(arguments, long);
  va_end(arguments);
  if (number == SYS_io_uring_enter && ++calls == atoi(getenv("FAIL_AT"))) {
    errno = ENOMEM;
    return -1;
  }
  long (*const real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  return real(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}

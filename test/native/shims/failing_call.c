// Preloaded: the next call of an addon to what FAIL_CALL names, a function or the number of an ioctl's request, fails with ENOMEM. A script
// says so in process.env right before the call; then the variable is gone.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int fails(const char* name, const void* caller) {
  Dl_info info;
  if (dladdr(caller, &info) == 0 || strstr(info.dli_fname, ".node") == NULL) return 0;
  const char* wanted = getenv("FAIL_CALL");
  if (wanted == NULL || strcmp(wanted, name) != 0) return 0;
  unsetenv("FAIL_CALL");
  errno = ENOMEM;
  return 1;
}

#define CALLER __builtin_return_address(0)
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  char name[20];
  snprintf(name, sizeof name, "0x%lx", request);
  return fails(name, CALLER) ? -1 : REAL(ioctl)(fd, request, argument);
}

void* mmap64(void* at, size_t size, int protection, int flags, int fd, off64_t offset) {
  return fails("mmap64", CALLER) ? MAP_FAILED : REAL(mmap64)(at, size, protection, flags, fd, offset);
}

ssize_t pread64(int fd, void* to, size_t size, off64_t offset) {
  return fails("pread64", CALLER) ? -1 : REAL(pread64)(fd, to, size, offset);
}

int sigaction(int number, const struct sigaction* action, struct sigaction* before) {
  char name[20];
  snprintf(name, sizeof name, "sigaction %d", number);
  return fails(name, CALLER) ? -1 : REAL(sigaction)(number, action, before);
}

// Included before everything else where gcc or clang compile for Linux (binding.gyp), so that what is built on a new system loads on an old
// one. glibc 2.34 moved these functions from libpthread and libdl into libc and gave them a new version; the old one is still there, and
// Node itself brings the libraries that had them before. scripts/verify-prebuild has the floor and fails above it.
#pragma once

#include <features.h>

#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver dlclose, dlclose@GLIBC_2.2.5");
__asm__(".symver dlopen, dlopen@GLIBC_2.2.5");
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");
__asm__(".symver pthread_create, pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_detach, pthread_detach@GLIBC_2.2.5");
__asm__(".symver pthread_join, pthread_join@GLIBC_2.2.5");
__asm__(".symver pthread_setname_np, pthread_setname_np@GLIBC_2.12");
__asm__(".symver pthread_sigmask, pthread_sigmask@GLIBC_2.2.5");

// libstdc++ 12 gave condition_variable::wait a new version, and kept the old one.
__asm__(
    ".symver _ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE, "
    "_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE@GLIBCXX_3.4.11");

// Since 2.32 shared_ptr asks libc whether the process has one thread. A definition of our own, always 0, is no symbol of libc's, and right:
// node has several.
// Likewise what a container calls whose size is beyond all addresses (libstdc++ 11); without exceptions both would end the process.
extern "C" {
__attribute__((weak, visibility("hidden"), noreturn)) void hax_bad_array_length() __asm__("_ZSt28__throw_bad_array_new_lengthv");
void hax_bad_array_length() { __builtin_abort(); }
__attribute__((weak, visibility("hidden"))) char __libc_single_threaded = 0;
}
#endif

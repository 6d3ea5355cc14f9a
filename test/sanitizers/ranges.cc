// Tells ThreadSanitizer what our calls of memcpy() and its like read and write. With ignore_noninstrumented_modules gcc's runtime takes
// every caller of the C library for uninstrumented, ours too: it ignores what the library touches for any of them. Linked with --wrap.
#include <cstddef>

extern "C" {

void __tsan_read_range(const void* address, size_t size);
void __tsan_write_range(void* address, size_t size);
void* __real_memcpy(void* to, const void* from, size_t size);
void* __real_memmove(void* to, const void* from, size_t size);
void* __real_memset(void* to, int value, size_t size);
int __real_memcmp(const void* one, const void* other, size_t size);

void* __wrap_memcpy(void* to, const void* from, size_t size) {
  __tsan_read_range(from, size);
  __tsan_write_range(to, size);
  return __real_memcpy(to, from, size);
}

void* __wrap_memmove(void* to, const void* from, size_t size) {
  __tsan_read_range(from, size);
  __tsan_write_range(to, size);
  return __real_memmove(to, from, size);
}

void* __wrap_memset(void* to, int value, size_t size) {
  __tsan_write_range(to, size);
  return __real_memset(to, value, size);
}

int __wrap_memcmp(const void* one, const void* other, size_t size) {
  __tsan_read_range(one, size);
  __tsan_read_range(other, size);
  return __real_memcmp(one, other, size);
}

}  // extern "C"

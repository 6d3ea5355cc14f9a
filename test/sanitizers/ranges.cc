// ThreadSanitizer's view of memcpy and its like, where our code calls them. The runtime takes what unsanitized libraries do for nobody's
// access (ignore_noninstrumented_modules), since looking at all that Node does takes longer than the tests; it knows the caller of a
// library's function only by asking, so these say it themselves. Linked with --wrap.
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

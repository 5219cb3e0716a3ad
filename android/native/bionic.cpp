// What the C++ library of a build for musl asks of its C library, and Android's, bionic, has under another name or
// brought later than API level 24.
//
// The delegate is compiled with musl's headers, since Zig brings those and none of bionic's. That is possible because
// what crosses the border is the same in both on 64-bit processors, as their headers show (bionic:
// libc/include/bits/pthread_types.h; musl: include/alltypes.h.in): pthread_mutex_t has 40 bytes, pthread_cond_t 48,
// pthread_rwlock_t 56, pthread_t 8, pthread_key_t and pthread_once_t 4, all zero where they are initialized statically;
// timespec, the clocks, the numbers of errors and of system calls are the kernel's; FILE is used by pointer, and
// `stderr` is a variable in both (in bionic from API level 23); dl_phdr_info begins alike, and libunwind reads that
// beginning only. What differs (sysconf's numbers, setjmp's buffers, locales) is not used: bionic.txt has all names
// that are.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(pthread_mutex_t) == 40 && sizeof(pthread_cond_t) == 48 && sizeof(pthread_rwlock_t) == 56 &&
                  sizeof(pthread_t) == 8 && sizeof(pthread_key_t) == 4 && sizeof(pthread_once_t) == 4,
              "musl's types are not of bionic's sizes");

namespace {

// The C++ runtime's record of the exceptions of one thread: a pointer and a count.
struct ExceptionGlobals {
  void* caught;
  unsigned int uncaught;
};

pthread_key_t globals_key;
pthread_once_t globals_once = PTHREAD_ONCE_INIT;

void MakeKey() {
  if (pthread_key_create(&globals_key, free) != 0) abort();
}

}  // namespace

extern "C" {

int* __errno(void);
void __cxa_finalize(void* library);
extern void* __dso_handle __attribute__((visibility("hidden")));

// The NDK links each library with a piece that does this: what is registered to be destroyed at the end must be before
// the library is gone.
__attribute__((destructor)) static void Finalize(void) { __cxa_finalize(&__dso_handle); }

int* __errno_location(void) { return __errno(); }

// In bionic from API level 28.
void* aligned_alloc(size_t alignment, size_t size) {
  void* memory = nullptr;
  return posix_memalign(&memory, alignment, size) == 0 ? memory : nullptr;
}

// The compiler makes it of a memcmp whose sign nobody reads.
int bcmp(const void* a, const void* b, size_t size) { return memcmp(a, b, size); }

// libc++abi's own keep the record in a thread-local variable, which bionic's loader refuses before API level 29.
void* __cxa_get_globals(void) {
  pthread_once(&globals_once, MakeKey);
  void* globals = pthread_getspecific(globals_key);
  if (globals != nullptr) return globals;
  globals = calloc(1, sizeof(ExceptionGlobals));
  if (globals == nullptr || pthread_setspecific(globals_key, globals) != 0) abort();
  return globals;
}

void* __cxa_get_globals_fast(void) { return __cxa_get_globals(); }
}

// What Android's libtensorflowlite_jni.so and the delegate for Android need of bionic and glibc has not, or has
// otherwise. Preloaded, so that both run on glibc; see tests/helpers/glibc_world.py.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

int* __errno(void) { return &errno; }

// bionic's stdin, stdout and stderr before API level 23: an array of files of 152 bytes each.
char __sF[3][152];

static FILE* Known(FILE* file) {
  if ((void*)file == __sF[1]) return stdout;
  return (void*)file == __sF[2] ? stderr : file;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int vfprintf(FILE* file, const char* format, va_list arguments) {
  return NEXT(vfprintf)(Known(file), format, arguments);
}

int fprintf(FILE* file, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int written = vfprintf(file, format, arguments);
  va_end(arguments);
  return written;
}

int fputc(int character, FILE* file) { return NEXT(fputc)(character, Known(file)); }

size_t fwrite(const void* data, size_t size, size_t count, FILE* file) {
  return NEXT(fwrite)(data, size, count, Known(file));
}

int fflush(FILE* file) { return NEXT(fflush)(Known(file)); }

size_t __strlen_chk(const char* text, size_t size) {
  const size_t length = strlen(text);
  if (length >= size) abort();
  return length;
}

int __system_property_get(const char* name, char* value) {
  (void)name;
  value[0] = '\0';
  return 0;
}

void android_set_abort_message(const char* message) { fprintf(stderr, "abort: %s\n", message); }

int __android_log_vprint(int priority, const char* tag, const char* format, va_list arguments) {
  (void)priority;
  fprintf(stderr, "%s: ", tag);
  const int written = vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  return written;
}

// bionic numbers what it can be asked for in another order. A JVM asks here, too, by glibc's numbers: these four of
// bionic's are limits of bc and of locales there, for which nobody asks.
long sysconf(int name) {
  if (name == 39 || name == 40) return getpagesize();  // _SC_PAGESIZE, _SC_PAGE_SIZE
  if (name == 96) return get_nprocs_conf();            // _SC_NPROCESSORS_CONF
  if (name == 97) return get_nprocs();                 // _SC_NPROCESSORS_ONLN
  return NEXT(sysconf)(name);
}

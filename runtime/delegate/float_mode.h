// How the delegate's threads treat floats too small for a normal exponent: as zeros.
//
// LCE's interpreter does so, other runtimes do or do not. Set everywhere, results depend neither on the runtime nor on
// the number of threads.
#ifndef LARQ_MELIUS_DELEGATE_FLOAT_MODE_H_
#define LARQ_MELIUS_DELEGATE_FLOAT_MODE_H_

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace larq_melius {

// Flushes denormal floats to zero on this thread while it lives.
class ScopedFlushDenormals {
 public:
#if defined(__x86_64__)
  ScopedFlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero); }
  ~ScopedFlushDenormals() { _mm_setcsr(saved_); }
#elif defined(__aarch64__)
  ScopedFlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" : : "r"(saved_ | kFlushToZero));
  }
  ~ScopedFlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }
#endif
  ScopedFlushDenormals(const ScopedFlushDenormals&) = delete;
  ScopedFlushDenormals& operator=(const ScopedFlushDenormals&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr uint32_t kFlushToZero = 1u << 15;
  static constexpr uint32_t kDenormalsAreZero = 1u << 6;
  uint32_t saved_;
#elif defined(__aarch64__)
  static constexpr uint64_t kFlushToZero = uint64_t{1} << 24;
  uint64_t saved_ = 0;
#endif
};

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_FLOAT_MODE_H_

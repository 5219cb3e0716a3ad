#include "kernels.h"

namespace larq_melius::program {

const FloatKernels& SelectFloatKernels() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Avx2FloatKernels();
#endif
  return BaseFloatKernels();
}

}  // namespace larq_melius::program

#include <cstring>

#include "kernels.h"

namespace larq_melius::program {

const FloatKernels& SelectFloatKernels(const char* delegate_isa) {
  if (std::strcmp(delegate_isa, "portable") == 0) return BaseFloatKernels();
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Avx2FloatKernels();
#endif
  return BaseFloatKernels();
}

}  // namespace larq_melius::program

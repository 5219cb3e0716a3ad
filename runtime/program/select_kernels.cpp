#include <cstring>

#include "cpu_features.h"
#include "kernels.h"

namespace larq_melius::program {

const FloatKernels& SelectFloatKernels(const char* delegate_isa) {
  if (std::strcmp(delegate_isa, "portable") == 0) return BaseFloatKernels();
#if defined(__x86_64__)
  if (HasAvx2()) return Avx2FloatKernels();
#endif
  return BaseFloatKernels();
}

}  // namespace larq_melius::program

// Binary convolution: layout of map and filter, and the run over all pixels.
#ifndef LARQ_MELIUS_DELEGATE_BINARY_CONV_H_
#define LARQ_MELIUS_DELEGATE_BINARY_CONV_H_

#include <memory>

#include "execute.h"

namespace larq_melius {

// Throws Error if no kernel can compute it.
std::unique_ptr<Executable> MakeBinaryConv(const Program& program, const Instruction& instruction,
                                           const Kernels& kernels);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_BINARY_CONV_H_

// Binary convolution: layout of map and filter, and the run over all pixels.
#ifndef LARQ_MELIUS_DELEGATE_BINARY_CONV_H_
#define LARQ_MELIUS_DELEGATE_BINARY_CONV_H_

#include <memory>

#include "execute.h"

namespace larq_melius {

// With `reads_map`, its first input is the packed map already; otherwise it has plain words, and the convolution makes
// the map itself.
std::unique_ptr<Executable> MakeBinaryConv(const Program& program, const Instruction& instruction,
                                           const Kernels& kernels, bool reads_map);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_BINARY_CONV_H_

// Convolutions of float maps.
#ifndef LARQ_MELIUS_DELEGATE_FLOAT_CONV_H_
#define LARQ_MELIUS_DELEGATE_FLOAT_CONV_H_

#include <memory>

#include "execute.h"

namespace larq_melius {

// For few channels a group: the lanes of vectors are neighboring pixels. Maps that are not planes are made such.
std::unique_ptr<Executable> MakeConv(const Program& program, const Instruction& instruction, const Kernels& kernels);

// Most groups of channels that a 1x1 convolution can shuffle.
constexpr int64_t kMaxShuffledGroups = 32;

// For 1x1: the lanes of vectors are output channels.
std::unique_ptr<Executable> MakePointwiseConv(const Program& program, const Instruction& instruction,
                                              const Kernels& kernels);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_FLOAT_CONV_H_

// 3x3 convolutions of float maps by Winograd's minimal filtering, see kernels/kernels.h.
#ifndef LARQ_MELIUS_DELEGATE_WINOGRAD_CONV_H_
#define LARQ_MELIUS_DELEGATE_WINOGRAD_CONV_H_

#include <memory>

#include "execute.h"

namespace larq_melius {

// Whether it is one of those: that moves by one pixel.
bool FitsWinograd(const Instruction& instruction);

std::unique_ptr<Executable> MakeWinogradConv(const Program& program, const Instruction& instruction,
                                             const Kernels& kernels);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_WINOGRAD_CONV_H_

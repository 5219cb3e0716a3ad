// Instructions on float maps, but for convolutions.
#ifndef LARQ_MELIUS_DELEGATE_FLOAT_OPERATORS_H_
#define LARQ_MELIUS_DELEGATE_FLOAT_OPERATORS_H_

#include <memory>

#include "execute.h"

namespace larq_melius {

std::unique_ptr<Executable> MakeAffine(const Program& program, const Instruction& instruction, const Kernels& kernels);
std::unique_ptr<Executable> MakeAdd(const Program& program, const Instruction& instruction, const Kernels& kernels);
std::unique_ptr<Executable> MakeConcatenate(const Program& program, const Instruction& instruction);
std::unique_ptr<Executable> MakePad(const Program& program, const Instruction& instruction);
std::unique_ptr<Executable> MakeMaxPool(const Program& program, const Instruction& instruction, const Kernels& kernels);
std::unique_ptr<Executable> MakeReshape(const Program& program, const Instruction& instruction);
std::unique_ptr<Executable> MakeTranspose(const Program& program, const Instruction& instruction,
                                          const Kernels& kernels);
std::unique_ptr<Executable> MakeShuffle(const Program& program, const Instruction& instruction, const Kernels& kernels);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_FLOAT_OPERATORS_H_

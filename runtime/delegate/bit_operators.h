// Instructions on bits other than convolutions: signs, what they stand for, and their maximum.
#ifndef LARQ_MELIUS_DELEGATE_BIT_OPERATORS_H_
#define LARQ_MELIUS_DELEGATE_BIT_OPERATORS_H_

#include <memory>

#include "execute.h"
#include "packed_map.h"

namespace larq_melius {

// Writes plain words, or with `map` the packed map that convolutions read.
std::unique_ptr<Executable> MakePack(const Program& program, const Instruction& instruction, const Kernels& kernels,
                                     const PackedMap* map);
std::unique_ptr<Executable> MakeUnpack(const Program& program, const Instruction& instruction);
std::unique_ptr<Executable> MakeBinaryMaxPool(const Program& program, const Instruction& instruction);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_BIT_OPERATORS_H_

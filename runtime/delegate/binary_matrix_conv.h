// Binary convolution by the matrix multiplications of a processor: layout of the filter, and the run over all pixels.
#ifndef LARQ_MELIUS_DELEGATE_BINARY_MATRIX_CONV_H_
#define LARQ_MELIUS_DELEGATE_BINARY_MATRIX_CONV_H_

#include <memory>

#include "execute.h"

namespace larq_melius {

// Takes a map of kernels that have multiply_bytes. See MakeBinaryConv.
std::unique_ptr<Executable> MakeBinaryMatrixConv(const Program& program, const Instruction& instruction,
                                                 const PackedMap& map, bool reads_map);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_BINARY_MATRIX_CONV_H_

// Step 4 of the compiler: chooses the instruction set.
#ifndef LARQ_MELIUS_DELEGATE_SELECT_H_
#define LARQ_MELIUS_DELEGATE_SELECT_H_

#include <string>

#include "kernels/kernels.h"

namespace larq_melius {

// The kernels of that name ("portable", "avx2", "avx512", "amx", "neon"), or for an empty name the fastest that this
// processor runs.
//
// Throws Error if there are none of that name, or the processor lacks their instructions.
const Kernels& SelectKernels(const std::string& name);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_SELECT_H_

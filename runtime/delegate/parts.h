// Step 3 of the compiler, too: works on the parts of a concatenation, where they are made, and not on the whole.
#ifndef LARQ_MELIUS_DELEGATE_PARTS_H_
#define LARQ_MELIUS_DELEGATE_PARTS_H_

#include "program.h"

namespace larq_melius {

// In a stage of MeliusNet every layer compares the whole map so far, each with thresholds of its own. A comparison of a
// concatenation becomes a concatenation of comparisons of its parts, in whole words; a comparison of what a binary
// convolution makes becomes an output of that convolution, which compares while the numbers are in the nearest cache;
// and other numbers that are compared several times are compared by one instruction.
//
// Expects a fused program. The results are the same to the bit.
void MoveSignsToParts(Program& program);

// A max pool of a concatenation becomes a concatenation of max pools, each right behind what makes its part. After that
// and the above nothing reads the map of a whole stage: it is never there, and its parts stay in the caches.
void MovePoolsToParts(Program& program);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_PARTS_H_

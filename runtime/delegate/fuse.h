// Step 3 of the compiler: joins instructions, without changing a bit of any result.
#ifndef LARQ_MELIUS_DELEGATE_FUSE_H_
#define LARQ_MELIUS_DELEGATE_FUSE_H_

#include "program.h"

namespace larq_melius {

// - A multiplication and an addition by channel become one affine map.
// - An affine map before a sign becomes one comparison a channel, before a max pool a part of it.
// - A border goes into the max pool, the convolution or, through the sign, into the binary convolution that it is for.
// - A channel shuffle, three operators, becomes one instruction, and a part of a 1x1 convolution that alone reads it.
// - An addition to the last channels of a map, written as one of a map that is padded with zeros, becomes just that.
// - An addition to the result of a binary convolution happens as the convolution writes it.
void Fuse(Program& program);

// The comparison that decides, for every finite float x, as x * multiplier + addend < 0 does in floats that are rounded
// after each operation and are zero where they are denormal.
Comparison MakeComparison(const std::vector<float>& multiplier, const std::vector<float>& addend);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_FUSE_H_

// Loops that compilers turn into vectors by themselves; each instruction set's file compiles its own copy.
//
// Everything is in an unnamed namespace, and nothing calls the standard library: a function that the linker could merge
// with another file's might bring instructions to a processor that lacks them.
#ifndef LARQ_MELIUS_DELEGATE_KERNELS_COMMON_H_
#define LARQ_MELIUS_DELEGATE_KERNELS_COMMON_H_

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace larq_melius {
namespace {

inline int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <typename T, typename Zero>
inline uint32_t PackWord(const T* values, Zero zero, int64_t count) {
  uint32_t word = 0;
  for (int64_t i = 0; i < count; ++i) word |= static_cast<uint32_t>(values[i] < zero) << i;
  return word;
}

[[maybe_unused]] void PackBytes(const int8_t* values, int zero_point, int64_t channels, uint32_t* words) {
  for (int64_t c = 0; c < channels; c += 32) words[c / 32] = PackWord(values + c, zero_point, Smaller(32, channels - c));
}

// One copy of the loop for each combination, so that none tests for corrections inside.
template <bool kSumCorrection, bool kCorrection>
void WriteFloatsAs(const int32_t* sums, int64_t channels, const OutputTransform& transform,
                   const int32_t* sum_correction, const float* correction, float* output) {
  const int32_t low = transform.clamp_min;
  const int32_t high = transform.clamp_max;
  const float* multiplier = transform.multiplier;
  const float* bias = transform.bias;
  for (int64_t c = 0; c < channels; ++c) {
    int32_t x = 2 * sums[c];
    if constexpr (kSumCorrection) x += sum_correction[c];
    x = x < high ? x : high;
    x = x > low ? x : low;
    float y = static_cast<float>(x) * multiplier[c] + bias[c];
    if constexpr (kCorrection) y += correction[c];
    output[c] = y;
  }
}

[[maybe_unused]] void WriteFloats(const int32_t* sums, int64_t channels, const OutputTransform& transform,
                                  const int32_t* sum_correction, const float* correction, float* output) {
  if (sum_correction != nullptr && correction != nullptr) {
    WriteFloatsAs<true, true>(sums, channels, transform, sum_correction, correction, output);
  } else if (sum_correction != nullptr) {
    WriteFloatsAs<true, false>(sums, channels, transform, sum_correction, correction, output);
  } else if (correction != nullptr) {
    WriteFloatsAs<false, true>(sums, channels, transform, sum_correction, correction, output);
  } else {
    WriteFloatsAs<false, false>(sums, channels, transform, sum_correction, correction, output);
  }
}

}  // namespace
}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_KERNELS_COMMON_H_

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

// Of the nearest cache, what a filter may take beside the map and the sums.
[[maybe_unused]] constexpr int64_t kNearestCacheBytes = 20 << 10;

inline int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }
[[maybe_unused]] inline int64_t Larger(int64_t a, int64_t b) { return a > b ? a : b; }

template <typename T, typename Zero>
inline uint32_t PackWord(const T* values, Zero zero, int64_t count) {
  uint32_t word = 0;
  for (int64_t i = 0; i < count; ++i) word |= static_cast<uint32_t>(values[i] < zero) << i;
  return word;
}

[[maybe_unused]] void PackBytes(const int8_t* values, int zero_point, int64_t channels, uint32_t* words) {
  for (int64_t c = 0; c < channels; c += 32)
    words[c / 32] = PackWord(values + c, zero_point, Smaller(32, channels - c));
}

inline uint32_t ComparedWord(const float* values, const uint32_t* flips, const float* thresholds, int64_t count) {
  uint32_t word = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float x = flips[i] == 0 ? values[i] : -values[i];
    word |= static_cast<uint32_t>(x < thresholds[i]) << i;
  }
  return word;
}

// `whole_word(values, flips, thresholds)` compares 32 channels.
template <typename WholeWord>
inline void CompareWith(const CompareArguments& arguments, const WholeWord& whole_word) {
  for (int64_t pixel = 0; pixel < arguments.pixels; ++pixel) {
    const float* values = arguments.values + pixel * arguments.value_stride;
    uint32_t* words = arguments.words + pixel * arguments.word_stride;
    int64_t c = 0;
    for (; c + 32 <= arguments.channels; c += 32) {
      words[c / 32] = whole_word(values + c, arguments.flips + c, arguments.thresholds + c);
    }
    if (c < arguments.channels) {
      words[c / 32] = ComparedWord(values + c, arguments.flips + c, arguments.thresholds + c, arguments.channels - c);
    }
  }
}

inline float Clamp(float x, float low, float high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

// One copy of the loop for each combination, so that none tests for null inside.
template <bool kSumCorrection, bool kCorrection, bool kSummand>
void WriteFloatsAs(const WriteArguments& arguments) {
  const int32_t low = arguments.transform.clamp_min;
  const int32_t high = arguments.transform.clamp_max;
  const float* multiplier = arguments.transform.multiplier;
  const float* bias = arguments.transform.bias;
  for (int64_t pixel = 0; pixel < arguments.pixels; ++pixel) {
    const int32_t* sums = arguments.sums + pixel * kChannelBlock;
    const float* summand = kSummand ? arguments.summand + pixel * arguments.summand_stride : nullptr;
    float* output = arguments.output + pixel * arguments.output_stride;
    for (int64_t c = 0; c < arguments.channels; ++c) {
      int32_t x = 2 * sums[c];
      if constexpr (kSumCorrection) x += arguments.sum_correction[c];
      x = x < high ? x : high;
      x = x > low ? x : low;
      float y = static_cast<float>(x) * multiplier[c] + bias[c];
      if constexpr (kCorrection) y += arguments.correction[c];
      if constexpr (kSummand) y += summand[c];
      output[c] = y;
    }
  }
}

template <bool kSumCorrection, bool kCorrection>
void WriteFloatsMaybeAdded(const WriteArguments& arguments) {
  if (arguments.summand != nullptr) {
    WriteFloatsAs<kSumCorrection, kCorrection, true>(arguments);
  } else {
    WriteFloatsAs<kSumCorrection, kCorrection, false>(arguments);
  }
}

[[maybe_unused]] void WriteFloats(const WriteArguments& arguments) {
  if (arguments.sum_correction != nullptr && arguments.correction != nullptr) {
    WriteFloatsMaybeAdded<true, true>(arguments);
  } else if (arguments.sum_correction != nullptr) {
    WriteFloatsMaybeAdded<true, false>(arguments);
  } else if (arguments.correction != nullptr) {
    WriteFloatsMaybeAdded<false, true>(arguments);
  } else {
    WriteFloatsMaybeAdded<false, false>(arguments);
  }
}

[[maybe_unused]] void AffineFloats(const float* x, const float* multiplier, const float* addend, float low, float high,
                                   int64_t channels, float* output) {
  for (int64_t c = 0; c < channels; ++c) output[c] = Clamp(x[c] * multiplier[c] + addend[c], low, high);
}

[[maybe_unused]] void AddFloats(const float* x, const float* y, float low, float high, int64_t channels,
                                float* output) {
  for (int64_t c = 0; c < channels; ++c) output[c] = Clamp(x[c] + y[c], low, high);
}

// A table with these loops in it; what is an instruction set's own is still to be filled in.
constexpr Kernels CommonKernels() {
  Kernels kernels{};
  kernels.pack_bytes = PackBytes;
  kernels.others = PortableKernels;
  kernels.write_floats = WriteFloats;
  kernels.affine = AffineFloats;
  kernels.add = AddFloats;
  return kernels;
}

}  // namespace
}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_KERNELS_COMMON_H_

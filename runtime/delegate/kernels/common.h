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

[[maybe_unused]] void MaxAffineFloats(const float* x, const float* multiplier, const float* addend, float low,
                                      float high, int64_t channels, float* output) {
  for (int64_t c = 0; c < channels; ++c) {
    const float y = Clamp(x[c] * multiplier[c] + addend[c], low, high);
    output[c] = output[c] < y ? y : output[c];
  }
}

[[maybe_unused]] void MaxFloats(const float* x, int64_t channels, float* output) {
  for (int64_t c = 0; c < channels; ++c) output[c] = output[c] < x[c] ? x[c] : output[c];
}

// Where a row of the filter meets the group of a block in a row of the map.
struct ConvTap {
  const float* map;
  const float* filter;
};

inline ConvTap FindTap(const ConvRowArguments& arguments, int64_t block, int64_t row, int64_t x) {
  const int64_t channels = arguments.group_channels_in;
  return {arguments.rows[row] + (x - arguments.pad_left) * arguments.channels_in +
              block / arguments.group_blocks * channels,
          arguments.weights + (block * 9 + row * 3) * channels * 8};
}

// Convolves one output pixel, which reads only the columns [first, last) of the filter. The rows are summed one beside
// the other, so that an addition need not wait for the one before.
//
// `Vector` is eight floats: Load, Repeat (one float in all lanes), MultiplyAdd, Add, Limit and Store.
template <typename Vector>
inline void ConvPixel(const ConvRowArguments& arguments, int64_t block, int64_t x, int64_t first, int64_t last) {
  const int64_t channels = arguments.group_channels_in;
  const float zero = 0.0f;
  Vector sums[3] = {Vector::Load(arguments.bias + block * 8), Vector::Repeat(&zero), Vector::Repeat(&zero)};
  ConvTap taps[3];
  int rows = 0;
  for (int64_t row = 0; row < 3; ++row) {
    if (arguments.rows[row] != nullptr) taps[rows++] = FindTap(arguments, block, row, x);
  }
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t column = first; column < last; ++column) {
      for (int row = 0; row < rows; ++row) {
        sums[row] = Vector::MultiplyAdd(Vector::Repeat(taps[row].map + column * arguments.channels_in + c),
                                        Vector::Load(taps[row].filter + (column * channels + c) * 8), sums[row]);
      }
    }
  }
  const Vector sum = Vector::Add(Vector::Add(sums[0], sums[1]), sums[2]);
  Vector::Store(Vector::Limit(sum, arguments.low, arguments.high),
                arguments.output + x * arguments.output_stride + block * 8);
}

// Convolves `kPixels` neighboring output pixels, which read no column outside of the map. Each number of the map is
// loaded once and used for the up to three pixels that it counts for: loads, not multiplications, are the bottleneck.
template <typename Vector, int kPixels>
inline void ConvPixels(const ConvRowArguments& arguments, int64_t block, int64_t x) {
  const int64_t channels = arguments.group_channels_in;
  // Unrolled, all loops over sums: they stay in registers only where no index is computed.
  Vector sums[kPixels];
#pragma GCC unroll 16
  for (int p = 0; p < kPixels; ++p) sums[p] = Vector::Load(arguments.bias + block * 8);
  for (int64_t row = 0; row < 3; ++row) {
    if (arguments.rows[row] == nullptr) continue;
    const ConvTap tap = FindTap(arguments, block, row, x);
    for (int64_t c = 0; c < channels; ++c) {
      const Vector weights[3] = {Vector::Load(tap.filter + c * 8), Vector::Load(tap.filter + (channels + c) * 8),
                                 Vector::Load(tap.filter + (2 * channels + c) * 8)};
      const float* map = tap.map + c;
#pragma GCC unroll 16
      for (int in = 0; in < kPixels + 2; ++in) {
        const Vector number = Vector::Repeat(map);
        map += arguments.channels_in;
#pragma GCC unroll 3
        for (int column = 0; column < 3; ++column) {
          if (in - column < 0 || in - column >= kPixels) continue;
          sums[in - column] = Vector::MultiplyAdd(number, weights[column], sums[in - column]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < kPixels; ++p) {
    Vector::Store(Vector::Limit(sums[p], arguments.low, arguments.high),
                  arguments.output + (x + p) * arguments.output_stride + block * 8);
  }
}

// All channels of a few pixels at a time: whole lines of the output are written while they are in the nearest cache.
template <typename Vector>
void ConvRow(const ConvRowArguments& arguments) {
  constexpr int kPixels = 8;
  // Output pixels from `inside` to `end` read no column outside of the map.
  const int64_t inside = Smaller(arguments.pad_left, arguments.width_out);
  int64_t end = Smaller(arguments.width_in - 2 + arguments.pad_left, arguments.width_out);
  if (end < inside) end = inside;
  const auto one_by_one = [&](int64_t begin, int64_t stop) {
    for (int64_t x = begin; x < stop; ++x) {
      const int64_t left = x - arguments.pad_left;
      const int64_t first = left < 0 ? -left : 0;
      const int64_t last = Smaller(3, arguments.width_in - left);
      for (int64_t block = 0; block < arguments.blocks; ++block) ConvPixel<Vector>(arguments, block, x, first, last);
    }
  };
  one_by_one(0, inside);
  if (end - inside < kPixels) {
    one_by_one(inside, end);
  } else {
    for (int64_t x = inside; x < end; x += kPixels) {
      // The last ones together with some that are done: one pixel alone takes as long as all of them.
      const int64_t start = Smaller(x, end - kPixels);
      for (int64_t block = 0; block < arguments.blocks; ++block) ConvPixels<Vector, kPixels>(arguments, block, start);
    }
  }
  one_by_one(end, arguments.width_out);
}

// A table with these loops in it; what is an instruction set's own is still to be filled in.
template <typename Vector>
constexpr Kernels CommonKernels() {
  Kernels kernels{};
  kernels.pack_bytes = PackBytes;
  kernels.write_floats = WriteFloats;
  kernels.affine = AffineFloats;
  kernels.add = AddFloats;
  kernels.max_affine = MaxAffineFloats;
  kernels.max = MaxFloats;
  kernels.conv_row = ConvRow<Vector>;
  return kernels;
}

}  // namespace
}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_KERNELS_COMMON_H_

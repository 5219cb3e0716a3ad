// Kernels in plain C++: the meaning of all others, and what runs where there are none.
#include <algorithm>
#include <cstring>

#include "kernels/kernels.h"

namespace larq_melius {
namespace {

// Without a branch or a table, so that compilers make vectors of it.
inline uint32_t CountBits(uint32_t x) {
  x -= (x >> 1) & 0x55555555u;
  x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
  x = (x + (x >> 4)) & 0x0f0f0f0fu;
  return (x * 0x01010101u) >> 24;
}

template <typename T>
void Pack(const T* values, T zero, int64_t channels, uint32_t* words) {
  for (int64_t first = 0; first < channels; first += 32) {
    const int64_t count = std::min<int64_t>(32, channels - first);
    uint32_t word = 0;
    for (int64_t i = 0; i < count; ++i) word |= static_cast<uint32_t>(values[first + i] < zero) << i;
    words[first / 32] = word;
  }
}

void PackFloats(const float* values, int64_t channels, uint32_t* words) { Pack(values, 0.0f, channels, words); }

void PackBytes(const int8_t* values, int zero_point, int64_t channels, uint32_t* words) {
  // A zero point outside of int8 makes all values fall on one side.
  for (int64_t first = 0; first < channels; first += 32) {
    const int64_t count = std::min<int64_t>(32, channels - first);
    uint32_t word = 0;
    for (int64_t i = 0; i < count; ++i) word |= static_cast<uint32_t>(values[first + i] < zero_point) << i;
    words[first / 32] = word;
  }
}

void Expand(const uint32_t* words, int64_t count, uint8_t* units) {
  std::memcpy(units, words, static_cast<size_t>(count) * sizeof(uint32_t));
}

void Accumulate(const AccumulateArguments& arguments) {
  constexpr int kTile = 1;
  for (int pixel = 0; pixel < kTile; ++pixel) {
    uint32_t sums[kChannelBlock] = {};
    const uint8_t* weights = arguments.weights;
    for (int64_t s = 0; s < arguments.segment_count; ++s) {
      const uint8_t* units = arguments.pixels[pixel] + arguments.segments[s].offset;
      for (int64_t unit = 0; unit < arguments.segments[s].units; ++unit) {
        uint32_t word;
        std::memcpy(&word, units + unit * sizeof(word), sizeof(word));
        uint32_t filters[kChannelBlock];
        std::memcpy(filters, weights, sizeof(filters));
        weights += sizeof(filters);
        for (int c = 0; c < kChannelBlock; ++c) sums[c] += CountBits(word ^ filters[c]);
      }
    }
    for (int c = 0; c < kChannelBlock; ++c) {
      arguments.sums[pixel * kChannelBlock + c] = static_cast<int32_t>(sums[c]);
    }
  }
}

void WriteFloats(const int32_t* sums, int64_t channels, const OutputTransform& transform,
                 const int32_t* sum_correction, const float* correction, float* output) {
  for (int64_t c = 0; c < channels; ++c) {
    int32_t x = 2 * sums[c] + (sum_correction == nullptr ? 0 : sum_correction[c]);
    x = std::max(std::min(x, transform.clamp_max), transform.clamp_min);
    output[c] = static_cast<float>(x) * transform.multiplier[c] + transform.bias[c];
    if (correction != nullptr) output[c] += correction[c];
  }
}

}  // namespace

const Kernels& PortableKernels() {
  static const Kernels kernels = {
      "portable", 32, 4, 1, int64_t{1} << 30, PackFloats, PackBytes, Expand, Accumulate, WriteFloats,
  };
  return kernels;
}

}  // namespace larq_melius

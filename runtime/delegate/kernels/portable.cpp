// Kernels in plain C++: the meaning of all others, and what runs where there are none.
#include <cstring>

#include "kernels/common.h"
#include "kernels/float_tiles.h"
#include "kernels/kernels.h"
#include "kernels/winograd.h"

namespace larq_melius {
namespace {

// Without a branch or a table, so that compilers make vectors of it.
inline uint32_t CountBits(uint32_t x) {
  x -= (x >> 1) & 0x55555555u;
  x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
  x = (x + (x >> 4)) & 0x0f0f0f0fu;
  return (x * 0x01010101u) >> 24;
}

void PackFloats(const float* values, int64_t channels, uint32_t* words) {
  for (int64_t c = 0; c < channels; c += 32) words[c / 32] = PackWord(values + c, 0.0f, Smaller(32, channels - c));
}

void Compare(const CompareArguments& arguments) {
  CompareWith(arguments, [](const float* values, const uint32_t* flips, const float* thresholds) {
    return ComparedWord(values, flips, thresholds, 32);
  });
}

struct Floats {
  static constexpr int kLanes = 4;
  float lanes[kLanes];

  static Floats Load(const float* address) {
    Floats x;
    std::memcpy(x.lanes, address, sizeof(x.lanes));
    return x;
  }
  static Floats LoadPartial(const float* address, int count) {
    Floats x = Zero();
    for (int i = 0; i < count; ++i) x.lanes[i] = address[i];
    return x;
  }
  static void Store(Floats x, float* address) { std::memcpy(address, x.lanes, sizeof(x.lanes)); }
  static void StorePartial(Floats x, float* address, int count) {
    for (int i = 0; i < count; ++i) address[i] = x.lanes[i];
  }
  static Floats Zero() { return {}; }
  static Floats Repeat(float value) {
    Floats x;
    for (float& lane : x.lanes) lane = value;
    return x;
  }
  using Scalars = const float*;
  static Scalars LoadScalars(const float* address) { return address; }
  static Floats MultiplyAdd(Floats x, Scalars scalars, int row, Floats sum) {
    for (int i = 0; i < kLanes; ++i) sum.lanes[i] += scalars[row] * x.lanes[i];
    return sum;
  }
  static Floats Affine(Floats x, Floats multiplier, Floats addend) {
    for (int i = 0; i < kLanes; ++i) x.lanes[i] = x.lanes[i] * multiplier.lanes[i] + addend.lanes[i];
    return x;
  }
  static Floats Clip(Floats x, float low, float high) { return Limit(x, low, high); }
  static Floats Limit(Floats x, float low, float high) {
    for (float& lane : x.lanes) lane = Clamp(lane, low, high);
    return x;
  }
  static Floats LimitBelow(Floats x, float low) {
    for (float& lane : x.lanes) lane = lane < low ? low : lane;
    return x;
  }
  static Floats Max(Floats a, Floats b) {
    for (int i = 0; i < kLanes; ++i) b.lanes[i] = a.lanes[i] > b.lanes[i] ? a.lanes[i] : b.lanes[i];
    return b;
  }
  static Floats Add(Floats a, Floats b) {
    for (int i = 0; i < kLanes; ++i) a.lanes[i] += b.lanes[i];
    return a;
  }
  static Floats Subtract(Floats a, Floats b) {
    for (int i = 0; i < kLanes; ++i) a.lanes[i] -= b.lanes[i];
    return a;
  }
  static Floats Even(Floats a, Floats b) { return {{a.lanes[0], a.lanes[2], b.lanes[0], b.lanes[2]}}; }
  static Floats Odd(Floats a, Floats b) { return {{a.lanes[1], a.lanes[3], b.lanes[1], b.lanes[3]}}; }
  static Floats First(Floats even, Floats odd) { return {{even.lanes[0], odd.lanes[0], even.lanes[1], odd.lanes[1]}}; }
  static Floats Second(Floats even, Floats odd) { return {{even.lanes[2], odd.lanes[2], even.lanes[3], odd.lanes[3]}}; }
  static void Transpose(Floats (&block)[kLanes]) {
    for (int i = 0; i < kLanes; ++i) {
      for (int j = 0; j < i; ++j) {
        const float x = block[i].lanes[j];
        block[i].lanes[j] = block[j].lanes[i];
        block[j].lanes[i] = x;
      }
    }
  }
};

void Expand(const uint32_t* words, int64_t count, uint8_t* units) {
  std::memcpy(units, words, static_cast<size_t>(count) * sizeof(uint32_t));
}

void Accumulate(const AccumulateArguments& arguments) {
  uint32_t sums[kChannelBlock] = {};
  const uint8_t* weights = arguments.weights;
  for (int64_t s = 0; s < arguments.segment_count; ++s) {
    const uint8_t* units = arguments.spans[0] + arguments.segments[s].offset;
    for (int64_t unit = 0; unit < arguments.segments[s].units; ++unit) {
      uint32_t word;
      std::memcpy(&word, units + unit * static_cast<int64_t>(sizeof(word)), sizeof(word));
      uint32_t filters[kChannelBlock];
      std::memcpy(filters, weights, sizeof(filters));
      weights += sizeof(filters);
      for (int c = 0; c < kChannelBlock; ++c) sums[c] += CountBits(word ^ filters[c]);
    }
  }
  for (int c = 0; c < kChannelBlock; ++c) {
    arguments.sums[c] = static_cast<int32_t>(sums[c]) + (arguments.continues ? arguments.sums[c] : 0);
  }
}

constexpr Kernels MakeKernels() {
  Kernels kernels = CommonKernels();
  kernels.name = "portable";
  kernels.unit_channels = 32;
  kernels.unit_pixels = 1;
  kernels.unit_bytes = 4;
  kernels.map_unit_bytes = 4;
  kernels.span_tile = 1;
  kernels.segment_units = int64_t{1} << 30;
  kernels.part_bytes = kNearestCacheBytes;
  kernels.max_terms = int64_t{1} << 30;
  kernels.pack_floats = PackFloats;
  kernels.compare = Compare;
  kernels.expand = Expand;
  kernels.accumulate = Accumulate;
  AddFloatTiles<Floats, 4>(kernels);
  AddWinograd<Floats, 2>(kernels);
  return kernels;
}

}  // namespace

const Kernels& PortableKernels() {
  static constexpr Kernels kKernels = MakeKernels();
  return kKernels;
}

}  // namespace larq_melius

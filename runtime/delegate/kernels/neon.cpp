// NEON, which counts the bits of bytes: a unit is a byte of eight channels, a vector holds that byte of 16 filters.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/common.h"
#include "kernels/float_tiles.h"
#include "kernels/kernels.h"
#include "kernels/winograd.h"

namespace larq_melius {
namespace {

constexpr int kTile = 4;
constexpr int kVectors = kChannelBlock / 16;
// A count is at most 8, a byte holds 255.
constexpr int64_t kSegmentUnits = 31;

// The decisions on eight values as bits.
inline uint32_t ToBits(uint32x4_t low, uint32x4_t high) {
  const uint16x4_t first = vmovn_u32(low);
  const uint16x4_t second = vmovn_u32(high);
  constexpr uint16_t kBits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  return vaddvq_u16(vandq_u16(vcombine_u16(first, second), vld1q_u16(kBits)));
}

inline uint32_t PackEight(const float* values) {
  return ToBits(vcltzq_f32(vld1q_f32(values)), vcltzq_f32(vld1q_f32(values + 4)));
}

inline uint32x4_t CompareFour(const float* values, const uint32_t* flips, const float* thresholds) {
  const uint32x4_t x = veorq_u32(vreinterpretq_u32_f32(vld1q_f32(values)), vld1q_u32(flips));
  return vcltq_f32(vreinterpretq_f32_u32(x), vld1q_f32(thresholds));
}

void PackFloats(const float* values, int64_t channels, uint32_t* words) {
  int64_t c = 0;
  for (; c + 32 <= channels; c += 32) {
    words[c / 32] = PackEight(values + c) | PackEight(values + c + 8) << 8 | PackEight(values + c + 16) << 16 |
                    PackEight(values + c + 24) << 24;
  }
  if (c < channels) words[c / 32] = PackWord(values + c, 0.0f, channels - c);
}

void Compare(const CompareArguments& arguments) {
  CompareWith(arguments, [](const float* values, const uint32_t* flips, const float* thresholds) {
    uint32_t word = 0;
    for (int i = 0; i < 32; i += 8) {
      word |= ToBits(CompareFour(values + i, flips + i, thresholds + i),
                     CompareFour(values + i + 4, flips + i + 4, thresholds + i + 4))
              << i;
    }
    return word;
  });
}

struct Floats {
  static constexpr int kLanes = 4;
  float32x4_t lanes;

  static Floats Load(const float* address) { return {vld1q_f32(address)}; }
  static Floats LoadPartial(const float* address, int count) {
    float32x4_t x = vdupq_n_f32(0.0f);
    x = vld1q_lane_f32(address, x, 0);
    if (count > 1) x = vld1q_lane_f32(address + 1, x, 1);
    if (count > 2) x = vld1q_lane_f32(address + 2, x, 2);
    return {x};
  }
  static void Store(Floats x, float* address) { vst1q_f32(address, x.lanes); }
  static void StorePartial(Floats x, float* address, int count) {
    vst1q_lane_f32(address, x.lanes, 0);
    if (count > 1) vst1q_lane_f32(address + 1, x.lanes, 1);
    if (count > 2) vst1q_lane_f32(address + 2, x.lanes, 2);
  }
  static Floats Zero() { return {vdupq_n_f32(0.0f)}; }
  static Floats Repeat(float value) { return {vdupq_n_f32(value)}; }
  struct Scalars {
    float32x4_t first;
    float32x4_t second;
  };
  static Scalars LoadScalars(const float* address) { return {vld1q_f32(address), vld1q_f32(address + 4)}; }
  static Floats MultiplyAdd(Floats x, const Scalars& scalars, int row, Floats sum) {
    const float32x4_t four = row < 4 ? scalars.first : scalars.second;
    switch (row % 4) {
      case 0: return {vfmaq_laneq_f32(sum.lanes, x.lanes, four, 0)};
      case 1: return {vfmaq_laneq_f32(sum.lanes, x.lanes, four, 1)};
      case 2: return {vfmaq_laneq_f32(sum.lanes, x.lanes, four, 2)};
      default: return {vfmaq_laneq_f32(sum.lanes, x.lanes, four, 3)};
    }
  }
  static Floats Affine(Floats x, Floats multiplier, Floats addend) {
    return {vaddq_f32(vmulq_f32(x.lanes, multiplier.lanes), addend.lanes)};
  }
  static Floats Clip(Floats x, float low, float high) {
    return {vminq_f32(vmaxq_f32(x.lanes, vdupq_n_f32(low)), vdupq_n_f32(high))};
  }
  // Selections: the instructions for minima and maxima treat zeros and NaNs otherwise.
  static Floats Limit(Floats x, float low, float high) {
    const float32x4_t greatest = vdupq_n_f32(high);
    x = LimitBelow(x, low);
    return {vbslq_f32(vcgtq_f32(x.lanes, greatest), greatest, x.lanes)};
  }
  static Floats LimitBelow(Floats x, float low) {
    const float32x4_t smallest = vdupq_n_f32(low);
    return {vbslq_f32(vcltq_f32(x.lanes, smallest), smallest, x.lanes)};
  }
  static Floats Max(Floats a, Floats b) { return {vbslq_f32(vcgtq_f32(a.lanes, b.lanes), a.lanes, b.lanes)}; }
  static Floats Add(Floats a, Floats b) { return {vaddq_f32(a.lanes, b.lanes)}; }
  static Floats Subtract(Floats a, Floats b) { return {vsubq_f32(a.lanes, b.lanes)}; }
  static Floats Even(Floats a, Floats b) { return {vuzp1q_f32(a.lanes, b.lanes)}; }
  static Floats Odd(Floats a, Floats b) { return {vuzp2q_f32(a.lanes, b.lanes)}; }
  static Floats First(Floats even, Floats odd) { return {vzip1q_f32(even.lanes, odd.lanes)}; }
  static Floats Second(Floats even, Floats odd) { return {vzip2q_f32(even.lanes, odd.lanes)}; }
  static void Transpose(Floats (&block)[4]) {
    const float32x4_t a = vtrn1q_f32(block[0].lanes, block[1].lanes);
    const float32x4_t b = vtrn2q_f32(block[0].lanes, block[1].lanes);
    const float32x4_t c = vtrn1q_f32(block[2].lanes, block[3].lanes);
    const float32x4_t d = vtrn2q_f32(block[2].lanes, block[3].lanes);
    block[0].lanes = vcombine_f32(vget_low_f32(a), vget_low_f32(c));
    block[1].lanes = vcombine_f32(vget_low_f32(b), vget_low_f32(d));
    block[2].lanes = vcombine_f32(vget_high_f32(a), vget_high_f32(c));
    block[3].lanes = vcombine_f32(vget_high_f32(b), vget_high_f32(d));
  }
};

void Expand(const uint32_t* words, int64_t count, uint8_t* units) {
  __builtin_memcpy(units, words, static_cast<size_t>(count) * sizeof(uint32_t));
}

template <int kSpans>
void AccumulateSpans(const AccumulateArguments& arguments) {
  uint16x8_t sums[kSpans][2 * kVectors];
  for (int p = 0; p < kSpans; ++p) {
    for (int v = 0; v < 2 * kVectors; ++v) sums[p][v] = vdupq_n_u16(0);
  }
  const uint8_t* weights = arguments.weights;
  for (int64_t s = 0; s < arguments.segment_count; ++s) {
    const uint8_t* units[kSpans];
    uint8x16_t bytes[kSpans][kVectors];
    for (int p = 0; p < kSpans; ++p) {
      units[p] = arguments.spans[p] + arguments.segments[s].offset;
      for (int v = 0; v < kVectors; ++v) bytes[p][v] = vdupq_n_u8(0);
    }
    for (int64_t unit = 0; unit < arguments.segments[s].units; ++unit) {
      uint8x16_t filter[kVectors];
      for (int v = 0; v < kVectors; ++v) filter[v] = vld1q_u8(weights + 16 * v);
      weights += kChannelBlock;
      for (int p = 0; p < kSpans; ++p) {
        const uint8x16_t pixel = vld1q_dup_u8(units[p] + unit);
        for (int v = 0; v < kVectors; ++v) {
          bytes[p][v] = vaddq_u8(bytes[p][v], vcntq_u8(veorq_u8(pixel, filter[v])));
        }
      }
    }
    for (int p = 0; p < kSpans; ++p) {
      for (int v = 0; v < kVectors; ++v) {
        sums[p][2 * v] = vaddw_u8(sums[p][2 * v], vget_low_u8(bytes[p][v]));
        sums[p][2 * v + 1] = vaddw_high_u8(sums[p][2 * v + 1], bytes[p][v]);
      }
    }
  }
  for (int p = 0; p < kSpans; ++p) {
    for (int v = 0; v < 2 * kVectors; ++v) {
      int32_t* target = arguments.sums + p * kChannelBlock + 8 * v;
      int32x4_t low = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(sums[p][v])));
      int32x4_t high = vreinterpretq_s32_u32(vmovl_high_u16(sums[p][v]));
      if (arguments.continues) {
        low = vaddq_s32(low, vld1q_s32(target));
        high = vaddq_s32(high, vld1q_s32(target + 4));
      }
      vst1q_s32(target, low);
      vst1q_s32(target + 4, high);
    }
  }
}

void Accumulate(const AccumulateArguments& arguments) {
  switch (arguments.span_count) {
    case 1: return AccumulateSpans<1>(arguments);
    case 2: return AccumulateSpans<2>(arguments);
    case 3: return AccumulateSpans<3>(arguments);
    default: return AccumulateSpans<kTile>(arguments);
  }
}

constexpr Kernels MakeKernels() {
  Kernels kernels = CommonKernels();
  kernels.name = "neon";
  kernels.unit_channels = 8;
  kernels.unit_pixels = 1;
  kernels.unit_bytes = 1;
  kernels.map_unit_bytes = 1;
  kernels.span_tile = kTile;
  kernels.segment_units = kSegmentUnits;
  kernels.part_bytes = kNearestCacheBytes;
  kernels.max_terms = 65535;
  kernels.pack_floats = PackFloats;
  kernels.compare = Compare;
  kernels.expand = Expand;
  kernels.accumulate = Accumulate;
  AddFloatTiles<Floats, 8>(kernels);
  AddWinograd<Floats, 4>(kernels);
  return kernels;
}

}  // namespace

const Kernels& NeonKernels() {
  static constexpr Kernels kKernels = MakeKernels();
  return kKernels;
}

}  // namespace larq_melius

#endif

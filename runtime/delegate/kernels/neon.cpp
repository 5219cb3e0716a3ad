// NEON, which counts the bits of bytes: a unit is a byte of eight channels, a vector holds that byte of 16 filters.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "kernels/common.h"
#include "kernels/kernels.h"

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

struct EightFloats {
  float32x4_t low;
  float32x4_t high;

  static EightFloats Load(const float* address) { return {vld1q_f32(address), vld1q_f32(address + 4)}; }
  static EightFloats Repeat(const float* address) {
    const float32x4_t x = vld1q_dup_f32(address);
    return {x, x};
  }
  static EightFloats MultiplyAdd(EightFloats a, EightFloats b, EightFloats sum) {
    return {vfmaq_f32(sum.low, a.low, b.low), vfmaq_f32(sum.high, a.high, b.high)};
  }
  static EightFloats Add(EightFloats a, EightFloats b) { return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
  static EightFloats Limit(EightFloats x, float low, float high) {
    return {vminq_f32(vmaxq_f32(x.low, vdupq_n_f32(low)), vdupq_n_f32(high)),
            vminq_f32(vmaxq_f32(x.high, vdupq_n_f32(low)), vdupq_n_f32(high))};
  }
  static void Store(EightFloats x, float* address) {
    vst1q_f32(address, x.low);
    vst1q_f32(address + 4, x.high);
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
  Kernels kernels = CommonKernels<EightFloats>();
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
  return kernels;
}

}  // namespace

const Kernels& NeonKernels() {
  static constexpr Kernels kKernels = MakeKernels();
  return kKernels;
}

}  // namespace larq_melius

#endif

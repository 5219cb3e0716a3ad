// AVX-512 with VPOPCNTDQ: a unit is a word of 32 channels, a vector holds that word of 16 filters.
#if defined(__AVX512F__) && defined(__AVX512VPOPCNTDQ__)

#include <immintrin.h>

#include "kernels/common.h"
#include "kernels/kernels.h"

namespace larq_melius {
namespace {

constexpr int kTile = 6;
constexpr int kVectors = kChannelBlock / 16;

void PackFloats(const float* values, int64_t channels, uint32_t* words) {
  for (int64_t c = 0; c < channels; c += 16) {
    const int64_t count = Smaller(16, channels - c);
    const __mmask16 lanes = static_cast<__mmask16>((1u << count) - 1);
    const __m512 x = _mm512_maskz_loadu_ps(lanes, values + c);
    const uint32_t bits = _mm512_mask_cmp_ps_mask(lanes, x, _mm512_setzero_ps(), _CMP_LT_OQ);
    if (c % 32 == 0) {
      words[c / 32] = bits;
    } else {
      words[c / 32] |= bits << 16;
    }
  }
}

void PackCompared(const float* values, const uint32_t* flips, const float* thresholds, int64_t channels,
                  uint32_t* words) {
  for (int64_t c = 0; c < channels; c += 16) {
    const int64_t count = Smaller(16, channels - c);
    const __mmask16 lanes = static_cast<__mmask16>((1u << count) - 1);
    const __m512i x =
        _mm512_xor_si512(_mm512_maskz_loadu_epi32(lanes, values + c), _mm512_maskz_loadu_epi32(lanes, flips + c));
    const uint32_t bits = _mm512_mask_cmp_ps_mask(lanes, _mm512_castsi512_ps(x),
                                                  _mm512_maskz_loadu_ps(lanes, thresholds + c), _CMP_LT_OQ);
    if (c % 32 == 0) {
      words[c / 32] = bits;
    } else {
      words[c / 32] |= bits << 16;
    }
  }
}

struct EightFloats {
  __m256 lanes;

  static EightFloats Load(const float* address) { return {_mm256_loadu_ps(address)}; }
  static EightFloats Repeat(const float* address) { return {_mm256_broadcast_ss(address)}; }
  static EightFloats MultiplyAdd(EightFloats a, EightFloats b, EightFloats sum) {
    return {_mm256_fmadd_ps(a.lanes, b.lanes, sum.lanes)};
  }
  static EightFloats Add(EightFloats a, EightFloats b) { return {_mm256_add_ps(a.lanes, b.lanes)}; }
  static EightFloats Limit(EightFloats x, float low, float high) {
    return {_mm256_min_ps(_mm256_max_ps(x.lanes, _mm256_set1_ps(low)), _mm256_set1_ps(high))};
  }
  static void Store(EightFloats x, float* address) { _mm256_storeu_ps(address, x.lanes); }
};

void Expand(const uint32_t* words, int64_t count, uint8_t* units) {
  __builtin_memcpy(units, words, static_cast<size_t>(count) * sizeof(uint32_t));
}

void Accumulate(const AccumulateArguments& arguments) {
  __m512i sums[kTile][kVectors];
  for (int p = 0; p < kTile; ++p) {
    for (int v = 0; v < kVectors; ++v) sums[p][v] = _mm512_setzero_si512();
  }
  const uint8_t* weights = arguments.weights;
  for (int64_t s = 0; s < arguments.segment_count; ++s) {
    const uint8_t* units[kTile];
    for (int p = 0; p < kTile; ++p) units[p] = arguments.spans[p] + arguments.segments[s].offset;
    const int64_t bytes = arguments.segments[s].units * 4;
    for (int64_t at = 0; at < bytes; at += 4) {
      __m512i filter[kVectors];
      for (int v = 0; v < kVectors; ++v) filter[v] = _mm512_loadu_si512(weights + 64 * v);
      weights += 64 * kVectors;
      for (int p = 0; p < kTile; ++p) {
        int32_t word;
        __builtin_memcpy(&word, units[p] + at, sizeof(word));
        const __m512i pixel = _mm512_set1_epi32(word);
        for (int v = 0; v < kVectors; ++v) {
          sums[p][v] = _mm512_add_epi32(sums[p][v], _mm512_popcnt_epi32(_mm512_xor_si512(pixel, filter[v])));
        }
      }
    }
  }
  for (int p = 0; p < kTile; ++p) {
    for (int v = 0; v < kVectors; ++v) {
      int32_t* target = arguments.sums + p * kChannelBlock + 16 * v;
      if (arguments.continues) sums[p][v] = _mm512_add_epi32(sums[p][v], _mm512_loadu_si512(target));
      _mm512_storeu_si512(target, sums[p][v]);
    }
  }
}

constexpr Kernels MakeKernels() {
  Kernels kernels = CommonKernels<EightFloats>();
  kernels.name = "avx512";
  kernels.unit_channels = 32;
  kernels.unit_pixels = 1;
  kernels.unit_bytes = 4;
  kernels.map_unit_bytes = 4;
  kernels.span_tile = kTile;
  kernels.segment_units = int64_t{1} << 30;
  kernels.max_terms = int64_t{1} << 30;
  kernels.pack_floats = PackFloats;
  kernels.pack_compared = PackCompared;
  kernels.expand = Expand;
  kernels.accumulate = Accumulate;
  return kernels;
}

}  // namespace

const Kernels& Avx512Kernels() {
  static constexpr Kernels kKernels = MakeKernels();
  return kKernels;
}

}  // namespace larq_melius

#endif

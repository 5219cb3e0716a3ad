// AVX2. There is no instruction that counts bits, but one that looks up 32 bytes in a table of 16: the table is chosen
// by four bits of the map and looked up with four bits of 32 filters at once, which gives in how many of them they
// differ.
//
// So a unit is four channels, and the map stores it as the offset of its table: the four bits times 16.
#if defined(__AVX2__)

#include <immintrin.h>

#include "kernels/common.h"
#include "kernels/kernels.h"

namespace larq_melius {
namespace {

constexpr int kTile = 6;
constexpr int kVectors = kChannelBlock / 32;
// A lookup gives at most 4, a byte holds 255.
constexpr int64_t kLookupsPerFlush = 63;

struct Tables {
  alignas(32) uint8_t entries[16][16];
};

constexpr Tables MakeTables() {
  Tables tables = {};
  for (int a = 0; a < 16; ++a) {
    for (int b = 0; b < 16; ++b) {
      const int x = a ^ b;
      tables.entries[a][b] = static_cast<uint8_t>((x & 1) + (x >> 1 & 1) + (x >> 2 & 1) + (x >> 3 & 1));
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

inline __m256i Load(const void* address) { return _mm256_loadu_si256(static_cast<const __m256i*>(address)); }

inline uint32_t NegativeMask(const float* values) {
  const __m256 x = _mm256_loadu_ps(values);
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ)));
}

void PackFloats(const float* values, int64_t channels, uint32_t* words) {
  int64_t c = 0;
  for (; c + 32 <= channels; c += 32) {
    words[c / 32] = NegativeMask(values + c) | NegativeMask(values + c + 8) << 8 | NegativeMask(values + c + 16) << 16 |
                    NegativeMask(values + c + 24) << 24;
  }
  if (c < channels) words[c / 32] = PackWord(values + c, 0.0f, channels - c);
}

inline uint32_t ComparedMask(const float* values, const uint32_t* flips, const float* thresholds) {
  const __m256 x = _mm256_xor_ps(_mm256_loadu_ps(values), _mm256_castsi256_ps(Load(flips)));
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_loadu_ps(thresholds), _CMP_LT_OQ)));
}

void PackCompared(const float* values, const uint32_t* flips, const float* thresholds, int64_t channels,
                  uint32_t* words) {
  int64_t c = 0;
  for (; c + 32 <= channels; c += 32) {
    uint32_t word = 0;
    for (int i = 0; i < 32; i += 8) word |= ComparedMask(values + c + i, flips + c + i, thresholds + c + i) << i;
    words[c / 32] = word;
  }
  if (c < channels) words[c / 32] = PackComparedWord(values + c, flips + c, thresholds + c, channels - c);
}

struct EightFloats {
  __m256 lanes;

  static EightFloats Load(const float* address) { return {_mm256_loadu_ps(address)}; }
  static EightFloats Repeat(const float* address) { return {_mm256_broadcast_ss(address)}; }
  static EightFloats MultiplyAdd(EightFloats a, EightFloats b, EightFloats sum) {
    return {_mm256_fmadd_ps(a.lanes, b.lanes, sum.lanes)};
  }
  static EightFloats Limit(EightFloats x, float low, float high) {
    return {_mm256_min_ps(_mm256_max_ps(x.lanes, _mm256_set1_ps(low)), _mm256_set1_ps(high))};
  }
  static void Store(EightFloats x, float* address) { _mm256_storeu_ps(address, x.lanes); }
};

void Expand(const uint32_t* words, int64_t count, uint8_t* units) {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(words);
  const __m128i low = _mm_set1_epi8(0x0f);
  const __m128i high = _mm_set1_epi8(static_cast<char>(0xf0));
  int64_t i = 0;
  for (; i + 16 <= 4 * count; i += 16) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i));
    const __m128i first = _mm_slli_epi16(_mm_and_si128(x, low), 4);
    const __m128i second = _mm_and_si128(x, high);
    __m128i* target = reinterpret_cast<__m128i*>(units + 2 * i);
    _mm_storeu_si128(target, _mm_unpacklo_epi8(first, second));
    _mm_storeu_si128(target + 1, _mm_unpackhi_epi8(first, second));
  }
  for (; i < 4 * count; ++i) {
    units[2 * i] = static_cast<uint8_t>(bytes[i] << 4);
    units[2 * i + 1] = bytes[i] & 0xf0;
  }
}

void Accumulate(const AccumulateArguments& arguments) {
  __m256i bytes[kTile][kVectors];
  __m256i sums[kTile][2 * kVectors];  // 16 bits a lane
  for (int p = 0; p < kTile; ++p) {
    for (int v = 0; v < kVectors; ++v) {
      bytes[p][v] = _mm256_setzero_si256();
      sums[p][2 * v] = _mm256_setzero_si256();
      sums[p][2 * v + 1] = _mm256_setzero_si256();
    }
  }
  const auto flush = [&] {
    for (int p = 0; p < kTile; ++p) {
      for (int v = 0; v < kVectors; ++v) {
        const __m256i first = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(bytes[p][v]));
        const __m256i second = _mm256_cvtepu8_epi16(_mm256_extracti128_si256(bytes[p][v], 1));
        sums[p][2 * v] = _mm256_add_epi16(sums[p][2 * v], first);
        sums[p][2 * v + 1] = _mm256_add_epi16(sums[p][2 * v + 1], second);
        bytes[p][v] = _mm256_setzero_si256();
      }
    }
  };

  const uint8_t* weights = arguments.weights;
  int64_t room = kLookupsPerFlush;
  for (int64_t s = 0; s < arguments.segment_count; ++s) {
    const uint8_t* units[kTile];
    for (int p = 0; p < kTile; ++p) units[p] = arguments.pixels[p] + arguments.segments[s].offset;
    int64_t unit = 0;
    const int64_t end = arguments.segments[s].units;
    while (unit < end) {
      const int64_t stop = Smaller(end, unit + room);
      room -= stop - unit;
      for (; unit < stop; ++unit) {
        const __m256i w0 = Load(weights);
        const __m256i w1 = Load(weights + 32);
        weights += kChannelBlock;
        for (int p = 0; p < kTile; ++p) {
          const uint8_t* entry = &kTables.entries[0][0] + units[p][unit];
          const __m256i table = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(entry)));
          bytes[p][0] = _mm256_add_epi8(bytes[p][0], _mm256_shuffle_epi8(table, w0));
          bytes[p][1] = _mm256_add_epi8(bytes[p][1], _mm256_shuffle_epi8(table, w1));
        }
      }
      if (room == 0) {
        flush();
        room = kLookupsPerFlush;
      }
    }
  }
  flush();
  for (int p = 0; p < kTile; ++p) {
    for (int v = 0; v < 2 * kVectors; ++v) {
      __m256i* target = reinterpret_cast<__m256i*>(arguments.sums + p * kChannelBlock + 16 * v);
      _mm256_storeu_si256(target, _mm256_cvtepu16_epi32(_mm256_castsi256_si128(sums[p][v])));
      _mm256_storeu_si256(target + 1, _mm256_cvtepu16_epi32(_mm256_extracti128_si256(sums[p][v], 1)));
    }
  }
}

}  // namespace

const Kernels& Avx2Kernels() {
  static constexpr Kernels kKernels = {
      "avx2", 4,          1,           kTile,        65535,     PackFloats,      PackCompared, PackBytes,
      Expand, Accumulate, WriteFloats, AffineFloats, AddFloats, MaxAffineFloats, MaxFloats,    ConvRow<EightFloats>,
  };
  return kKernels;
}

}  // namespace larq_melius

#endif

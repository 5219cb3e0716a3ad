// AVX2. There is no instruction that counts bits, but one that looks up 32 bytes in a table of 16. The table is chosen
// by four bits of one pixel and four of the next, and looked up with four bits of 32 filters at once: half a byte each
// says in how many bits a filter differs from either pixel. Three lookups fit into half a byte, then they are taken
// apart.
//
// So a unit is four channels of two pixels, and the map stores it as the offset of its table.
#if defined(__AVX2__)

#include <immintrin.h>

#include "kernels/common.h"
#include "kernels/float_tiles.h"
#include "kernels/kernels.h"
#include "kernels/winograd.h"

namespace larq_melius {
namespace {

constexpr int kVectors = kChannelBlock / 32;
// A lookup gives at most 4 in half a byte, which holds 15.
constexpr int kLookups = 3;
// The three give at most 12, and a byte holds 255.
constexpr int64_t kSegmentUnits = 63;

struct Tables {
  alignas(64) uint8_t entries[256][16];
};

constexpr uint8_t CountDifferences(int a, int b) {
  const int x = a ^ b;
  return static_cast<uint8_t>((x & 1) + (x >> 1 & 1) + (x >> 2 & 1) + (x >> 3 & 1));
}

constexpr Tables MakeTables() {
  Tables tables = {};
  for (int pixels = 0; pixels < 256; ++pixels) {
    for (int filter = 0; filter < 16; ++filter) {
      tables.entries[pixels][filter] =
          static_cast<uint8_t>(CountDifferences(pixels & 15, filter) | CountDifferences(pixels >> 4, filter) << 4);
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

void Compare(const CompareArguments& arguments) {
  CompareWith(arguments, [](const float* values, const uint32_t* flips, const float* thresholds) {
    uint32_t word = 0;
    for (int i = 0; i < 32; i += 8) word |= ComparedMask(values + i, flips + i, thresholds + i) << i;
    return word;
  });
}

struct Floats {
  static constexpr int kLanes = 8;
  __m256 lanes;

  static __m256i Mask(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Floats Load(const float* address) { return {_mm256_loadu_ps(address)}; }
  static Floats LoadPartial(const float* address, int count) { return {_mm256_maskload_ps(address, Mask(count))}; }
  static void Store(Floats x, float* address) { _mm256_storeu_ps(address, x.lanes); }
  static void StorePartial(Floats x, float* address, int count) { _mm256_maskstore_ps(address, Mask(count), x.lanes); }
  static Floats Zero() { return {_mm256_setzero_ps()}; }
  static Floats Repeat(float value) { return {_mm256_set1_ps(value)}; }
  using Scalars = const float*;
  static Scalars LoadScalars(const float* address) { return address; }
  static Floats MultiplyAdd(Floats x, Scalars scalars, int row, Floats sum) {
    return {_mm256_fmadd_ps(_mm256_broadcast_ss(scalars + row), x.lanes, sum.lanes)};
  }
  static Floats Affine(Floats x, Floats multiplier, Floats addend) {
    return {_mm256_add_ps(_mm256_mul_ps(x.lanes, multiplier.lanes), addend.lanes)};
  }
  static Floats Clip(Floats x, float low, float high) { return Limit(x, low, high); }
  static Floats Limit(Floats x, float low, float high) {
    return {_mm256_min_ps(_mm256_set1_ps(high), LimitBelow(x, low).lanes)};
  }
  static Floats LimitBelow(Floats x, float low) { return {_mm256_max_ps(_mm256_set1_ps(low), x.lanes)}; }
  static Floats Max(Floats a, Floats b) { return {_mm256_max_ps(a.lanes, b.lanes)}; }
  static Floats Add(Floats a, Floats b) { return {_mm256_add_ps(a.lanes, b.lanes)}; }
  static Floats Subtract(Floats a, Floats b) { return {_mm256_sub_ps(a.lanes, b.lanes)}; }
  static Floats Even(Floats a, Floats b) { return {_mm256_shuffle_ps(a.lanes, b.lanes, 0x88)}; }
  static Floats Odd(Floats a, Floats b) { return {_mm256_shuffle_ps(a.lanes, b.lanes, 0xdd)}; }
  static Floats First(Floats even, Floats odd) { return {_mm256_unpacklo_ps(even.lanes, odd.lanes)}; }
  static Floats Second(Floats even, Floats odd) { return {_mm256_unpackhi_ps(even.lanes, odd.lanes)}; }
  static void Transpose(Floats (&block)[8]) {
    __m256 x[8];
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
      const __m256 a = _mm256_unpacklo_ps(block[i].lanes, block[i + 1].lanes);
      const __m256 b = _mm256_unpackhi_ps(block[i].lanes, block[i + 1].lanes);
      const __m256 c = _mm256_unpacklo_ps(block[i + 2].lanes, block[i + 3].lanes);
      const __m256 d = _mm256_unpackhi_ps(block[i + 2].lanes, block[i + 3].lanes);
      x[i] = _mm256_shuffle_ps(a, c, 0x44);
      x[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
      x[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
      x[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      block[i].lanes = _mm256_permute2f128_ps(x[i], x[i + 4], 0x20);
      block[i + 4].lanes = _mm256_permute2f128_ps(x[i], x[i + 4], 0x31);
    }
  }
};

// A unit is the number of its table times the bytes of a table.
void Expand(const uint32_t* words, int64_t count, uint8_t* units) {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(words);
  const __m128i low = _mm_set1_epi8(0x0f);
  const __m128i high = _mm_set1_epi8(static_cast<char>(0xf0));
  int64_t i = 0;
  for (; i + 16 <= 4 * count; i += 16) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i));
    const __m128i first = _mm_slli_epi16(_mm_and_si128(x, low), 4);
    const __m128i second = _mm_and_si128(x, high);
    __m256i* target = reinterpret_cast<__m256i*>(units + 4 * i);
    _mm256_storeu_si256(target, _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(first, second)));
    _mm256_storeu_si256(target + 1, _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(first, second)));
  }
  for (; i < 4 * count; ++i) {
    const uint16_t pair[2] = {static_cast<uint16_t>((bytes[i] & 0x0f) << 4), static_cast<uint16_t>(bytes[i] & 0xf0)};
    __builtin_memcpy(units + 4 * i, pair, sizeof(pair));
  }
}

// What is read has not been joined itself yet: `distance` is at least the units of a word, eight, and what follows is
// read before it is written.
void Join(uint8_t* units, int64_t count, int64_t distance) {
  constexpr int64_t kBytes = sizeof(uint16_t);
  const int64_t joined = count - distance;
  int64_t i = 0;
  for (; i + 16 <= joined; i += 16) {
    const __m256i next = _mm256_slli_epi16(Load(units + (i + distance) * kBytes), 4);
    __m256i* target = reinterpret_cast<__m256i*>(units + i * kBytes);
    _mm256_storeu_si256(target, _mm256_or_si256(Load(target), next));
  }
  for (; i < joined; ++i) {
    uint16_t unit, next;
    __builtin_memcpy(&unit, units + i * kBytes, kBytes);
    __builtin_memcpy(&next, units + (i + distance) * kBytes, kBytes);
    unit = static_cast<uint16_t>(unit | next << 4);
    __builtin_memcpy(units + i * kBytes, &unit, kBytes);
  }
}

// Sums of one span. The bytes of `first` and `second` are those of its two pixels.
struct ByteSums {
  __m256i first[kVectors];
  __m256i second[kVectors];

  void Clear() {
    for (int v = 0; v < kVectors; ++v) first[v] = second[v] = _mm256_setzero_si256();
  }

  // Looks up a group of at most three units.
  template <int kUnits>
  void Add(const uint16_t* units, const uint8_t* weights) {
    static_assert(kUnits <= kLookups);
    const __m256i half = _mm256_set1_epi8(0x0f);
    __m256i counts[kVectors];
#pragma GCC unroll 3
    for (int u = 0; u < kUnits; ++u) {
      const void* entry = &kTables.entries[0][0] + units[u];
      const __m256i table = _mm256_broadcastsi128_si256(_mm_load_si128(static_cast<const __m128i*>(entry)));
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const __m256i found = _mm256_shuffle_epi8(table, Load(weights + u * kChannelBlock + v * 32));
        counts[v] = u == 0 ? found : _mm256_add_epi8(counts[v], found);
      }
    }
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      first[v] = _mm256_add_epi8(first[v], _mm256_and_si256(counts[v], half));
      second[v] = _mm256_add_epi8(second[v], _mm256_and_si256(_mm256_srli_epi16(counts[v], 4), half));
    }
  }
};

// Those of one pixel, of even and odd channels.
struct WordSums {
  __m256i even[kVectors];
  __m256i odd[kVectors];

  void Clear() {
    for (int v = 0; v < kVectors; ++v) even[v] = odd[v] = _mm256_setzero_si256();
  }

  void Add(const __m256i* bytes) {
    for (int v = 0; v < kVectors; ++v) {
      even[v] = _mm256_add_epi16(even[v], _mm256_and_si256(bytes[v], _mm256_set1_epi16(0xff)));
      odd[v] = _mm256_add_epi16(odd[v], _mm256_srli_epi16(bytes[v], 8));
    }
  }

  void Store(int32_t* sums, bool add) const {
    for (int v = 0; v < kVectors; ++v) {
      // In each half of a register: channels 0 to 7 and 16 to 23, 8 to 15 and 24 to 31.
      const __m256i low = _mm256_unpacklo_epi16(even[v], odd[v]);
      const __m256i high = _mm256_unpackhi_epi16(even[v], odd[v]);
      const __m128i eights[4] = {_mm256_castsi256_si128(low), _mm256_castsi256_si128(high),
                                 _mm256_extracti128_si256(low, 1), _mm256_extracti128_si256(high, 1)};
      for (int i = 0; i < 4; ++i) {
        __m256i* target = reinterpret_cast<__m256i*>(sums + v * 32 + i * 8);
        const __m256i sum = _mm256_cvtepu16_epi32(eights[i]);
        _mm256_storeu_si256(target, add ? _mm256_add_epi32(Load(target), sum) : sum);
      }
    }
  }
};

void Accumulate(const AccumulateArguments& arguments) {
  WordSums first, second;
  first.Clear();
  second.Clear();
  const uint8_t* weights = arguments.weights;
  for (int64_t s = 0; s < arguments.segment_count; ++s) {
    const uint16_t* units = reinterpret_cast<const uint16_t*>(arguments.spans[0] + arguments.segments[s].offset);
    int64_t left = arguments.segments[s].units;
    ByteSums bytes;
    bytes.Clear();
    for (; left >= kLookups; left -= kLookups) {
      bytes.Add<kLookups>(units, weights);
      units += kLookups;
      weights += kLookups * kChannelBlock;
    }
    if (left == 2) bytes.Add<2>(units, weights);
    if (left == 1) bytes.Add<1>(units, weights);
    weights += left * kChannelBlock;
    first.Add(bytes.first);
    second.Add(bytes.second);
  }
  first.Store(arguments.sums, arguments.continues);
  second.Store(arguments.sums + kChannelBlock, arguments.continues);
}

constexpr Kernels MakeKernels() {
  Kernels kernels = CommonKernels();
  kernels.name = "avx2";
  kernels.unit_channels = 4;
  kernels.unit_pixels = 2;
  kernels.unit_bytes = 1;
  kernels.map_unit_bytes = 2;
  kernels.span_tile = 1;
  kernels.segment_units = kSegmentUnits;
  kernels.part_bytes = kNearestCacheBytes;
  kernels.max_terms = 65535;
  kernels.pack_floats = PackFloats;
  kernels.compare = Compare;
  kernels.expand = Expand;
  kernels.join = Join;
  kernels.accumulate = Accumulate;
  AddFloatTiles<Floats, 4>(kernels);
  AddWinograd<Floats, 2>(kernels);
  kernels.multiply_in_rows = MultiplyInRows<Floats, 4>;
  return kernels;
}

}  // namespace

const Kernels& Avx2Kernels() {
  static constexpr Kernels kKernels = MakeKernels();
  return kKernels;
}

}  // namespace larq_melius

#endif

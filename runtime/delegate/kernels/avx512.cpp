// AVX-512 with VPOPCNTDQ: a unit is a word of 32 channels, a vector holds that word of 16 filters.
#if defined(__AVX512F__) && defined(__AVX512VPOPCNTDQ__)

#if defined(__GNUC__) && !defined(__clang__)
// GCC's own header uses variables that it leaves uninitialized on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include "kernels/common.h"
#include "kernels/float_tiles.h"
#include "kernels/kernels.h"
#include "kernels/winograd.h"

namespace larq_melius {
namespace {

constexpr int kTile = 6;
constexpr int kVectors = kChannelBlock / 16;

constexpr __mmask16 kAllLanes = 0xffff;

inline __mmask16 FirstLanes(int64_t count) { return static_cast<__mmask16>((1u << Smaller(16, count)) - 1); }

inline uint32_t NegativeBits(const float* values, __mmask16 lanes) {
  return _mm512_mask_cmp_ps_mask(lanes, _mm512_maskz_loadu_ps(lanes, values), _mm512_setzero_ps(), _CMP_LT_OQ);
}

void PackFloats(const float* values, int64_t channels, uint32_t* words) {
  for (int64_t c = 0; c < channels; c += 32) {
    words[c / 32] = NegativeBits(values + c, FirstLanes(channels - c));
    if (channels - c > 16) words[c / 32] |= NegativeBits(values + c + 16, FirstLanes(channels - c - 16)) << 16;
  }
}

// Compares `kCount` times 16 channels, the last of them only the given lanes, of all pixels: what they are compared
// with stays in registers. Words are written in halves, as they come.
template <int kCount>
void CompareChannels(const CompareArguments& arguments, int64_t first, __mmask16 last_lanes) {
  __mmask16 lanes[kCount];
  __m512i flips[kCount];
  __m512 thresholds[kCount];
  for (int v = 0; v < kCount; ++v) {
    lanes[v] = v == kCount - 1 ? last_lanes : kAllLanes;
    flips[v] = _mm512_maskz_loadu_epi32(lanes[v], arguments.flips + first + 16 * v);
    thresholds[v] = _mm512_maskz_loadu_ps(lanes[v], arguments.thresholds + first + 16 * v);
  }
  const float* values = arguments.values + first;
  uint32_t* words = arguments.words + first / 32;
  for (int64_t pixel = 0; pixel < arguments.pixels; ++pixel) {
    __mmask16* halves = reinterpret_cast<__mmask16*>(words);
    if (kCount % 2 != 0) _store_mask16(halves + kCount, 0);
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      const __m512i x = _mm512_xor_si512(_mm512_maskz_loadu_epi32(lanes[v], values + 16 * v), flips[v]);
      _store_mask16(halves + v, _mm512_mask_cmp_ps_mask(lanes[v], _mm512_castsi512_ps(x), thresholds[v], _CMP_LT_OQ));
    }
    values += arguments.value_stride;
    words += arguments.word_stride;
  }
}

void Compare(const CompareArguments& arguments) {
  int64_t c = 0;
  for (; c + 64 <= arguments.channels; c += 64) CompareChannels<4>(arguments, c, kAllLanes);
  for (; c + 32 <= arguments.channels; c += 32) CompareChannels<2>(arguments, c, kAllLanes);
  const int64_t left = arguments.channels - c;
  if (left > 16) {
    CompareChannels<2>(arguments, c, FirstLanes(left - 16));
  } else if (left > 0) {
    CompareChannels<1>(arguments, c, FirstLanes(left));
  }
}

struct Floats {
  static constexpr int kLanes = 16;
  __m512 lanes;

  static Floats Load(const float* address) { return {_mm512_loadu_ps(address)}; }
  static Floats LoadPartial(const float* address, int count) {
    return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), address)};
  }
  static void Store(Floats x, float* address) { _mm512_storeu_ps(address, x.lanes); }
  static void StorePartial(Floats x, float* address, int count) {
    _mm512_mask_storeu_ps(address, static_cast<__mmask16>((1u << count) - 1), x.lanes);
  }
  static Floats Zero() { return {_mm512_setzero_ps()}; }
  static Floats Repeat(float value) { return {_mm512_set1_ps(value)}; }
  using Scalars = const float*;
  static Scalars LoadScalars(const float* address) { return address; }
  static Floats MultiplyAdd(Floats x, Scalars scalars, int row, Floats sum) {
    return {_mm512_fmadd_ps(_mm512_set1_ps(scalars[row]), x.lanes, sum.lanes)};
  }
  static Floats Affine(Floats x, Floats multiplier, Floats addend) {
    return {_mm512_add_ps(_mm512_mul_ps(x.lanes, multiplier.lanes), addend.lanes)};
  }
  static Floats Clip(Floats x, float low, float high) { return Limit(x, low, high); }
  static Floats Limit(Floats x, float low, float high) {
    return {_mm512_min_ps(_mm512_set1_ps(high), LimitBelow(x, low).lanes)};
  }
  static Floats LimitBelow(Floats x, float low) { return {_mm512_max_ps(_mm512_set1_ps(low), x.lanes)}; }
  static Floats Max(Floats a, Floats b) { return {_mm512_max_ps(a.lanes, b.lanes)}; }
  static Floats Add(Floats a, Floats b) { return {_mm512_add_ps(a.lanes, b.lanes)}; }
  static Floats Subtract(Floats a, Floats b) { return {_mm512_sub_ps(a.lanes, b.lanes)}; }
  static Floats Even(Floats a, Floats b) { return {_mm512_shuffle_ps(a.lanes, b.lanes, 0x88)}; }
  static Floats Odd(Floats a, Floats b) { return {_mm512_shuffle_ps(a.lanes, b.lanes, 0xdd)}; }
  static Floats First(Floats even, Floats odd) { return {_mm512_unpacklo_ps(even.lanes, odd.lanes)}; }
  static Floats Second(Floats even, Floats odd) { return {_mm512_unpackhi_ps(even.lanes, odd.lanes)}; }
  static void Transpose(Floats (&block)[16]) {
    // Fours of rows, then fours of such fours.
    __m512 x[16];
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
      const __m512 a = _mm512_unpacklo_ps(block[i].lanes, block[i + 1].lanes);
      const __m512 b = _mm512_unpackhi_ps(block[i].lanes, block[i + 1].lanes);
      const __m512 c = _mm512_unpacklo_ps(block[i + 2].lanes, block[i + 3].lanes);
      const __m512 d = _mm512_unpackhi_ps(block[i + 2].lanes, block[i + 3].lanes);
      x[i] = _mm512_shuffle_ps(a, c, 0x44);
      x[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
      x[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
      x[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m512 a = _mm512_shuffle_f32x4(x[i], x[i + 4], 0x88);
      const __m512 b = _mm512_shuffle_f32x4(x[i], x[i + 4], 0xdd);
      const __m512 c = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0x88);
      const __m512 d = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0xdd);
      block[i].lanes = _mm512_shuffle_f32x4(a, c, 0x88);
      block[i + 4].lanes = _mm512_shuffle_f32x4(b, d, 0x88);
      block[i + 8].lanes = _mm512_shuffle_f32x4(a, c, 0xdd);
      block[i + 12].lanes = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
  }
};

// How 16 rows of a few columns, which are that many vectors, become vectors of columns: where each lane comes from, as
// the number of a float, and which lanes are of the second pair of vectors and of the third.
constexpr int kFewColumns = 6;
struct ColumnSources {
  int32_t floats[16];
  __mmask16 second;
  __mmask16 third;
};
struct ColumnTables {
  ColumnSources sources[kFewColumns + 1][kFewColumns];
};

constexpr ColumnTables MakeColumnTables() {
  ColumnTables tables{};
  for (int columns = 1; columns <= kFewColumns; ++columns) {
    for (int column = 0; column < columns; ++column) {
      ColumnSources& sources = tables.sources[columns][column];
      for (int lane = 0; lane < 16; ++lane) {
        sources.floats[lane] = lane * columns + column;
        if (sources.floats[lane] / 32 == 1) sources.second |= 1 << lane;
        if (sources.floats[lane] / 32 == 2) sources.third |= 1 << lane;
      }
    }
  }
  return tables;
}

constexpr ColumnTables kColumnTables = MakeColumnTables();

// Rows that have no gaps between them, such as pairs of an image's pixels.
void TransposeFewColumns(const float* input, int64_t rows, int64_t columns, float* output, int64_t output_stride) {
  for (int64_t row = 0; row < rows; row += 16) {
    const float* source = input + row * columns;
    const int64_t left = (rows - row) * columns;
    __m512 x[kFewColumns];
#pragma GCC unroll 6
    for (int i = 0; i < kFewColumns; ++i) {
      x[i] = _mm512_maskz_loadu_ps(FirstLanes(Larger(left - 16 * i, 0)), source + 16 * i);
    }
    const __mmask16 lanes = FirstLanes(rows - row);
    for (int64_t column = 0; column < columns; ++column) {
      const ColumnSources& sources = kColumnTables.sources[columns][column];
      // Of the number of a float, the instruction takes what is below 32.
      const __m512i floats = _mm512_loadu_si512(sources.floats);
      __m512 y = _mm512_permutex2var_ps(x[0], floats, x[1]);
      y = _mm512_mask_mov_ps(y, sources.second, _mm512_permutex2var_ps(x[2], floats, x[3]));
      y = _mm512_mask_mov_ps(y, sources.third, _mm512_permutex2var_ps(x[4], floats, x[5]));
      _mm512_mask_storeu_ps(output + column * output_stride + row, lanes, y);
    }
  }
}

void Transpose512(const float* input, int64_t rows, int64_t input_stride, int64_t columns, float* output,
                  int64_t output_stride) {
  if (columns == input_stride && columns <= kFewColumns) {
    TransposeFewColumns(input, rows, columns, output, output_stride);
  } else {
    Transpose<Floats>(input, rows, input_stride, columns, output, output_stride);
  }
}

void Expand(const uint32_t* words, int64_t count, uint8_t* units) {
  __builtin_memcpy(units, words, static_cast<size_t>(count) * sizeof(uint32_t));
}

// The sums of a tile: which bits differ, counted for each of the channels. Loops over a tile are unrolled: its sums
// stay in registers only where no index is computed.
template <int kSpans>
struct Sums {
  __m512i lanes[kSpans][kVectors];
};

template <int kSpans>
inline Sums<kSpans> Count(const AccumulateArguments& arguments) {
  Sums<kSpans> sums;
  if (arguments.continues) {
#pragma GCC unroll 8
    for (int p = 0; p < kSpans; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sums.lanes[p][v] = _mm512_loadu_si512(arguments.sums + p * kChannelBlock + 16 * v);
      }
    }
  } else {
#pragma GCC unroll 8
    for (int p = 0; p < kSpans; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums.lanes[p][v] = _mm512_setzero_si512();
    }
  }
  const uint8_t* weights = arguments.weights;
  for (int64_t s = 0; s < arguments.segment_count; ++s) {
    const uint8_t* units[kSpans];
#pragma GCC unroll 8
    for (int p = 0; p < kSpans; ++p) units[p] = arguments.spans[p] + arguments.segments[s].offset;
    const int64_t bytes = arguments.segments[s].units * 4;
    for (int64_t at = 0; at < bytes; at += 4) {
      __m512i filter[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) filter[v] = _mm512_loadu_si512(weights + 64 * v);
      weights += 64 * kVectors;
#pragma GCC unroll 8
      for (int p = 0; p < kSpans; ++p) {
        int32_t word;
        __builtin_memcpy(&word, units[p] + at, sizeof(word));
        const __m512i pixel = _mm512_set1_epi32(word);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const __m512i differing = _mm512_popcnt_epi32(_mm512_xor_si512(pixel, filter[v]));
          sums.lanes[p][v] = _mm512_add_epi32(sums.lanes[p][v], differing);
        }
      }
    }
  }
  return sums;
}

template <int kSpans>
void AccumulateSpans(const AccumulateArguments& arguments) {
  int32_t* target = arguments.sums;
  const Sums<kSpans> sums = Count<kSpans>(arguments);
#pragma GCC unroll 8
  for (int p = 0; p < kSpans; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_si512(target + p * kChannelBlock + 16 * v, sums.lanes[p][v]);
  }
}

void Accumulate(const AccumulateArguments& arguments) {
  switch (arguments.span_count) {
    case 1: return AccumulateSpans<1>(arguments);
    case 2: return AccumulateSpans<2>(arguments);
    case 3: return AccumulateSpans<3>(arguments);
    case 4: return AccumulateSpans<4>(arguments);
    case 5: return AccumulateSpans<5>(arguments);
    default: return AccumulateSpans<kTile>(arguments);
  }
}

// clamp(2 sum) * multiplier + bias of 16 channels.
struct Transform {
  __m512i low;
  __m512i high;
  __m512 multiplier;
  __m512 bias;

  Transform(const OutputTransform& transform, int vector)
      : low(_mm512_set1_epi32(transform.clamp_min)),
        high(_mm512_set1_epi32(transform.clamp_max)),
        multiplier(_mm512_loadu_ps(transform.multiplier + 16 * vector)),
        bias(_mm512_loadu_ps(transform.bias + 16 * vector)) {}

  __m512 Apply(__m512i sum) const {
    const __m512i x = _mm512_max_epi32(_mm512_min_epi32(_mm512_add_epi32(sum, sum), high), low);
    return _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(x), multiplier), bias);
  }
};

// A whole block of channels without corrections; what is the same for all pixels stays in registers.
template <bool kSummand>
void WriteBlocks(const WriteArguments& arguments) {
  const Transform transforms[kVectors] = {
      {arguments.transform, 0}, {arguments.transform, 1}, {arguments.transform, 2}, {arguments.transform, 3}};
  for (int64_t pixel = 0; pixel < arguments.pixels; ++pixel) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      __m512 y = transforms[v].Apply(_mm512_loadu_si512(arguments.sums + pixel * kChannelBlock + 16 * v));
      if (kSummand) {
        y = _mm512_add_ps(y, _mm512_loadu_ps(arguments.summand + pixel * arguments.summand_stride + 16 * v));
      }
      _mm512_storeu_ps(arguments.output + pixel * arguments.output_stride + 16 * v, y);
    }
  }
}

// The same where it is linear.
struct LinearTransform {
  __m512 multiplier;
  __m512 bias;

  LinearTransform(const OutputTransform& transform, int vector)
      : multiplier(_mm512_loadu_ps(transform.multiplier + 16 * vector)),
        bias(_mm512_loadu_ps(transform.bias + 16 * vector)) {
    multiplier = _mm512_add_ps(multiplier, multiplier);
  }

  __m512 Apply(__m512i sum) const { return _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), multiplier), bias); }
};

template <typename Transform, bool kSummand>
inline void WriteTile(const Sums<kTile>& sums, const WriteArguments& arguments) {
  const float* summand = arguments.summand;
  float* output = arguments.output;
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const Transform transform(arguments.transform, v);
#pragma GCC unroll 8
    for (int p = 0; p < kTile; ++p) {
      __m512 y = transform.Apply(sums.lanes[p][v]);
      if (kSummand) y = _mm512_add_ps(y, _mm512_loadu_ps(summand + p * arguments.summand_stride + 16 * v));
      _mm512_storeu_ps(output + p * arguments.output_stride + 16 * v, y);
    }
  }
}

void AccumulateAndWrite(const AccumulateArguments& arguments, const WriteArguments& write) {
  const Sums<kTile> sums = Count<kTile>(arguments);
  if (write.transform.is_linear && write.summand != nullptr) {
    WriteTile<LinearTransform, true>(sums, write);
  } else if (write.transform.is_linear) {
    WriteTile<LinearTransform, false>(sums, write);
  } else if (write.summand != nullptr) {
    WriteTile<Transform, true>(sums, write);
  } else {
    WriteTile<Transform, false>(sums, write);
  }
}

void WriteFloats512(const WriteArguments& arguments) {
  if (arguments.channels != kChannelBlock || arguments.sum_correction != nullptr || arguments.correction != nullptr) {
    WriteFloats(arguments);
  } else if (arguments.summand != nullptr) {
    WriteBlocks<true>(arguments);
  } else {
    WriteBlocks<false>(arguments);
  }
}

constexpr Kernels MakeKernels() {
  Kernels kernels = CommonKernels();
  kernels.name = "avx512";
  kernels.unit_channels = 32;
  kernels.unit_pixels = 1;
  kernels.unit_bytes = 4;
  kernels.map_unit_bytes = 4;
  kernels.span_tile = kTile;
  kernels.segment_units = int64_t{1} << 30;
  // Six pixels take longer than it takes to fetch the filter for them from the second cache.
  kernels.part_bytes = 256 << 10;
  kernels.max_terms = int64_t{1} << 30;
  kernels.pack_floats = PackFloats;
  kernels.compare = Compare;
  kernels.expand = Expand;
  kernels.accumulate = Accumulate;
  kernels.accumulate_and_write = AccumulateAndWrite;
  kernels.write_floats = WriteFloats512;
  AddFloatTiles<Floats, 8>(kernels);
  AddWinograd<Floats, 4>(kernels);
  kernels.multiply_in_rows = MultiplyInRows<Floats, 8>;
  kernels.transpose = Transpose512;
  return kernels;
}

}  // namespace

const Kernels& Avx512Kernels() {
  static constexpr Kernels kKernels = MakeKernels();
  return kKernels;
}

}  // namespace larq_melius

#endif

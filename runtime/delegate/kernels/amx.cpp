// AMX: tiles of bytes that are multiplied at once, 16384 products an instruction. Everything else is AVX-512's.
#if defined(__AMX_TILE__) && defined(__AMX_INT8__)

#include <immintrin.h>

#include "kernels/kernels.h"

namespace larq_melius {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileColumns = 16;
constexpr int kTileBytes = 64;
constexpr int kTiles = 8;

static_assert(kMatrixPositions == 2 * kTileRows && kMatrixChannels == 2 * kTileColumns);
static_assert(kMatrixDepth == kTileBytes && kMatrixDepth == kTileRows * kMatrixQuad);

// Intel's manual, volume 2, LDTILECFG.
struct alignas(64) TileConfiguration {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfiguration) == 64);

constexpr TileConfiguration WholeTiles() {
  TileConfiguration configuration;
  for (int tile = 0; tile < kTiles; ++tile) {
    configuration.row_bytes[tile] = kTileBytes;
    configuration.rows[tile] = kTileRows;
  }
  return configuration;
}

constexpr TileConfiguration kWholeTiles = WholeTiles();

// Of bits to bytes 0 and 1.
void Expand(const uint32_t* words, int64_t count, uint8_t* units) {
  const __m512i one = _mm512_set1_epi8(1);
  int64_t word = 0;
  for (; word + 2 <= count; word += 2) {
    uint64_t bits;
    __builtin_memcpy(&bits, words + word, sizeof(bits));
    _mm512_storeu_si512(units + 32 * word, _mm512_maskz_mov_epi8(bits, one));
  }
  if (word < count) {
    _mm512_mask_storeu_epi8(units + 32 * word, 0xffffffffu, _mm512_maskz_mov_epi8(words[word], one));
  }
}

void ExpandFilter(const uint64_t* bits, int64_t bytes, uint8_t* weights) {
  const __m512i plus = _mm512_set1_epi8(1);
  const __m512i minus = _mm512_set1_epi8(-1);
  for (int64_t at = 0; at < bytes; at += 64) {
    _mm512_storeu_si512(weights + at, _mm512_mask_blend_epi8(bits[at / 64], plus, minus));
  }
}

// Two tiles of positions by two of channels: tiles 0 to 3 are sums, 4 and 5 of the map, 6 and 7 of the filter.
void MultiplyPart(const MultiplyBytesArguments& arguments, int64_t first_channel, int64_t first_step, int64_t last_step,
                  int64_t position) {
  constexpr int64_t kSumsStride = kChannelBlock * sizeof(int32_t);
  constexpr int64_t kWeightsStride = kMatrixChannels * kMatrixQuad;
  int32_t* sums = arguments.sums + position * kChannelBlock + first_channel;
  int32_t* lower_sums = sums + kTileRows * kChannelBlock;
  if (first_step == 0) {
    // The same for all positions: a tile whose rows lie in one place.
    const int32_t* initial = arguments.initial + first_channel;
    _tile_loadd(0, initial, 0);
    _tile_loadd(1, initial + kTileColumns, 0);
    _tile_loadd(2, initial, 0);
    _tile_loadd(3, initial + kTileColumns, 0);
  } else {
    _tile_loadd(0, sums, kSumsStride);
    _tile_loadd(1, sums + kTileColumns, kSumsStride);
    _tile_loadd(2, lower_sums, kSumsStride);
    _tile_loadd(3, lower_sums + kTileColumns, kSumsStride);
  }
  const uint8_t* map = arguments.map + position * arguments.position_bytes;
  const uint8_t* weights = arguments.weights + (first_channel / kMatrixChannels * arguments.steps + first_step) *
                                                   (kMatrixDepth * kMatrixChannels);
  for (int64_t step = first_step; step < last_step; ++step) {
    const uint8_t* bytes = map + arguments.offsets[step];
    _tile_loadd(4, bytes, arguments.position_bytes);
    _tile_loadd(6, weights, kWeightsStride);
    _tile_loadd(5, bytes + kTileRows * arguments.position_bytes, arguments.position_bytes);
    _tile_loadd(7, weights + kTileColumns * kMatrixQuad, kWeightsStride);
    weights += kMatrixDepth * kMatrixChannels;
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_stored(0, sums, kSumsStride);
  _tile_stored(1, sums + kTileColumns, kSumsStride);
  _tile_stored(2, lower_sums, kSumsStride);
  _tile_stored(3, lower_sums + kTileColumns, kSumsStride);
}

void MultiplyBytes(const MultiplyBytesArguments& arguments) {
  // The compiler does not know what tiles read: all that was written is in memory from here on.
  __asm__ volatile("" ::: "memory");
  _tile_loadconfig(&kWholeTiles);
  for (int64_t channel = 0; channel < kChannelBlock; channel += kMatrixChannels) {
    for (int64_t step = 0; step < arguments.steps; step += arguments.part_steps) {
      const int64_t end = step + arguments.part_steps;
      const int64_t last = end < arguments.steps ? end : arguments.steps;
      for (int64_t position = 0; position < arguments.positions; position += kMatrixPositions) {
        MultiplyPart(arguments, channel, step, last, position);
      }
    }
  }
  // Else the system would save the tiles whenever another thread has its turn.
  _tile_release();
}

Kernels MakeKernels() {
  Kernels kernels = Avx512Kernels();
  kernels.name = "amx";
  kernels.unit_channels = 1;
  kernels.unit_pixels = 1;
  kernels.unit_bytes = 1;
  kernels.map_unit_bytes = 1;
  // Expanded filters must stay near, and a damaged file must not ask for much memory.
  kernels.max_terms = int64_t{1} << 15;
  kernels.expand = Expand;
  kernels.accumulate = nullptr;
  kernels.accumulate_and_write = nullptr;
  kernels.expand_filter = ExpandFilter;
  kernels.multiply_bytes = MultiplyBytes;
  kernels.others = Avx512Kernels;
  return kernels;
}

}  // namespace

const Kernels& AmxKernels() {
  static const Kernels kKernels = MakeKernels();
  return kKernels;
}

}  // namespace larq_melius

#endif

// The instructions that kernels/avx512.cpp and kernels/amx.cpp use, lane by lane in plain C++: their logic can be tested
// on processors that lack them. Masked loads touch only the lanes that they load, so that a sanitizer sees what lies
// outside.
#ifndef LARQ_MELIUS_TESTS_EMULATED_IMMINTRIN_H_
#define LARQ_MELIUS_TESTS_EMULATED_IMMINTRIN_H_

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

using __mmask16 = uint16_t;
struct __m512 {
  float lanes[16];
};
struct __m512i {
  uint32_t lanes[16];
};
constexpr int _CMP_LT_OQ = 17;

inline __m512 _mm512_setzero_ps() { return {}; }
inline __m512 _mm512_set1_ps(float value) {
  __m512 x;
  for (float& lane : x.lanes) lane = value;
  return x;
}
inline void _mm512_storeu_ps(float* address, __m512 x) { std::memcpy(address, x.lanes, sizeof(x.lanes)); }
inline void _mm512_mask_storeu_ps(float* address, __mmask16 mask, __m512 x) {
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) address[i] = x.lanes[i];
  }
}
inline __m512 _mm512_add_ps(__m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) a.lanes[i] += b.lanes[i];
  return a;
}
inline __m512 _mm512_sub_ps(__m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) a.lanes[i] -= b.lanes[i];
  return a;
}
inline __m512 _mm512_mul_ps(__m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) a.lanes[i] *= b.lanes[i];
  return a;
}
inline __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  for (int i = 0; i < 16; ++i) c.lanes[i] = std::fma(a.lanes[i], b.lanes[i], c.lanes[i]);
  return c;
}
// The second operand where one is not a number, or both are zeros.
inline __m512 _mm512_max_ps(__m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) b.lanes[i] = a.lanes[i] > b.lanes[i] ? a.lanes[i] : b.lanes[i];
  return b;
}
inline __m512 _mm512_min_ps(__m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) b.lanes[i] = a.lanes[i] < b.lanes[i] ? a.lanes[i] : b.lanes[i];
  return b;
}
// Those of fours of lanes.
inline __m512 _mm512_unpacklo_ps(__m512 a, __m512 b) {
  __m512 x;
  for (int i = 0; i < 16; ++i) x.lanes[i] = (i % 2 == 0 ? a : b).lanes[i / 4 * 4 + i % 4 / 2];
  return x;
}
inline __m512 _mm512_unpackhi_ps(__m512 a, __m512 b) {
  __m512 x;
  for (int i = 0; i < 16; ++i) x.lanes[i] = (i % 2 == 0 ? a : b).lanes[i / 4 * 4 + 2 + i % 4 / 2];
  return x;
}
inline __m512 _mm512_shuffle_ps(__m512 a, __m512 b, int order) {
  __m512 x;
  for (int i = 0; i < 16; ++i) x.lanes[i] = (i % 4 < 2 ? a : b).lanes[i / 4 * 4 + (order >> (i % 4 * 2) & 3)];
  return x;
}
inline __m512 _mm512_shuffle_f32x4(__m512 a, __m512 b, int order) {
  __m512 x;
  for (int i = 0; i < 16; ++i) x.lanes[i] = (i < 8 ? a : b).lanes[(order >> (i / 4 * 2) & 3) * 4 + i % 4];
  return x;
}
inline __m512 _mm512_permutex2var_ps(__m512 a, __m512i lanes, __m512 b) {
  __m512 x;
  for (int i = 0; i < 16; ++i) x.lanes[i] = (lanes.lanes[i] & 16 ? b : a).lanes[lanes.lanes[i] & 15];
  return x;
}
inline __m512 _mm512_mask_mov_ps(__m512 x, __mmask16 mask, __m512 y) {
  for (int i = 0; i < 16; ++i) x.lanes[i] = (mask >> i & 1) != 0 ? y.lanes[i] : x.lanes[i];
  return x;
}
inline __m512i _mm512_setzero_si512() { return {}; }
inline __m512i _mm512_set1_epi32(int32_t value) {
  __m512i x;
  for (uint32_t& lane : x.lanes) lane = static_cast<uint32_t>(value);
  return x;
}
inline __m512i _mm512_loadu_si512(const void* address) {
  __m512i x;
  std::memcpy(x.lanes, address, sizeof(x.lanes));
  return x;
}
inline void _mm512_storeu_si512(void* address, __m512i x) { std::memcpy(address, x.lanes, sizeof(x.lanes)); }
inline __m512i _mm512_maskz_loadu_epi32(__mmask16 mask, const void* address) {
  __m512i x = {};
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) std::memcpy(&x.lanes[i], static_cast<const char*>(address) + 4 * i, 4);
  }
  return x;
}
inline __m512 _mm512_castsi512_ps(__m512i x) {
  __m512 y;
  std::memcpy(y.lanes, x.lanes, sizeof(y.lanes));
  return y;
}
inline __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const void* address) {
  return _mm512_castsi512_ps(_mm512_maskz_loadu_epi32(mask, address));
}
inline __mmask16 _mm512_mask_cmp_ps_mask(__mmask16 mask, __m512 a, __m512 b, int predicate) {
  if (predicate != _CMP_LT_OQ) std::abort();  // No other is used.
  int result = 0;
  for (int i = 0; i < 16; ++i) result |= (a.lanes[i] < b.lanes[i] ? 1 : 0) << i;
  return static_cast<__mmask16>(result & mask);
}
inline void _store_mask16(__mmask16* address, __mmask16 mask) { std::memcpy(address, &mask, sizeof(mask)); }
inline __m512i _mm512_xor_si512(__m512i a, __m512i b) {
  for (int i = 0; i < 16; ++i) a.lanes[i] ^= b.lanes[i];
  return a;
}
inline __m512i _mm512_add_epi32(__m512i a, __m512i b) {
  for (int i = 0; i < 16; ++i) a.lanes[i] += b.lanes[i];
  return a;
}
inline __m512i _mm512_min_epi32(__m512i a, __m512i b) {
  for (int i = 0; i < 16; ++i) {
    if (static_cast<int32_t>(b.lanes[i]) < static_cast<int32_t>(a.lanes[i])) a.lanes[i] = b.lanes[i];
  }
  return a;
}
inline __m512i _mm512_max_epi32(__m512i a, __m512i b) {
  for (int i = 0; i < 16; ++i) {
    if (static_cast<int32_t>(b.lanes[i]) > static_cast<int32_t>(a.lanes[i])) a.lanes[i] = b.lanes[i];
  }
  return a;
}
inline __m512 _mm512_cvtepi32_ps(__m512i x) {
  __m512 y;
  for (int i = 0; i < 16; ++i) y.lanes[i] = static_cast<float>(static_cast<int32_t>(x.lanes[i]));
  return y;
}
inline __m512 _mm512_loadu_ps(const void* address) { return _mm512_castsi512_ps(_mm512_loadu_si512(address)); }
inline __m512i _mm512_popcnt_epi32(__m512i x) {
  for (uint32_t& lane : x.lanes) lane = static_cast<uint32_t>(__builtin_popcount(lane));
  return x;
}

using __mmask64 = uint64_t;
inline __m512i _mm512_set1_epi8(int value) {
  __m512i x;
  std::memset(x.lanes, value, sizeof(x.lanes));
  return x;
}
inline __m512i _mm512_mask_blend_epi8(__mmask64 mask, __m512i a, __m512i b) {
  char bytes[64], set[64];
  std::memcpy(bytes, a.lanes, sizeof(bytes));
  std::memcpy(set, b.lanes, sizeof(set));
  for (int i = 0; i < 64; ++i) {
    if ((mask >> i & 1) != 0) bytes[i] = set[i];
  }
  std::memcpy(a.lanes, bytes, sizeof(bytes));
  return a;
}
inline __m512i _mm512_maskz_mov_epi8(__mmask64 mask, __m512i x) {
  return _mm512_mask_blend_epi8(mask, _mm512_set1_epi8(0), x);
}
inline void _mm512_mask_storeu_epi8(void* address, __mmask64 mask, __m512i x) {
  char bytes[64];
  std::memcpy(bytes, x.lanes, sizeof(bytes));
  for (int i = 0; i < 64; ++i) {
    if ((mask >> i & 1) != 0) static_cast<char*>(address)[i] = bytes[i];
  }
}

// Tiles of 16 rows of 64 bytes, the only ones that are configured.
struct Tile {
  uint8_t rows[16][64];
};
inline thread_local Tile emulated_tiles[8];
inline void _tile_loadconfig(const void*) {}
inline void _tile_release() { std::memset(emulated_tiles, 0xee, sizeof(emulated_tiles)); }
inline void _tile_loadd(int tile, const void* address, int64_t stride) {
  for (int row = 0; row < 16; ++row) {
    std::memcpy(emulated_tiles[tile].rows[row], static_cast<const uint8_t*>(address) + row * stride, 64);
  }
}
inline void _tile_stored(int tile, void* address, int64_t stride) {
  for (int row = 0; row < 16; ++row) {
    std::memcpy(static_cast<uint8_t*>(address) + row * stride, emulated_tiles[tile].rows[row], 64);
  }
}
// Of unsigned bytes by signed ones.
inline void _tile_dpbusd(int sums, int a, int b) {
  for (int row = 0; row < 16; ++row) {
    int32_t totals[16];
    std::memcpy(totals, emulated_tiles[sums].rows[row], sizeof(totals));
    for (int column = 0; column < 16; ++column) {
      for (int k = 0; k < 64; ++k) {
        const int factor = static_cast<int8_t>(emulated_tiles[b].rows[k / 4][4 * column + k % 4]);
        totals[column] += emulated_tiles[a].rows[row][k] * factor;
      }
    }
    std::memcpy(emulated_tiles[sums].rows[row], totals, sizeof(totals));
  }
}

#endif  // LARQ_MELIUS_TESTS_EMULATED_IMMINTRIN_H_

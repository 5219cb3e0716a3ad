// Compiled with other options for each instruction set; must not use inline functions of the standard library, which
// the linker could then take from here for processors that lack the instructions.
#include "kernels.h"

namespace larq_melius::program {
namespace {

#if defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
constexpr int kVectors = kTileChannels / kLanes;

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));

inline Vector Load(const float* values) {
  Vector vector;
  __builtin_memcpy(&vector, values, sizeof(vector));
  return vector;
}

inline void Store(Vector vector, float* values) { __builtin_memcpy(values, &vector, sizeof(vector)); }

inline Vector Clamp(Vector x, float low, float high) {
  const Vector lows = Vector{} + low;
  const Vector highs = Vector{} + high;
  x = x < lows ? lows : x;
  return x > highs ? highs : x;
}

inline float Clamp(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

inline bool IsInside(int64_t at, int64_t size) { return static_cast<uint64_t>(at) < static_cast<uint64_t>(size); }

template <int kPixels>
void ComputeTile(const ConvTile& tile, const WindowPosition* positions, float* output) {
  Vector sums[kPixels][kVectors];
  for (int p = 0; p < kPixels; ++p) {
    for (int v = 0; v < kVectors; ++v) sums[p][v] = Load(tile.bias + v * kLanes);
  }
  const float* weights = tile.weights;
  for (int64_t row = 0; row < tile.filter_height; ++row) {
    for (int64_t column = 0; column < tile.filter_width; ++column) {
      const float* pixels[kPixels];
      for (int p = 0; p < kPixels; ++p) {
        const int64_t y = positions[p].top + row * tile.dilation_height;
        const int64_t x = positions[p].left + column * tile.dilation_width;
        pixels[p] = IsInside(y, tile.height) && IsInside(x, tile.width)
                        ? positions[p].image + (y * tile.width + x) * tile.pixel_stride + tile.first_channel
                        : tile.zeros;
      }
      for (int64_t c = 0; c < tile.channels; ++c) {
        Vector filters[kVectors];
        for (int v = 0; v < kVectors; ++v) filters[v] = Load(weights + v * kLanes);
        weights += kTileChannels;
        for (int p = 0; p < kPixels; ++p) {
          const Vector value = Vector{} + pixels[p][c];
          for (int v = 0; v < kVectors; ++v) sums[p][v] += value * filters[v];
        }
      }
    }
  }
  for (int p = 0; p < kPixels; ++p) {
    for (int v = 0; v < kVectors; ++v) {
      Store(Clamp(sums[p][v], tile.low, tile.high), output + p * kTileChannels + v * kLanes);
    }
  }
}

void Conv(const ConvTile& tile, const WindowPosition* positions, int count, float* output) {
  switch (count) {
    case 1: ComputeTile<1>(tile, positions, output); break;
    case 2: ComputeTile<2>(tile, positions, output); break;
    case 3: ComputeTile<3>(tile, positions, output); break;
    case 4: ComputeTile<4>(tile, positions, output); break;
    case 5: ComputeTile<5>(tile, positions, output); break;
    default: ComputeTile<kTilePixels>(tile, positions, output); break;
  }
}

void Depthwise(const DepthwiseConv& conv, const WindowPosition& position, float* output) {
  int64_t c = 0;
  for (; c + kLanes <= conv.channels; c += kLanes) {
    Vector sum = Load(conv.bias + c);
    for (int64_t row = 0; row < conv.filter_height; ++row) {
      const int64_t y = position.top + row * conv.dilation_height;
      if (!IsInside(y, conv.height)) continue;
      for (int64_t column = 0; column < conv.filter_width; ++column) {
        const int64_t x = position.left + column * conv.dilation_width;
        if (!IsInside(x, conv.width)) continue;
        const Vector filter = Load(conv.weights + (row * conv.filter_width + column) * conv.channels + c);
        sum += Load(position.image + (y * conv.width + x) * conv.channels + c) * filter;
      }
    }
    Store(Clamp(sum, conv.low, conv.high), output + c);
  }
  for (; c < conv.channels; ++c) {
    float sum = conv.bias[c];
    for (int64_t row = 0; row < conv.filter_height; ++row) {
      const int64_t y = position.top + row * conv.dilation_height;
      if (!IsInside(y, conv.height)) continue;
      for (int64_t column = 0; column < conv.filter_width; ++column) {
        const int64_t x = position.left + column * conv.dilation_width;
        if (!IsInside(x, conv.width)) continue;
        sum += position.image[(y * conv.width + x) * conv.channels + c] *
               conv.weights[(row * conv.filter_width + column) * conv.channels + c];
      }
    }
    output[c] = Clamp(sum, conv.low, conv.high);
  }
}

}  // namespace

#if defined(__AVX2__)
const FloatKernels& Avx2FloatKernels() {
  static constexpr FloatKernels kKernels = {"avx2", Conv, Depthwise};
#else
const FloatKernels& BaseFloatKernels() {
  static constexpr FloatKernels kKernels = {"base", Conv, Depthwise};
#endif
  return kKernels;
}

}  // namespace larq_melius::program

// The inner loops in which a float network spends its time, compiled once for each instruction set.
//
// They are plain loops over vectors of a fixed length, left to the compiler, and no match for XNNPACK: this program is
// about the delegate.
#ifndef LARQ_MELIUS_PROGRAM_KERNELS_H_
#define LARQ_MELIUS_PROGRAM_KERNELS_H_

#include <cstdint>

namespace larq_melius::program {

// Output channels and pixels that a call of `conv` computes.
constexpr int kTileChannels = 16;
constexpr int kTilePixels = 6;

// Where a filter's window lies for one output pixel: the image, and the row and column of the first tap.
struct WindowPosition {
  const float* image;
  int64_t top;
  int64_t left;
};

struct ConvTile {
  // [height][width][pixel_stride], of which the convolution reads `channels` from `first_channel` on.
  int64_t height;
  int64_t width;
  int64_t pixel_stride;
  int64_t first_channel;
  int64_t channels;
  int64_t filter_height;
  int64_t filter_width;
  int64_t dilation_height;
  int64_t dilation_width;
  // What lies outside of the map: at least `channels` zeros.
  const float* zeros;
  // [filter_height][filter_width][channels][kTileChannels]
  const float* weights;
  const float* bias;  // [kTileChannels]
  float low;
  float high;
};

// A depthwise convolution with one filter for each channel.
struct DepthwiseConv {
  int64_t height;
  int64_t width;
  int64_t channels;
  int64_t filter_height;
  int64_t filter_width;
  int64_t dilation_height;
  int64_t dilation_width;
  const float* weights;  // [filter_height][filter_width][channels]
  const float* bias;     // [channels]
  float low;
  float high;
};

struct FloatKernels {
  const char* name;
  // Computes `count` pixels, at most kTilePixels, into [count][kTileChannels].
  void (*conv)(const ConvTile& tile, const WindowPosition* positions, int count, float* output);
  // Computes one pixel into [channels].
  void (*depthwise)(const DepthwiseConv& conv, const WindowPosition& position, float* output);
};

// The fastest that this processor runs, or those for every processor if the delegate's instruction set is "portable".
const FloatKernels& SelectFloatKernels(const char* delegate_isa);

// Compiled for every processor, and on x86-64 for those with AVX2 and FMA.
const FloatKernels& BaseFloatKernels();
const FloatKernels& Avx2FloatKernels();

}  // namespace larq_melius::program

#endif  // LARQ_MELIUS_PROGRAM_KERNELS_H_

// The form in which binary convolutions read a map: in the units of the kernels, with its padding around it.
#ifndef LARQ_MELIUS_DELEGATE_PACKED_MAP_H_
#define LARQ_MELIUS_DELEGATE_PACKED_MAP_H_

#include <algorithm>
#include <cstring>

#include "kernels/kernels.h"
#include "program.h"

namespace larq_melius {

// Words of a pixel that a packed map can have: 32768 channels.
constexpr int64_t kMaxMapWords = 1024;

// It ends where the last window ends, so rows and columns that no window reaches are left out.
struct PackedMap {
  const Kernels* kernels = nullptr;
  int64_t batch = 0;
  int64_t height = 0;
  int64_t width = 0;
  int64_t pixel_words = 0;
  // Of the map without its padding.
  int64_t inner_height = 0;
  int64_t inner_width = 0;
  int64_t pad_top = 0;
  int64_t pad_left = 0;
  // From a pixel to the one that the next output pixel meets.
  int64_t stride = 1;

  int64_t pixel_units() const { return pixel_words * kWordBits / kernels->unit_channels; }
  // Without what may lie between it and the next.
  int64_t used_pixel_bytes() const { return pixel_units() * kernels->map_unit_bytes; }
  // Bytes of a few channels of many pixels are read together: with an even number of cache lines from one pixel to the
  // next, they would crowd into a part of the nearest cache.
  int64_t pixel_bytes() const {
    const int64_t bytes = used_pixel_bytes();
    return kernels->multiply_bytes != nullptr && bytes % (2 * kMatrixDepth) == 0 ? bytes + kMatrixDepth : bytes;
  }
  int64_t row_bytes() const { return width * pixel_bytes(); }
  int64_t rows() const { return batch * height; }
  // Matrices have a multiple of positions and of steps: what lies behind the map is read, but does not count.
  int64_t slack_bytes() const {
    return kernels->multiply_bytes == nullptr ? 0 : kMatrixPositions * pixel_bytes() + kMatrixDepth;
  }
  int64_t bytes() const { return rows() * row_bytes() + slack_bytes(); }

  bool operator==(const PackedMap& other) const {
    return kernels == other.kernels && batch == other.batch && height == other.height && width == other.width &&
           pixel_words == other.pixel_words && inner_height == other.inner_height && inner_width == other.inner_width &&
           pad_top == other.pad_top && pad_left == other.pad_left &&
           (stride == other.stride || kernels->unit_pixels == 1);
  }

  // Writes the units of pixels that follow one another.
  void Expand(const uint32_t* words, int64_t pixels, uint8_t* units) const {
    if (pixel_bytes() == used_pixel_bytes()) {
      kernels->expand(words, pixels * pixel_words, units);
      return;
    }
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      kernels->expand(words + pixel * pixel_words, pixel_words, units + pixel * pixel_bytes());
    }
  }

  // Writes a row: zeros in the padding, and for the pixels inside `fill(image, y, count, units)`, which gives the units
  // of the first `count` pixels of a row of the inner map.
  template <typename Fill>
  void WriteRow(int64_t row, uint8_t* map, const Fill& fill) const {
    uint8_t* target = map + row * row_bytes();
    const int64_t y = row % height - pad_top;
    if (y < 0 || y >= inner_height) {
      std::memset(target, 0, static_cast<size_t>(row_bytes()));
      return;
    }
    const int64_t left = std::min(pad_left, width);
    const int64_t inside = std::min(inner_width, width - left);
    std::memset(target, 0, static_cast<size_t>(left * pixel_bytes()));
    fill(row / height, y, inside, target + left * pixel_bytes());
    std::memset(target + (left + inside) * pixel_bytes(), 0,
                static_cast<size_t>((width - left - inside) * pixel_bytes()));
    if (kernels->unit_pixels > 1) kernels->join(target, width * pixel_units(), stride * pixel_units());
  }
};

// The map that a binary convolution with known shapes reads.
//
// Throws Error if it is too large.
PackedMap PackedMapOf(const Program& program, const Instruction& conv, const Kernels& kernels);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_PACKED_MAP_H_

// What executables of float maps have in common.
#ifndef LARQ_MELIUS_DELEGATE_FLOAT_MAP_H_
#define LARQ_MELIUS_DELEGATE_FLOAT_MAP_H_

#include <limits>

#include "program.h"

namespace larq_melius {

struct Range {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};

inline Range RangeOf(Activation activation) {
  switch (activation) {
    case Activation::kNone: return {};
    case Activation::kRelu: return {0.0f, Range().high};
    case Activation::kReluN1To1: return {-1.0f, 1.0f};
    case Activation::kRelu6: return {0.0f, 6.0f};
  }
  return {};
}

// A float map [N, H, W, C]: in planes, or as pixels in a buffer whose pixels may have more channels.
struct Map {
  Map(const Program& program, int index_of_value)
      : index(index_of_value),
        shape(program.values.at(index_of_value).shape),
        pixel_stride(program.values.at(index_of_value).pixel_stride),
        planes(program.values.at(index_of_value).planes),
        ring_rows(program.values.at(index_of_value).ring_rows) {}

  int64_t pixels() const { return shape[0] * shape[1] * shape[2]; }
  int64_t channels() const { return shape[3]; }
  // The number of a row's first pixel.
  int64_t RowPixel(int64_t image, int64_t y) const {
    return (ring_rows != 0 ? y % ring_rows : image * shape[1] + y) * shape[2];
  }
  // Where a plane begins.
  int64_t PlaneOffset(int64_t image, int64_t channel) const {
    return ((planes.ring != 0 ? 0 : image) * channels() + channel) * planes.plane_stride;
  }

  int index;
  Shape shape;
  int64_t pixel_stride;
  Planes planes;
  int64_t ring_rows;
};

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_FLOAT_MAP_H_

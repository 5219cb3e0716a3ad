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
        planes(program.values.at(index_of_value).planes) {}

  int64_t pixels() const { return shape[0] * shape[1] * shape[2]; }
  int64_t channels() const { return shape[3]; }

  int index;
  Shape shape;
  int64_t pixel_stride;
  Planes planes;
};

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_FLOAT_MAP_H_

// Maps of one image as planes, one for each channel: what convolutions of few channels read and write.
//
// Rows of a plane begin behind zeros, and behind its last element follow those before the next row. A border of zeros
// all around spares convolutions the question whether they are at the edge.
#ifndef LARQ_MELIUS_DELEGATE_PLANES_H_
#define LARQ_MELIUS_DELEGATE_PLANES_H_

#include <algorithm>

#include "base.h"
#include "kernels/kernels.h"

namespace larq_melius {

// Rows and columns that are added around a map.
struct Border {
  int64_t top = 0;
  int64_t bottom = 0;
  int64_t left = 0;
  int64_t right = 0;
};

struct Planes {
  int64_t height = 0;
  int64_t width = 0;
  Border border;
  // In floats; 0 where a map is not stored so. `margin` is from the beginning of a row to its first element.
  int64_t margin = 0;
  int64_t row_stride = 0;
  int64_t plane_stride = 0;

  bool used() const { return row_stride != 0; }
  // From the beginning of a plane; may be within the border.
  int64_t Offset(int64_t y, int64_t x) const { return (border.top + y) * row_stride + margin + x; }
};

// Rows are a multiple of kMaxLanes long, so that whole vectors may be written, and those that begin at an element or in
// the border may be read.
inline Planes MakePlanes(int64_t height, int64_t width, const Border& border) {
  const auto whole_vectors = [](int64_t floats) { return DivideRoundingUp(floats, kMaxLanes) * kMaxLanes; };
  Planes planes;
  planes.height = height;
  planes.width = width;
  planes.border = border;
  planes.margin = whole_vectors(std::max(border.left, border.right));
  planes.row_stride = planes.margin + whole_vectors(width);
  const int64_t rows = border.top + height + border.bottom;
  planes.plane_stride = CheckedProduct(rows, planes.row_stride) + planes.margin + kMaxLanes;
  return planes;
}

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_PLANES_H_

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

// Rows of planes that instructions make at a time, where they take turns.
constexpr int64_t kRowStep = 4;
// Rows of a max pool that follows: most make half as many.
constexpr int64_t kPoolRowStep = kRowStep / 2;

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
  // Where not 0, a plane has only as many rows, of one image: each in the place of the one that many before. Behind
  // them is a row of zeros, the border above and below.
  int64_t ring = 0;

  bool used() const { return row_stride != 0; }
  // Whether anything but rows of the map has to be written beside them.
  bool has_gaps() const { return ring == 0 || margin + width != row_stride; }
  // From the beginning of a plane; may be within the border.
  int64_t Offset(int64_t y, int64_t x) const { return Row(y) * row_stride + margin + x; }

 private:
  int64_t Row(int64_t y) const {
    if (ring == 0) return border.top + y;
    return y < 0 || y >= height ? ring : y % ring;
  }
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

// The same with a ring of rows.
inline Planes MakeRing(const Planes& whole, int64_t rows) {
  Planes planes = whole;
  planes.ring = rows;
  planes.plane_stride = CheckedProduct(rows + 1, planes.row_stride) + planes.margin + kMaxLanes;
  // An odd number of cache lines, so that the same row of several planes does not compete for the same places in
  // caches.
  if (planes.plane_stride / kMaxLanes % 2 == 0) planes.plane_stride += kMaxLanes;
  return planes;
}

// Zeros in a ring, where no row of the map ever is.
inline void ClearBorder(const Planes& planes, float* plane) {
  for (int64_t row = 0; row < planes.ring; ++row) {
    std::fill_n(plane + row * planes.row_stride, planes.margin, 0.0f);
  }
  std::fill(plane + planes.ring * planes.row_stride, plane + planes.plane_stride, 0.0f);
}

// Zeros before this row of a plane and behind it, and in the borders that it is next to; in a ring, behind it.
inline void ClearAroundRow(const Planes& planes, int64_t y, float* plane) {
  float* row = plane + planes.Offset(y, 0);
  float* next = row - planes.margin + planes.row_stride;
  std::fill(row + planes.width, next, 0.0f);
  if (planes.ring != 0) return;
  std::fill(row - planes.margin, row, 0.0f);
  if (y == 0) std::fill(plane, row - planes.margin, 0.0f);
  if (y == planes.height - 1) std::fill(next, plane + planes.plane_stride, 0.0f);
}

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_PLANES_H_

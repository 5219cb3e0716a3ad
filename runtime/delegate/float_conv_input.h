// The map as a float convolution reads it, in planes.
#ifndef LARQ_MELIUS_DELEGATE_FLOAT_CONV_INPUT_H_
#define LARQ_MELIUS_DELEGATE_FLOAT_CONV_INPUT_H_

#include "execute.h"
#include "float_map.h"

namespace larq_melius {

// Where the convolution moves by several columns, those that it meets at one position of the filter lie next to one
// another: a plane has every second column, or every third, and so on.
class FloatConvInput {
 public:
  // `rows`: of the output, the most that are computed at a time.
  FloatConvInput(const Program& program, const Instruction& instruction, int64_t rows);

  // Whether the map has to be made such.
  bool packs() const { return packs_; }
  const Planes& planes() const { return planes_; }
  int64_t scratch_bytes() const { return packs_ ? CheckedProduct(image_floats(), sizeof(float)) : 0; }

  // Rows of the map that these of the output are computed from.
  RowRange Rows(RowRange rows) const { return WindowRows(rows, stride_height_, pad_top_, window_height_); }
  // From the beginning of an image's first plane to where the window of the output's row meets the map first. `first`
  // is the first row that is computed at a time.
  int64_t RowOffset(int64_t first, int64_t row) const {
    if (packs_) return (row - first) * stride_height_ * planes_.row_stride;
    return planes_.Offset(row * stride_height_ - pad_top_, -pad_left_);
  }
  // From there, to what the element at this column of the filter meets in this channel.
  int64_t ColumnOffset(int64_t column, int64_t channel) const {
    const int64_t plane = column % columns_ * map_.channels() + channel;
    return plane * planes_.plane_stride + column / columns_;
  }

  const float* Image(const RunContext& context, int64_t image) const {
    if (packs_) return context.scratch<float>();
    return context.value<const float>(map_.index) + map_.PlaneOffset(image, 0);
  }

  // Makes planes for these rows of the output in scratch memory, where it has to.
  void Pack(const RunContext& context, const Kernels& kernels, int64_t image, RowRange rows) const;

 private:
  int64_t image_floats() const { return CheckedProduct(planes_.plane_stride, columns_ * map_.channels()); }
  void PackRow(const Kernels& kernels, const float* pixels, float* output) const;

  Map map_;
  Planes planes_;
  int64_t columns_;
  int64_t stride_height_;
  // Rows that a filter covers.
  int64_t window_height_;
  int64_t pad_top_;
  int64_t pad_left_;
  bool packs_ = false;
};

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_FLOAT_CONV_INPUT_H_

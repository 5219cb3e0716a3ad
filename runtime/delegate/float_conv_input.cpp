#include "float_conv_input.h"

#include <algorithm>

namespace larq_melius {
namespace {

// Rows that a thread takes at a time.
constexpr int64_t kRowGrain = 8;

}  // namespace

FloatConvInput::FloatConvInput(const Program& program, const Instruction& instruction, int64_t rows)
    : map_(program, instruction.inputs[0]),
      planes_(map_.planes),
      columns_(instruction.options.stride_width),
      stride_height_(instruction.options.stride_height),
      window_height_((instruction.float_conv->filter_height - 1) * instruction.options.dilation_height + 1),
      pad_top_(instruction.window.pad_top),
      pad_left_(instruction.window.pad_left) {
  if (planes_.used()) return;
  const Border border = BorderOf(map_.shape, instruction);
  const int64_t width = DivideRoundingUp(border.left + map_.shape[2] + border.right, columns_);
  planes_ = MakePlanes(std::max<int64_t>(rows - 1, 0) * stride_height_ + window_height_, width, {});
  // For vectors that begin behind the first column.
  planes_.row_stride += kMaxLanes;
  planes_.plane_stride = planes_.height * planes_.row_stride + kMaxLanes;
  packs_ = true;
}

void FloatConvInput::Pack(const RunContext& context, const Kernels& kernels, int64_t image, RowRange rows) const {
  if (!packs_) return;
  const float* input =
      context.value<const float>(map_.index) + image * map_.shape[1] * map_.shape[2] * map_.pixel_stride;
  float* planes = context.scratch<float>();
  const RowRange source = Rows(rows);
  context.Parallel(source.end - source.begin, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t y = source.begin + row;
      const bool inside = y >= 0 && y < map_.shape[1];
      const float* pixels = inside ? input + y * map_.shape[2] * map_.pixel_stride : nullptr;
      PackRow(kernels, pixels, planes + row * planes_.row_stride);
    }
  });
}

// `pixels` is null for a row of zeros.
void FloatConvInput::PackRow(const Kernels& kernels, const float* pixels, float* output) const {
  const int64_t width = map_.shape[2];
  const int64_t channels = map_.channels();
  // Columns of the planes that are not pixels in all of them.
  const int64_t first = pixels == nullptr ? planes_.width : DivideRoundingUp(pad_left_, columns_);
  const int64_t last = std::max(first, (pad_left_ + width) / columns_);
  for (int64_t plane = 0; plane < columns_ * channels; ++plane) {
    float* target = output + plane * planes_.plane_stride;
    std::fill(target, target + first, 0.0f);
    std::fill(target + last, target + planes_.width, 0.0f);
  }
  if (pixels == nullptr) return;
  const auto copy = [&](int64_t begin, int64_t end) {
    for (int64_t x = begin; x < end; ++x) {
      const int64_t at = x + pad_left_;
      for (int64_t c = 0; c < channels; ++c) {
        output[(at % columns_ * channels + c) * planes_.plane_stride + at / columns_] =
            pixels[x * map_.pixel_stride + c];
      }
    }
  };
  const int64_t begin = first * columns_ - pad_left_;
  const int64_t end = last * columns_ - pad_left_;
  if ((columns_ > 1 && map_.pixel_stride != channels) || begin >= width) {
    copy(0, width);
    return;
  }
  copy(0, begin);
  // Pixels that go to the same column of the planes are as one of more channels.
  kernels.transpose(pixels + begin * map_.pixel_stride, last - first, columns_ * map_.pixel_stride, columns_ * channels,
                    output + first, planes_.plane_stride);
  copy(end, width);
}

}  // namespace larq_melius

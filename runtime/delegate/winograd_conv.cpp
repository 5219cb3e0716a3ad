#include "winograd_conv.h"

#include <algorithm>

#include "float_conv_input.h"
#include "float_map.h"

namespace larq_melius {
namespace {

// Rows of blocks that a thread takes at a time.
constexpr int64_t kBlockGrain = 2;
// Input channels of a group, at most. Transformed windows are to stay in the nearest cache.
constexpr int64_t kMaxGroupChannels = 16;
// Output channels and columns that become pixels together.
constexpr int64_t kPixelChannels = 16;
constexpr int64_t kPixelColumns = 2 * kMaxLanes;

// What a filter's elements in a row or column are multiplied with for each of the four elements of a window: the
// transform G of F(2, 3), the last of them negated, so that the outputs are sums of products only.
constexpr double kFilterTransform[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, -1}};

class WinogradConv : public RowExecutable {
 public:
  WinogradConv(const Program& program, const Instruction& instruction, const Kernels& kernels)
      : RowExecutable(program.values.at(instruction.output).shape),
        kernels_(kernels),
        out_(program, instruction.output),
        input_(program, instruction, out_.planes.ring != 0 ? kRowStep : out_.shape[1]),
        groups_(instruction.groups),
        group_channels_in_(instruction.float_conv->group_channels_in),
        group_channels_out_(instruction.float_conv->channels_out / groups_),
        bias_(instruction.float_conv->bias),
        range_(RangeOf(instruction.options.activation)) {
    const ConvConstants& conv = *instruction.float_conv;
    weights_ = AlignedBuffer<float>(
        static_cast<size_t>(CheckedProduct(conv.channels_out, group_channels_in_ * kWindowPositions)));
    float* weights = weights_.data();
    for (int64_t first = 0; first < conv.channels_out; first += kernels.window_channels) {
      for (const WindowStage& stage : kWindowStages) {
        for (int64_t c = 0; c < group_channels_in_; ++c) {
          for (int i = 0; i < stage.count; ++i) {
            for (int64_t channel = first; channel < first + kernels.window_channels; ++channel) {
              *weights++ = TransformedFilter(conv, channel, c, stage.positions[i]);
            }
          }
        }
      }
    }
  }

  int64_t row_step() const override { return kRowStep; }
  RowRange InputRows(RowRange rows) const override { return input_.Rows(rows); }

  void RunRows(const RunContext& context, int64_t image, RowRange rows) const override {
    input_.Pack(context, kernels_, image, rows);
    context.Parallel(rows.end - rows.begin, kBlockGrain * kBlockRows, [&](int64_t begin, int64_t end) {
      ComputeRows(context, image, rows.begin, {rows.begin + begin, rows.begin + end});
    });
  }

  int64_t scratch_bytes() const override { return input_.scratch_bytes(); }

  std::string Describe() const override {
    return std::string(kernels_.name) + ", Winograd, " + std::to_string(groups_) +
           (groups_ == 1 ? " group, " : " groups, ") + (input_.packs() ? "pixels to " : "planes to ") +
           (out_.planes.used() ? "planes" : "pixels");
  }

 private:
  static float TransformedFilter(const ConvConstants& conv, int64_t channel, int64_t channel_in, int position) {
    double sum = 0;
    for (int64_t y = 0; y < 3; ++y) {
      for (int64_t x = 0; x < 3; ++x) {
        const int64_t at = ((channel * 3 + y) * 3 + x) * conv.group_channels_in + channel_in;
        sum += kFilterTransform[position / 4][y] * kFilterTransform[position % 4][x] *
               static_cast<double>(conv.filter[static_cast<size_t>(at)]);
      }
    }
    return static_cast<float>(sum);
  }

  // One group of channels after the other: the rows of the planes that it reads stay in the nearest cache.
  void ComputeRows(const RunContext& context, int64_t image, int64_t first, RowRange rows) const {
    for (int64_t group = 0; group < groups_; ++group) {
      for (int64_t y = rows.begin; y < rows.end; y += kBlockRows) {
        ComputeBlocks(context, image, group, first, {y, std::min(y + kBlockRows, rows.end)});
      }
      if (out_.planes.used()) ClearAroundRows(context, image, group, rows);
    }
  }

  void ComputeBlocks(const RunContext& context, int64_t image, int64_t group, int64_t first, RowRange rows) const {
    alignas(kAlignment) float windows[kMaxGroupChannels * kWindowPositions * kMaxLanes];
    alignas(kAlignment) float tile[kPixelChannels * kBlockRows * kPixelColumns];
    MultiplyWindowsArguments multiply = {};
    multiply.rows = rows.end - rows.begin;
    multiply.windows = windows;
    multiply.channels_in = group_channels_in_;
    multiply.low = range_.low;
    multiply.high = range_.high;
    TransformWindowsArguments transform = {};
    const float* planes = input_.Image(context, image) + group * group_channels_in_ * input_.planes().plane_stride;
    for (int64_t i = 0; i < kWindowRows; ++i) {
      // Below the last row of windows, any row will do.
      transform.rows[i] = planes + input_.RowOffset(first, rows.begin + std::min(i, multiply.rows + 1));
    }
    transform.plane_stride = input_.planes().plane_stride;
    transform.channels = group_channels_in_;
    transform.windows = windows;
    const int64_t channel = group * group_channels_out_;
    for (int64_t x = 0; x < out_.shape[2]; x += kernels_.lanes) {
      kernels_.transform_windows(transform);
      for (const float*& row : transform.rows) row += kernels_.lanes;
      if (out_.planes.used()) {
        WritePlanes(context, multiply, image, channel, rows.begin, x);
      } else {
        WritePixels(context, multiply, tile, image, channel, rows.begin, x);
      }
    }
  }

  void Multiply(MultiplyWindowsArguments& arguments, int64_t channel, int64_t count) const {
    arguments.channels_out = count;
    arguments.weights = weights_.data() + channel * group_channels_in_ * kWindowPositions;
    arguments.bias = bias_.data() + channel;
    kernels_.multiply_windows(arguments);
  }

  void WritePlanes(const RunContext& context, MultiplyWindowsArguments& arguments, int64_t image, int64_t channel,
                   int64_t y, int64_t x) const {
    const Planes& planes = out_.planes;
    arguments.row_stride = planes.row_stride;
    arguments.plane_stride = planes.plane_stride;
    arguments.output = context.value<float>(out_.index) + out_.PlaneOffset(image, channel) + planes.Offset(y, x);
    Multiply(arguments, channel, group_channels_out_);
  }

  void ClearAroundRows(const RunContext& context, int64_t image, int64_t group, RowRange rows) const {
    if (!out_.planes.has_gaps()) return;
    float* plane = context.value<float>(out_.index) + out_.PlaneOffset(image, group * group_channels_out_);
    for (int64_t c = 0; c < group_channels_out_; ++c) {
      for (int64_t y = rows.begin; y < rows.end; ++y) ClearAroundRow(out_.planes, y, plane);
      plane += out_.planes.plane_stride;
    }
  }

  // By way of a tile, [channel][row][column], which has the columns of several blocks where a group is no wider.
  void WritePixels(const RunContext& context, MultiplyWindowsArguments& arguments, float* tile, int64_t image,
                   int64_t channel, int64_t y, int64_t x) const {
    constexpr int64_t kPlane = kBlockRows * kPixelColumns;
    const int64_t column = group_channels_out_ <= kPixelChannels ? x % kPixelColumns : 0;
    const int64_t next = column + kernels_.lanes;
    const bool is_full = group_channels_out_ > kPixelChannels || next == kPixelColumns;
    arguments.row_stride = kPixelColumns;
    arguments.plane_stride = kPlane;
    arguments.output = tile + column;
    for (int64_t c = 0; c < group_channels_out_; c += kPixelChannels) {
      const int64_t channels = std::min(kPixelChannels, group_channels_out_ - c);
      Multiply(arguments, channel + c, channels);
      if (!is_full && x + kernels_.lanes < out_.shape[2]) continue;
      const int64_t first = x - column;
      for (int64_t row = 0; row < arguments.rows; ++row) {
        const int64_t pixel = out_.RowPixel(image, y + row) + first;
        kernels_.transpose(tile + row * kPixelColumns, channels, kPlane, std::min(next, out_.shape[2] - first),
                           context.value<float>(out_.index) + pixel * out_.pixel_stride + channel + c,
                           out_.pixel_stride);
      }
    }
  }

  const Kernels& kernels_;
  Map out_;
  FloatConvInput input_;
  int64_t groups_;
  int64_t group_channels_in_;
  int64_t group_channels_out_;
  AlignedBuffer<float> weights_;  // [block of window_channels][stage][input channel][position][output channel]
  std::vector<float> bias_;
  Range range_;
};

}  // namespace

bool FitsWinograd(const Instruction& instruction) {
  const ConvConstants& conv = *instruction.float_conv;
  const Options& options = instruction.options;
  return conv.filter_height == 3 && conv.filter_width == 3 && options.stride_height == 1 && options.stride_width == 1 &&
         options.dilation_height == 1 && options.dilation_width == 1 && conv.group_channels_in <= kMaxGroupChannels &&
         conv.channels_out / instruction.groups % kMaxWindowChannels == 0;
}

std::unique_ptr<Executable> MakeWinogradConv(const Program& program, const Instruction& instruction,
                                             const Kernels& kernels) {
  return std::make_unique<WinogradConv>(program, instruction, kernels);
}

}  // namespace larq_melius

#include "binary_conv_output.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace larq_melius {

BinaryConvOutput::BinaryConvOutput(const Program& program, const Instruction& instruction)
    : instruction_(instruction), conv_(*instruction.conv) {
  const Value& output = program.values.at(instruction.output);
  shape_ = output.shape;
  stride_ = output.pixel_stride;
  type_ = output.type;
  for (const SignOutput& sign : instruction.signs) {
    signs_.push_back({sign.output, program.values.at(sign.output).pixel_stride, sign.comparison.get()});
  }
  if (instruction.inputs.size() > 1) summand_stride_ = program.values.at(instruction.inputs[1]).pixel_stride;
  PrepareTransform(output);
  if (instruction.options.padding == Padding::kSame && instruction.options.pad_value == 0) {
    PrepareCorrection(program.values.at(instruction.inputs[0]).shape);
  }
}

BinaryConvOutput::InsideRanges BinaryConvOutput::FindInsideRanges(int64_t out, int64_t in, int64_t filter,
                                                                  int64_t stride, int64_t dilation, int64_t pad) {
  InsideRanges inside;
  for (int64_t o = 0; o < out; ++o) {
    const int64_t origin = o * stride - pad;
    int64_t first = 0;
    while (first < filter && origin + first * dilation < 0) ++first;
    int64_t last = first;
    while (last < filter && origin + last * dilation < in) ++last;
    const std::pair<int64_t, int64_t> range{first, last};
    const auto found = std::find(inside.ranges.begin(), inside.ranges.end(), range);
    inside.of_output.push_back(static_cast<int>(found - inside.ranges.begin()));
    if (found == inside.ranges.end()) inside.ranges.push_back(range);
  }
  return inside;
}

// Moves K - 2 sum, the clamping and the scale of an int8 output into one multiplication and addition, as LCE does.
void BinaryConvOutput::PrepareTransform(const Value& output) {
  if (type_ == Type::kInt32) return;
  const int32_t terms = static_cast<int32_t>(conv_.filter_height * conv_.filter_width *
                                             (instruction_.options.channels_in / instruction_.groups));
  const double scale = type_ == Type::kInt8 ? static_cast<double>(output.scale) : 1.0;
  const double zero_point = type_ == Type::kInt8 ? output.zero_point : 0.0;
  // One block more than there are channels: kernels read whole vectors.
  multiplier_ = AlignedBuffer<float>(static_cast<size_t>(conv_.channels_out) + kChannelBlock);
  bias_ = AlignedBuffer<float>(static_cast<size_t>(conv_.channels_out) + kChannelBlock);
  for (size_t c = 0; c < conv_.multiplier.size(); ++c) {
    const double multiplier = conv_.multiplier[c];
    const double bias = conv_.bias[c];
    multiplier_[c] = static_cast<float>(-1 * multiplier / scale);
    bias_[c] = static_cast<float>((bias + static_cast<double>(terms) * multiplier) / scale + zero_point);
  }
  int32_t low = -terms;
  int32_t high = terms;
  switch (instruction_.options.activation) {
    case Activation::kNone: break;
    case Activation::kRelu: low = std::max(low, 0); break;
    case Activation::kReluN1To1:
      low = std::max(low, -1);
      high = std::min(high, 1);
      break;
    case Activation::kRelu6:
      low = std::max(low, 0);
      high = std::min(high, 6);
      break;
  }
  const auto is_small = [](float multiplier) { return std::abs(multiplier) < std::ldexp(1.0f, 64); };
  const bool is_linear = instruction_.options.activation == Activation::kNone &&
                         std::all_of(conv_.multiplier.begin(), conv_.multiplier.end(), is_small);
  transform_ = {multiplier_.data(), bias_.data(), terms - high, terms - low, is_linear};
}

// A map padded with 0 is computed as if it were padded with +1, and what the taps in the padding added is taken off.
//
// LCE's optimized kernels do that to the float result, its reference kernel to the sum. The latter is all there is
// for other outputs and with an activation; for plain float outputs the rounding follows the optimized kernels.
void BinaryConvOutput::PrepareCorrection(const Shape& in_shape) {
  const Options& options = instruction_.options;
  rows_ = FindInsideRanges(shape_[1], in_shape[1], conv_.filter_height, options.stride_height, options.dilation_height,
                           instruction_.window.pad_top);
  columns_ = FindInsideRanges(shape_[2], in_shape[2], conv_.filter_width, options.stride_width, options.dilation_width,
                              instruction_.window.pad_left);
  const int64_t cases =
      CheckedProduct(static_cast<int64_t>(rows_.ranges.size()), static_cast<int64_t>(columns_.ranges.size()));
  const int64_t channels = conv_.channels_out;
  const int64_t positions = conv_.filter_height * conv_.filter_width;
  const int32_t group_channels = static_cast<int32_t>(options.channels_in / instruction_.groups);
  CheckedProduct(CheckedProduct(cases, channels), positions);
  sum_correction_ = AlignedBuffer<int32_t>(static_cast<size_t>(cases * channels + kChannelBlock));
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t y = 0; y < conv_.filter_height; ++y) {
      for (int64_t x = 0; x < conv_.filter_width; ++x) {
        const int64_t first_word = (c * positions + y * conv_.filter_width + x) * conv_.words;
        int32_t tap = group_channels;
        for (int64_t w = 0; w < conv_.words; ++w) tap -= 2 * __builtin_popcount(conv_.filter[first_word + w]);
        for (size_t row = 0; row < rows_.ranges.size(); ++row) {
          for (size_t column = 0; column < columns_.ranges.size(); ++column) {
            const auto [top, bottom] = rows_.ranges[row];
            const auto [left, right] = columns_.ranges[column];
            if (y >= top && y < bottom && x >= left && x < right) continue;
            sum_correction_[(row * columns_.ranges.size() + column) * static_cast<size_t>(channels) +
                            static_cast<size_t>(c)] += tap;
          }
        }
      }
    }
  }
  if (type_ == Type::kFloat32 && options.activation == Activation::kNone) {
    float_correction_ = AlignedBuffer<float>(sum_correction_.size());
    for (int64_t i = 0; i < cases * channels; ++i) {
      const size_t at = static_cast<size_t>(i);
      float_correction_[at] =
          -conv_.multiplier[static_cast<size_t>(i % channels)] * static_cast<float>(sum_correction_[at]);
    }
  }
}

// Where the corrections of an output pixel begin.
size_t BinaryConvOutput::CorrectionOffset(int64_t pixel) const {
  const size_t column = static_cast<size_t>(columns_.of_output[static_cast<size_t>(pixel % shape_[2])]);
  const size_t row = static_cast<size_t>(rows_.of_output[static_cast<size_t>(pixel / shape_[2] % shape_[1])]);
  return (row * columns_.ranges.size() + column) * static_cast<size_t>(conv_.channels_out);
}

void BinaryConvOutput::Begin(const RunContext& context, int64_t pixel, int64_t pixels) const {
  // Bits are set one by one.
  if (type_ != Type::kInt32) return;
  std::memset(context.value<uint32_t>(instruction_.output) + pixel * shape_[3], 0,
              static_cast<size_t>(pixels * shape_[3]) * sizeof(uint32_t));
}

void BinaryConvOutput::Write(const RunContext& context, const Kernels& kernels, const OutputChannels& channels,
                             const int32_t* sums, int64_t pixel, int64_t pixels) const {
  if (type_ == Type::kFloat32 && sum_correction_.size() == 0) {
    WriteFloats(context, kernels, channels, sums, pixel, pixels, nullptr, nullptr);
    return;
  }
  for (int64_t i = 0; i < pixels; ++i) WritePixel(context, kernels, channels, sums + i * kChannelBlock, pixel + i);
}

WriteArguments BinaryConvOutput::FloatArguments(const RunContext& context, const OutputChannels& channels,
                                                int64_t pixel, int64_t pixels) const {
  WriteArguments arguments = {};
  arguments.pixels = pixels;
  arguments.channels = channels.count;
  arguments.transform = transform_;
  arguments.transform.multiplier += channels.first;
  arguments.transform.bias += channels.first;
  if (summand_stride_ != 0) {
    arguments.summand = context.value<const float>(instruction_.inputs[1]) + pixel * summand_stride_ + channels.first;
    arguments.summand_stride = summand_stride_;
  }
  arguments.output = context.value<float>(instruction_.output) + pixel * stride_ + channels.first;
  arguments.output_stride = stride_;
  return arguments;
}

void BinaryConvOutput::WriteFloats(const RunContext& context, const Kernels& kernels, const OutputChannels& channels,
                                   const int32_t* sums, int64_t pixel, int64_t pixels, const int32_t* sum_correction,
                                   const float* correction) const {
  WriteArguments arguments = FloatArguments(context, channels, pixel, pixels);
  arguments.sums = sums;
  arguments.sum_correction = sum_correction;
  arguments.correction = correction;
  kernels.write_floats(arguments);
}

void BinaryConvOutput::WritePixel(const RunContext& context, const Kernels& kernels, const OutputChannels& channels,
                                  const int32_t* sums, int64_t pixel) const {
  const bool corrected = sum_correction_.size() > 0;
  const size_t correction = corrected ? CorrectionOffset(pixel) + static_cast<size_t>(channels.first) : 0;
  if (type_ == Type::kFloat32) {
    const bool in_floats = float_correction_.size() > 0;
    WriteFloats(context, kernels, channels, sums, pixel, 1, in_floats ? nullptr : sum_correction_.data() + correction,
                in_floats ? float_correction_.data() + correction : nullptr);
    return;
  }
  for (int64_t c = 0; c < channels.count; ++c) {
    const int32_t twice = 2 * sums[c] + (corrected ? sum_correction_[correction + static_cast<size_t>(c)] : 0);
    const int64_t channel = channels.first + c;
    if (type_ == Type::kInt8) {
      context.value<int8_t>(instruction_.output)[pixel * shape_[3] + channel] = ToInt8(twice, channel);
    } else if (int64_t{twice} > 2 * int64_t{conv_.thresholds[static_cast<size_t>(channel)]}) {
      context.value<uint32_t>(instruction_.output)[pixel * shape_[3] + channel / kWordBits] |= 1u
                                                                                               << (channel % kWordBits);
    }
  }
}

int8_t BinaryConvOutput::ToInt8(int32_t twice, int64_t channel) const {
  const int32_t clamped = std::max(std::min(twice, transform_.clamp_max), transform_.clamp_min);
  const float exact = static_cast<float>(clamped) * transform_.multiplier[channel] + transform_.bias[channel];
  const float rounded = std::round(exact);
  // Written so that a NaN, too, ends up within the range of the type.
  if (!(rounded > -128.0f)) return -128;
  return static_cast<int8_t>(std::min(rounded, 127.0f));
}

void BinaryConvOutput::End(const RunContext& context, const Kernels& kernels, int64_t pixel, int64_t pixels) const {
  for (const Sign& sign : signs_) {
    kernels.compare({context.value<const float>(instruction_.output) + pixel * stride_, stride_, pixels,
                     sign.comparison->flips.data(), sign.comparison->thresholds.data(), conv_.channels_out,
                     context.value<uint32_t>(sign.output) + pixel * sign.stride, sign.stride});
  }
}

}  // namespace larq_melius

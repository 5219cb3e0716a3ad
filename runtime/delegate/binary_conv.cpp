#include "binary_conv.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "packed_map.h"

namespace larq_melius {
namespace {

// Up to 64 output channels of one group.
struct ChannelBlock {
  int64_t group;
  int64_t first;
  int64_t count;
  int64_t weights_offset;
};

// Some of the taps and channels that a sum has.
struct Part {
  std::vector<Segment> segments;
  int64_t weights_offset;
};

// See Instruction::signs.
struct Sign {
  int output;
  int64_t stride;
  const Comparison* comparison;
};

// Kernels take units in groups of three at most.
constexpr int64_t kUnitGroup = 3;
// Pixels whose sums and outputs stay in the nearest caches.
constexpr int64_t kMaxPixels = 64;
// Pixels whose sums are written at once where nothing more is to be added to them.
constexpr int64_t kWritePixels = 8;

// For SAME padding with 0: which filter rows (or columns) lie inside of the map, for each output row (or column).
struct InsideRanges {
  // Distinct ranges [first, second).
  std::vector<std::pair<int64_t, int64_t>> ranges;
  std::vector<int> of_output;
};

InsideRanges FindInsideRanges(int64_t out, int64_t in, int64_t filter, int64_t stride, int64_t dilation, int64_t pad) {
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

class BinaryConv : public Executable {
 public:
  BinaryConv(const Program& program, const Instruction& instruction, const PackedMap& map, bool reads_map)
      : instruction_(instruction),
        conv_(*instruction.conv),
        kernels_(*map.kernels),
        map_(map),
        reads_map_(reads_map),
        in_shape_(program.values.at(instruction.inputs[0]).shape) {
    const Value& output = program.values.at(instruction.output);
    out_shape_ = output.shape;
    out_stride_ = output.pixel_stride;
    output_type_ = output.type;
    for (const SignOutput& sign : instruction.signs) {
      signs_.push_back({sign.output, program.values.at(sign.output).pixel_stride, sign.comparison.get()});
    }
    if (instruction.inputs.size() > 1) summand_stride_ = program.values.at(instruction.inputs[1]).pixel_stride;
    MakeSegments();
    PackFilter();
    PrepareTransform(output);
    if (instruction.options.padding == Padding::kSame && instruction.options.pad_value == 0) PrepareCorrection();
  }

  int64_t scratch_bytes() const override { return reads_map_ ? 0 : map_.bytes(); }

  void Run(const RunContext& context) const override {
    if (!reads_map_) FillMap(context);
    const int64_t spans = out_shape_[0] * out_shape_[1] * row_spans();
    const int64_t tile = kernels_.span_tile;
    int64_t tiles = kMaxPixels / kernels_.unit_pixels / tile;
    // Some four shares for each thread, so that all have work until the end.
    if (context.threads() > 1) tiles = std::min(tiles, std::max<int64_t>(1, spans / (4 * context.threads() * tile)));
    const int64_t grain = tiles * tile;
    context.Parallel(spans, grain, [&](int64_t begin, int64_t end) { ComputeSpans(context, begin, end); });
  }

  std::string Describe() const override {
    return std::string(kernels_.name) + ", map " + std::to_string(map_.height) + "x" + std::to_string(map_.width) +
           "x" + std::to_string(map_.pixel_bytes()) + "B" + (reads_map_ ? " read" : " made");
  }

 private:
  int64_t units_per_word() const { return kWordBits / kernels_.unit_channels; }
  int64_t group_units() const { return conv_.words * units_per_word(); }
  int64_t row_spans() const { return DivideRoundingUp(out_shape_[2], kernels_.unit_pixels); }

  void MakeSegments() {
    const Options& options = instruction_.options;
    const bool whole_rows = instruction_.groups == 1 && options.dilation_width == 1;
    for (int64_t group = 0; group < instruction_.groups; ++group) {
      std::vector<Segment> segments;
      for (int64_t y = 0; y < conv_.filter_height; ++y) {
        const int64_t row = y * options.dilation_height * map_.row_bytes();
        if (whole_rows) {
          segments.push_back({row, conv_.filter_width * group_units()});
          continue;
        }
        for (int64_t x = 0; x < conv_.filter_width; ++x) {
          const int64_t offset =
              row + x * options.dilation_width * map_.pixel_bytes() + group * group_units() * kernels_.map_unit_bytes;
          segments.push_back({offset, group_units()});
        }
      }
      parts_.push_back(Split(segments));
    }
  }

  // Parts of about one size, whose filters are near enough, of segments as short as the kernel needs them.
  std::vector<Part> Split(const std::vector<Segment>& segments) const {
    const auto share = [](int64_t units, int64_t most) {
      const int64_t count = DivideRoundingUp(units, most);
      return std::min(most, DivideRoundingUp(DivideRoundingUp(units, count), kUnitGroup) * kUnitGroup);
    };
    int64_t units = 0;
    for (const Segment& segment : segments) units += segment.units;
    const int64_t unit_bytes = kChannelBlock * kernels_.unit_bytes;
    const int64_t part_units = share(units, kernels_.part_bytes / unit_bytes);
    std::vector<Part> parts;
    int64_t room = 0;
    int64_t done = 0;
    for (Segment segment : segments) {
      while (segment.units > 0) {
        if (room == 0) {
          parts.push_back({{}, done * unit_bytes});
          room = part_units;
        }
        const int64_t taken = std::min({room, segment.units, share(segment.units, kernels_.segment_units)});
        parts.back().segments.push_back({segment.offset, taken});
        segment.offset += taken * kernels_.map_unit_bytes;
        segment.units -= taken;
        room -= taken;
        done += taken;
      }
    }
    return parts;
  }

  void PackFilter() {
    const int64_t positions = conv_.filter_height * conv_.filter_width;
    const int64_t units = positions * group_units();
    const int64_t block_bytes = units * kChannelBlock * kernels_.unit_bytes;
    const int64_t group_channels = conv_.channels_out / instruction_.groups;
    int64_t offset = 0;
    for (int64_t group = 0; group < instruction_.groups; ++group) {
      for (int64_t channel = 0; channel < group_channels; channel += kChannelBlock) {
        blocks_.push_back({group, group * group_channels + channel,
                           std::min<int64_t>(kChannelBlock, group_channels - channel), offset});
        offset += CheckedProduct(block_bytes, 1);
        CheckedProduct(offset, 1);
      }
    }
    weights_ = AlignedBuffer<uint8_t>(static_cast<size_t>(offset));
    const uint32_t mask = kernels_.unit_channels == kWordBits ? ~0u : (1u << kernels_.unit_channels) - 1;
    for (const ChannelBlock& block : blocks_) {
      for (int64_t c = 0; c < block.count; ++c) {
        const int64_t first_word = (block.first + c) * positions * conv_.words;
        uint8_t* target = weights_.data() + block.weights_offset + c * kernels_.unit_bytes;
        for (int64_t unit = 0; unit < units; ++unit) {
          const int64_t shift = unit % units_per_word() * kernels_.unit_channels;
          const uint32_t bits = (conv_.filter[first_word + unit / units_per_word()] >> shift) & mask;
          std::memcpy(target + unit * kChannelBlock * kernels_.unit_bytes, &bits,
                      static_cast<size_t>(kernels_.unit_bytes));
        }
      }
    }
  }

  // Moves K - 2 sum, the clamping and the scale of an int8 output into one multiplication and addition, as LCE does.
  void PrepareTransform(const Value& output) {
    if (output_type_ == Type::kInt32) return;
    const int32_t terms = static_cast<int32_t>(conv_.filter_height * conv_.filter_width *
                                               (instruction_.options.channels_in / instruction_.groups));
    const double scale = output_type_ == Type::kInt8 ? static_cast<double>(output.scale) : 1.0;
    const double zero_point = output_type_ == Type::kInt8 ? output.zero_point : 0.0;
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
    transform_ = {multiplier_.data(), bias_.data(), terms - high, terms - low};
  }

  // A map padded with 0 is computed as if it were padded with +1, and what the taps in the padding added is taken off.
  //
  // LCE's optimized kernels do that to the float result, its reference kernel to the sum. The latter is all there is
  // for other outputs and with an activation; for plain float outputs the rounding follows the optimized kernels.
  void PrepareCorrection() {
    const Options& options = instruction_.options;
    rows_ = FindInsideRanges(out_shape_[1], in_shape_[1], conv_.filter_height, options.stride_height,
                             options.dilation_height, instruction_.window.pad_top);
    columns_ = FindInsideRanges(out_shape_[2], in_shape_[2], conv_.filter_width, options.stride_width,
                                options.dilation_width, instruction_.window.pad_left);
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
    if (output_type_ == Type::kFloat32 && options.activation == Activation::kNone) {
      float_correction_ = AlignedBuffer<float>(sum_correction_.size());
      for (int64_t i = 0; i < cases * channels; ++i) {
        const size_t at = static_cast<size_t>(i);
        float_correction_[at] =
            -conv_.multiplier[static_cast<size_t>(i % channels)] * static_cast<float>(sum_correction_[at]);
      }
    }
  }

  void FillMap(const RunContext& context) const {
    const uint32_t* words = context.value<const uint32_t>(instruction_.inputs[0]);
    uint8_t* map = context.scratch<uint8_t>();
    context.Parallel(map_.rows(), 4, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        map_.WriteRow(row, map, [&](int64_t image, int64_t y, int64_t count, uint8_t* units) {
          const int64_t first = (image * in_shape_[1] + y) * in_shape_[2];
          kernels_.expand(words + first * map_.pixel_words, count * map_.pixel_words, units);
        });
      }
    });
  }

  // Where the corrections of an output pixel begin.
  size_t CorrectionOffset(int64_t pixel) const {
    const size_t column = static_cast<size_t>(columns_.of_output[static_cast<size_t>(pixel % out_shape_[2])]);
    const size_t row = static_cast<size_t>(rows_.of_output[static_cast<size_t>(pixel / out_shape_[2] % out_shape_[1])]);
    return (row * columns_.ranges.size() + column) * static_cast<size_t>(conv_.channels_out);
  }

  // Calls `function(number, row, x)` for the spans from `begin` to `end`, with the row and column of their first
  // pixels.
  template <typename Function>
  void ForSpans(int64_t begin, int64_t end, const Function& function) const {
    int64_t row = begin / row_spans();
    int64_t x = begin % row_spans() * kernels_.unit_pixels;
    for (int64_t number = 0; number < end - begin; ++number) {
      function(number, row, x);
      x += kernels_.unit_pixels;
      if (x >= out_shape_[2]) {
        x = 0;
        ++row;
      }
    }
  }

  // Calls `function(number, pixel, count)` for pixels of these spans that follow one another, both in the map and,
  // from that number on, among the sums.
  template <typename Function>
  void ForRuns(int64_t begin, int64_t end, const Function& function) const {
    // A row of odd width ends in half a span.
    const bool has_gaps = out_shape_[2] % kernels_.unit_pixels != 0;
    for (int64_t span = begin; span < end;) {
      const int64_t column = span % row_spans();
      const int64_t next = has_gaps ? std::min(end, span - column + row_spans()) : end;
      const int64_t first = column * kernels_.unit_pixels;
      int64_t count = (next - span) * kernels_.unit_pixels;
      if (has_gaps) count = std::min(count, out_shape_[2] - first);
      function((span - begin) * kernels_.unit_pixels, span / row_spans() * out_shape_[2] + first, count);
      span = next;
    }
  }

  void ComputeSpans(const RunContext& context, int64_t begin, int64_t end) const {
    const uint8_t* map =
        reads_map_ ? context.value<const uint8_t>(instruction_.inputs[0]) : context.scratch<const uint8_t>();
    const uint8_t* spans[kMaxPixels];
    const int64_t row_bytes = instruction_.options.stride_height * map_.row_bytes();
    const int64_t column_bytes = instruction_.options.stride_width * map_.pixel_bytes();
    const uint8_t* row_address = nullptr;
    ForSpans(begin, end, [&](int64_t number, int64_t row, int64_t x) {
      if (number == 0 || x == 0) {
        row_address = map + row / out_shape_[1] * map_.height * map_.row_bytes() + row % out_shape_[1] * row_bytes;
      }
      spans[number] = row_address + x * column_bytes;
    });
    const int64_t count = end - begin;
    if (output_type_ == Type::kInt32) {
      ForRuns(begin, end, [&](int64_t, int64_t pixel, int64_t pixels) {
        std::memset(context.value<uint32_t>(instruction_.output) + pixel * out_shape_[3], 0,
                    static_cast<size_t>(pixels * out_shape_[3]) * sizeof(uint32_t));
      });
    }
    alignas(kAlignment) int32_t sums[kMaxPixels * kChannelBlock];
    const int64_t span_sums = kernels_.unit_pixels * kChannelBlock;
    for (const ChannelBlock& block : blocks_) {
      const std::vector<Part>& parts = parts_[static_cast<size_t>(block.group)];
      const int64_t tile = kernels_.span_tile;
      const int64_t step =
          parts.size() > 1 ? count : tile * std::max<int64_t>(1, kWritePixels / (tile * kernels_.unit_pixels));
      for (int64_t first = 0; first < count; first += step) {
        const int64_t last = std::min(first + step, count);
        for (const Part& part : parts) {
          for (int64_t i = first; i < last; i += tile) {
            kernels_.accumulate({spans + i, std::min(tile, last - i), part.segments.data(),
                                 static_cast<int64_t>(part.segments.size()),
                                 weights_.data() + block.weights_offset + part.weights_offset, part.weights_offset != 0,
                                 sums + (i - first) * span_sums});
          }
        }
        ForRuns(begin + first, begin + last, [&](int64_t number, int64_t pixel, int64_t pixels) {
          Write(context, block, sums + number * kChannelBlock, pixel, pixels);
        });
      }
    }
    for (const Sign& sign : signs_) {
      ForRuns(begin, end, [&](int64_t, int64_t pixel, int64_t pixels) {
        kernels_.compare({context.value<const float>(instruction_.output) + pixel * out_stride_, out_stride_, pixels,
                          sign.comparison->flips.data(), sign.comparison->thresholds.data(), conv_.channels_out,
                          context.value<uint32_t>(sign.output) + pixel * sign.stride, sign.stride});
      });
    }
  }

  void Write(const RunContext& context, const ChannelBlock& block, const int32_t* sums, int64_t pixel,
             int64_t pixels) const {
    if (output_type_ == Type::kFloat32 && sum_correction_.size() == 0) {
      WriteFloats(context, block, sums, pixel, pixels, nullptr, nullptr);
      return;
    }
    for (int64_t i = 0; i < pixels; ++i) WritePixel(context, block, sums + i * kChannelBlock, pixel + i);
  }

  void WriteFloats(const RunContext& context, const ChannelBlock& block, const int32_t* sums, int64_t pixel,
                   int64_t pixels, const int32_t* sum_correction, const float* correction) const {
    WriteArguments arguments = {};
    arguments.sums = sums;
    arguments.pixels = pixels;
    arguments.channels = block.count;
    arguments.transform = {transform_.multiplier + block.first, transform_.bias + block.first, transform_.clamp_min,
                           transform_.clamp_max};
    arguments.sum_correction = sum_correction;
    arguments.correction = correction;
    if (summand_stride_ != 0) {
      arguments.summand = context.value<const float>(instruction_.inputs[1]) + pixel * summand_stride_ + block.first;
      arguments.summand_stride = summand_stride_;
    }
    arguments.output = context.value<float>(instruction_.output) + pixel * out_stride_ + block.first;
    arguments.output_stride = out_stride_;
    kernels_.write_floats(arguments);
  }

  void WritePixel(const RunContext& context, const ChannelBlock& block, const int32_t* sums, int64_t pixel) const {
    const bool corrected = sum_correction_.size() > 0;
    const size_t correction = corrected ? CorrectionOffset(pixel) + static_cast<size_t>(block.first) : 0;
    if (output_type_ == Type::kFloat32) {
      const bool in_floats = float_correction_.size() > 0;
      WriteFloats(context, block, sums, pixel, 1, in_floats ? nullptr : sum_correction_.data() + correction,
                  in_floats ? float_correction_.data() + correction : nullptr);
      return;
    }
    for (int64_t c = 0; c < block.count; ++c) {
      const int32_t twice = 2 * sums[c] + (corrected ? sum_correction_[correction + static_cast<size_t>(c)] : 0);
      const int64_t channel = block.first + c;
      if (output_type_ == Type::kInt8) {
        context.value<int8_t>(instruction_.output)[pixel * out_shape_[3] + channel] = ToInt8(twice, channel);
      } else if (int64_t{twice} > 2 * int64_t{conv_.thresholds[static_cast<size_t>(channel)]}) {
        context.value<uint32_t>(instruction_.output)[pixel * out_shape_[3] + channel / kWordBits] |=
            1u << (channel % kWordBits);
      }
    }
  }

  int8_t ToInt8(int32_t twice, int64_t channel) const {
    const int32_t clamped = std::max(std::min(twice, transform_.clamp_max), transform_.clamp_min);
    const float exact = static_cast<float>(clamped) * transform_.multiplier[channel] + transform_.bias[channel];
    const float rounded = std::round(exact);
    // Written so that a NaN, too, ends up within the range of the type.
    if (!(rounded > -128.0f)) return -128;
    return static_cast<int8_t>(std::min(rounded, 127.0f));
  }

  Instruction instruction_;
  const BinaryConvConstants& conv_;
  const Kernels& kernels_;
  PackedMap map_;
  bool reads_map_;
  Shape in_shape_;
  Shape out_shape_;
  int64_t out_stride_ = 0;
  // 0 where nothing is added.
  int64_t summand_stride_ = 0;
  Type output_type_;
  std::vector<Sign> signs_;
  std::vector<std::vector<Part>> parts_;  // of each group
  std::vector<ChannelBlock> blocks_;
  AlignedBuffer<uint8_t> weights_;
  AlignedBuffer<float> multiplier_;
  AlignedBuffer<float> bias_;
  OutputTransform transform_ = {};
  InsideRanges rows_;
  InsideRanges columns_;
  AlignedBuffer<int32_t> sum_correction_;  // [row range, column range, channel]
  AlignedBuffer<float> float_correction_;  // the same, where the float result is corrected
};

}  // namespace

std::unique_ptr<Executable> MakeBinaryConv(const Program& program, const Instruction& instruction,
                                           const Kernels& kernels, bool reads_map) {
  return std::make_unique<BinaryConv>(program, instruction, PackedMapOf(program, instruction, kernels), reads_map);
}

}  // namespace larq_melius

#include "bit_operators.h"

#include <algorithm>
#include <cmath>

#include "float_map.h"

namespace larq_melius {
namespace {

int64_t Rows(const Shape& shape) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

// A map's images and rows; values of other shapes have neither.
Shape MapShape(const Shape& shape) { return shape.size() == 4 ? shape : Shape{0, 0, 0, 0}; }

class Pack : public RowExecutable {
 public:
  Pack(const Program& program, const Instruction& instruction, const Kernels& kernels, const PackedMap* map)
      : RowExecutable(MapShape(program.values.at(instruction.inputs[0]).shape)),
        kernels_(kernels),
        instruction_(instruction),
        in_(program, instruction.inputs[0]),
        has_map_(map != nullptr) {
    if (has_map_) map_ = *map;
    const Value& input = program.values.at(instruction.inputs[0]);
    type_ = input.type;
    // LCE packs a bool as if false were negative.
    zero_point_ = type_ == Type::kBool ? 1 : input.zero_point;
    channels_ = input.shape.back();
    stride_ = input.pixel_stride;
    pixels_ = Rows(input.shape);
    for (const SignOutput& sign : instruction.signs) {
      sign_strides_.push_back(program.values.at(sign.output).pixel_stride);
    }
    word_stride_ = has_map_ ? map_.pixel_words : program.values.at(instruction.output).pixel_stride;
  }

  void Run(const RunContext& context) const override {
    if (has_map_) {
      RunIntoMap(context, {0, map_.rows()});
      return;
    }
    context.Parallel(pixels_, 64, [&](int64_t begin, int64_t end) { PackPixels(context, begin, begin, end - begin); });
  }

  const RowExecutable* by_rows() const override { return rows() > 0 ? this : nullptr; }
  int64_t row_step() const override { return 1; }
  RowRange InputRows(RowRange rows) const override { return rows; }

  void RunRows(const RunContext& context, int64_t image, RowRange rows) const override {
    if (has_map_) {
      // With the border that the rows are next to.
      const int64_t begin = rows.begin == 0 ? 0 : map_.pad_top + rows.begin;
      const int64_t end = rows.end == map_.inner_height ? map_.height : map_.pad_top + rows.end;
      RunIntoMap(context, {image * map_.height + begin, image * map_.height + std::min(end, map_.height)});
      return;
    }
    const int64_t width = in_.shape[2];
    for (int64_t y = rows.begin; y < rows.end; ++y) {
      PackPixels(context, in_.RowPixel(image, y), (image * in_.shape[1] + y) * width, width);
    }
  }

  std::string Describe() const override {
    return std::string(kernels_.name) + (instruction_.comparison == nullptr ? "" : ", compared") +
           (has_map_ ? ", into map" : "");
  }

 private:
  void PackPixels(const RunContext& context, int64_t source, int64_t first, int64_t count) const {
    uint32_t* output = context.value<uint32_t>(instruction_.output);
    PackPixels(context, source, first, count, output + first * word_stride_);
  }

  // From the `source`-th pixel on; other signs than `words` are those of pixels from the `first` on.
  void PackPixels(const RunContext& context, int64_t source, int64_t first, int64_t count, uint32_t* words) const {
    const int input = instruction_.inputs[0];
    if (instruction_.comparison != nullptr) {
      const float* values = context.value<const float>(input) + source * stride_;
      Compare(values, *instruction_.comparison, count, words, word_stride_);
      for (size_t i = 0; i < instruction_.signs.size(); ++i) {
        const SignOutput& sign = instruction_.signs[i];
        Compare(values, *sign.comparison, count,
                context.value<uint32_t>(sign.output) + first * sign_strides_[i], sign_strides_[i]);
      }
      return;
    }
    for (int64_t pixel = source; pixel < source + count; ++pixel, words += word_stride_) {
      if (type_ == Type::kFloat32) {
        kernels_.pack_floats(context.value<const float>(input) + pixel * stride_, channels_, words);
      } else {
        kernels_.pack_bytes(context.value<const int8_t>(input) + pixel * stride_, zero_point_, channels_, words);
      }
    }
  }

  void Compare(const float* values, const Comparison& comparison, int64_t count, uint32_t* words,
               int64_t word_stride) const {
    kernels_.compare({values, stride_, count, comparison.flips.data(), comparison.thresholds.data(), channels_, words,
                      word_stride});
  }

  // These rows of all the map's.
  void RunIntoMap(const RunContext& context, RowRange rows) const {
    uint8_t* map = context.value<uint8_t>(instruction_.output);
    context.Parallel(rows.end - rows.begin, 4, [&](int64_t begin, int64_t end) {
      for (int64_t row = rows.begin + begin; row < rows.begin + end; ++row) {
        map_.WriteRow(row, map, [&](int64_t image, int64_t y, int64_t count, uint8_t* units) {
          PackRow(context, in_.RowPixel(image, y), (image * map_.inner_height + y) * map_.inner_width, count, units);
        });
      }
    });
  }

  // A few pixels at a time, so that their words stay in the nearest cache until they are expanded.
  void PackRow(const RunContext& context, int64_t source, int64_t first, int64_t count, uint8_t* units) const {
    uint32_t words[kMaxMapWords];
    const int64_t at_once = kMaxMapWords / map_.pixel_words;
    for (int64_t pixel = 0; pixel < count; pixel += at_once) {
      const int64_t pixels = std::min(at_once, count - pixel);
      PackPixels(context, source + pixel, first + pixel, pixels, words);
      map_.Expand(words, pixels, units + pixel * map_.pixel_bytes());
    }
  }

  const Kernels& kernels_;
  Instruction instruction_;
  Map in_;
  bool has_map_;
  PackedMap map_;
  Type type_;
  int zero_point_;
  int64_t channels_;
  int64_t stride_;
  int64_t pixels_;
  int64_t word_stride_;
  std::vector<int64_t> sign_strides_;
};

class Unpack : public Executable {
 public:
  Unpack(const Program& program, const Instruction& instruction)
      : input_(instruction.inputs[0]), output_(instruction.output), channels_(instruction.channels) {
    const Value& output = program.values.at(output_);
    type_ = output.type;
    rows_ = Rows(output.shape);
    stride_ = output.pixel_stride;
    if (type_ == Type::kInt8) {
      // One, in steps of the output; no scale is so small that more than the range of int8 matters.
      const float one = std::min(std::round(1.0f / output.scale), 512.0f);
      const int64_t plus = int64_t{output.zero_point} + static_cast<int64_t>(one);
      const int64_t minus = int64_t{output.zero_point} - static_cast<int64_t>(one);
      plus_ = static_cast<int8_t>(std::max<int64_t>(-128, std::min<int64_t>(127, plus)));
      minus_ = static_cast<int8_t>(std::max<int64_t>(-128, std::min<int64_t>(127, minus)));
    } else {
      plus_ = 1;
      minus_ = type_ == Type::kBool ? 0 : -1;
    }
  }

  void Run(const RunContext& context) const override {
    const int64_t words = WordCount(channels_);
    const uint32_t* input = context.value<const uint32_t>(input_);
    context.Parallel(rows_, 256, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        for (int64_t c = 0; c < channels_; ++c) {
          const bool negative = (input[row * words + c / kWordBits] >> (c % kWordBits) & 1) != 0;
          const int8_t value = negative ? minus_ : plus_;
          if (type_ == Type::kFloat32) {
            context.value<float>(output_)[row * stride_ + c] = value;
          } else {
            context.value<int8_t>(output_)[row * channels_ + c] = value;
          }
        }
      }
    });
  }

  std::string Describe() const override { return "portable"; }

 private:
  int input_;
  int output_;
  Type type_;
  int64_t channels_;
  int64_t rows_;
  int64_t stride_;
  int8_t plus_;
  int8_t minus_;
};

// The maximum of signs: negative only where all are. Padding takes no part.
class BinaryMaxPool : public Executable {
 public:
  BinaryMaxPool(const Program& program, const Instruction& instruction)
      : instruction_(instruction),
        in_(program.values.at(instruction.inputs[0]).shape),
        out_(program.values.at(instruction.output).shape) {}

  void Run(const RunContext& context) const override {
    context.Parallel(out_[0] * out_[1], 4, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) ComputeRow(context, row);
    });
  }

  std::string Describe() const override { return "portable"; }

 private:
  void ComputeRow(const RunContext& context, int64_t row) const {
    const Options& options = instruction_.options;
    const int64_t words = out_[3];
    const uint32_t* image =
        context.value<const uint32_t>(instruction_.inputs[0]) + row / out_[1] * in_[1] * in_[2] * words;
    uint32_t* output = context.value<uint32_t>(instruction_.output) + row * out_[2] * words;
    const int64_t top = row % out_[1] * options.stride_height - instruction_.window.pad_top;
    const int64_t bottom = std::min(top + options.filter_height, in_[1]);
    for (int64_t x = 0; x < out_[2]; ++x) {
      const int64_t left = x * options.stride_width - instruction_.window.pad_left;
      const int64_t right = std::min(left + options.filter_width, in_[2]);
      for (int64_t w = 0; w < words; ++w) {
        uint32_t all = ~0u;
        for (int64_t in_y = std::max<int64_t>(top, 0); in_y < bottom; ++in_y) {
          for (int64_t in_x = std::max<int64_t>(left, 0); in_x < right; ++in_x) {
            all &= image[(in_y * in_[2] + in_x) * words + w];
          }
        }
        output[x * words + w] = all;
      }
    }
  }

  Instruction instruction_;
  Shape in_;
  Shape out_;
};

}  // namespace

std::unique_ptr<Executable> MakePack(const Program& program, const Instruction& instruction, const Kernels& kernels,
                                     const PackedMap* map) {
  return std::make_unique<Pack>(program, instruction, kernels, map);
}

std::unique_ptr<Executable> MakeUnpack(const Program& program, const Instruction& instruction) {
  return std::make_unique<Unpack>(program, instruction);
}

std::unique_ptr<Executable> MakeBinaryMaxPool(const Program& program, const Instruction& instruction) {
  return std::make_unique<BinaryMaxPool>(program, instruction);
}

}  // namespace larq_melius

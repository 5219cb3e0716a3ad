#include "float_operators.h"

#include <algorithm>
#include <cstring>

#include "float_map.h"

namespace larq_melius {
namespace {

// Pixels that a thread takes at a time.
constexpr int64_t kPixelGrain = 128;

std::string DescribeChannels(const Map& in, const Map& out) {
  return "channels of " + std::to_string(in.pixel_stride) + " to " + std::to_string(out.pixel_stride);
}

class FloatExecutable : public Executable {
 public:
  FloatExecutable(const Program& program, const Instruction& instruction)
      : in_(program, instruction.inputs[0]), out_(program, instruction.output) {}

  std::string Describe() const override { return DescribeChannels(in_, out_); }

 protected:
  const float* Input(const RunContext& context) const { return context.value<const float>(in_.index); }
  float* Output(const RunContext& context) const { return context.value<float>(out_.index); }

  Map in_;
  Map out_;
};

// The numbers of an affine map, where one is absent those that change nothing.
struct AffineConstants {
  AffineConstants(const Instruction& instruction, int64_t channels)
      : multiplier(instruction.multiplier), addend(instruction.addend) {
    multiplier.resize(static_cast<size_t>(channels), 1.0f);
    // x + 0 would make +0 of -0.
    addend.resize(static_cast<size_t>(channels), -0.0f);
  }

  std::vector<float> multiplier;
  std::vector<float> addend;
};

class Affine : public FloatExecutable {
 public:
  Affine(const Program& program, const Instruction& instruction, const Kernels& kernels)
      : FloatExecutable(program, instruction),
        kernels_(kernels),
        constants_(instruction, in_.channels()),
        range_(RangeOf(instruction.options.activation)),
        copies_(instruction.multiplier.empty() && instruction.addend.empty()) {}

  void Run(const RunContext& context) const override {
    const float* input = Input(context);
    float* output = Output(context);
    context.Parallel(out_.pixels(), kPixelGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        if (copies_) {
          std::memcpy(output + i * out_.pixel_stride, input + i * in_.pixel_stride,
                      static_cast<size_t>(in_.channels()) * sizeof(float));
        } else {
          kernels_.affine(input + i * in_.pixel_stride, constants_.multiplier.data(), constants_.addend.data(),
                          range_.low, range_.high, in_.channels(), output + i * out_.pixel_stride);
        }
      }
    });
  }

 private:
  const Kernels& kernels_;
  AffineConstants constants_;
  Range range_;
  bool copies_;
};

class Add : public FloatExecutable {
 public:
  Add(const Program& program, const Instruction& instruction, const Kernels& kernels)
      : FloatExecutable(program, instruction),
        kernels_(kernels),
        other_(program, instruction.inputs[1]),
        range_(RangeOf(instruction.options.activation)) {}

  void Run(const RunContext& context) const override {
    const float* input = Input(context);
    const float* other = context.value<const float>(other_.index);
    float* output = Output(context);
    context.Parallel(out_.pixels(), kPixelGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        kernels_.add(input + i * in_.pixel_stride, other + i * other_.pixel_stride, range_.low, range_.high,
                     out_.channels(), output + i * out_.pixel_stride);
      }
    });
  }

 private:
  const Kernels& kernels_;
  Map other_;
  Range range_;
};

class Concatenate : public FloatExecutable {
 public:
  Concatenate(const Program& program, const Instruction& instruction) : FloatExecutable(program, instruction) {
    for (int input : instruction.inputs) parts_.emplace_back(program, input);
  }

  void Run(const RunContext& context) const override {
    float* output = Output(context);
    context.Parallel(out_.pixels(), kPixelGrain, [&](int64_t begin, int64_t end) {
      int64_t channel = 0;
      for (const Map& part : parts_) {
        const float* input = context.value<const float>(part.index);
        for (int64_t i = begin; i < end; ++i) {
          std::memcpy(output + i * out_.pixel_stride + channel, input + i * part.pixel_stride,
                      static_cast<size_t>(part.channels()) * sizeof(float));
        }
        channel += part.channels();
      }
    });
  }

 private:
  std::vector<Map> parts_;
};

class Pad : public FloatExecutable {
 public:
  Pad(const Program& program, const Instruction& instruction)
      : FloatExecutable(program, instruction),
        border_(instruction.border),
        before_(instruction.channels_before),
        value_(instruction.border_value) {}

  void Run(const RunContext& context) const override {
    const float* input = Input(context);
    float* output = Output(context);
    context.Parallel(out_.shape[0] * out_.shape[1], 4, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t y = row % out_.shape[1] - border_.top;
        for (int64_t x = 0; x < out_.shape[2]; ++x) {
          const int64_t in_x = x - border_.left;
          float* target = output + (row * out_.shape[2] + x) * out_.pixel_stride;
          if (y < 0 || y >= in_.shape[1] || in_x < 0 || in_x >= in_.shape[2]) {
            std::fill(target, target + out_.channels(), value_);
          } else {
            const int64_t pixel = (row / out_.shape[1] * in_.shape[1] + y) * in_.shape[2] + in_x;
            std::fill(target, target + before_, value_);
            std::memcpy(target + before_, input + pixel * in_.pixel_stride,
                        static_cast<size_t>(in_.channels()) * sizeof(float));
            std::fill(target + before_ + in_.channels(), target + out_.channels(), value_);
          }
        }
      }
    });
  }

 private:
  Border border_;
  int64_t before_;
  float value_;
};

class MaxPool : public RowExecutable {
 public:
  MaxPool(const Program& program, const Instruction& instruction, const Kernels& kernels)
      : RowExecutable(program.values.at(instruction.output).shape),
        kernels_(kernels),
        in_(program, instruction.inputs[0]),
        out_(program, instruction.output),
        instruction_(instruction),
        constants_(instruction, in_.channels()),
        has_affine_(!instruction.multiplier.empty() || !instruction.addend.empty()),
        before_(RangeOf(instruction.affine_activation)),
        after_(RangeOf(instruction.options.activation)) {}

  int64_t row_step() const override { return kPoolRowStep; }

  RowRange InputRows(RowRange rows) const override {
    const Options& options = instruction_.options;
    return WindowRows(rows, options.stride_height, instruction_.window.pad_top, options.filter_height);
  }

  void RunRows(const RunContext& context, int64_t image, RowRange rows) const override {
    context.Parallel(rows.end - rows.begin, 1, [&](int64_t begin, int64_t end) {
      for (int64_t y = rows.begin + begin; y < rows.begin + end; ++y) {
        if (in_.planes.used()) {
          ComputeRow(context, image, y);
        } else {
          ComputePixels(context, image, y);
        }
      }
    });
  }

  std::string Describe() const override {
    return in_.planes.used() ? std::string(kernels_.name) + ", planes to pixels" : DescribeChannels(in_, out_);
  }

 private:
  void ComputeRow(const RunContext& context, int64_t image, int64_t y) const {
    const Options& options = instruction_.options;
    const Border& border = instruction_.border;
    const int64_t top = y * options.stride_height - instruction_.window.pad_top;
    const int64_t first_y = std::max(top, -border.top);
    const int64_t last_y = std::min(top + options.filter_height, in_.shape[1] + border.bottom);
    const int64_t first = std::max<int64_t>(first_y, 0);
    std::vector<const float*> rows;
    for (int64_t in_y = first; in_y < std::min(last_y, in_.shape[1]); ++in_y) {
      rows.push_back(Input(context) + in_.PlaneOffset(image, 0) + in_.planes.Offset(in_y, 0));
    }
    PoolRowArguments arguments = {};
    arguments.rows = rows.data();
    arguments.row_count = static_cast<int64_t>(rows.size());
    arguments.plane_stride = in_.planes.plane_stride;
    arguments.channels = in_.channels();
    arguments.width_in = in_.shape[2];
    if (has_affine_) {
      arguments.multiplier = constants_.multiplier.data();
      arguments.addend = constants_.addend.data();
      arguments.affine_low = before_.low;
      arguments.affine_high = before_.high;
    }
    arguments.filter_width = options.filter_width;
    arguments.stride = options.stride_width;
    arguments.pad_left = instruction_.window.pad_left;
    arguments.border_left = border.left;
    arguments.border_right = border.right;
    arguments.rows_meet_border = first_y < 0 || last_y > in_.shape[1];
    arguments.border_value = instruction_.border_value;
    arguments.low = after_.low;
    arguments.high = after_.high;
    arguments.width_out = out_.shape[2];
    arguments.output = Output(context) + out_.RowPixel(image, y) * out_.pixel_stride;
    arguments.output_stride = out_.pixel_stride;
    kernels_.pool_row(arguments);
  }

  // The windows that lie between the map's left and right edges together, others one by one.
  void ComputePixels(const RunContext& context, int64_t image, int64_t y) const {
    const Options& options = instruction_.options;
    const int64_t stride = options.stride_width;
    const int64_t pad_left = instruction_.window.pad_left;
    const int64_t first = std::min(DivideRoundingUp(pad_left, stride), out_.shape[2]);
    const int64_t room = in_.shape[2] + pad_left - options.filter_width;
    const int64_t last = std::max(first, std::min(room < 0 ? 0 : room / stride + 1, out_.shape[2]));
    for (int64_t x = 0; x < first; ++x) ComputeWindows(context, image, y, x, 1);
    if (first < last) ComputeWindows(context, image, y, first, last - first);
    for (int64_t x = last; x < out_.shape[2]; ++x) ComputeWindows(context, image, y, x, 1);
  }

  void ComputeWindows(const RunContext& context, int64_t image, int64_t y, int64_t x, int64_t count) const {
    const Options& options = instruction_.options;
    const Border& border = instruction_.border;
    const int64_t top = y * options.stride_height - instruction_.window.pad_top;
    const int64_t left = x * options.stride_width - instruction_.window.pad_left;
    // Within the added border all elements are one value; SAME padding beyond it takes no part.
    const int64_t first_y = std::max(top, -border.top);
    const int64_t last_y = std::min(top + options.filter_height, in_.shape[1] + border.bottom);
    const int64_t first_x = std::max(left, -border.left);
    const int64_t last_x = std::min(left + options.filter_width, in_.shape[2] + border.right);
    const bool meets_border = first_y < 0 || first_x < 0 || last_y > in_.shape[1] || last_x > in_.shape[2];
    const int64_t x0 = std::max<int64_t>(first_x, 0);
    const int64_t y0 = std::max<int64_t>(first_y, 0);
    PoolWindowsArguments arguments = {};
    arguments.windows = count;
    arguments.window_stride = options.stride_width * in_.pixel_stride;
    arguments.pixels = Input(context) + (in_.RowPixel(image, y0) + x0) * in_.pixel_stride;
    arguments.columns = std::min(last_x, in_.shape[2]) - x0;
    arguments.column_stride = in_.pixel_stride;
    arguments.rows = std::min(last_y, in_.shape[1]) - y0;
    arguments.row_stride = in_.shape[2] * in_.pixel_stride;
    arguments.channels = in_.channels();
    if (has_affine_) {
      arguments.multiplier = constants_.multiplier.data();
      arguments.addend = constants_.addend.data();
      arguments.affine_low = before_.low;
      arguments.affine_high = before_.high;
    }
    arguments.least = meets_border ? instruction_.border_value : Range().low;
    arguments.low = after_.low;
    arguments.high = after_.high;
    arguments.output = Output(context) + (out_.RowPixel(image, y) + x) * out_.pixel_stride;
    arguments.output_stride = out_.pixel_stride;
    kernels_.pool_windows(arguments);
  }

  const float* Input(const RunContext& context) const { return context.value<const float>(in_.index); }
  float* Output(const RunContext& context) const { return context.value<float>(out_.index); }

  const Kernels& kernels_;
  Map in_;
  Map out_;
  Instruction instruction_;
  AffineConstants constants_;
  bool has_affine_;
  Range before_;
  Range after_;
};

// A copy: pixels of a map may have channels of others behind them, rows of other shapes have not.
class Reshape : public Executable {
 public:
  Reshape(const Program& program, const Instruction& instruction)
      : in_(instruction.inputs[0]),
        out_(instruction.output),
        row_(std::min(program.values.at(in_).shape.back(), program.values.at(out_).shape.back())),
        in_rows_(Rows(program.values.at(in_))),
        out_rows_(Rows(program.values.at(out_))) {}

  void Run(const RunContext& context) const override {
    const float* input = context.value<const float>(in_);
    float* output = context.value<float>(out_);
    context.Parallel(in_rows_.count * in_rows_.size / row_, kPixelGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::memcpy(output + out_rows_.Offset(i * row_), input + in_rows_.Offset(i * row_),
                    static_cast<size_t>(row_) * sizeof(float));
      }
    });
  }

  std::string Describe() const override { return "copy"; }

 private:
  struct RowsOfValue {
    int64_t count;
    int64_t size;
    int64_t stride;
    int64_t Offset(int64_t element) const { return element / size * stride + element % size; }
  };

  static RowsOfValue Rows(const Value& value) {
    return {ElementCount(value.shape) / value.shape.back(), value.shape.back(), value.pixel_stride};
  }

  int in_;
  int out_;
  // Elements that are together in both.
  int64_t row_;
  RowsOfValue in_rows_;
  RowsOfValue out_rows_;
};

class Transpose : public Executable {
 public:
  Transpose(const Program& program, const Instruction& instruction, const Kernels& kernels)
      : kernels_(kernels),
        in_(instruction.inputs[0]),
        out_(instruction.output),
        shape_(program.values.at(in_).shape),
        in_stride_(program.values.at(in_).pixel_stride),
        out_stride_(program.values.at(out_).pixel_stride) {}

  void Run(const RunContext& context) const override {
    const float* input = context.value<const float>(in_);
    float* output = context.value<float>(out_);
    context.Parallel(shape_[0], kPixelGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        kernels_.transpose(input + i * shape_[1] * in_stride_, shape_[1], in_stride_, shape_[2],
                           output + i * shape_[2] * out_stride_, out_stride_);
      }
    });
  }

  std::string Describe() const override { return kernels_.name; }

 private:
  const Kernels& kernels_;
  int in_;
  int out_;
  Shape shape_;
  int64_t in_stride_;
  int64_t out_stride_;
};

class Shuffle : public FloatExecutable {
 public:
  Shuffle(const Program& program, const Instruction& instruction, const Kernels& kernels)
      : FloatExecutable(program, instruction), kernels_(kernels), groups_(instruction.shuffled_groups) {}

  void Run(const RunContext& context) const override {
    const float* input = Input(context);
    float* output = Output(context);
    const int64_t size = in_.channels() / groups_;
    context.Parallel(out_.pixels(), kPixelGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        kernels_.transpose(input + i * in_.pixel_stride, groups_, size, size, output + i * out_.pixel_stride, groups_);
      }
    });
  }

 private:
  const Kernels& kernels_;
  int64_t groups_;
};

}  // namespace

std::unique_ptr<Executable> MakeReshape(const Program& program, const Instruction& instruction) {
  return std::make_unique<Reshape>(program, instruction);
}

std::unique_ptr<Executable> MakeTranspose(const Program& program, const Instruction& instruction,
                                          const Kernels& kernels) {
  return std::make_unique<Transpose>(program, instruction, kernels);
}

std::unique_ptr<Executable> MakeShuffle(const Program& program, const Instruction& instruction,
                                        const Kernels& kernels) {
  return std::make_unique<Shuffle>(program, instruction, kernels);
}

std::unique_ptr<Executable> MakeAffine(const Program& program, const Instruction& instruction, const Kernels& kernels) {
  return std::make_unique<Affine>(program, instruction, kernels);
}

std::unique_ptr<Executable> MakeAdd(const Program& program, const Instruction& instruction, const Kernels& kernels) {
  return std::make_unique<Add>(program, instruction, kernels);
}

std::unique_ptr<Executable> MakeConcatenate(const Program& program, const Instruction& instruction) {
  return std::make_unique<Concatenate>(program, instruction);
}

std::unique_ptr<Executable> MakePad(const Program& program, const Instruction& instruction) {
  return std::make_unique<Pad>(program, instruction);
}

std::unique_ptr<Executable> MakeMaxPool(const Program& program, const Instruction& instruction,
                                        const Kernels& kernels) {
  return std::make_unique<MaxPool>(program, instruction, kernels);
}

}  // namespace larq_melius

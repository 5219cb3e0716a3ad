#include "float_operators.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace larq_melius {
namespace {

// Pixels that a thread takes at a time.
constexpr int64_t kPixelGrain = 128;

struct Range {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};

Range RangeOf(Activation activation) {
  switch (activation) {
    case Activation::kNone: return {};
    case Activation::kRelu: return {0.0f, Range().high};
    case Activation::kReluN1To1: return {-1.0f, 1.0f};
    case Activation::kRelu6: return {0.0f, 6.0f};
  }
  return {};
}

// A float map [N, H, W, C] in a buffer whose pixels may have more channels.
struct Map {
  Map(const Program& program, int index_of_value)
      : index(index_of_value),
        shape(program.values.at(index_of_value).shape),
        stride(program.values.at(index_of_value).pixel_stride) {}

  int64_t pixels() const { return shape[0] * shape[1] * shape[2]; }
  int64_t channels() const { return shape[3]; }

  int index;
  Shape shape;
  int64_t stride;
};

class FloatExecutable : public Executable {
 public:
  FloatExecutable(const Program& program, const Instruction& instruction)
      : in_(program, instruction.inputs[0]), out_(program, instruction.output) {}

  std::string Describe() const override {
    return "channels of " + std::to_string(in_.stride) + " to " + std::to_string(out_.stride);
  }

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
          std::memcpy(output + i * out_.stride, input + i * in_.stride,
                      static_cast<size_t>(in_.channels()) * sizeof(float));
        } else {
          kernels_.affine(input + i * in_.stride, constants_.multiplier.data(), constants_.addend.data(), range_.low,
                          range_.high, in_.channels(), output + i * out_.stride);
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
        kernels_.add(input + i * in_.stride, other + i * other_.stride, range_.low, range_.high, out_.channels(),
                     output + i * out_.stride);
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
          std::memcpy(output + i * out_.stride + channel, input + i * part.stride,
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
          float* target = output + (row * out_.shape[2] + x) * out_.stride;
          if (y < 0 || y >= in_.shape[1] || in_x < 0 || in_x >= in_.shape[2]) {
            std::fill(target, target + out_.channels(), value_);
          } else {
            const int64_t pixel = (row / out_.shape[1] * in_.shape[1] + y) * in_.shape[2] + in_x;
            std::fill(target, target + before_, value_);
            std::memcpy(target + before_, input + pixel * in_.stride,
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

class MaxPool : public FloatExecutable {
 public:
  MaxPool(const Program& program, const Instruction& instruction, const Kernels& kernels)
      : FloatExecutable(program, instruction),
        kernels_(kernels),
        instruction_(instruction),
        constants_(instruction, in_.channels()),
        has_affine_(!instruction.multiplier.empty() || !instruction.addend.empty()),
        before_(RangeOf(instruction.affine_activation)),
        after_(RangeOf(instruction.options.activation)),
        ones_(static_cast<size_t>(in_.channels()), 1.0f),
        zeros_(static_cast<size_t>(in_.channels()), -0.0f) {}

  void Run(const RunContext& context) const override {
    context.Parallel(out_.shape[0] * out_.shape[1], 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        for (int64_t x = 0; x < out_.shape[2]; ++x) ComputePixel(context, row, x);
      }
    });
  }

 private:
  void ComputePixel(const RunContext& context, int64_t row, int64_t x) const {
    const Options& options = instruction_.options;
    const Border& border = instruction_.border;
    const int64_t channels = in_.channels();
    const int64_t top = row % out_.shape[1] * options.stride_height - instruction_.window.pad_top;
    const int64_t left = x * options.stride_width - instruction_.window.pad_left;
    const float* image = Input(context) + row / out_.shape[1] * in_.shape[1] * in_.shape[2] * in_.stride;
    float* output = Output(context) + (row * out_.shape[2] + x) * out_.stride;
    // Within the added border all elements are one value; SAME padding beyond it takes no part.
    const int64_t first_y = std::max(top, -border.top);
    const int64_t last_y = std::min(top + options.filter_height, in_.shape[1] + border.bottom);
    const int64_t first_x = std::max(left, -border.left);
    const int64_t last_x = std::min(left + options.filter_width, in_.shape[2] + border.right);
    const bool meets_border = first_y < 0 || first_x < 0 || last_y > in_.shape[1] || last_x > in_.shape[2];
    std::fill(output, output + channels, meets_border ? instruction_.border_value : Range().low);
    for (int64_t in_y = std::max<int64_t>(first_y, 0); in_y < std::min(last_y, in_.shape[1]); ++in_y) {
      for (int64_t in_x = std::max<int64_t>(first_x, 0); in_x < std::min(last_x, in_.shape[2]); ++in_x) {
        const float* pixel = image + (in_y * in_.shape[2] + in_x) * in_.stride;
        if (has_affine_) {
          kernels_.max_affine(pixel, constants_.multiplier.data(), constants_.addend.data(), before_.low, before_.high,
                              channels, output);
        } else {
          kernels_.max(pixel, channels, output);
        }
      }
    }
    if (instruction_.options.activation != Activation::kNone) {
      kernels_.affine(output, ones_.data(), zeros_.data(), after_.low, after_.high, channels, output);
    }
  }

  const Kernels& kernels_;
  Instruction instruction_;
  AffineConstants constants_;
  bool has_affine_;
  Range before_;
  Range after_;
  std::vector<float> ones_;
  std::vector<float> zeros_;
};

class Conv : public FloatExecutable {
 public:
  Conv(const Program& program, const Instruction& instruction, const Kernels& kernels)
      : FloatExecutable(program, instruction),
        kernels_(kernels),
        window_(instruction.window),
        groups_(instruction.groups),
        group_channels_in_(instruction.float_conv->group_channels_in),
        bias_(instruction.float_conv->bias),
        range_(RangeOf(instruction.options.activation)),
        weights_(instruction.float_conv->filter.size()) {
    const ConvConstants& conv = *instruction.float_conv;
    const int64_t taps = conv.filter_height * conv.filter_width * group_channels_in_;
    for (int64_t c = 0; c < conv.channels_out; ++c) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        weights_[static_cast<size_t>((c / 8 * taps + tap) * 8 + c % 8)] =
            conv.filter[static_cast<size_t>(c * taps + tap)];
      }
    }
  }

  void Run(const RunContext& context) const override {
    context.Parallel(out_.shape[0] * out_.shape[1], 2, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) ComputeRow(context, row);
    });
  }

  std::string Describe() const override {
    return std::string(kernels_.name) + ", " + std::to_string(groups_) + " groups";
  }

 private:
  void ComputeRow(const RunContext& context, int64_t row) const {
    const int64_t row_floats = in_.shape[2] * in_.stride;
    ConvRowArguments arguments = {};
    for (int64_t i = 0; i < 3; ++i) {
      const int64_t y = row % out_.shape[1] - window_.pad_top + i;
      if (y < 0 || y >= in_.shape[1]) continue;
      arguments.rows[i] = Input(context) + (row / out_.shape[1] * in_.shape[1] + y) * row_floats;
    }
    arguments.width_in = in_.shape[2];
    arguments.channels_in = in_.stride;
    arguments.group_channels_in = group_channels_in_;
    arguments.blocks = out_.channels() / 8;
    arguments.group_blocks = arguments.blocks / groups_;
    arguments.weights = weights_.data();
    arguments.bias = bias_.data();
    arguments.low = range_.low;
    arguments.high = range_.high;
    arguments.width_out = out_.shape[2];
    arguments.pad_left = window_.pad_left;
    arguments.output = Output(context) + row * out_.shape[2] * out_.stride;
    arguments.output_stride = out_.stride;
    kernels_.conv_row(arguments);
  }

  const Kernels& kernels_;
  Window window_;
  int64_t groups_;
  int64_t group_channels_in_;
  std::vector<float> bias_;
  Range range_;
  AlignedBuffer<float> weights_;
};

}  // namespace

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

std::unique_ptr<Executable> MakeConv(const Program& program, const Instruction& instruction, const Kernels& kernels) {
  return std::make_unique<Conv>(program, instruction, kernels);
}

}  // namespace larq_melius

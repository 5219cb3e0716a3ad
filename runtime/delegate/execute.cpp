#include "execute.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "binary_conv.h"

namespace larq_melius {
namespace {

int64_t Rows(const Shape& shape) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

int64_t ElementBytes(Type type) { return type == Type::kFloat32 || type == Type::kInt32 ? 4 : 1; }

class Pack : public Executable {
 public:
  Pack(const Program& program, const Instruction& instruction, const Kernels& kernels)
      : kernels_(kernels), input_(instruction.inputs[0]), output_(instruction.output) {
    const Value& input = program.values.at(input_);
    type_ = input.type;
    // LCE packs a bool as if false were negative.
    zero_point_ = type_ == Type::kBool ? 1 : input.zero_point;
    channels_ = input.shape.back();
    rows_ = Rows(input.shape);
  }

  void Run(const RunContext& context) const override {
    const int64_t words = WordCount(channels_);
    uint32_t* output = context.value<uint32_t>(output_);
    context.Parallel(rows_, 256, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        if (type_ == Type::kFloat32) {
          kernels_.pack_floats(context.value<const float>(input_) + row * channels_, channels_, output + row * words);
        } else {
          kernels_.pack_bytes(context.value<const int8_t>(input_) + row * channels_, zero_point_, channels_,
                              output + row * words);
        }
      }
    });
  }

  std::string Describe() const override { return kernels_.name; }

 private:
  const Kernels& kernels_;
  int input_;
  int output_;
  Type type_;
  int zero_point_;
  int64_t channels_;
  int64_t rows_;
};

class Unpack : public Executable {
 public:
  Unpack(const Program& program, const Instruction& instruction)
      : input_(instruction.inputs[0]), output_(instruction.output), channels_(instruction.channels) {
    const Value& output = program.values.at(output_);
    type_ = output.type;
    rows_ = Rows(output.shape);
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
            context.value<float>(output_)[row * channels_ + c] = value;
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
    const uint32_t* image = context.value<const uint32_t>(instruction_.inputs[0]) +
                            row / out_[1] * in_[1] * in_[2] * words;
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

std::unique_ptr<Executable> MakeExecutable(const Program& program, const Instruction& instruction,
                                           const Kernels& kernels) {
  switch (instruction.kind) {
    case InstructionKind::kPack: return std::make_unique<Pack>(program, instruction, kernels);
    case InstructionKind::kUnpack: return std::make_unique<Unpack>(program, instruction);
    case InstructionKind::kBinaryConv: return MakeBinaryConv(program, instruction, kernels);
    case InstructionKind::kBinaryMaxPool: return std::make_unique<BinaryMaxPool>(program, instruction);
  }
  throw Error("an instruction is unknown");
}

CompiledProgram::CompiledProgram(Program program, const Kernels& kernels) : program_(std::move(program)) {
  const int count = static_cast<int>(program_.instructions.size());
  std::vector<BufferRequest> requests;
  std::map<int, size_t> request_of_value;
  for (int i = 0; i < count; ++i) {
    const Instruction& instruction = program_.instructions[static_cast<size_t>(i)];
    executables_.push_back(MakeExecutable(program_, instruction, kernels));
    requests.push_back({executables_.back()->scratch_bytes(), i, i});
    const Value& output = program_.values.at(instruction.output);
    if (output.external()) continue;
    request_of_value[instruction.output] = requests.size();
    requests.push_back({ElementCount(output.shape) * ElementBytes(output.type), i, i});
  }
  for (int i = 0; i < count; ++i) {
    for (int input : program_.instructions[static_cast<size_t>(i)].inputs) {
      const auto found = request_of_value.find(input);
      if (found != request_of_value.end()) requests[found->second].last = i;
    }
  }
  const MemoryPlan plan = PlanMemory(requests);
  for (const auto& [value, request] : request_of_value) value_offsets_[value] = plan.offsets[request];
  size_t request = 0;
  for (const Instruction& instruction : program_.instructions) {
    scratch_offsets_.push_back(plan.offsets[request]);
    request += program_.values.at(instruction.output).external() ? 1 : 2;
  }
  memory_ = AlignedBuffer<uint8_t>(static_cast<size_t>(plan.bytes));
}

void CompiledProgram::Run(ThreadPool& pool, int threads, const std::map<int, void*>& external) {
  RunContext context(pool, threads);
  for (const auto& [value, data] : external) context.SetValue(value, data);
  for (const auto& [value, offset] : value_offsets_) context.SetValue(value, memory_.data() + offset);
  for (size_t i = 0; i < executables_.size(); ++i) {
    if (ElementCount(program_.values.at(program_.instructions[i].output).shape) == 0) continue;
    context.SetScratch(memory_.data() + scratch_offsets_[i]);
    executables_[i]->Run(context);
  }
}

std::string CompiledProgram::Dump() const {
  const auto describe = [&](int index) {
    const Value& value = program_.values.at(index);
    std::string text = "%" + std::to_string(index) + " " + Name(value.type) + " " + ToString(value.shape);
    const auto found = value_offsets_.find(index);
    return text + (found == value_offsets_.end() ? " external" : " @" + std::to_string(found->second));
  };
  std::string text = "program: " + std::to_string(program_.instructions.size()) + " instructions, " +
                     std::to_string(memory_.size()) + " bytes\n";
  for (size_t i = 0; i < executables_.size(); ++i) {
    const Instruction& instruction = program_.instructions[i];
    text += "  " + describe(instruction.output) + " = " + Name(instruction.kind) + "(";
    for (int input : instruction.inputs) text += (input == instruction.inputs[0] ? "" : ", ") + describe(input);
    text += ") [" + executables_[i]->Describe() + "]\n";
  }
  return text;
}

}  // namespace larq_melius

#include "signs.h"

#include <algorithm>

namespace larq_melius {
namespace {

class SignMover {
 public:
  explicit SignMover(Program& program) : program_(program) {
    for (const Instruction& instruction : program.instructions) producers_[instruction.output] = &instruction;
    next_ = program.values.empty() ? 0 : program.values.rbegin()->first + 1;
  }

  void Run() {
    std::vector<Instruction> instructions;
    for (const Instruction& instruction : program_.instructions) {
      if (!IsComparison(instruction)) {
        instructions.push_back(instruction);
      } else if (const std::vector<int> parts = PartsOf(instruction.inputs[0]); CanSplit(instruction, parts)) {
        Split(instruction, parts, instructions);
      } else {
        Take(instruction, instructions);
      }
    }
    for (Instruction& instruction : instructions) {
      const auto signs = signs_.find(instruction.output);
      if (signs != signs_.end()) instruction.signs = signs->second;
    }
    program_.instructions = std::move(instructions);
  }

 private:
  bool IsComparison(const Instruction& instruction) const {
    return instruction.kind == InstructionKind::kPack && instruction.comparison != nullptr &&
           !program_.values.at(instruction.output).external_output;
  }

  const Instruction* Producer(int value) const {
    const auto found = producers_.find(value);
    return found == producers_.end() ? nullptr : found->second;
  }

  // Of concatenations, and of concatenations within those; of other values, the value.
  std::vector<int> PartsOf(int value) const {
    const Instruction* producer = Producer(value);
    if (producer == nullptr || producer->kind != InstructionKind::kConcatenate) return {value};
    std::vector<int> parts;
    for (int input : producer->inputs) {
      const std::vector<int> inner = PartsOf(input);
      parts.insert(parts.end(), inner.begin(), inner.end());
    }
    return parts;
  }

  int64_t Channels(int value) const { return program_.values.at(value).shape.back(); }

  bool MakesSigns(int value) const {
    const Instruction* producer = Producer(value);
    return producer != nullptr && producer->kind == InstructionKind::kBinaryConv &&
           program_.values.at(value).type == Type::kFloat32;
  }

  // Whether each part fills whole words, and some producer makes signs. Only binary convolutions read the bits: others
  // would have to know where in a buffer they lie.
  bool CanSplit(const Instruction& pack, const std::vector<int>& parts) const {
    if (parts.size() < 2 || std::none_of(parts.begin(), parts.end(), [&](int part) { return MakesSigns(part); })) {
      return false;
    }
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      if (Channels(parts[i]) % kWordBits != 0) return false;
    }
    return std::all_of(program_.instructions.begin(), program_.instructions.end(), [&](const Instruction& reader) {
      return reader.kind == InstructionKind::kBinaryConv ||
             std::find(reader.inputs.begin(), reader.inputs.end(), pack.output) == reader.inputs.end();
    });
  }

  void Split(const Instruction& pack, const std::vector<int>& parts, std::vector<Instruction>& instructions) {
    Instruction concatenate;
    concatenate.kind = InstructionKind::kConcatenate;
    concatenate.output = pack.output;
    int64_t first = 0;
    for (int part : parts) {
      const int64_t channels = Channels(part);
      Instruction sign = pack;
      sign.inputs = {part};
      sign.output = next_++;
      sign.comparison = Slice(*pack.comparison, first, channels);
      Value& value = program_.values[sign.output];
      value.type = Type::kInt32;
      value.shape = program_.values.at(part).shape;
      value.shape.back() = WordCount(channels);
      concatenate.inputs.push_back(sign.output);
      Take(sign, instructions);
      first += channels;
    }
    instructions.push_back(std::move(concatenate));
  }

  static std::shared_ptr<const Comparison> Slice(const Comparison& comparison, int64_t first, int64_t channels) {
    auto slice = std::make_shared<Comparison>(static_cast<size_t>(channels));
    std::copy_n(comparison.flips.data() + first, channels, slice->flips.data());
    std::copy_n(comparison.thresholds.data() + first, channels, slice->thresholds.data());
    return slice;
  }

  // Leaves the comparison to the producer if that makes signs, or else to the first one of the same numbers.
  void Take(const Instruction& pack, std::vector<Instruction>& instructions) {
    const int value = pack.inputs[0];
    if (MakesSigns(value)) {
      signs_[value].push_back({pack.output, pack.comparison});
    } else if (const auto first = first_comparisons_.find(value); first != first_comparisons_.end()) {
      signs_[first->second].push_back({pack.output, pack.comparison});
    } else {
      first_comparisons_[value] = pack.output;
      instructions.push_back(pack);
    }
  }

  Program& program_;
  std::map<int, const Instruction*> producers_;     // of each value
  std::map<int, int> first_comparisons_;          // of each value that is compared, what the first comparison makes
  std::map<int, std::vector<SignOutput>> signs_;  // of what an instruction makes, those that it is to make, too
  int next_;
};

}  // namespace

void MoveSignsToProducers(Program& program) { SignMover(program).Run(); }

}  // namespace larq_melius

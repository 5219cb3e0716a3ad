#include "parts.h"

#include <algorithm>
#include <set>

namespace larq_melius {
namespace {

// What makes and what reads the values of a program, as long as it stays as it is.
class Links {
 public:
  explicit Links(const Program& program) : program_(program) {
    for (const Instruction& instruction : program.instructions) {
      producers_[instruction.output] = &instruction;
      for (int input : instruction.inputs) readers_[input].push_back(&instruction);
    }
  }

  const Instruction* Producer(int value) const {
    const auto found = producers_.find(value);
    return found == producers_.end() ? nullptr : found->second;
  }

  const std::vector<const Instruction*>& Readers(int value) const {
    static const std::vector<const Instruction*> kNone;
    const auto found = readers_.find(value);
    return found == readers_.end() ? kNone : found->second;
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

 private:
  const Program& program_;
  std::map<int, const Instruction*> producers_;
  std::map<int, std::vector<const Instruction*>> readers_;
};

// A value of the program's own.
int AddValue(Program& program, Type type, const Shape& shape) {
  const int index = program.values.empty() ? 0 : program.values.rbegin()->first + 1;
  Value& value = program.values[index];
  value.type = type;
  value.shape = shape;
  return index;
}

Instruction Concatenate(std::vector<int> parts, int output) {
  Instruction concatenate;
  concatenate.kind = InstructionKind::kConcatenate;
  concatenate.inputs = std::move(parts);
  concatenate.output = output;
  return concatenate;
}

// Concatenations that nothing reads any more.
void RemoveUnusedConcatenations(Program& program) {
  std::set<int> read;
  std::vector<Instruction> kept;
  for (auto instruction = program.instructions.rbegin(); instruction != program.instructions.rend(); ++instruction) {
    const int output = instruction->output;
    if (instruction->kind == InstructionKind::kConcatenate && read.count(output) == 0 &&
        !program.values.at(output).external_output) {
      program.values.erase(output);
      continue;
    }
    read.insert(instruction->inputs.begin(), instruction->inputs.end());
    kept.push_back(std::move(*instruction));
  }
  std::reverse(kept.begin(), kept.end());
  program.instructions = std::move(kept);
}

class SignMover {
 public:
  explicit SignMover(Program& program) : program_(program), links_(program) {}

  void Run() {
    std::vector<Instruction> instructions;
    for (const Instruction& instruction : program_.instructions) {
      if (!IsComparison(instruction)) {
        instructions.push_back(instruction);
      } else if (const std::vector<int> parts = links_.PartsOf(instruction.inputs[0]); CanSplit(instruction, parts)) {
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

  bool MakesSigns(int value) const {
    const Instruction* producer = links_.Producer(value);
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
      if (links_.Channels(parts[i]) % kWordBits != 0) return false;
    }
    const std::vector<const Instruction*>& readers = links_.Readers(pack.output);
    return std::all_of(readers.begin(), readers.end(),
                       [](const Instruction* reader) { return reader->kind == InstructionKind::kBinaryConv; });
  }

  void Split(const Instruction& pack, const std::vector<int>& parts, std::vector<Instruction>& instructions) {
    std::vector<int> outputs;
    int64_t first = 0;
    for (int part : parts) {
      const int64_t channels = links_.Channels(part);
      Shape shape = program_.values.at(part).shape;
      shape.back() = WordCount(channels);
      Instruction sign = pack;
      sign.inputs = {part};
      sign.output = AddValue(program_, Type::kInt32, shape);
      sign.comparison = Slice(*pack.comparison, first, channels);
      outputs.push_back(sign.output);
      Take(sign, instructions);
      first += channels;
    }
    instructions.push_back(Concatenate(std::move(outputs), pack.output));
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
  Links links_;
  std::map<int, int> first_comparisons_;          // of each value that is compared, what the first comparison makes
  std::map<int, std::vector<SignOutput>> signs_;  // of what an instruction makes, those that it is to make, too
};

std::vector<float> Slice(const std::vector<float>& values, int64_t first, int64_t count) {
  if (values.empty()) return {};
  return std::vector<float>(values.begin() + first, values.begin() + first + count);
}

// Whether it is a max pool, the only reader of a concatenation of maps that this program makes.
bool CanSplitPool(const Program& program, const Links& links, const Instruction& pool, const std::vector<int>& parts) {
  if (pool.kind != InstructionKind::kMaxPool || parts.size() < 2) return false;
  const int whole = pool.inputs[0];
  return links.Readers(whole).size() == 1 && !program.values.at(whole).external_output;
}

}  // namespace

void MoveSignsToParts(Program& program) {
  SignMover(program).Run();
  RemoveUnusedConcatenations(program);
}

void MovePoolsToParts(Program& program) {
  const Links links(program);
  std::map<int, std::vector<Instruction>> pools;  // of each part
  std::vector<Instruction> instructions;
  for (const Instruction& instruction : program.instructions) {
    const std::vector<int> parts = links.PartsOf(instruction.inputs[0]);
    if (!CanSplitPool(program, links, instruction, parts)) {
      instructions.push_back(instruction);
      continue;
    }
    std::vector<int> outputs;
    int64_t first = 0;
    for (int part : parts) {
      const int64_t channels = links.Channels(part);
      Instruction pool = instruction;
      pool.inputs = {part};
      pool.output = AddValue(program, Type::kFloat32, program.values.at(part).shape);
      pool.multiplier = Slice(instruction.multiplier, first, channels);
      pool.addend = Slice(instruction.addend, first, channels);
      outputs.push_back(pool.output);
      pools[part].push_back(std::move(pool));
      first += channels;
    }
    instructions.push_back(Concatenate(std::move(outputs), instruction.output));
  }
  // Those of the program's inputs come first.
  std::vector<Instruction> ordered;
  for (auto& [part, of_part] : pools) {
    if (links.Producer(part) == nullptr) std::move(of_part.begin(), of_part.end(), std::back_inserter(ordered));
  }
  for (Instruction& instruction : instructions) {
    const int output = instruction.output;
    ordered.push_back(std::move(instruction));
    const auto of_part = pools.find(output);
    if (of_part != pools.end()) std::move(of_part->second.begin(), of_part->second.end(), std::back_inserter(ordered));
  }
  program.instructions = std::move(ordered);
  RemoveUnusedConcatenations(program);
}

}  // namespace larq_melius

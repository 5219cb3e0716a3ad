#include "fuse.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "float_conv.h"
#include "float_mode.h"

namespace larq_melius {
namespace {

// Floats in the order of these integers.
float FromOrder(int64_t order) {
  const uint32_t bits = order >= 0 ? static_cast<uint32_t>(order) : 0x80000000u | static_cast<uint32_t>(-order);
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

constexpr int64_t kLargestFiniteOrder = 0x7f7fffff;

// The smallest x for which x * multiplier + addend is not negative, with a multiplier that is not negative.
float FindThreshold(float multiplier, float addend) {
  const auto is_negative = [&](int64_t order) {
    // Stored, so that no compiler keeps more digits than a float has.
    const volatile float product = FromOrder(order) * multiplier;
    const volatile float sum = product + addend;
    return sum < 0.0f;
  };
  if (!is_negative(-kLargestFiniteOrder)) return -std::numeric_limits<float>::infinity();
  if (is_negative(kLargestFiniteOrder)) return std::numeric_limits<float>::infinity();
  int64_t negative = -kLargestFiniteOrder;
  int64_t other = kLargestFiniteOrder;
  while (other - negative > 1) {
    const int64_t middle = negative + (other - negative) / 2;
    (is_negative(middle) ? negative : other) = middle;
  }
  return FromOrder(other);
}

// What reads a value, as long as the program stays as it is.
class Uses {
 public:
  explicit Uses(const Program& program) {
    for (const Instruction& instruction : program.instructions) {
      for (int input : instruction.inputs) ++counts_[input];
    }
    for (const auto& [index, value] : program.values) counts_[index] += value.external_output ? 1 : 0;
  }

  bool Once(int index) const {
    const auto found = counts_.find(index);
    return found != counts_.end() && found->second == 1;
  }

 private:
  std::map<int, int> counts_;
};

Instruction* Producer(Program& program, int value) {
  for (Instruction& instruction : program.instructions) {
    if (instruction.output == value) return &instruction;
  }
  return nullptr;
}

// Removes the instructions that make these values, and the values.
void Remove(Program& program, const std::vector<int>& values) {
  const auto is_gone = [&](const Instruction& instruction) {
    return std::find(values.begin(), values.end(), instruction.output) != values.end();
  };
  program.instructions.erase(std::remove_if(program.instructions.begin(), program.instructions.end(), is_gone),
                             program.instructions.end());
  for (int index : values) program.values.erase(index);
}

// Calls `fuse(consumer, producer)` for every instruction whose first input another one makes for it alone. Where it
// returns true, the producer has become a part of the consumer.
template <typename Function>
void FuseIntoConsumers(Program& program, const Function& fuse) {
  const Uses uses(program);
  std::vector<int> gone;
  for (Instruction& consumer : program.instructions) {
    if (!uses.Once(consumer.inputs[0])) continue;
    Instruction* producer = Producer(program, consumer.inputs[0]);
    if (producer == nullptr || !fuse(consumer, *producer)) continue;
    gone.push_back(producer->output);
    consumer.inputs[0] = producer->inputs[0];
  }
  Remove(program, gone);
}

bool HasBorder(const Instruction& instruction) {
  const Border& border = instruction.border;
  return border.top != 0 || border.bottom != 0 || border.left != 0 || border.right != 0;
}

bool AddsChannels(const Instruction& pad) { return pad.channels_before != 0 || pad.channels_behind != 0; }

bool MergeMultiplyAdd(Instruction& add, const Instruction& multiply) {
  if (add.kind != InstructionKind::kAffine || !add.multiplier.empty()) return false;
  if (multiply.kind != InstructionKind::kAffine || !multiply.addend.empty()) return false;
  if (multiply.options.activation != Activation::kNone) return false;
  add.multiplier = multiply.multiplier;
  return true;
}

bool AffineIntoPack(Instruction& pack, const Instruction& affine) {
  if (pack.kind != InstructionKind::kPack || pack.comparison != nullptr) return false;
  if (affine.kind != InstructionKind::kAffine || affine.options.activation != Activation::kNone) return false;
  pack.comparison = std::make_shared<Comparison>(MakeComparison(affine.multiplier, affine.addend));
  return true;
}

bool ShuffleIntoPointwiseConv(Instruction& conv, const Instruction& shuffle) {
  if (conv.kind != InstructionKind::kPointwiseConv || shuffle.kind != InstructionKind::kShuffle) return false;
  if (!conv.target.empty() || shuffle.shuffled_groups > kMaxShuffledGroups) return false;
  // Each group of the convolution takes as many channels of each that is shuffled.
  if (conv.float_conv->group_channels_in % shuffle.shuffled_groups != 0) return false;
  conv.shuffled_groups = shuffle.shuffled_groups;
  conv.target = shuffle.target;
  return true;
}

bool AffineIntoMaxPool(Instruction& pool, const Instruction& affine) {
  if (pool.kind != InstructionKind::kMaxPool || !pool.multiplier.empty() || !pool.addend.empty()) return false;
  // Its border would have to be added after the affine map.
  if (affine.kind != InstructionKind::kAffine || HasBorder(pool)) return false;
  pool.multiplier = affine.multiplier;
  pool.addend = affine.addend;
  pool.affine_activation = affine.options.activation;
  return true;
}

bool BorderIntoMaxPool(Instruction& pool, const Instruction& pad) {
  if (pool.kind != InstructionKind::kMaxPool || pad.kind != InstructionKind::kPad || AddsChannels(pad)) return false;
  if (pool.options.padding != Padding::kValid || !pool.multiplier.empty() || !pool.addend.empty()) return false;
  pool.border = pad.border;
  pool.border_value = pad.border_value;
  return true;
}

bool BorderIntoConv(Instruction& conv, const Instruction& pad) {
  if (conv.kind != InstructionKind::kConv || pad.kind != InstructionKind::kPad || AddsChannels(pad)) return false;
  if (conv.options.padding != Padding::kValid || pad.border_value != 0.0f) return false;
  conv.border = pad.border;
  return true;
}

// A border of numbers that are not negative is a border of zero bits.
bool BorderIntoPack(Instruction& pack, const Instruction& pad) {
  if (pack.kind != InstructionKind::kPack || pad.kind != InstructionKind::kPad || AddsChannels(pad)) return false;
  if (pack.comparison != nullptr || !(pad.border_value >= 0)) return false;
  pack.border = pad.border;
  return true;
}

// The border that a sign took over, to the convolutions that read it. All of them must be able to.
void MoveBordersIntoBinaryConvs(Program& program) {
  for (Instruction& pack : program.instructions) {
    if (pack.kind != InstructionKind::kPack || !HasBorder(pack)) continue;
    for (Instruction& conv : program.instructions) {
      if (conv.inputs[0] == pack.output) conv.border = pack.border;
    }
    pack.border = {};
  }
}

// Whether only binary convolutions that add no padding themselves read the sign of this border.
bool OnlyPlainConvsRead(const Program& program, int value) {
  if (program.values.at(value).external_output) return false;
  for (const Instruction& reader : program.instructions) {
    if (std::find(reader.inputs.begin(), reader.inputs.end(), value) == reader.inputs.end()) continue;
    if (reader.kind != InstructionKind::kBinaryConv || reader.options.padding != Padding::kValid) return false;
  }
  return true;
}

// A channel shuffle as converters write it: channels as groups of them, transposed, and as channels again.
void FuseShuffles(Program& program) {
  const Uses uses(program);
  std::vector<int> gone;
  for (Instruction& last : program.instructions) {
    if (last.kind != InstructionKind::kReshape || last.target.size() != 4 || !uses.Once(last.inputs[0])) continue;
    const Instruction* transpose = Producer(program, last.inputs[0]);
    if (transpose == nullptr || transpose->kind != InstructionKind::kTranspose) continue;
    const Instruction* first = Producer(program, transpose->inputs[0]);
    if (first == nullptr || first->kind != InstructionKind::kReshape || !uses.Once(first->output)) continue;
    gone.insert(gone.end(), {first->output, transpose->output});
    last.kind = InstructionKind::kShuffle;
    last.shuffled_groups = first->target[1];
    last.inputs = first->inputs;
  }
  Remove(program, gone);
}

// The zeros that a padding adds before a map's channels, to a map of the same channels that ends with as many as it:
// concatenate(a, b) + pad(y) becomes concatenate(a, b + y). What is added to `a` could at most make +0 of -0, which are
// equal, and neither of which is negative.
void MovePaddedAdditionsIntoParts(Program& program) {
  const Uses uses(program);
  std::vector<Instruction> instructions;
  std::vector<int> gone;
  int next = program.values.empty() ? 0 : program.values.rbegin()->first + 1;
  for (const Instruction& add : program.instructions) {
    instructions.push_back(add);
    if (add.kind != InstructionKind::kAdd || add.options.activation != Activation::kNone) continue;
    for (size_t side : {size_t{0}, size_t{1}}) {
      const Instruction* pad = Producer(program, add.inputs[side]);
      const Instruction* whole = Producer(program, add.inputs[1 - side]);
      if (pad == nullptr || pad->kind != InstructionKind::kPad || HasBorder(*pad) || pad->border_value != 0.0f)
        continue;
      if (whole == nullptr || whole->kind != InstructionKind::kConcatenate || !uses.Once(pad->output)) continue;
      const Shape& padded = program.values.at(pad->inputs[0]).shape;
      if (pad->channels_behind != 0 || padded != program.values.at(whole->inputs.back()).shape) continue;
      Instruction part = add;
      part.inputs = {whole->inputs.back(), pad->inputs[0]};
      part.output = next++;
      program.values[part.output] = program.values.at(part.inputs[0]);
      program.values[part.output].external_input = program.values[part.output].external_output = false;
      Instruction concatenate = *whole;
      concatenate.inputs.back() = part.output;
      concatenate.output = add.output;
      gone.push_back(pad->output);
      instructions.back() = part;
      instructions.push_back(concatenate);
      break;
    }
  }
  instructions.erase(std::remove_if(instructions.begin(), instructions.end(),
                                    [&](const Instruction& instruction) {
                                      return std::find(gone.begin(), gone.end(), instruction.output) != gone.end();
                                    }),
                     instructions.end());
  program.instructions = std::move(instructions);
  for (int index : gone) program.values.erase(index);
}

// The convolution moves to where the addition was: by then the other summand is there.
void FuseAdditionsIntoBinaryConvs(Program& program) {
  const Uses uses(program);
  std::vector<int> gone;
  for (Instruction& add : program.instructions) {
    if (add.kind != InstructionKind::kAdd || add.options.activation != Activation::kNone) continue;
    for (size_t side : {size_t{0}, size_t{1}}) {
      const int summand = add.inputs[side];
      const int other = add.inputs[1 - side];
      const Instruction* conv = Producer(program, summand);
      if (conv == nullptr || conv->kind != InstructionKind::kBinaryConv || conv->inputs.size() != 1) continue;
      if (!uses.Once(summand) || std::find(gone.begin(), gone.end(), summand) != gone.end()) continue;
      gone.push_back(summand);
      Instruction fused = *conv;
      fused.inputs.push_back(other);
      fused.output = add.output;
      add = std::move(fused);
      break;
    }
  }
  Remove(program, gone);
}

}  // namespace

Comparison MakeComparison(const std::vector<float>& multiplier, const std::vector<float>& addend) {
  const ScopedFlushDenormals mode;
  const size_t channels = std::max(multiplier.size(), addend.size());
  Comparison comparison(channels);
  for (size_t c = 0; c < channels; ++c) {
    const float factor = multiplier.empty() ? 1.0f : multiplier[c];
    const float term = addend.empty() ? 0.0f : addend[c];
    // With a negative factor the decision is that of a positive one for -x.
    const bool flip = std::signbit(factor);
    comparison.flips[c] = flip ? 0x80000000u : 0;
    comparison.thresholds[c] = FindThreshold(flip ? -factor : factor, term);
  }
  return comparison;
}

void Fuse(Program& program) {
  FuseIntoConsumers(program, MergeMultiplyAdd);
  FuseIntoConsumers(program, AffineIntoPack);
  FuseIntoConsumers(program, BorderIntoMaxPool);
  FuseIntoConsumers(program, BorderIntoConv);
  FuseShuffles(program);
  FuseIntoConsumers(program, ShuffleIntoPointwiseConv);
  FuseIntoConsumers(program, AffineIntoMaxPool);
  FuseIntoConsumers(program, [&](Instruction& pack, const Instruction& pad) {
    return pack.kind == InstructionKind::kPack && OnlyPlainConvsRead(program, pack.output) && BorderIntoPack(pack, pad);
  });
  MoveBordersIntoBinaryConvs(program);
  MovePaddedAdditionsIntoParts(program);
  FuseAdditionsIntoBinaryConvs(program);
}

}  // namespace larq_melius

// Comparisons and max pools move to where the parts of a concatenation are made.
#include "parts.h"

#include "check.h"
#include "instructions.h"

using namespace larq_melius;

namespace {

Value Map(Type type, int64_t channels) {
  Value value;
  value.type = type;
  value.shape = {1, 4, 4, channels};
  return value;
}

Instruction Compare(int64_t channels, int input, int output) {
  Instruction pack = Make(InstructionKind::kPack, {input}, output);
  auto comparison = std::make_shared<Comparison>(static_cast<size_t>(channels));
  for (int64_t c = 0; c < channels; ++c) {
    comparison->thresholds[static_cast<size_t>(c)] = static_cast<float>(100 * output + c);
  }
  pack.comparison = comparison;
  return pack;
}

Instruction Conv(int input, int output) {
  Instruction conv = Make(InstructionKind::kBinaryConv, {input}, output);
  conv.conv = std::make_shared<BinaryConvConstants>();
  return conv;
}

// x 0, its sign 1, a convolution 2 to 64 channels, their concatenation 3, its sign 4, a convolution 5.
Program DenseStage(int64_t channels) {
  Program program;
  program.values[0] = Map(Type::kFloat32, channels);
  program.values[1] = Map(Type::kInt32, WordCount(channels));
  program.values[2] = Map(Type::kFloat32, 64);
  program.values[3] = Map(Type::kFloat32, channels + 64);
  program.values[4] = Map(Type::kInt32, WordCount(channels + 64));
  program.values[5] = Map(Type::kFloat32, 64);
  program.values[0].external_input = program.values[5].external_output = true;
  program.instructions = {Compare(channels, 0, 1), Conv(1, 2), Make(InstructionKind::kConcatenate, {0, 2}, 3),
                          Compare(channels + 64, 3, 4), Conv(4, 5)};
  return program;
}

void TestEachPartIsComparedWhereItIsMade() {
  Program program = DenseStage(32);
  MoveSignsToParts(program);
  // Nothing reads the concatenated numbers any more.
  CHECK(program.instructions.size() == 4 && program.values.count(3) == 0);
  const Instruction& pack = program.instructions[0];
  const Instruction& conv = program.instructions[1];
  const Instruction& words = program.instructions[2];
  CHECK(pack.kind == InstructionKind::kPack && pack.signs.size() == 1);
  CHECK(conv.kind == InstructionKind::kBinaryConv && conv.signs.size() == 1);
  CHECK(words.kind == InstructionKind::kConcatenate && words.output == 4);
  CHECK((words.inputs == std::vector<int>{pack.signs[0].output, conv.signs[0].output}));
  CHECK(pack.signs[0].comparison->thresholds.size() == 32 && pack.signs[0].comparison->thresholds[31] == 431.0f);
  CHECK(conv.signs[0].comparison->thresholds.size() == 64 && conv.signs[0].comparison->thresholds[0] == 432.0f);
  CHECK((program.values.at(pack.signs[0].output).shape == Shape{1, 4, 4, 1}));
  CHECK((program.values.at(conv.signs[0].output).shape == Shape{1, 4, 4, 2}));
}

void TestHalfWordsAreNotSplit() {
  Program program = DenseStage(16);
  MoveSignsToParts(program);
  CHECK(program.instructions.size() == 5);
  CHECK(program.instructions[1].signs.empty() && program.instructions[3].kind == InstructionKind::kPack);
}

void TestWhatOthersReadIsNotSplit() {
  for (int variant = 0; variant < 2; ++variant) {
    Program program = DenseStage(32);
    if (variant == 0) {
      program.values[4].external_output = true;
    } else {
      program.values[6] = Map(Type::kFloat32, 96);
      program.instructions.push_back(Make(InstructionKind::kUnpack, {4}, 6));
    }
    MoveSignsToParts(program);
    CHECK(program.instructions[3].kind == InstructionKind::kPack && program.instructions[3].output == 4);
  }
}

void TestSignsWithoutComparisonsStay() {
  Program program = DenseStage(32);
  program.instructions[3].comparison = nullptr;
  MoveSignsToParts(program);
  CHECK(program.instructions[1].signs.empty() && program.instructions[3].kind == InstructionKind::kPack);
}

// A max pool, with an affine map, of the concatenation.
Program PooledStage() {
  Program program = DenseStage(32);
  Instruction pool = Make(InstructionKind::kMaxPool, {3}, 6);
  for (int c = 0; c < 96; ++c) pool.multiplier.push_back(static_cast<float>(c));
  program.values[6] = Map(Type::kFloat32, 96);
  program.values[6].external_output = true;
  program.instructions.push_back(pool);
  return program;
}

void TestEachPartIsPooledWhereItIsMade() {
  Program program = PooledStage();
  MoveSignsToParts(program);
  MovePoolsToParts(program);
  const std::vector<Instruction>& instructions = program.instructions;
  // The pool of the input, the sign, the convolution, its pool, the words, the last convolution, the pooled map.
  CHECK(instructions.size() == 7 && program.values.count(3) == 0);
  const Instruction& first = instructions[0];
  const Instruction& second = instructions[3];
  CHECK(first.kind == InstructionKind::kMaxPool && first.inputs == std::vector<int>{0});
  CHECK(second.kind == InstructionKind::kMaxPool && second.inputs == std::vector<int>{2});
  CHECK(first.multiplier.size() == 32 && first.multiplier[31] == 31.0f && first.addend.empty());
  CHECK(second.multiplier.size() == 64 && second.multiplier[0] == 32.0f);
  CHECK(instructions[6].kind == InstructionKind::kConcatenate && instructions[6].output == 6);
  CHECK((instructions[6].inputs == std::vector<int>{first.output, second.output}));
}

void TestMapsThatOthersReadArePooledWhole() {
  Program program = PooledStage();
  MovePoolsToParts(program);  // the signs still read the map
  CHECK(program.instructions.back().kind == InstructionKind::kMaxPool);
  program = PooledStage();
  program.values[3].external_output = true;
  MoveSignsToParts(program);
  MovePoolsToParts(program);
  CHECK(program.instructions.back().kind == InstructionKind::kMaxPool);
}

}  // namespace

int main() {
  TestEachPartIsComparedWhereItIsMade();
  TestHalfWordsAreNotSplit();
  TestWhatOthersReadIsNotSplit();
  TestSignsWithoutComparisonsStay();
  TestEachPartIsPooledWhereItIsMade();
  TestMapsThatOthersReadArePooledWhole();
  return 0;
}

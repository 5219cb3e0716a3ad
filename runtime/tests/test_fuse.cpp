#include <cmath>
#include <cstring>
#include <limits>

#include "check.h"
#include "float_mode.h"
#include "fuse.h"
#include "instructions.h"

using namespace larq_melius;

namespace {

bool Compare(const Comparison& comparison, size_t c, float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  bits ^= comparison.flips[c];
  std::memcpy(&x, &bits, sizeof(bits));
  return x < comparison.thresholds[c];
}

bool IsNegative(float x, float multiplier, float addend) {
  volatile float product = x * multiplier;
  volatile float sum = product + addend;
  return sum < 0;
}

float Neighbor(float x, int64_t steps) {
  for (; steps > 0; --steps) x = std::nextafterf(x, std::numeric_limits<float>::max());
  for (; steps < 0; ++steps) x = std::nextafterf(x, std::numeric_limits<float>::lowest());
  return x;
}

// Batch norms of all kinds, and numbers on both sides of where their sign changes.
void TestComparisonsDecideAsTheFloatsDo() {
  const ScopedFlushDenormals mode;
  Random random(11);
  const std::vector<float> special = {0.0f,    -0.0f,  1.0f,  -1.0f,  1e-42f,
                                      -1e-42f, 1e-30f, 3e38f, -3e38f, 1.17549435e-38f};
  const auto number = [&] {
    if (random.Integer(0, 3) == 0) return special[static_cast<size_t>(random.Integer(0, 9))];
    return random.Float() * std::pow(10.0f, static_cast<float>(random.Integer(-3, 3)));
  };
  int64_t negative = 0;
  int64_t total = 0;
  for (int round = 0; round < 20000; ++round) {
    const float multiplier = number();
    // Often such that a whole number gives zero, or nearly so.
    const float addend =
        random.Integer(0, 1) == 0 ? number() : -multiplier * static_cast<float>(random.Integer(-600, 600));
    const Comparison comparison = MakeComparison({multiplier}, {addend});
    std::vector<float> values = special;
    for (int i = 0; i < 8; ++i) values.push_back(number());
    for (int64_t i = -3; i <= 3; ++i) {
      values.push_back(static_cast<float>(random.Integer(-600, 600)));
      const float zero = std::abs(multiplier) > 1e-30f ? -addend / multiplier : 0.0f;
      values.push_back(Neighbor(std::isfinite(zero) ? zero : 0.0f, i));
      values.push_back(Neighbor(std::isfinite(comparison.thresholds[0]) ? comparison.thresholds[0] : 1.0f, i));
      values.push_back(-values.back());
    }
    values.push_back(std::numeric_limits<float>::max());
    values.push_back(std::numeric_limits<float>::lowest());
    values.push_back(std::nanf(""));
    for (float x : values) {
      const bool expected = IsNegative(x, multiplier, addend);
      CHECK(Compare(comparison, 0, x) == expected);
      negative += expected ? 1 : 0;
      ++total;
    }
  }
  CHECK(negative > total / 4 && negative < total * 3 / 4);
}

void TestAbsentConstants() {
  const Comparison multiplied = MakeComparison({-2.0f, 0.0f}, {});
  CHECK(Compare(multiplied, 0, 1.0f) && !Compare(multiplied, 0, 0.0f) && !Compare(multiplied, 0, -1.0f));
  CHECK(!Compare(multiplied, 1, -1.0f) && !Compare(multiplied, 1, 1.0f));
  const Comparison added = MakeComparison({}, {-3.0f});
  CHECK(Compare(added, 0, 2.0f) && !Compare(added, 0, 3.0f));
}

Value Map(int64_t channels) {
  Value value;
  value.type = Type::kFloat32;
  value.shape = {1, 4, 4, channels};
  return value;
}

Instruction Affine(std::vector<float> multiplier, std::vector<float> addend, int input, int output) {
  Instruction instruction = Make(InstructionKind::kAffine, {input}, output);
  instruction.multiplier = std::move(multiplier);
  instruction.addend = std::move(addend);
  return instruction;
}

// x * m + a, its sign, and a convolution that is added to x.
Program DenseBlock() {
  Program program;
  for (int i = 0; i < 6; ++i) program.values[i] = Map(2);
  program.values[0].external_input = true;
  program.values[5].external_output = true;
  program.values[3].type = Type::kInt32;
  auto conv = std::make_shared<BinaryConvConstants>();
  Instruction convolution = Make(InstructionKind::kBinaryConv, {3}, 4);
  convolution.conv = conv;
  program.instructions = {Affine({2, 2}, {}, 0, 1), Affine({}, {1, 1}, 1, 2), Make(InstructionKind::kPack, {2}, 3),
                          convolution, Make(InstructionKind::kAdd, {0, 4}, 5)};
  return program;
}

void TestDenseBlockBecomesTwoInstructions() {
  Program program = DenseBlock();
  Fuse(program);
  CHECK(program.instructions.size() == 2);
  CHECK(program.instructions[0].kind == InstructionKind::kPack && program.instructions[0].comparison != nullptr);
  CHECK(program.instructions[0].inputs == std::vector<int>{0});
  CHECK(program.instructions[1].kind == InstructionKind::kBinaryConv);
  CHECK((program.instructions[1].inputs == std::vector<int>{3, 0}) && program.instructions[1].output == 5);
}

void TestWhatOthersReadIsKept() {
  Program program = DenseBlock();
  program.values[1].external_output = true;  // the product
  program.values[4].external_output = true;  // the convolution
  Fuse(program);
  CHECK(program.instructions.size() == 4);
  CHECK(program.instructions[0].kind == InstructionKind::kAffine && program.instructions[0].addend.empty());
  CHECK(program.instructions[3].kind == InstructionKind::kAdd);
}

void TestBordersGoWhereTheyMayOnly() {
  for (const float value : {1.0f, -1.0f}) {
    Program program = DenseBlock();
    program.instructions[0] = Make(InstructionKind::kPad, {0}, 2);
    program.instructions[0].border = {1, 0, 1, 0};
    program.instructions[0].border_value = value;
    program.instructions.erase(program.instructions.begin() + 1);
    program.values.erase(1);
    Fuse(program);
    const bool fused = program.instructions[0].kind == InstructionKind::kPack;
    CHECK(fused == (value > 0));
    if (fused) CHECK(program.instructions.back().border.top == 1 && program.instructions.back().border.bottom == 0);
  }
}

void TestBordersOfZerosGoIntoConvolutions() {
  for (const float value : {0.0f, 1.0f}) {
    Program program;
    for (int i = 0; i < 3; ++i) program.values[i] = Map(2);
    program.values[0].external_input = true;
    program.values[2].external_output = true;
    Instruction pad = Make(InstructionKind::kPad, {0}, 1);
    pad.border = {1, 0, 2, 0};
    pad.border_value = value;
    program.instructions = {pad, Make(InstructionKind::kConv, {1}, 2)};
    Fuse(program);
    CHECK(program.instructions.size() == (value == 0.0f ? 1 : 2));
    if (value == 0.0f) {
      CHECK(program.instructions[0].inputs[0] == 0);
      CHECK(program.instructions[0].border.top == 1 && program.instructions[0].border.left == 2);
    }
  }
}

void TestThreeOperatorsAreOneShuffle() {
  for (const bool read_twice : {false, true}) {
    Program program;
    for (int i = 0; i < 4; ++i) program.values[i] = Map(12);
    program.values[0].external_input = true;
    program.values[3].external_output = true;
    program.values[2].external_output = read_twice;
    Instruction groups = Make(InstructionKind::kReshape, {0}, 1);
    groups.target = {-1, 3, 4};
    Instruction channels = Make(InstructionKind::kReshape, {2}, 3);
    channels.target = {-1, 4, 4, 12};
    program.instructions = {groups, Make(InstructionKind::kTranspose, {1}, 2), channels};
    Fuse(program);
    CHECK(program.instructions.size() == (read_twice ? 3 : 1));
    if (read_twice) continue;
    CHECK(program.instructions[0].kind == InstructionKind::kShuffle && program.instructions[0].inputs[0] == 0);
    CHECK(program.instructions[0].shuffled_groups == 3 && program.values.size() == 2);
  }
}

void TestShufflesGoIntoConvolutionsOfSinglePixels() {
  for (const int64_t group_channels : {12, 6, 4}) {
    Program program;
    for (int i = 0; i < 3; ++i) program.values[i] = Map(12);
    program.values[0].external_input = true;
    program.values[2].external_output = true;
    Instruction shuffle = Make(InstructionKind::kShuffle, {0}, 1);
    shuffle.shuffled_groups = 3;
    shuffle.target = {-1, 4, 4, 12};
    Instruction conv = Make(InstructionKind::kPointwiseConv, {1}, 2);
    auto constants = std::make_shared<ConvConstants>();
    constants->group_channels_in = group_channels;
    conv.float_conv = constants;
    program.instructions = {shuffle, conv};
    Fuse(program);
    // Four channels are not as many of each of three groups.
    CHECK(program.instructions.size() == (group_channels == 4 ? 2 : 1));
    if (group_channels == 4) continue;
    CHECK(program.instructions[0].kind == InstructionKind::kPointwiseConv && program.instructions[0].inputs[0] == 0);
    CHECK(program.instructions[0].shuffled_groups == 3 && program.instructions[0].target == shuffle.target);
  }
}

// Also where the shuffle changes nothing.
void TestShapesOfFusedShufflesAreChecked() {
  for (const int64_t groups : {1, 3}) {
    for (const bool fits : {true, false}) {
      Program program;
      for (int i = 0; i < 3; ++i) program.values[i] = Map(12);
      program.values[0].external_input = true;
      program.values[2].external_output = true;
      Instruction shuffle = Make(InstructionKind::kShuffle, {0}, 1);
      shuffle.shuffled_groups = groups;
      shuffle.target = {-1, 4, fits ? 4 : 2, 12};
      Instruction conv = Make(InstructionKind::kPointwiseConv, {1}, 2);
      auto constants = std::make_shared<ConvConstants>();
      constants->channels_out = constants->group_channels_in = 12;
      constants->filter_height = constants->filter_width = 1;
      conv.float_conv = constants;
      program.instructions = {shuffle, conv};
      Fuse(program);
      CHECK(program.instructions.size() == 1);
      if (fits) {
        InferShapes(program);
        CHECK(program.values.at(2).shape == program.values.at(0).shape);
      } else {
        CheckError([&] { InferShapes(program); }, "RESHAPE");
      }
    }
  }
}

}  // namespace

int main() {
  TestComparisonsDecideAsTheFloatsDo();
  TestAbsentConstants();
  TestDenseBlockBecomesTwoInstructions();
  TestWhatOthersReadIsKept();
  TestBordersGoWhereTheyMayOnly();
  TestBordersOfZerosGoIntoConvolutions();
  TestThreeOperatorsAreOneShuffle();
  TestShufflesGoIntoConvolutionsOfSinglePixels();
  TestShapesOfFusedShufflesAreChecked();
  return 0;
}

// Instructions that take turns against the same ones that do not: the same bits.
#include <memory>
#include <vector>

#include "check.h"
#include "execute.h"
#include "instructions.h"
#include "layout.h"
#include "row_chain.h"
#include "select.h"
#include "thread_pool.h"

using namespace larq_melius;

namespace {

struct Outputs {
  std::vector<uint32_t> signs;
  std::vector<float> pooled;

  bool operator==(const Outputs& other) const { return signs == other.signs && pooled == other.pooled; }
};

// The stem of a MeliusNet: three convolutions and a max pool, and behind it its signs and another pool. Then comes what
// leaves other numbers in memory.
struct Stem {
  Program program;

  Stem(Random& random, bool takes_turns) {
    const int64_t channels = 4 * random.Integer(1, 4);
    const int stride = static_cast<int>(random.Integer(1, 2));
    const int64_t groups = random.Integer(1, 2);
    program.instructions = {Conv(random, 0, 1, channels * groups, 3, 1, stride),
                            Conv(random, 1, 2, 4 * groups, channels, groups, 1),
                            Conv(random, 2, 3, 20, groups * 4, 1, 1),
                            MaxPool(3, 4, static_cast<int>(random.Integer(2, 3))),
                            Make(InstructionKind::kPack, {4}, 5),
                            MaxPool(4, 6, 2),
                            Make(InstructionKind::kPad, {6}, 7),
                            MaxPool(7, 8, 2)};
    program.instructions[6].border = {40, 40, 40, 40};
    program.instructions[6].border_value = 7;
    for (int i = 0; i <= 8; ++i) program.values[i].type = i == 5 ? Type::kInt32 : Type::kFloat32;
    program.values[0].shape = {random.Integer(1, 2), stride * random.Integer(27, 70), random.Integer(8, 80), 3};
    program.values[0].external_input = true;
    for (int i = 1; i <= 4; ++i) program.values[i].external_output = !takes_turns;
    program.values[5].external_output = program.values[8].external_output = true;
    InferShapes(program);
    AssignLayout(program, true);
    for (int i = 1; i <= 4; ++i) CHECK(program.values[i].is_ring() == takes_turns);
  }

  static Instruction Conv(Random& random, int input, int output, int64_t channels, int64_t channels_in, int64_t groups,
                          int stride) {
    auto conv = std::make_shared<ConvConstants>();
    conv->channels_out = channels;
    conv->filter_height = conv->filter_width = 3;
    conv->group_channels_in = input == 0 ? 3 : channels_in;
    for (int64_t i = 0; i < channels * 9 * conv->group_channels_in; ++i) conv->filter.push_back(random.Float());
    for (int64_t i = 0; i < channels; ++i) conv->bias.push_back(random.Float());
    Instruction instruction = Make(InstructionKind::kConv, {input}, output);
    instruction.options.padding = Padding::kSame;
    instruction.options.stride_height = instruction.options.stride_width = stride;
    instruction.options.activation = Activation::kRelu;
    instruction.groups = groups;
    instruction.float_conv = conv;
    return instruction;
  }

  static Instruction MaxPool(int input, int output, int size) {
    Instruction instruction = Make(InstructionKind::kMaxPool, {input}, output);
    instruction.options.padding = Padding::kSame;
    instruction.options.stride_height = instruction.options.stride_width = 2;
    instruction.options.filter_height = instruction.options.filter_width = size;
    return instruction;
  }
};

// Twice, so that memory is as the first run leaves it.
Outputs Run(const Program& program, const Kernels& kernels, int threads, const std::vector<float>& image) {
  CompiledProgram compiled(program, kernels);
  std::vector<float> values = image;
  std::vector<std::vector<float>> others(5);
  std::map<int, void*> external = {{0, values.data()}};
  for (int i = 1; i <= 4; ++i) {
    others[static_cast<size_t>(i)].resize(static_cast<size_t>(ElementCount(program.values.at(i).shape)));
    if (program.values.at(i).external()) external[i] = others[static_cast<size_t>(i)].data();
  }
  Outputs outputs;
  outputs.signs.resize(static_cast<size_t>(ElementCount(program.values.at(5).shape)));
  outputs.pooled.resize(static_cast<size_t>(ElementCount(program.values.at(8).shape)));
  external[5] = outputs.signs.data();
  external[8] = outputs.pooled.data();
  ThreadPool pool;
  for (int run = 0; run < 2; ++run) compiled.Run(pool, threads, external);
  return outputs;
}

void TestTurnsGiveTheSameBits() {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    Random random(seed);
    Random again(seed);
    const Stem in_turns(random, true);
    const Stem whole(again, false);
    std::vector<float> image(static_cast<size_t>(ElementCount(in_turns.program.values.at(0).shape)));
    for (float& value : image) value = random.Float();
    for (const char* isa : {"portable", ""}) {
      const Kernels& kernels = SelectKernels(isa);
      const Outputs expected = Run(whole.program, kernels, 1, image);
      for (const int threads : {1, 2, 5}) CHECK(Run(in_turns.program, kernels, threads, image) == expected);
    }
  }
}

// Each takes a part of the time.
void TestTurnsAreMeasured() {
  Random random(1);
  const Stem stem(random, true);
  CompiledProgram compiled(stem.program, SelectKernels(""));
  compiled.Profile();
  std::vector<float> image(static_cast<size_t>(ElementCount(stem.program.values.at(0).shape)));
  std::vector<uint32_t> signs(static_cast<size_t>(ElementCount(stem.program.values.at(5).shape)));
  std::vector<float> pooled(static_cast<size_t>(ElementCount(stem.program.values.at(8).shape)));
  ThreadPool pool;
  compiled.Run(pool, 2, {{0, image.data()}, {5, signs.data()}, {8, pooled.data()}});
  for (size_t i = 0; i < stem.program.instructions.size(); ++i) CHECK(compiled.LeastNanoseconds(i) > 0);
  CHECK(compiled.Dump().find("a ring of 12") != std::string::npos);
}

// A pool, and behind it one whose output lies where the first one's input does.
void TestWhatIsStillReadIsNotOverwritten() {
  Random random(2);
  std::vector<float> expected;
  std::vector<float> image(40 * 8 * 4);
  for (float& value : image) value = random.Float();
  for (const int buffer : {2, 0}) {
    Program program;
    program.instructions = {Make(InstructionKind::kAffine, {0}, 1), Stem::MaxPool(1, 2, 3), Stem::MaxPool(2, 3, 1),
                            Make(InstructionKind::kAffine, {3}, 4)};
    for (int i = 0; i < 3; ++i) {
      Options& options = program.instructions[static_cast<size_t>(i)].options;
      options.stride_height = options.stride_width = 1;
    }
    for (int i = 0; i <= 4; ++i) program.values[i].type = Type::kFloat32;
    program.values[0].shape = {1, 40, 8, 4};
    program.values[0].external_input = program.values[4].external_output = true;
    InferShapes(program);
    for (int i = 0; i <= 4; ++i) program.values[i].pixel_stride = 4;
    program.values[1].buffer = 0;
    program.values[2].buffer = 1;
    program.values[3].buffer = buffer;
    CHECK(WritesElsewhere(program, 1, 2) == (buffer == 2));
    CompiledProgram compiled(program, SelectKernels(""));
    std::vector<float> output(image.size());
    ThreadPool pool;
    compiled.Run(pool, 1, {{0, image.data()}, {4, output.data()}});
    if (buffer == 2) expected = output;
    CHECK(output == expected);
  }
}

}  // namespace

int main() {
  TestTurnsGiveTheSameBits();
  TestTurnsAreMeasured();
  TestWhatIsStillReadIsNotOverwritten();
  return 0;
}

// Convolutions by matrix multiplications against those of the portable kernels: the same bits.
#include <cstring>
#include <memory>
#include <vector>

#include "check.h"
#include "execute.h"
#include "instructions.h"
#include "kernels/kernels.h"
#include "layout.h"
#include "packed_map.h"
#include "select.h"
#include "thread_pool.h"

namespace larq_melius {
// See emulated/amx.cpp.
const Kernels& EmulatedAmxKernels();
}  // namespace larq_melius

using namespace larq_melius;

namespace {

// A map of floats, its signs, and a convolution of them with random constants.
struct Network {
  std::vector<uint32_t> filter;
  Program program;

  Network(Random& random, bool packed_output) {
    const int64_t channels = random.Integer(1, 5) == 1 ? random.Integer(1, 300) : 32 * random.Integer(1, 12);
    auto conv = std::make_shared<BinaryConvConstants>();
    conv->channels_out = random.Integer(1, 150);
    conv->filter_height = random.Integer(1, 3);
    conv->filter_width = random.Integer(1, 3);
    conv->words = WordCount(channels);
    filter.resize(static_cast<size_t>(conv->channels_out * conv->filter_height * conv->filter_width * conv->words));
    for (uint32_t& word : filter) word = random.Word();
    conv->filter = ConstantWords(filter.data());
    const int32_t terms = static_cast<int32_t>(conv->filter_height * conv->filter_width * channels);
    for (int64_t c = 0; c < conv->channels_out; ++c) {
      conv->multiplier.push_back(random.Float());
      conv->bias.push_back(random.Float());
      conv->thresholds.push_back(static_cast<int32_t>(random.Integer(-5, 5)) + terms / 2);
    }
    Instruction binary_conv = Make(InstructionKind::kBinaryConv, {1}, 2);
    binary_conv.options.channels_in = static_cast<int>(channels);
    binary_conv.options.padding = random.Integer(0, 2) == 0 ? Padding::kValid : Padding::kSame;
    binary_conv.options.pad_value = static_cast<int>(random.Integer(0, 1));
    if (packed_output) binary_conv.options.pad_value = 1;
    binary_conv.options.dilation_height = static_cast<int>(random.Integer(1, 2));
    binary_conv.options.dilation_width = static_cast<int>(random.Integer(1, 2));
    binary_conv.conv = conv;
    program.instructions = {Make(InstructionKind::kPack, {0}, 1), binary_conv};
    program.values[0].type = Type::kFloat32;
    program.values[1].type = Type::kInt32;
    program.values[2].type = packed_output ? Type::kInt32 : Type::kFloat32;
    program.values[0].shape = {random.Integer(1, 3), random.Integer(8, 20), random.Integer(8, 20), channels};
    program.values[0].external_input = program.values[2].external_output = true;
    InferShapes(program);
    AssignLayout(program, true);
  }
};

std::vector<uint32_t> Run(const Program& program, const Kernels& kernels, int threads,
                          const std::vector<float>& input) {
  CompiledProgram compiled(program, kernels);
  std::vector<float> values = input;
  std::vector<uint32_t> output(static_cast<size_t>(ElementCount(program.values.at(2).shape)), 0x7fc12345u);
  ThreadPool pool;
  compiled.Run(pool, threads, {{0, values.data()}, {2, output.data()}});
  return output;
}

void TestMatricesGiveTheSameBits() {
  Random random(1);
  for (int round = 0; round < 30; ++round) {
    const Network network(random, round % 3 == 0);
    const Program& program = network.program;
    const PackedMap map = PackedMapOf(program, program.instructions[1], EmulatedAmxKernels());
    const int64_t pixels = ElementCount(program.values.at(2).shape) / program.values.at(2).shape[3];
    CHECK((map.kernels == &EmulatedAmxKernels()) == (pixels >= 64));
    std::vector<float> input(static_cast<size_t>(ElementCount(program.values.at(0).shape)));
    for (float& value : input) value = random.Float();
    const std::vector<uint32_t> expected = Run(program, SelectKernels("portable"), 1, input);
    for (const int threads : {1, 3}) CHECK(Run(program, EmulatedAmxKernels(), threads, input) == expected);
  }
}

}  // namespace

int main() {
  TestMatricesGiveTheSameBits();
  return 0;
}

// Reading .tflite files, whole and damaged ones.
#include <algorithm>

#include "check.h"
#include "fake_runtime.h"
#include "interpreter.h"
#include "model_file.h"

using larq_melius::Error;
using larq_melius::program::Bytes;
using larq_melius::program::Interpreter;
using larq_melius::program::Model;
using larq_melius::program::ReadModel;

namespace {

Bytes BytesOf(const std::vector<uint8_t>& file) { return {file.data(), file.size()}; }

std::vector<float> Normal(Random& random, size_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = random.Float();
  return values;
}

// A convolution, a binary convolution between a batch norm and an addition, a pooling and a classifier.
std::vector<uint8_t> Network() {
  Random random(3);
  ModelFile file;
  const int x = file.AddTensor({1, 8, 8, 3});
  const int a = file.AddTensor({1, 8, 8, 32});
  file.AddOperator(kTfLiteBuiltinConv2d,
                   {x, file.AddFloats({32, 3, 3, 3}, Normal(random, 864)), file.AddFloats({32}, Normal(random, 32))},
                   {a}, 1, FlatTable().Set<int8_t>(0, 0).Set<int32_t>(1, 1).Set<int32_t>(2, 1).Set<int8_t>(3, 1));
  const int b = file.AddTensor({1, 8, 8, 32});
  file.AddOperator(kTfLiteBuiltinMul, {a, file.AddFloats({32}, Normal(random, 32))}, {b}, 21);
  const int bits = file.AddTensor({1, 8, 8, 1}, 2);
  file.AddCustom("LceQuantize", {b}, {bits});
  std::vector<int32_t> filter(32 * 9);
  for (int32_t& word : filter) word = static_cast<int32_t>(random.Word());
  const int c = file.AddTensor({1, 8, 8, 32});
  const int ones = file.AddFloats({32}, std::vector<float>(32, 0.1f));
  file.AddCustom("LceBconv2d", {bits, file.AddConstant({32, 3, 3, 1}, filter, 2), ones, ones, -1}, {c},
                 FlexbufferMap({{"stride_height", 1},
                                {"stride_width", 1},
                                {"dilation_height_factor", 1},
                                {"dilation_width_factor", 1},
                                {"padding", 0},
                                {"pad_values", 1},
                                {"channels_in", 32},
                                {"fused_activation_function", 0}}));
  const int d = file.AddTensor({1, 8, 8, 32});
  file.AddOperator(kTfLiteBuiltinAdd, {a, c}, {d}, 11);
  const int e = file.AddTensor({1, 32});
  file.AddOperator(larq_melius::program::kMean, {d, file.AddInts({1, 2})}, {e}, 27);
  const int f = file.AddTensor({1, 10});
  file.AddOperator(larq_melius::program::kFullyConnected, {e, file.AddFloats({10, 32}, Normal(random, 320)), -1}, {f},
                   8);
  const int y = file.AddTensor({1, 10});
  file.AddOperator(larq_melius::program::kSoftmax, {f}, {y}, 9, FlatTable().Set<float>(0, 1.0f));
  return file.Finish({x}, {y});
}

void TestReadsANetwork() {
  const std::vector<uint8_t> file = Network();
  Model model = ReadModel(BytesOf(file));
  CHECK(model.operators.size() == 8);
  CHECK(model.operators[0].name == "CONV_2D");
  CHECK(model.operators[0].options.conv.padding == kTfLitePaddingSame);
  CHECK(model.operators[0].options.conv.dilation_width_factor == 1);
  CHECK(model.operators[0].options.conv.activation == kTfLiteActRelu);
  CHECK(model.operators[3].name == "LceBconv2d");
  CHECK(model.operators[3].inputs[4] == -1);
  CHECK(model.tensors[0].name == "tensor_0");
  CHECK((model.tensors[0].shape == std::vector<int>{1, 8, 8, 3}));
  CHECK(!model.tensors[0].is_constant);
  CHECK(model.tensors[2].constant.size == 864 * sizeof(float));
  Interpreter interpreter(model, 1);
  CHECK(interpreter.lce_operators() == 2);
  CHECK(interpreter.uses_delegate());
  float* input = static_cast<float*>(interpreter.tensor(0).data);
  std::fill(input, input + 192, 0.5f);
  interpreter.Run();
  const float* output = static_cast<float*>(interpreter.tensor(model.outputs[0]).data);
  float sum = 0;
  for (int i = 0; i < 10; ++i) sum += output[i];
  CHECK(sum > 0.999f && sum < 1.001f);
  CHECK(interpreter.delegate_nanoseconds() > 0);
  CHECK(interpreter.delegate_nanoseconds() < interpreter.nanoseconds());
}

void TestConstantsMayStandBehindTheFlatbuffer() {
  ModelFile file;
  const int x = file.AddTensor({1, 2});
  const int constant = file.AddFloats({2}, {0, 0});
  const int y = file.AddTensor({1, 2});
  file.AddOperator(kTfLiteBuiltinAdd, {x, constant}, {y}, 11);
  std::vector<uint8_t> bytes = file.Finish({x}, {y});
  // Written again with the place that is known now.
  const uint64_t offset = bytes.size() + 64;
  FlatTable buffer = FlatTable().Set<uint64_t>(1, offset).Set<uint64_t>(2, 8);
  FlatTable tensor;
  tensor.SetVector<int32_t>(0, {2}).Set<int8_t>(1, 0).Set<uint32_t>(2, 1);
  FlatTable input;
  input.SetVector<int32_t>(0, {2}).Set<int8_t>(1, 0);
  FlatTable op;
  op.Set<uint32_t>(0, 0).SetVector<int32_t>(1, {0, 1}).SetVector<int32_t>(2, {2}).Set<uint8_t>(3, 11).SetTable(4, {});
  FlatTable graph;
  graph.SetTables(0, {input, tensor, input}).SetVector<int32_t>(1, {0}).SetVector<int32_t>(2, {2}).SetTables(3, {op});
  FlatTable model;
  model.SetTables(1, {FlatTable().Set<int32_t>(3, kTfLiteBuiltinAdd)}).SetTables(2, {graph});
  model.SetTables(4, {FlatTable(), buffer});
  bytes = model.Finish();
  CheckError([&] { ReadModel(BytesOf(bytes)); }, "behind the end of the file");
  bytes.resize(offset);
  const float values[2] = {1.5f, -2.0f};
  bytes.insert(bytes.end(), reinterpret_cast<const uint8_t*>(values), reinterpret_cast<const uint8_t*>(values + 2));
  Model read = ReadModel(BytesOf(bytes));
  Interpreter interpreter(read, 1);
  static_cast<float*>(interpreter.tensor(0).data)[1] = 1.0f;
  interpreter.Run();
  const float* output = static_cast<float*>(interpreter.tensor(2).data);
  CHECK(output[0] == 1.5f && output[1] == -1.0f);
}

void TestGraphsThatMakeNoSenseAreErrors() {
  const auto check = [](const std::vector<int32_t>& inputs, const std::vector<int32_t>& outputs,
                        const std::string& message) {
    ModelFile file;
    file.AddTensor({4});
    file.AddTensor({4});
    file.AddFloats({4}, {1, 2, 3, 4});
    file.AddOperator(larq_melius::program::kRelu, inputs, outputs);
    const std::vector<uint8_t> bytes = file.Finish({0}, {1});
    CheckError(
        [&] {
          Model model = ReadModel(BytesOf(bytes));
          Interpreter(model, 1);
        },
        message);
  };
  check({3}, {1}, "reads a tensor that is not there");
  check({-2}, {1}, "reads a tensor that is not there");
  check({-1}, {1}, "an input is absent");
  check({1}, {1}, "reads a tensor that has no value yet");
  check({0}, {7}, "writes a tensor that is not there");
  check({0}, {2}, "writes to a constant");
  check({0}, {0}, "has a value already");
  check({0, 0}, {1}, "wrong number of inputs");

  ModelFile unknown;
  unknown.AddTensor({4});
  unknown.AddTensor({4});
  unknown.AddOperator(65, {0}, {1});
  const std::vector<uint8_t> slice = unknown.Finish({0}, {1});
  Model model = ReadModel(BytesOf(slice));
  CheckError([&] { Interpreter(model, 1); }, "SLICE, which this program does not know");

  ModelFile large;
  large.AddTensor({1, 40000, 40000, 3});
  large.AddTensor({4});
  large.AddOperator(larq_melius::program::kRelu, {0}, {1});
  const std::vector<uint8_t> huge = large.Finish({0}, {1});
  CheckError(
      [&] {
        Model read = ReadModel(BytesOf(huge));
        Interpreter(read, 1);
      },
      "too large");
}

// Whatever is wrong with a file, it is refused or computes something; an access out of bounds would stop a sanitizer's
// build.
void TestDamagedFilesAreReadOrRefused() {
  const std::vector<uint8_t> file = Network();
  Random random(5);
  int refused = 0;
  constexpr int kRounds = 6000;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<uint8_t> damaged = file;
    const int64_t kind = random.Integer(0, 5);
    if (kind == 0) damaged.resize(static_cast<size_t>(random.Integer(0, static_cast<int64_t>(file.size()))));
    for (int64_t i = kind == 0 ? 0 : random.Integer(1, 4); i > 0 && !damaged.empty(); --i) {
      const size_t at = static_cast<size_t>(random.Integer(0, static_cast<int64_t>(damaged.size()) - 1));
      if (kind <= 3) {
        damaged[at] ^= static_cast<uint8_t>(1u << random.Integer(0, 7));
      } else {
        // A word, as offsets, lengths and shapes are.
        constexpr uint32_t kWords[] = {0, 1, 0xff, 0x7fffffff, 0x80000000, 0xffffffff, 0x10000};
        const uint32_t word = kind == 4 ? kWords[random.Integer(0, 6)] : random.Word();
        for (size_t k = 0; k < 4 && at / 4 * 4 + k < damaged.size(); ++k) {
          damaged[at / 4 * 4 + k] = static_cast<uint8_t>(word >> (8 * k));
        }
      }
    }
    // The bytes behind the end are not the file's: a copy of its own size lets a sanitizer see reads of them.
    damaged.shrink_to_fit();
    try {
      Model model = ReadModel(BytesOf(damaged));
      Interpreter interpreter(model, 1);
      size_t bytes = 0;
      for (size_t i = 0; i < model.tensors.size(); ++i) bytes += interpreter.tensor(static_cast<int>(i)).bytes;
      if (bytes < (1 << 22)) interpreter.Run();
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find('\n') == std::string::npos && error.what()[0] != '\0');
      ++refused;
    }
  }
  CHECK(refused > kRounds / 4 && refused < kRounds);
}

}  // namespace

int main() {
  TestReadsANetwork();
  TestConstantsMayStandBehindTheFlatbuffer();
  TestGraphsThatMakeNoSenseAreErrors();
  TestDamagedFilesAreReadOrRefused();
  return 0;
}

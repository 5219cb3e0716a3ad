// The benchmark program's own operators, against loops in double precision that follow their definitions.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "check.h"
#include "interpreter.h"
#include "model_file.h"

using namespace larq_melius::program;

namespace {

// Options' tables in the schema's union, and the operators that have no name in a header.
constexpr uint8_t kConvOptions = 1, kDepthwiseOptions = 2, kPoolOptions = 5, kDenseOptions = 8, kSoftmaxOptions = 9,
                  kConcatenationOptions = 10, kAddOptions = 11, kReshapeOptions = 17, kMulOptions = 21,
                  kMeanOptions = 27, kSubOptions = 28, kDivOptions = 29, kSqueezeOptions = 30, kSplitOptions = 35,
                  kLeakyOptions = 75;

using Values = std::vector<double>;
using Sizes = std::vector<int32_t>;

size_t Count(const Sizes& shape) {
  size_t count = 1;
  for (int32_t size : shape) count *= static_cast<size_t>(size);
  return count;
}

std::vector<float> Normal(Random& random, const Sizes& shape) {
  std::vector<float> values(Count(shape));
  for (float& value : values) value = random.Float();
  return values;
}

int32_t Draw(Random& random, int64_t low, int64_t high) { return static_cast<int32_t>(random.Integer(low, high)); }

// Runs a network on both kinds of kernels and on one thread and three, and compares all with what is expected.
void CheckNetwork(const std::vector<uint8_t>& file, const std::vector<std::vector<float>>& inputs,
                  const std::vector<Sizes>& shapes, const std::vector<Values>& expected) {
  for (const char* isa : {"portable", ""}) {
    std::vector<std::vector<float>> first;
    for (int threads : {1, 3}) {
      Model model = ReadModel({file.data(), file.size()});
      std::map<std::string, std::string> options;
      if (*isa != '\0') options["isa"] = isa;
      Interpreter interpreter(model, threads, options);
      for (size_t i = 0; i < inputs.size(); ++i) {
        const TfLiteTensor& tensor = interpreter.tensor(model.inputs[i]);
        CHECK(tensor.bytes == inputs[i].size() * sizeof(float));
        std::copy(inputs[i].begin(), inputs[i].end(), static_cast<float*>(tensor.data));
      }
      interpreter.Run();
      interpreter.Run();  // inputs are still there
      std::vector<std::vector<float>> outputs;
      for (size_t i = 0; i < expected.size(); ++i) {
        const TfLiteTensor& tensor = interpreter.tensor(model.outputs[i]);
        CHECK(Sizes(tensor.dims->data, tensor.dims->data + tensor.dims->size) == shapes[i]);
        const auto* data = static_cast<const float*>(tensor.data);
        outputs.emplace_back(data, data + expected[i].size());
        for (size_t k = 0; k < expected[i].size(); ++k) {
          CHECK(std::fabs(data[k] - expected[i][k]) <= 2e-5 * std::max(1.0, std::fabs(expected[i][k])));
        }
      }
      if (threads == 1) first = outputs;
      CHECK(outputs == first);
    }
  }
}

// A window in one direction, by the definition of TensorFlow's padding.
struct Window {
  Window(int32_t size, int32_t filter, int32_t stride_, int32_t dilation_, bool same)
      : stride(stride_), dilation(dilation_) {
    const int32_t extent = (filter - 1) * dilation + 1;
    out = same ? (size + stride - 1) / stride : (size - extent + stride) / stride;
    pad = same ? std::max(0, (out - 1) * stride + extent - size) / 2 : 0;
  }
  int32_t At(int32_t position, int32_t tap) const { return position * stride - pad + tap * dilation; }

  int32_t stride;
  int32_t dilation;
  int32_t out;
  int32_t pad;
};

double Activate(double x, int activation) {
  if (activation == kTfLiteActRelu) return std::max(x, 0.0);
  if (activation == kTfLiteActRelu6) return std::min(std::max(x, 0.0), 6.0);
  if (activation == kTfLiteActReluN1To1) return std::min(std::max(x, -1.0), 1.0);
  return x;
}

// What convolutions and poolings draw, and their loops over all that a window meets.
struct WindowCase {
  explicit WindowCase(Random& random)
      : in{Draw(random, 1, 2), Draw(random, 5, 9), Draw(random, 5, 11), 0},
        filter_height(Draw(random, 1, 3)),
        filter_width(Draw(random, 1, 3)),
        same(random.Integer(0, 1) == 0),
        activation(Draw(random, 0, 3)),
        rows(in[1], filter_height, Draw(random, 1, 2), Draw(random, 1, 2), same),
        columns(in[2], filter_width, Draw(random, 1, 3), Draw(random, 1, 2), same) {}

  // Of a convolution; a depthwise one has its multiplier before the activation.
  FlatTable ConvOptions(int32_t multiplier = 0) const {
    FlatTable options;
    options.Set<int8_t>(0, same ? 0 : 1).Set<int32_t>(1, columns.stride).Set<int32_t>(2, rows.stride);
    int field = 3;
    if (multiplier != 0) options.Set<int32_t>(field++, multiplier);
    options.Set<int8_t>(field, static_cast<int8_t>(activation));
    return options.Set<int32_t>(field + 1, columns.dilation).Set<int32_t>(field + 2, rows.dilation);
  }

  // Calls visit(output pixel, tap, input pixel) for every tap that lies within the map.
  void Visit(const std::function<void(size_t, size_t, size_t)>& visit) const {
    size_t pixel = 0;
    for (int32_t n = 0; n < in[0]; ++n) {
      for (int32_t y = 0; y < rows.out; ++y) {
        for (int32_t x = 0; x < columns.out; ++x, ++pixel) {
          for (int32_t fy = 0; fy < filter_height; ++fy) {
            for (int32_t fx = 0; fx < filter_width; ++fx) {
              const int32_t in_y = rows.At(y, fy);
              const int32_t in_x = columns.At(x, fx);
              if (in_y < 0 || in_y >= in[1] || in_x < 0 || in_x >= in[2]) continue;
              visit(pixel, static_cast<size_t>(fy * filter_width + fx),
                    static_cast<size_t>((n * in[1] + in_y) * in[2] + in_x));
            }
          }
        }
      }
    }
  }
  Sizes Out(int32_t channels) const { return {in[0], rows.out, columns.out, channels}; }

  Sizes in;
  int32_t filter_height;
  int32_t filter_width;
  bool same;
  int activation;
  Window rows;
  Window columns;
};

void TestConvolutions() {
  Random random(1);
  for (int round = 0; round < 60; ++round) {
    WindowCase window(random);
    const int32_t groups = random.Integer(0, 2) == 0 ? Draw(random, 2, 3) : 1;
    const int32_t group_in = Draw(random, 1, 9);
    const int32_t group_out = Draw(random, 1, 36);
    window.in[3] = groups * group_in;
    const Sizes filter_shape = {groups * group_out, window.filter_height, window.filter_width, group_in};
    const bool has_bias = random.Integer(0, 3) != 0;
    const std::vector<float> input = Normal(random, window.in);
    const std::vector<float> filter = Normal(random, filter_shape);
    const std::vector<float> bias = Normal(random, {filter_shape[0]});
    ModelFile file;
    const int x = file.AddTensor(window.in);
    const int f = file.AddFloats(filter_shape, filter);
    const int b = has_bias ? file.AddFloats({filter_shape[0]}, bias) : -1;
    const int y = file.AddTensor({1});
    file.AddOperator(kTfLiteBuiltinConv2d, {x, f, b}, {y}, kConvOptions, window.ConvOptions());
    const Sizes out = window.Out(filter_shape[0]);
    const size_t channels = static_cast<size_t>(out[3]);
    const size_t taps = static_cast<size_t>(window.filter_height * window.filter_width);
    Values expected(Count(out));
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = has_bias ? bias[i % channels] : 0.0f;
    const size_t per_group = static_cast<size_t>(group_in);
    window.Visit([&](size_t pixel, size_t tap, size_t from) {
      for (size_t c = 0; c < channels; ++c) {
        const size_t first = c / static_cast<size_t>(group_out) * per_group;
        for (size_t k = 0; k < per_group; ++k) {
          expected[pixel * channels + c] += double{input[from * static_cast<size_t>(window.in[3]) + first + k]} *
                                            filter[(c * taps + tap) * per_group + k];
        }
      }
    });
    for (double& value : expected) value = Activate(value, window.activation);
    CheckNetwork(file.Finish({x}, {y}), {input}, {out}, {expected});
  }
}

void TestDepthwiseConvolutions() {
  Random random(2);
  for (int round = 0; round < 40; ++round) {
    WindowCase window(random);
    window.in[3] = Draw(random, 1, 21);
    const int32_t multiplier = random.Integer(0, 2) == 0 ? 3 : 1;
    const Sizes filter_shape = {1, window.filter_height, window.filter_width, window.in[3] * multiplier};
    const std::vector<float> input = Normal(random, window.in);
    const std::vector<float> filter = Normal(random, filter_shape);
    const std::vector<float> bias = Normal(random, {filter_shape[3]});
    ModelFile file;
    const int x = file.AddTensor(window.in);
    const int y = file.AddTensor({1});
    file.AddOperator(kDepthwiseConv2d,
                     {x, file.AddFloats(filter_shape, filter), file.AddFloats({filter_shape[3]}, bias)}, {y},
                     kDepthwiseOptions, window.ConvOptions(multiplier));
    const Sizes out = window.Out(filter_shape[3]);
    const size_t channels = static_cast<size_t>(out[3]);
    Values expected(Count(out));
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = bias[i % channels];
    window.Visit([&](size_t pixel, size_t tap, size_t from) {
      for (size_t c = 0; c < channels; ++c) {
        const size_t channel_in = c / static_cast<size_t>(multiplier);
        expected[pixel * channels + c] +=
            double{input[from * static_cast<size_t>(window.in[3]) + channel_in]} * filter[tap * channels + c];
      }
    });
    for (double& value : expected) value = Activate(value, window.activation);
    CheckNetwork(file.Finish({x}, {y}), {input}, {out}, {expected});
  }
}

void TestPools() {
  Random random(3);
  for (int round = 0; round < 40; ++round) {
    WindowCase window(random);
    window.rows = Window(window.in[1], window.filter_height, window.rows.stride, 1, window.same);
    window.columns = Window(window.in[2], window.filter_width, window.columns.stride, 1, window.same);
    window.in[3] = Draw(random, 1, 9);
    const bool average = random.Integer(0, 1) == 0;
    const std::vector<float> input = Normal(random, window.in);
    FlatTable options;
    options.Set<int8_t>(0, window.same ? 0 : 1).Set<int32_t>(1, window.columns.stride);
    options.Set<int32_t>(2, window.rows.stride).Set<int32_t>(3, window.filter_width);
    options.Set<int32_t>(4, window.filter_height).Set<int8_t>(5, static_cast<int8_t>(window.activation));
    ModelFile file;
    const int x = file.AddTensor(window.in);
    const int y = file.AddTensor({1});
    const int code = average ? int{kAveragePool2d} : int{kTfLiteBuiltinMaxPool2d};
    file.AddOperator(code, {x}, {y}, kPoolOptions, options);
    const Sizes out = window.Out(window.in[3]);
    const size_t channels = static_cast<size_t>(out[3]);
    Values expected(Count(out), average ? 0.0 : -1e30);
    Values counts(Count(out), 0.0);
    window.Visit([&](size_t pixel, size_t /*tap*/, size_t from) {
      for (size_t c = 0; c < channels; ++c) {
        double& value = expected[pixel * channels + c];
        const double other = input[from * channels + c];
        value = average ? value + other : std::max(value, other);
        counts[pixel * channels + c] += 1;
      }
    });
    for (size_t i = 0; i < expected.size(); ++i) {
      expected[i] = Activate(average ? expected[i] / counts[i] : expected[i], window.activation);
    }
    CheckNetwork(file.Finish({x}, {y}), {input}, {out}, {expected});
  }
}

void TestFullyConnected() {
  Random random(4);
  for (int round = 0; round < 20; ++round) {
    const int32_t batch = Draw(random, 1, 14);
    const int32_t in = Draw(random, 1, 40);
    const int32_t out = Draw(random, 1, 40);
    const bool keeps = random.Integer(0, 1) == 0;
    const Sizes shape = keeps ? Sizes{batch, 1, in} : Sizes{1, batch, in};
    const std::vector<float> input = Normal(random, shape);
    const std::vector<float> weights = Normal(random, {out, in});
    const std::vector<float> bias = Normal(random, {out});
    ModelFile file;
    const int x = file.AddTensor(shape);
    const int y = file.AddTensor({1});
    file.AddOperator(kFullyConnected, {x, file.AddFloats({out, in}, weights), file.AddFloats({out}, bias)}, {y},
                     kDenseOptions, FlatTable().Set<int8_t>(0, kTfLiteActRelu6).Set<uint8_t>(2, keeps ? 1 : 0));
    Values expected;
    for (int32_t n = 0; n < batch; ++n) {
      for (int32_t c = 0; c < out; ++c) {
        double sum = bias[static_cast<size_t>(c)];
        for (int32_t k = 0; k < in; ++k) {
          sum += double{input[static_cast<size_t>(n * in + k)]} * weights[static_cast<size_t>(c * in + k)];
        }
        expected.push_back(Activate(sum, kTfLiteActRelu6));
      }
    }
    CheckNetwork(file.Finish({x}, {y}), {input}, {keeps ? Sizes{batch, 1, out} : Sizes{batch, out}}, {expected});
  }
}

void TestArithmetic() {
  Random random(5);
  const std::map<int, std::pair<uint8_t, double (*)(double, double)>> operators = {
      {kTfLiteBuiltinAdd, {kAddOptions, [](double x, double y) { return x + y; }}},
      {kTfLiteBuiltinMul, {kMulOptions, [](double x, double y) { return x * y; }}},
      {kSub, {kSubOptions, [](double x, double y) { return x - y; }}},
      {kDiv, {kDivOptions, [](double x, double y) { return x / y; }}},
      {kMaximum, {0, [](double x, double y) { return std::max(x, y); }}},
      {kMinimum, {0, [](double x, double y) { return std::min(x, y); }}},
      {kPrelu, {0, [](double x, double y) { return x < 0 ? x * y : x; }}},
  };
  const std::vector<std::pair<Sizes, Sizes>> shapes = {{{2, 3, 4, 5}, {2, 3, 4, 5}},
                                                       {{2, 3, 4, 5}, {5}},
                                                       {{3, 1, 5}, {2, 1, 4, 1}},
                                                       {{1}, {2, 3, 7}},
                                                       {{2, 3, 7}, {}},
                                                       {{20000}, {1}}};
  for (const auto& [code, op] : operators) {
    for (const auto& [x_shape, y_shape] : shapes) {
      const int activation = op.first == 0 ? kTfLiteActNone : Draw(random, 0, 3);
      const size_t rank = std::max(x_shape.size(), y_shape.size());
      const auto padded = [&](Sizes shape) {
        shape.insert(shape.begin(), rank - shape.size(), 1);
        return shape;
      };
      Sizes out(rank);
      for (size_t i = 0; i < rank; ++i) out[i] = std::max(padded(x_shape)[i], padded(y_shape)[i]);
      const std::vector<float> x = Normal(random, x_shape);
      std::vector<float> y = Normal(random, y_shape);
      for (float& value : y) value = std::copysign(std::fabs(value) + 0.5f, value);
      const auto element = [&](const std::vector<float>& values, const Sizes& given, size_t index) {
        const Sizes shape = padded(given);
        size_t at = 0;
        size_t step = 1;
        for (size_t axis = rank; axis-- > 0;) {
          const size_t position = index % static_cast<size_t>(out[axis]);
          index /= static_cast<size_t>(out[axis]);
          if (shape[axis] != 1) at += position * step;
          step *= static_cast<size_t>(shape[axis]);
        }
        return double{values[at]};
      };
      Values expected(Count(out));
      for (size_t i = 0; i < expected.size(); ++i) {
        expected[i] = Activate(op.second(element(x, x_shape, i), element(y, y_shape, i)), activation);
      }
      ModelFile file;
      const int a = file.AddTensor(x_shape);
      const int b = file.AddTensor(y_shape);
      const int c = file.AddTensor({1});
      file.AddOperator(code, {a, b}, {c}, op.first, FlatTable().Set<int8_t>(0, static_cast<int8_t>(activation)));
      CheckNetwork(file.Finish({a, b}, {c}), {x, y}, {out}, {expected});
    }
  }
}

void TestActivations() {
  Random random(6);
  const std::map<int, double (*)(double)> operators = {
      {kRelu, [](double x) { return std::max(x, 0.0); }},
      {kRelu6, [](double x) { return std::min(std::max(x, 0.0), 6.0); }},
      {kReluN1To1, [](double x) { return std::min(std::max(x, -1.0), 1.0); }},
      {kLogistic, [](double x) { return 1 / (1 + std::exp(-x)); }},
      {kTanh, [](double x) { return std::tanh(x); }},
      {kLeakyRelu, [](double x) { return x < 0 ? 0.25 * x : x; }},
  };
  std::vector<float> input = Normal(random, {3, 50});
  for (float& value : input) value *= 4;
  for (const auto& [code, function] : operators) {
    ModelFile file;
    const int x = file.AddTensor({3, 50});
    const int y = file.AddTensor({1});
    file.AddOperator(code, {x}, {y}, code == kLeakyRelu ? kLeakyOptions : 0, FlatTable().Set<float>(0, 0.25f));
    Values expected;
    for (float value : input) expected.push_back(function(value));
    CheckNetwork(file.Finish({x}, {y}), {input}, {{3, 50}}, {expected});
  }
}

void TestMeanAndSoftmax() {
  Random random(7);
  const Sizes shape = {2, 3, 4, 5};
  const std::vector<float> input = Normal(random, shape);
  const std::vector<std::pair<Sizes, Sizes>> axes_and_kept = {
      {{1, 2}, {2, 1, 1, 5}}, {{-1}, {2, 3, 4, 1}}, {{0, 2}, {1, 3, 1, 5}}, {{0, 1, 2, 3}, {1, 1, 1, 1}}};
  for (const auto& [axes, kept] : axes_and_kept) {
    for (bool keeps : {false, true}) {
      Sizes out;
      for (size_t i = 0; i < 4; ++i) {
        const bool goes = std::count(axes.begin(), axes.end(), static_cast<int>(i)) +
                              std::count(axes.begin(), axes.end(), static_cast<int>(i) - 4) !=
                          0;
        if (!goes || keeps) out.push_back(kept[i]);
      }
      Values expected(Count(kept));
      for (size_t i = 0; i < input.size(); ++i) {
        size_t rest = i;
        size_t at = 0;
        size_t step = 1;
        for (size_t axis = 4; axis-- > 0;) {
          const size_t position = rest % static_cast<size_t>(shape[axis]);
          rest /= static_cast<size_t>(shape[axis]);
          if (kept[axis] != 1) at += position * step;
          step *= static_cast<size_t>(kept[axis]);
        }
        expected[at] += double{input[i]} * static_cast<double>(expected.size()) / static_cast<double>(input.size());
      }
      ModelFile file;
      const int x = file.AddTensor(shape);
      const int y = file.AddTensor({1});
      file.AddOperator(kMean, {x, file.AddInts(axes)}, {y}, kMeanOptions, FlatTable().Set<uint8_t>(0, keeps ? 1 : 0));
      CheckNetwork(file.Finish({x}, {y}), {input}, {out}, {expected});
    }
  }
  Values expected;
  for (size_t row = 0; row < input.size(); row += 5) {
    double sum = 0;
    for (size_t i = 0; i < 5; ++i) sum += std::exp(0.5 * input[row + i]);
    for (size_t i = 0; i < 5; ++i) expected.push_back(std::exp(0.5 * input[row + i]) / sum);
  }
  ModelFile file;
  const int x = file.AddTensor(shape);
  const int y = file.AddTensor({1});
  file.AddOperator(kSoftmax, {x}, {y}, kSoftmaxOptions, FlatTable().Set<float>(0, 0.5f));
  CheckNetwork(file.Finish({x}, {y}), {input}, {shape}, {expected});
}

void TestMovements() {
  // Elements that tell where they come from.
  const auto numbers = [](size_t count, float first = 0) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = first + static_cast<float>(i);
    return values;
  };
  const auto check = [&](int code, const std::vector<int>& constant, const Sizes& in, const Sizes& out,
                         const Values& expected, uint8_t options_type = 0, const FlatTable& options = {}) {
    ModelFile file;
    const int x = file.AddTensor(in);
    std::vector<int> inputs = {x};
    if (!constant.empty()) inputs.push_back(file.AddInts(constant));
    const int y = file.AddTensor({1});
    file.AddOperator(code, inputs, {y}, options_type, options);
    CheckNetwork(file.Finish({x}, {y}), {numbers(Count(in))}, {out}, {expected});
  };
  check(kTfLiteBuiltinReshape, {3, -1}, {2, 3}, {3, 2}, {0, 1, 2, 3, 4, 5});
  check(kTfLiteBuiltinReshape, {}, {2, 3}, {6}, {0, 1, 2, 3, 4, 5}, kReshapeOptions, FlatTable().SetVector<int32_t>(0, {-1}));
  check(kSqueeze, {}, {1, 2, 1}, {2}, {0, 1});
  check(kSqueeze, {}, {1, 2, 1}, {1, 2}, {0, 1}, kSqueezeOptions, FlatTable().SetVector<int32_t>(0, {-1}));
  check(kTfLiteBuiltinTranspose, {1, 0}, {2, 3}, {3, 2}, {0, 3, 1, 4, 2, 5});
  check(kTfLiteBuiltinTranspose, {2, 0, 1}, {1, 2, 3}, {3, 1, 2}, {0, 3, 1, 4, 2, 5});
  check(kTfLiteBuiltinPad, {0, 1, 1, 0}, {1, 2}, {2, 3}, {0, 0, 1, 0, 0, 0});

  ModelFile file;
  const int x = file.AddTensor({2, 2});
  const int y = file.AddTensor({2, 1});
  const int padded = file.AddTensor({1});
  const int joined = file.AddTensor({1});
  const int stacked = file.AddTensor({1});
  const int left = file.AddTensor({1});
  const int right = file.AddTensor({1});
  file.AddOperator(kTfLiteBuiltinPadv2, {y, file.AddInts({0, 0, 1, 0}), file.AddFloats({}, {7})}, {padded});
  file.AddOperator(kTfLiteBuiltinConcatenation, {x, padded}, {joined}, kConcatenationOptions,
                   FlatTable().Set<int32_t>(0, -1));
  file.AddOperator(kTfLiteBuiltinConcatenation, {x, padded}, {stacked}, kConcatenationOptions);
  file.AddOperator(kSplit, {file.AddInts({1}), joined}, {left, right}, kSplitOptions, FlatTable().Set<int32_t>(0, 2));
  CheckNetwork(file.Finish({x, y}, {joined, stacked, left, right}), {numbers(4), numbers(2, 10)},
               {{2, 4}, {4, 2}, {2, 2}, {2, 2}},
               {{0, 1, 7, 10, 2, 3, 7, 11}, {0, 1, 2, 3, 7, 10, 7, 11}, {0, 1, 2, 3}, {7, 10, 7, 11}});
}

// Weights in fewer bits, which become floats when the network is opened.
void TestStoredWeights() {
  ModelFile file;
  const int x = file.AddTensor({1, 2});
  const int y = file.AddTensor({1});
  const int int8 = file.AddConstant<int8_t>({2, 2}, {1, -2, 3, -128}, 9);
  FlatTable quantization;
  quantization.SetVector<float>(2, {0.5f, 2.0f}).SetVector<int64_t>(3, {0, 1}).Set<int32_t>(6, 0);
  file.tensor(int8).SetTable(4, quantization);
  // 1, -2, the smallest subnormal and the largest number of float16.
  const int half = file.AddConstant<uint16_t>({2, 2}, {0x3c00, 0xc000, 0x0001, 0x7bff}, 1);
  const int weights = file.AddTensor({2, 2});
  const int half_weights = file.AddTensor({2, 2});
  const int z = file.AddTensor({1});
  file.AddOperator(kDequantize, {int8}, {weights});
  file.AddOperator(kDequantize, {half}, {half_weights});
  file.AddOperator(kFullyConnected, {x, weights, -1}, {y}, kDenseOptions);
  file.AddOperator(kFullyConnected, {x, half_weights, -1}, {z}, kDenseOptions);
  CheckNetwork(file.Finish({x}, {y, z}), {{1, 10}}, {{1, 2}, {1, 2}},
               {{0.5 - 10.0, 2.0 * 2 - 10 * 2.0 * 129}, {1.0 - 20.0, std::ldexp(1.0, -24) + 655040.0}});
}

void TestWhatIsNotSupportedIsAnError() {
  const auto check = [](const std::function<void(ModelFile&)>& add, const std::string& message) {
    ModelFile file;
    file.AddTensor({1, 4, 4, 2});
    file.AddTensor({1});
    add(file);
    const std::vector<uint8_t> bytes = file.Finish({0}, {1});
    CheckError(
        [&] {
          Model model = ReadModel({bytes.data(), bytes.size()});
          Interpreter(model, 1);
        },
        message);
  };
  const FlatTable conv = FlatTable().Set<int32_t>(1, 1).Set<int32_t>(2, 1);
  check(
      [&](ModelFile& file) {
        file.AddOperator(kTfLiteBuiltinConv2d, {0, file.AddFloats({1, 1, 1, 3}, {1, 2, 3})}, {1}, kConvOptions, conv);
      },
      "does not suit 2 channels");
  check([&](ModelFile& file) { file.AddOperator(kTfLiteBuiltinConv2d, {0, 0}, {1}, kConvOptions, conv); },
        "has to be a constant");
  check(
      [&](ModelFile& file) {
        file.AddOperator(kTfLiteBuiltinConv2d, {0, file.AddFloats({1, 1, 1, 2}, {1, 2})}, {1}, kConvOptions);
      },
      "out of range");
  check([&](ModelFile& file) { file.AddOperator(kTfLiteBuiltinConv2d, {0, 0}, {1}, kPoolOptions, conv); },
        "the options of another operator");
  check([&](ModelFile& file) { file.AddOperator(kTfLiteBuiltinConv2d, {0, 0}, {1}); }, "has no options");
  check(
      [&](ModelFile& file) {
        file.AddOperator(kTfLiteBuiltinAdd, {0, file.AddFloats({3}, {1, 2, 3})}, {1}, kAddOptions);
      },
      "1x4x4x2 and 3 do not fit together");
  check([&](ModelFile& file) { file.AddOperator(kTfLiteBuiltinReshape, {0, file.AddInts({5, -1})}, {1}); }, "does not fit");
  check(
      [&](ModelFile& file) {
        file.tensor(0).Set<int8_t>(1, 3);
        file.AddOperator(kRelu, {0}, {1});
      },
      "RELU: it is of the type uint8");
  check([&](ModelFile& file) { file.AddOperator(kDequantize, {0}, {1}); }, "only constants");
  check([&](ModelFile& file) { file.AddCustom("FlexErf", {0}, {1}); }, "FlexErf, which this program does not know");
}

}  // namespace

int main() {
  TestConvolutions();
  TestDepthwiseConvolutions();
  TestPools();
  TestFullyConnected();
  TestArithmetic();
  TestActivations();
  TestMeanAndSoftmax();
  TestMovements();
  TestStoredWeights();
  TestWhatIsNotSupportedIsAnError();
  return 0;
}

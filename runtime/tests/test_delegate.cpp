// The whole library behind its two entry points, in a runtime of the tests' own.
#include <algorithm>
#include <thread>

#include "check.h"
#include "delegate.h"
#include "fake_runtime.h"
#include "select.h"

using larq_melius::ClaimedOperators;
using larq_melius::kWordBits;
using larq_melius::PlanText;
using larq_melius::WordCount;

namespace {

std::string reported;

using DelegateOptions = std::map<std::string, std::string>;

class TestDelegate {
 public:
  explicit TestDelegate(const DelegateOptions& options = {}) {
    std::vector<const char*> keys, values;
    for (const auto& [key, value] : options) {
      keys.push_back(key.c_str());
      values.push_back(value.c_str());
    }
    reported.clear();
    delegate_ = tflite_plugin_create_delegate(keys.data(), values.data(), keys.size(),
                                              [](const char* message) { reported = message; });
  }
  ~TestDelegate() { tflite_plugin_destroy_delegate(delegate_); }
  TestDelegate(const TestDelegate&) = delete;
  TestDelegate& operator=(const TestDelegate&) = delete;
  TfLiteDelegate* get() { return delegate_; }

 private:
  TfLiteDelegate* delegate_;
};

std::vector<std::string> InstructionSets() {
  std::vector<std::string> names;
  for (const char* name : {"portable", "avx2", "avx512", "neon"}) {
    if (TestDelegate(DelegateOptions{{"isa", name}}).get() != nullptr) names.push_back(name);
  }
  return names;
}

// A convolution padded with +1, of random numbers.
struct Conv {
  int batch = 2;
  int size = 9;
  int channels_in = 70;
  int channels_out = 75;
  int filter = 3;
  int stride = 1;
  int dilation = 1;
  int groups = 1;
  std::vector<int32_t> input;
  std::vector<int32_t> weights;
  std::vector<float> multiplier;
  std::vector<float> bias;

  int words() const { return static_cast<int>(WordCount(channels_in)); }
  int out_size() const { return (size + stride - 1) / stride; }
  int pad() const { return std::max(0, (out_size() - 1) * stride + (filter - 1) * dilation + 1 - size) / 2; }

  void Fill(Random& random) {
    input.resize(static_cast<size_t>(batch * size * size * words()));
    weights.resize(static_cast<size_t>(channels_out * filter * filter * words() / groups));
    const uint32_t last = channels_in % kWordBits == 0 ? ~0u : (1u << (channels_in % kWordBits)) - 1;
    const auto fill = [&](std::vector<int32_t>& values, int row) {
      for (size_t i = 0; i < values.size(); ++i) {
        const bool partial = groups == 1 && static_cast<int>(i) % row == row - 1;
        values[i] = static_cast<int32_t>(random.Word() & (partial ? last : ~0u));
      }
    };
    fill(input, words());
    fill(weights, words() / groups);
    for (int c = 0; c < channels_out; ++c) {
      multiplier.push_back(random.Float());
      bias.push_back(random.Float());
    }
  }

  int Build(FakeRuntime& runtime, int* output) const {
    const int x = runtime.AddTensor(kTfLiteInt32, {batch, size, size, words()});
    const int f = runtime.AddConstant(kTfLiteInt32, {channels_out, filter, filter, words() / groups}, weights);
    const int m = runtime.AddConstant(kTfLiteFloat32, {channels_out}, multiplier);
    const int b = runtime.AddConstant(kTfLiteFloat32, {channels_out}, bias);
    *output = runtime.AddTensor(kTfLiteFloat32, {1, 1, 1, channels_out});
    runtime.AddNode(kTfLiteBuiltinCustom, "LceBconv2d", {x, f, m, b, kTfLiteOptionalTensor}, {*output},
                    FlexbufferMap({{"stride_height", stride},
                                   {"stride_width", stride},
                                   {"dilation_height_factor", dilation},
                                   {"dilation_width_factor", dilation},
                                   {"padding", 0},
                                   {"pad_values", 1},
                                   {"channels_in", channels_in},
                                   {"fused_activation_function", 0}}));
    runtime.SetOutputs({*output});
    return x;
  }

  float Expected(int image, int y, int x, int c) const {
    const int group_words = words() / groups;
    const int group = c / (channels_out / groups);
    int different = 0;
    for (int fy = 0; fy < filter; ++fy) {
      for (int fx = 0; fx < filter; ++fx) {
        for (int w = 0; w < group_words; ++w) {
          const int in_y = y * stride - pad() + fy * dilation;
          const int in_x = x * stride - pad() + fx * dilation;
          const bool inside = in_y >= 0 && in_y < size && in_x >= 0 && in_x < size;
          const int at = ((image * size + in_y) * size + in_x) * words() + group * group_words + w;
          const int32_t word = inside ? input[static_cast<size_t>(at)] : 0;
          const int32_t weight = weights[static_cast<size_t>(((c * filter + fy) * filter + fx) * group_words + w)];
          different += __builtin_popcount(static_cast<uint32_t>(word ^ weight));
        }
      }
    }
    const int terms = filter * filter * channels_in / groups;
    const size_t at = static_cast<size_t>(c);
    const float offset = static_cast<float>(double{bias[at]} + double{multiplier[at]} * terms);
    volatile float product = static_cast<float>(2 * different) * -multiplier[at];
    return product + offset;
  }
};

void CheckConv(const Conv& conv, FakeRuntime& runtime, int x, int y) {
  std::memcpy(runtime.data<int32_t>(x), conv.input.data(), conv.input.size() * sizeof(int32_t));
  CHECK(runtime.Invoke());
  const float* output = runtime.data<float>(y);
  for (int image = 0; image < conv.batch; ++image) {
    for (int row = 0; row < conv.out_size(); ++row) {
      for (int column = 0; column < conv.out_size(); ++column) {
        for (int c = 0; c < conv.channels_out; ++c) CHECK(*output++ == conv.Expected(image, row, column, c));
      }
    }
  }
}

void TestConvolutions() {
  Random random(8);
  for (const std::string& isa : InstructionSets()) {
    for (int round = 0; round < 40; ++round) {
      Conv conv;
      conv.batch = static_cast<int>(random.Integer(1, 2));
      conv.size = static_cast<int>(random.Integer(1, 9));
      conv.groups = random.Integer(0, 3) == 0 ? 2 : 1;
      conv.channels_in = conv.groups == 2 ? 128 : static_cast<int>(random.Integer(1, 100));
      conv.channels_out = conv.groups * static_cast<int>(random.Integer(1, 70));
      conv.filter = static_cast<int>(random.Integer(1, 3));
      conv.stride = static_cast<int>(random.Integer(1, 2));
      conv.dilation = static_cast<int>(random.Integer(1, 2));
      conv.Fill(random);
      TestDelegate delegate(DelegateOptions{{"isa", isa}});
      FakeRuntime runtime;
      runtime.SetThreads(static_cast<int>(random.Integer(1, 3)));
      int y = 0;
      const int x = conv.Build(runtime, &y);
      CHECK(runtime.Apply(delegate.get()));
      CHECK(runtime.claimed() == 1);
      CheckConv(conv, runtime, x, y);
    }
  }
}

void TestInputsMayBeResized() {
  Random random(9);
  Conv small;
  small.Fill(random);
  Conv large = small;
  large.batch = 3;
  large.size = 12;
  large.multiplier.clear();
  large.bias.clear();
  large.Fill(random);
  large.weights = small.weights;
  large.multiplier = small.multiplier;
  large.bias = small.bias;
  TestDelegate delegate;
  FakeRuntime runtime;
  int y = 0;
  const int x = small.Build(runtime, &y);
  CHECK(runtime.Apply(delegate.get()));
  CheckConv(small, runtime, x, y);
  runtime.Resize(x, {large.batch, large.size, large.size, large.words()});
  CHECK(runtime.Prepare());
  CheckConv(large, runtime, x, y);
}

// One delegate may serve interpreters in several threads.
void TestThreadsShareADelegate() {
  TestDelegate delegate;
  std::vector<std::thread> threads;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&delegate, seed] {
      Random random(seed);
      Conv conv;
      conv.Fill(random);
      FakeRuntime runtime;
      runtime.SetThreads(2);
      int y = 0;
      const int x = conv.Build(runtime, &y);
      CHECK(runtime.Apply(delegate.get()));
      for (int i = 0; i < 3; ++i) CheckConv(conv, runtime, x, y);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void TestTellsWhatItRuns() {
  Random random(11);
  Conv conv;
  conv.Fill(random);
  TestDelegate delegate(DelegateOptions{{"profile", "1"}});
  CHECK(ClaimedOperators(delegate.get()) == 0);
  CHECK(PlanText(delegate.get()).empty());
  {
    FakeRuntime runtime;
    int y = 0;
    const int x = conv.Build(runtime, &y);
    CHECK(runtime.Apply(delegate.get()));
    CheckConv(conv, runtime, x, y);
    CHECK(ClaimedOperators(delegate.get()) == 1);
    const std::string plan = PlanText(delegate.get());
    CHECK(plan.find(" = binary_conv(") != std::string::npos);
    CHECK(plan.find(" ms\n") == plan.size() - 4);
    {
      FakeRuntime other;
      conv.Build(other, &y);
      CHECK(other.Apply(delegate.get()));
      CHECK(ClaimedOperators(delegate.get()) == 2);
    }
    CHECK(ClaimedOperators(delegate.get()) == 1);
  }
  CHECK(ClaimedOperators(delegate.get()) == 0);
  CHECK(PlanText(delegate.get()).empty());
}

void TestRuntimeMayOutliveItsDelegate() {
  Random random(12);
  Conv conv;
  conv.Fill(random);
  FakeRuntime runtime;
  int y = 0;
  TestDelegate delegate;
  const int x = conv.Build(runtime, &y);
  CHECK(runtime.Apply(delegate.get()));
  CheckConv(conv, runtime, x, y);
  // The delegate goes first, since it was made last.
}

// A stem of a padded strided convolution, a grouped one and a padded max pool, a Dense Block, an Improvement Block and
// a transition's pool.
struct Stage {
  static constexpr int kChannels = 32;
  int image_size = 22;
  int size = 11;
  TfLiteConvParams first_conv = {kTfLitePaddingValid, 2, 2, kTfLiteActRelu, 1, 1};
  TfLiteConvParams conv = {kTfLitePaddingSame, 1, 1, kTfLiteActRelu6, 1, 1};
  TfLitePoolParams stem_pool = {kTfLitePaddingValid, 2, 2, 3, 3, kTfLiteActNone};
  TfLitePoolParams pool = {kTfLitePaddingValid, 2, 2, 2, 2, kTfLiteActRelu};
  TfLiteConcatenationParams concatenation = {3, kTfLiteActNone};
  TfLiteArithmeticParams arithmetic = {kTfLiteActNone};

  int Constant(FakeRuntime& runtime, Random& random, const std::vector<int>& shape) {
    size_t count = 1;
    for (int n : shape) count *= static_cast<size_t>(n);
    std::vector<float> values(count);
    for (float& value : values) value = random.Float();
    return runtime.AddConstant(kTfLiteFloat32, shape, values);
  }

  int BinaryConv(FakeRuntime& runtime, Random& random, int map, int map_size, int channels) {
    const int product = runtime.AddTensor(kTfLiteFloat32, {1, map_size, map_size, channels});
    const int normalized = runtime.AddTensor(kTfLiteFloat32, {1, map_size, map_size, channels});
    const int bits = runtime.AddTensor(kTfLiteInt32, {1, map_size, map_size, channels / kWordBits});
    const int result = runtime.AddTensor(kTfLiteFloat32, {1, map_size, map_size, kChannels});
    runtime.AddNode(kTfLiteBuiltinMul, "", {map, Constant(runtime, random, {channels})}, {product}, {}, &arithmetic);
    runtime.AddNode(kTfLiteBuiltinAdd, "", {product, Constant(runtime, random, {channels})}, {normalized}, {},
                    &arithmetic);
    runtime.AddNode(kTfLiteBuiltinCustom, "LceQuantize", {normalized}, {bits});
    std::vector<int32_t> filter(static_cast<size_t>(kChannels * 9 * channels / kWordBits));
    for (int32_t& word : filter) word = static_cast<int32_t>(random.Word());
    const int weights = runtime.AddConstant(kTfLiteInt32, {kChannels, 3, 3, channels / kWordBits}, filter);
    const int multiplier = Constant(runtime, random, {kChannels});
    runtime.AddNode(kTfLiteBuiltinCustom, "LceBconv2d", {bits, weights, multiplier, multiplier, kTfLiteOptionalTensor},
                    {result},
                    FlexbufferMap({{"stride_height", 1},
                                   {"stride_width", 1},
                                   {"dilation_height_factor", 1},
                                   {"dilation_width_factor", 1},
                                   {"padding", 0},
                                   {"pad_values", static_cast<int32_t>(random.Integer(0, 1))},
                                   {"channels_in", channels},
                                   {"fused_activation_function", 0}}));
    return result;
  }

  int Concatenate(FakeRuntime& runtime, int a, int b, int map_size) {
    const int result = runtime.AddTensor(kTfLiteFloat32, {1, map_size, map_size, 2 * kChannels});
    runtime.AddNode(kTfLiteBuiltinConcatenation, "", {a, b}, {result}, {}, &concatenation);
    return result;
  }

  // The results of the network, run in one way.
  std::vector<float> Run(const DelegateOptions& options, int threads) {
    Random random(13);
    FakeRuntime runtime;
    runtime.SetThreads(threads);
    const int x = runtime.AddTensor(kTfLiteFloat32, {1, image_size, image_size, 3});
    const int bordered = runtime.AddTensor(kTfLiteFloat32, {1, image_size + 1, image_size + 1, 3});
    const int first = runtime.AddTensor(kTfLiteFloat32, {1, size, size, 16});
    const int stem = runtime.AddTensor(kTfLiteFloat32, {1, size, size, kChannels});
    const int padded = runtime.AddTensor(kTfLiteFloat32, {1, size + 1, size + 1, kChannels});
    const int map_size = (size + 1 - 3) / 2 + 1;
    const int map = runtime.AddTensor(kTfLiteFloat32, {1, map_size, map_size, kChannels});
    const int padding = runtime.AddConstant(kTfLiteInt32, {4, 2}, std::vector<int32_t>{0, 0, 1, 0, 1, 0, 0, 0});
    runtime.AddNode(kTfLiteBuiltinPad, "", {x, padding}, {bordered});
    runtime.AddNode(kTfLiteBuiltinConv2d, "",
                    {bordered, Constant(runtime, random, {16, 3, 3, 3}), Constant(runtime, random, {16})}, {first}, {},
                    &first_conv);
    runtime.AddNode(kTfLiteBuiltinConv2d, "",
                    {first, Constant(runtime, random, {kChannels, 3, 3, 4}), Constant(runtime, random, {kChannels})},
                    {stem}, {}, &conv);
    runtime.AddNode(kTfLiteBuiltinPad, "", {stem, padding}, {padded});
    runtime.AddNode(kTfLiteBuiltinMaxPool2d, "", {padded}, {map}, {}, &stem_pool);
    const int y = BinaryConv(runtime, random, map, map_size, kChannels);
    const int dense = Concatenate(runtime, map, y, map_size);
    const int z = BinaryConv(runtime, random, dense, map_size, 2 * kChannels);
    const int sum = runtime.AddTensor(kTfLiteFloat32, {1, map_size, map_size, kChannels});
    runtime.AddNode(kTfLiteBuiltinAdd, "", {y, z}, {sum}, {}, &arithmetic);
    const int improved = Concatenate(runtime, map, sum, map_size);
    const int product = runtime.AddTensor(kTfLiteFloat32, {1, map_size, map_size, 2 * kChannels});
    runtime.AddNode(kTfLiteBuiltinMul, "", {improved, Constant(runtime, random, {2 * kChannels})}, {product}, {},
                    &arithmetic);
    const int pooled = runtime.AddTensor(kTfLiteFloat32, {1, map_size / 2, map_size / 2, 2 * kChannels});
    runtime.AddNode(kTfLiteBuiltinMaxPool2d, "", {product}, {pooled}, {}, &pool);
    runtime.SetOutputs({improved, pooled});
    TestDelegate delegate(options);
    CHECK(runtime.Apply(delegate.get()));
    CHECK(runtime.claimed() == 18);
    for (int i = 0; i < image_size * image_size * 3; ++i) runtime.data<float>(x)[i] = random.Float();
    CHECK(runtime.Invoke());
    std::vector<float> results;
    for (int output : {improved, pooled}) {
      const float* values = runtime.data<float>(output);
      results.insert(results.end(), values, values + runtime.tensor(output).bytes / sizeof(float));
    }
    return results;
  }
};

void TestFusedAndUnfusedNetworksAreEqual() {
  for (const std::string& isa : InstructionSets()) {
    Stage stage;
    const std::vector<float> expected = stage.Run({{"isa", isa}, {"fuse", "0"}}, 1);
    CHECK(expected.size() == 5 * 5 * 64 + 2 * 2 * 64);
    CHECK(stage.Run({{"isa", isa}}, 1) == expected);
    CHECK(stage.Run({{"isa", isa}}, 3) == expected);
  }
}

void TestBadOptionsAreReported() {
  CHECK(TestDelegate(DelegateOptions{{"isa", "mmx"}}).get() == nullptr);
  CHECK(reported.find("unknown") != std::string::npos);
  CHECK(TestDelegate(DelegateOptions{{"threads", "1"}}).get() == nullptr);
  CHECK(reported.find("num_threads") != std::string::npos);
  CHECK(TestDelegate(DelegateOptions{{"num_threads", "many"}}).get() == nullptr);
  CHECK(TestDelegate(DelegateOptions{{"dump", "yes"}}).get() == nullptr);
  CHECK(TestDelegate(DelegateOptions{{"num_threads", "2"}, {"dump", "0"}}).get() != nullptr);
}

// Whatever is wrong with a convolution, the delegate refuses it or computes something; it never crashes.
void TestDamagedModelsAreRefused() {
  Random random(10);
  TestDelegate delegate;
  int refused = 0;
  constexpr int kRounds = 3000;
  for (int round = 0; round < kRounds; ++round) {
    FakeRuntime runtime;
    const auto shape = [&](std::vector<int> sizes) {
      if (random.Integer(0, 7) == 0) sizes.resize(static_cast<size_t>(random.Integer(0, 4)));
      for (int& size : sizes) {
        if (random.Integer(0, 7) == 0) {
          constexpr int kSizes[] = {-1, 0, 1, 2, 3, 7, 33, 1 << 26, 1 << 28, 0x7fffffff};
          size = kSizes[random.Integer(0, 9)];
        }
      }
      return sizes;
    };
    const auto type = [&](TfLiteType usual) {
      constexpr TfLiteType kTypes[] = {kTfLiteNoType, kTfLiteFloat32, kTfLiteInt32, kTfLiteInt8, kTfLiteBool};
      return random.Integer(0, 15) == 0 ? kTypes[random.Integer(0, 4)] : usual;
    };
    const int x = runtime.AddTensor(type(kTfLiteInt32), shape({1, 4, 4, 2}));
    const int f = runtime.AddConstant(type(kTfLiteInt32), shape({8, 3, 3, 2}), std::vector<int32_t>(144, 1));
    const int m = runtime.AddConstant(type(kTfLiteFloat32), shape({8}), std::vector<float>(8, 1.0f));
    const int t = runtime.AddConstant(type(kTfLiteInt32), shape({8}), std::vector<int32_t>(8, 1));
    const int y =
        runtime.AddTensor(type(random.Integer(0, 1) == 0 ? kTfLiteFloat32 : kTfLiteInt32), shape({1, 4, 4, 8}));
    std::vector<int> inputs = {x, f, m, m, t};
    for (int& input : inputs) {
      if (random.Integer(0, 20) == 0) input = static_cast<int>(random.Integer(-1, 6));
    }
    if (random.Integer(0, 20) == 0) inputs.resize(static_cast<size_t>(random.Integer(0, 5)));
    std::map<std::string, int32_t> options = {
        {"stride_height", 1}, {"stride_width", 1}, {"dilation_height_factor", 1}, {"dilation_width_factor", 1},
        {"padding", 0},       {"pad_values", 1},   {"channels_in", 64},           {"fused_activation_function", 0}};
    for (auto& [key, value] : options) {
      if (random.Integer(0, 20) == 0) value = static_cast<int32_t>(random.Word() >> random.Integer(0, 31));
    }
    std::vector<uint8_t> bytes = FlexbufferMap(options);
    if (random.Integer(0, 7) == 0)
      bytes[static_cast<size_t>(random.Integer(0, 99))] = static_cast<uint8_t>(random.Word());
    if (random.Integer(0, 15) == 0) bytes.resize(static_cast<size_t>(random.Integer(0, 60)));
    constexpr const char* kNames[] = {"LceQuantize", "LceDequantize", "LceBMaxPool2d"};
    const bool other = random.Integer(0, 5) == 0;
    if (other) inputs = {inputs.empty() ? -1 : inputs[0]};
    runtime.AddNode(kTfLiteBuiltinCustom, other ? kNames[random.Integer(0, 2)] : "LceBconv2d", inputs, {y}, bytes);
    runtime.SetOutputs({y});
    if (!runtime.Apply(delegate.get()) || !runtime.Invoke()) {
      CHECK(runtime.error().find("larq-melius: ") == 0);
      ++refused;
    }
  }
  CHECK(refused > kRounds / 4 && refused < kRounds);
}

}  // namespace

int main() {
  TestConvolutions();
  TestInputsMayBeResized();
  TestThreadsShareADelegate();
  TestTellsWhatItRuns();
  TestRuntimeMayOutliveItsDelegate();
  TestFusedAndUnfusedNetworksAreEqual();
  TestBadOptionsAreReported();
  TestDamagedModelsAreRefused();
  return 0;
}

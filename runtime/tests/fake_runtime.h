// As much of TensorFlow Lite's interpreter as the delegate sees, so that sanitizers and emulators run all of the
// library.
#ifndef LARQ_MELIUS_TESTS_FAKE_RUNTIME_H_
#define LARQ_MELIUS_TESTS_FAKE_RUNTIME_H_

#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base.h"
#include "tflite_abi.h"

extern "C" TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values,
                                                         size_t count, void (*report_error)(const char*));
extern "C" void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);

class FakeRuntime {
 public:
  FakeRuntime() {
    context_.impl = this;
    context_.GetExecutionPlan = GetExecutionPlan;
    context_.ResizeTensor = ResizeTensor;
    context_.ReportError = ReportError;
    context_.GetNodeAndRegistration = GetNodeAndRegistration;
    context_.ReplaceNodeSubsetsWithDelegateKernels = ReplaceNodes;
    context_.recommended_num_threads = 1;
  }

  ~FakeRuntime() {
    if (partition_.user_data != nullptr) registration_.free(&context_, partition_.user_data);
    for (TfLiteTensor& tensor : tensors_) {
      std::free(tensor.data);
      std::free(tensor.dims);
    }
  }

  FakeRuntime(const FakeRuntime&) = delete;
  FakeRuntime& operator=(const FakeRuntime&) = delete;

  void SetThreads(int threads) { context_.recommended_num_threads = threads; }

  int AddTensor(TfLiteType type, const std::vector<int>& shape, float scale = 0, int zero_point = 0) {
    TfLiteTensor tensor = {};
    tensor.type = type;
    tensor.dims = MakeArray(shape);
    tensor.params = {scale, zero_point};
    tensors_.push_back(tensor);
    return static_cast<int>(tensors_.size()) - 1;
  }

  template <typename T>
  int AddConstant(TfLiteType type, const std::vector<int>& shape, const std::vector<T>& values) {
    const int index = AddTensor(type, shape);
    TfLiteTensor& tensor = tensors_[static_cast<size_t>(index)];
    tensor.allocation_type = kTfLiteMmapRo;
    tensor.bytes = values.size() * sizeof(T);
    tensor.data = std::malloc(std::max<size_t>(tensor.bytes, 1));
    if (!values.empty()) std::memcpy(tensor.data, values.data(), tensor.bytes);
    return index;
  }

  void AddNode(int builtin_code, const std::string& custom_name, const std::vector<int>& inputs,
               const std::vector<int>& outputs, const std::vector<uint8_t>& custom_options = {},
               void* builtin_data = nullptr) {
    nodes_.emplace_back();
    Node& node = nodes_.back();
    node.inputs.reset(MakeArray(inputs));
    node.outputs.reset(MakeArray(outputs));
    node.name = custom_name;
    node.options = custom_options;
    node.node.inputs = node.inputs.get();
    node.node.outputs = node.outputs.get();
    node.node.builtin_data = builtin_data;
    node.node.custom_initial_data = node.options.data();
    node.node.custom_initial_data_size = static_cast<int>(node.options.size());
    node.registration.builtin_code = builtin_code;
    node.registration.custom_name = node.name.c_str();
  }

  // The tensors that the network gives out; others are the delegate's own.
  void SetOutputs(const std::set<int>& outputs) { outputs_ = outputs; }

  // Hands the graph to the delegate and prepares what it took. False if it refuses.
  bool Apply(TfLiteDelegate* delegate) {
    context_.tensors = tensors_.data();
    context_.tensors_size = tensors_.size();
    return delegate->Prepare(&context_, delegate) == kTfLiteOk && partition_.user_data != nullptr && Prepare();
  }

  bool Prepare() {
    for (int index : input_indices_) Allocate(index);
    return registration_.prepare(&context_, &partition_) == kTfLiteOk;
  }

  bool Invoke() { return registration_.invoke(&context_, &partition_) == kTfLiteOk; }

  void Resize(int index, const std::vector<int>& shape) {
    ResizeTensor(&context_, &tensors_[static_cast<size_t>(index)], MakeArray(shape));
  }

  TfLiteTensor& tensor(int index) { return tensors_[static_cast<size_t>(index)]; }
  template <typename T>
  T* data(int index) {
    return static_cast<T*>(tensor(index).data);
  }
  const std::string& error() const { return error_; }
  size_t claimed() const { return claimed_; }

 private:
  struct Node {
    std::unique_ptr<TfLiteIntArray, larq_melius::FreeDeleter> inputs;
    std::unique_ptr<TfLiteIntArray, larq_melius::FreeDeleter> outputs;
    std::string name;
    std::vector<uint8_t> options;
    TfLiteNode node = {};
    TfLiteRegistration registration = {};
  };

  static TfLiteIntArray* MakeArray(const std::vector<int>& values) {
    auto* array = static_cast<TfLiteIntArray*>(
        std::malloc(offsetof(TfLiteIntArray, data) + sizeof(int) * std::max<size_t>(values.size(), 1)));
    array->size = static_cast<int>(values.size());
    if (!values.empty()) std::memcpy(array->data, values.data(), values.size() * sizeof(int));
    return array;
  }

  static FakeRuntime& Self(TfLiteContext* context) { return *static_cast<FakeRuntime*>(context->impl); }

  static size_t ElementBytes(TfLiteType type) { return type == kTfLiteFloat32 || type == kTfLiteInt32 ? 4 : 1; }

  void Allocate(int index) {
    TfLiteTensor& tensor = tensors_[static_cast<size_t>(index)];
    if (tensor.allocation_type == kTfLiteMmapRo) return;
    size_t bytes = ElementBytes(tensor.type);
    for (int i = 0; i < tensor.dims->size; ++i) bytes *= static_cast<size_t>(std::max(tensor.dims->data[i], 0));
    if (bytes > (size_t{1} << 28)) bytes = 0;  // The runtime, too, would fail.
    std::free(tensor.data);
    tensor.data = std::calloc(std::max<size_t>(bytes, 1), 1);
    tensor.bytes = bytes;
  }

  static TfLiteStatus GetExecutionPlan(TfLiteContext* context, TfLiteIntArray** plan) {
    FakeRuntime& self = Self(context);
    std::vector<int> indices(self.nodes_.size());
    for (size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<int>(i);
    self.plan_.reset(MakeArray(indices));
    *plan = self.plan_.get();
    return kTfLiteOk;
  }

  static TfLiteStatus GetNodeAndRegistration(TfLiteContext* context, int index, TfLiteNode** node,
                                             TfLiteRegistration** registration) {
    Node& found = Self(context).nodes_[static_cast<size_t>(index)];
    *node = &found.node;
    *registration = &found.registration;
    return kTfLiteOk;
  }

  static TfLiteStatus ResizeTensor(TfLiteContext* context, TfLiteTensor* tensor, TfLiteIntArray* shape) {
    std::free(tensor->dims);
    tensor->dims = shape;
    FakeRuntime& self = Self(context);
    self.Allocate(static_cast<int>(tensor - self.tensors_.data()));
    return kTfLiteOk;
  }

  static void ReportError(TfLiteContext* context, const char* format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    Self(context).error_ = text;
  }

  static TfLiteStatus ReplaceNodes(TfLiteContext* context, TfLiteRegistration registration, const TfLiteIntArray* nodes,
                                   TfLiteDelegate* delegate) {
    FakeRuntime& self = Self(context);
    self.claimed_ = static_cast<size_t>(nodes->size);
    self.registration_ = registration;
    std::set<int> read, written;
    for (int i = 0; i < nodes->size; ++i) {
      const TfLiteNode& node = self.nodes_[static_cast<size_t>(nodes->data[i])].node;
      for (int k = 0; k < node.inputs->size; ++k) read.insert(node.inputs->data[k]);
      for (int k = 0; k < node.outputs->size; ++k) written.insert(node.outputs->data[k]);
    }
    std::vector<int> inputs, outputs;
    for (int index : read) {
      if (index >= 0 && static_cast<size_t>(index) < self.tensors_.size() && written.count(index) == 0) {
        inputs.push_back(index);
      }
    }
    for (int index : written) {
      if (self.outputs_.count(index) != 0) outputs.push_back(index);
    }
    self.input_indices_ = inputs;
    self.inputs_.reset(MakeArray(inputs));
    self.given_outputs_.reset(MakeArray(outputs));
    self.replaced_.reset(MakeArray(std::vector<int>(nodes->data, nodes->data + nodes->size)));
    self.params_ = {delegate, self.replaced_.get(), self.inputs_.get(), self.given_outputs_.get()};
    self.partition_.inputs = self.inputs_.get();
    self.partition_.outputs = self.given_outputs_.get();
    self.partition_.user_data = registration.init(context, reinterpret_cast<const char*>(&self.params_), 0);
    return kTfLiteOk;
  }

  using IntArray = std::unique_ptr<TfLiteIntArray, larq_melius::FreeDeleter>;
  TfLiteContext context_ = {};
  std::vector<TfLiteTensor> tensors_;
  std::deque<Node> nodes_;
  std::set<int> outputs_;
  std::vector<int> input_indices_;
  IntArray plan_, inputs_, given_outputs_, replaced_;
  TfLiteDelegateParams params_ = {};
  TfLiteRegistration registration_ = {};
  TfLiteNode partition_ = {};
  size_t claimed_ = 0;
  std::string error_;
};

// A FlexBuffer map of integers, four bytes each.
inline std::vector<uint8_t> FlexbufferMap(const std::map<std::string, int32_t>& values) {
  std::vector<uint8_t> bytes;
  const auto append = [&](uint32_t value) {
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
  };
  const uint32_t count = static_cast<uint32_t>(values.size());
  std::vector<uint32_t> key_positions;
  for (const auto& [key, value] : values) {
    key_positions.push_back(static_cast<uint32_t>(bytes.size()));
    bytes.insert(bytes.end(), key.begin(), key.end());
    bytes.push_back(0);
  }
  append(count);
  const uint32_t keys = static_cast<uint32_t>(bytes.size());
  for (uint32_t position : key_positions) append(static_cast<uint32_t>(bytes.size()) - position);
  append(static_cast<uint32_t>(bytes.size()) - keys);
  append(4);
  append(count);
  const uint32_t start = static_cast<uint32_t>(bytes.size());
  for (const auto& [key, value] : values) append(static_cast<uint32_t>(value));
  for (uint32_t i = 0; i < count; ++i) bytes.push_back(1 << 2 | 2);
  bytes.push_back(static_cast<uint8_t>(bytes.size() - start));
  bytes.push_back(9 << 2 | 2);
  bytes.push_back(1);
  return bytes;
}

#endif  // LARQ_MELIUS_TESTS_FAKE_RUNTIME_H_

// As much of TensorFlow Lite's interpreter as the delegate sees, so that sanitizers and emulators run all of the
// library: the benchmark program's, with memory for each tensor.
#ifndef LARQ_MELIUS_TESTS_FAKE_RUNTIME_H_
#define LARQ_MELIUS_TESTS_FAKE_RUNTIME_H_

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "host.h"

class FakeRuntime {
 public:
  FakeRuntime() {
    host_.OnResize([this](int index) { Allocate(index); });
  }

  void SetThreads(int threads) { host_.SetThreads(threads); }

  int AddTensor(TfLiteType type, const std::vector<int>& shape, float scale = 0, int zero_point = 0) {
    memory_.emplace_back();
    return host_.AddTensor(type, shape, scale, zero_point);
  }

  template <typename T>
  int AddConstant(TfLiteType type, const std::vector<int>& shape, const std::vector<T>& values) {
    const int index = AddTensor(type, shape);
    std::vector<uint8_t>& memory = memory_.back();
    memory.resize(std::max<size_t>(values.size() * sizeof(T), 1));
    if (!values.empty()) std::memcpy(memory.data(), values.data(), values.size() * sizeof(T));
    host_.SetConstant(index, memory.data(), values.size() * sizeof(T));
    return index;
  }

  void AddNode(int builtin_code, const std::string& custom_name, const std::vector<int>& inputs,
               const std::vector<int>& outputs, const std::vector<uint8_t>& custom_options = {},
               void* builtin_data = nullptr) {
    host_.AddNode(builtin_code, custom_name, inputs, outputs, custom_options.data(), custom_options.size(),
                  builtin_data);
  }

  // The tensors that the network gives out; others are the delegate's own.
  void SetOutputs(const std::set<int>& outputs) { host_.SetOutputs(outputs); }

  // Hands the graph to the delegate and prepares what it took. False if it refuses.
  bool Apply(TfLiteDelegate* delegate) { return host_.Apply(delegate) && FindPartition() && Prepare(); }

  bool Prepare() {
    for (int index : host_.steps()[*partition_].inputs) Allocate(index);
    return host_.Prepare(*partition_);
  }

  bool Invoke() { return host_.Invoke(*partition_); }

  void Resize(int index, const std::vector<int>& shape) {
    host_.Resize(index, shape);
    Allocate(index);
  }

  TfLiteTensor& tensor(int index) { return host_.tensor(index); }
  template <typename T>
  T* data(int index) {
    return static_cast<T*>(tensor(index).data);
  }
  const std::string& error() const { return host_.error(); }
  size_t claimed() const { return host_.steps()[*partition_].nodes.size(); }

 private:
  // The delegate takes one run of operators in these tests.
  bool FindPartition() {
    for (size_t i = 0; i < host_.steps().size(); ++i) {
      if (host_.steps()[i].delegated) partition_ = i;
    }
    return partition_.has_value();
  }

  void Allocate(int index) {
    TfLiteTensor& tensor = host_.tensor(index);
    if (tensor.allocation_type == kTfLiteMmapRo) return;
    size_t bytes = tensor.type == kTfLiteFloat32 || tensor.type == kTfLiteInt32 ? 4 : 1;
    for (int i = 0; i < tensor.dims->size; ++i) bytes *= static_cast<size_t>(std::max(tensor.dims->data[i], 0));
    if (bytes > (size_t{1} << 28)) bytes = 0;  // The runtime, too, would fail.
    std::vector<uint8_t>& memory = memory_[static_cast<size_t>(index)];
    memory.assign(std::max<size_t>(bytes, 1), 0);
    tensor.data = memory.data();
    tensor.bytes = bytes;
  }

  std::deque<std::vector<uint8_t>> memory_;  // of each tensor
  larq_melius::program::Host host_;
  std::optional<size_t> partition_;
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

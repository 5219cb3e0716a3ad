// Writes .tflite files: what the benchmark program's reader is tested with.
#ifndef LARQ_MELIUS_TESTS_MODEL_FILE_H_
#define LARQ_MELIUS_TESTS_MODEL_FILE_H_

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model.h"

// A table of a FlatBuffer, with fields by their numbers in the schema.
class FlatTable {
 public:
  template <typename T>
  FlatTable& Set(int field, T value) {
    uint64_t word = 0;
    std::memcpy(&word, &value, sizeof(T));
    scalars_[field] = word;
    return *this;
  }
  template <typename T>
  FlatTable& SetVector(int field, const std::vector<T>& values) {
    children_[field] = [values](std::vector<uint8_t>& file) {
      while (file.size() % 16 != 12) file.push_back(0);
      const size_t start = Append(file, static_cast<uint32_t>(values.size()));
      const size_t at = file.size();
      file.resize(at + values.size() * sizeof(T));
      if (!values.empty()) std::memcpy(file.data() + at, values.data(), values.size() * sizeof(T));
      return start;
    };
    return *this;
  }
  FlatTable& SetText(int field, const std::string& text) {
    return SetVector(field, std::vector<char>(text.begin(), text.end()));
  }
  FlatTable& SetTable(int field, const FlatTable& table) {
    children_[field] = [table](std::vector<uint8_t>& file) { return table.Write(file); };
    return *this;
  }
  FlatTable& SetTables(int field, const std::vector<FlatTable>& tables) {
    children_[field] = [tables](std::vector<uint8_t>& file) {
      while (file.size() % 4 != 0) file.push_back(0);
      const size_t start = Append(file, static_cast<uint32_t>(tables.size()));
      file.resize(file.size() + 4 * tables.size());
      for (size_t i = 0; i < tables.size(); ++i) {
        const size_t slot = start + 4 + 4 * i;
        const size_t target = tables[i].Write(file);
        Put(file, slot, static_cast<uint32_t>(target - slot));
      }
      return start;
    };
    return *this;
  }

  std::vector<uint8_t> Finish() const {
    std::vector<uint8_t> file = {0, 0, 0, 0, 'T', 'F', 'L', '3'};
    Put(file, 0, static_cast<uint32_t>(Write(file)));
    return file;
  }

 private:
  template <typename T>
  static void Put(std::vector<uint8_t>& file, size_t at, T value) {
    std::memcpy(file.data() + at, &value, sizeof(T));
  }
  template <typename T>
  static size_t Append(std::vector<uint8_t>& file, T value) {
    const size_t at = file.size();
    file.resize(at + sizeof(T));
    Put(file, at, value);
    return at;
  }

  // Every field takes eight bytes. Returns the table's position.
  size_t Write(std::vector<uint8_t>& file) const {
    std::map<int, size_t> slots;
    for (const auto& [field, word] : scalars_) slots[field] = 0;
    for (const auto& [field, child] : children_) slots[field] = 0;
    size_t bytes = 8;
    for (auto& [field, slot] : slots) {
      slot = bytes;
      bytes += 8;
    }
    while (file.size() % 8 != 0) file.push_back(0);
    const int last = slots.empty() ? -1 : slots.rbegin()->first;
    const size_t fields = Append(file, static_cast<uint16_t>(4 + 2 * (last + 1)));
    Append(file, static_cast<uint16_t>(bytes));
    for (int field = 0; field <= last; ++field) {
      const auto slot = slots.find(field);
      Append(file, static_cast<uint16_t>(slot == slots.end() ? 0 : slot->second));
    }
    while (file.size() % 8 != 0) file.push_back(0);
    const size_t start = file.size();
    file.resize(start + bytes);
    Put(file, start, static_cast<int32_t>(start - fields));
    for (const auto& [field, word] : scalars_) Put(file, start + slots[field], word);
    for (const auto& [field, child] : children_) {
      const size_t target = child(file);
      const size_t slot = start + slots[field];
      Put(file, slot, static_cast<uint32_t>(target - slot));
    }
    return start;
  }

  std::map<int, uint64_t> scalars_;
  std::map<int, std::function<size_t(std::vector<uint8_t>&)>> children_;
};

// A network of one graph. Types are numbers of the schema: 0 float32, 1 float16, 2 int32, 9 int8.
class ModelFile {
 public:
  int AddTensor(const std::vector<int32_t>& shape, int8_t type = 0) {
    tensors_.push_back(FlatTable().SetVector(0, shape).Set<int8_t>(1, type).Set<uint32_t>(2, 0).SetText(
        3, "tensor_" + std::to_string(tensors_.size())));
    return static_cast<int>(tensors_.size()) - 1;
  }
  template <typename T>
  int AddConstant(const std::vector<int32_t>& shape, const std::vector<T>& values, int8_t type = 0) {
    std::vector<uint8_t> bytes(values.size() * sizeof(T));
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    buffers_.push_back(FlatTable().SetVector(0, bytes));
    const int index = AddTensor(shape, type);
    tensor(index).Set<uint32_t>(2, static_cast<uint32_t>(buffers_.size()) - 1);
    return index;
  }
  int AddFloats(const std::vector<int32_t>& shape, const std::vector<float>& values) {
    return AddConstant(shape, values);
  }
  int AddInts(const std::vector<int32_t>& values) {
    return AddConstant({static_cast<int32_t>(values.size())}, values, 2);
  }
  FlatTable& tensor(int index) { return tensors_[static_cast<size_t>(index)]; }

  // `options_type` is the number of the options' table in the schema's union, 0 for none.
  void AddOperator(int32_t code, const std::vector<int32_t>& inputs, const std::vector<int32_t>& outputs,
                   uint8_t options_type = 0, const FlatTable& options = {}) {
    codes_.push_back(FlatTable().Set<int8_t>(0, static_cast<int8_t>(code)).Set<int32_t>(3, code));
    FlatTable op = FlatTable().Set<uint32_t>(0, static_cast<uint32_t>(codes_.size()) - 1);
    op.SetVector(1, inputs).SetVector(2, outputs);
    if (options_type != 0) op.Set<uint8_t>(3, options_type).SetTable(4, options);
    operators_.push_back(op);
  }
  void AddCustom(const std::string& name, const std::vector<int32_t>& inputs, const std::vector<int32_t>& outputs,
                 const std::vector<uint8_t>& options = {}) {
    AddOperator(kTfLiteBuiltinCustom, inputs, outputs);
    codes_.back().SetText(1, name);
    operators_.back().SetVector(5, options);
  }

  std::vector<uint8_t> Finish(const std::vector<int32_t>& inputs, const std::vector<int32_t>& outputs) const {
    FlatTable graph;
    graph.SetTables(0, tensors_).SetVector(1, inputs).SetVector(2, outputs).SetTables(3, operators_);
    FlatTable model;
    model.Set<uint32_t>(0, 3).SetTables(1, codes_).SetTables(2, {graph}).SetTables(4, buffers_);
    return model.Finish();
  }

 private:
  std::vector<FlatTable> tensors_;
  std::vector<FlatTable> buffers_ = std::vector<FlatTable>(1);
  std::vector<FlatTable> codes_;
  std::vector<FlatTable> operators_;
};

#endif  // LARQ_MELIUS_TESTS_MODEL_FILE_H_

// Step 1 of the compiler: reads operators and tensors out of the runtime into plain structures.
#ifndef LARQ_MELIUS_DELEGATE_GRAPH_H_
#define LARQ_MELIUS_DELEGATE_GRAPH_H_

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base.h"
#include "tflite_abi.h"

namespace larq_melius {

enum class Type { kFloat32, kInt32, kInt8, kBool, kOther };

const char* Name(Type type);

enum class Operator {
  kQuantize,
  kDequantize,
  kBinaryConv,
  kBinaryMaxPool,
  // Built-in operators on float maps. The delegate need not run them, but can.
  kMultiply,
  kAdd,
  kConcatenate,
  kPad,
  kMaxPool,
  kConv,
  kReshape,
  kTranspose,
  kOther,
};

const char* Name(Operator op);
// Whether only the delegate can run it.
bool IsLceOperator(Operator op);

struct Tensor {
  Type type = Type::kOther;
  Shape shape;
  float scale = 0;
  int zero_point = 0;
  // Set where the file holds the data.
  const void* constant = nullptr;
  size_t bytes = 0;
};

enum class Padding { kSame, kValid };
enum class Activation { kNone, kRelu, kReluN1To1, kRelu6 };

// Options of all operators; each uses some.
struct Options {
  int stride_height = 1;
  int stride_width = 1;
  int dilation_height = 1;
  int dilation_width = 1;
  int filter_height = 1;
  int filter_width = 1;
  Padding padding = Padding::kValid;
  Activation activation = Activation::kNone;
  // What SAME padding adds around a bit-packed map: 0 or 1.
  int pad_value = 1;
  int channels_in = 0;
  // Of a concatenation.
  int axis = 0;
};

struct Node {
  int index = 0;
  Operator op = Operator::kOther;
  std::vector<int> inputs;
  std::vector<int> outputs;
  Options options;
};

struct Graph {
  // In the order of execution.
  std::vector<Node> nodes;
  std::map<int, Tensor> tensors;

  const Tensor& tensor(int index) const;
};

// The operator at a node, or kOther for one that the delegate does not know.
Operator RecognizeOperator(const TfLiteRegistration& registration);

// The operator at a node of the runtime's.
Operator ReadOperator(TfLiteContext* context, int node_index);

// Reads the nodes and the tensors that they use.
//
// Throws Error if one of the nodes lacks tensors or has options that make no sense.
Graph ReadGraph(TfLiteContext* context, const std::vector<int>& node_indices);

// Elements of a constant tensor, whatever their alignment in the file.
//
// Throws Error if the tensor is not a constant of that type and count.
std::vector<float> FloatConstant(const Tensor& tensor, int64_t count, const char* what);
std::vector<int32_t> IntConstant(const Tensor& tensor, int64_t count, const char* what);

// Words where they are, in memory that lives as long as the interpreter: filters take most of a file's memory, and are
// read again when inputs are resized.
class ConstantWords {
 public:
  ConstantWords() = default;
  explicit ConstantWords(const void* data) : data_(static_cast<const uint8_t*>(data)) {}

  uint32_t operator[](int64_t index) const {
    uint32_t word;
    std::memcpy(&word, data_ + index * static_cast<int64_t>(sizeof(word)), sizeof(word));
    return word;
  }

 private:
  const uint8_t* data_ = nullptr;
};

ConstantWords WordConstant(const Tensor& tensor, int64_t count, const char* what);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_GRAPH_H_

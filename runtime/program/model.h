// A .tflite file as plain structures: tensors, and operators with their options.
#ifndef LARQ_MELIUS_PROGRAM_MODEL_H_
#define LARQ_MELIUS_PROGRAM_MODEL_H_

#include <deque>
#include <string>
#include <vector>

#include "flatbuffer.h"
#include "tflite_abi.h"

namespace larq_melius::program {

// TensorType of TFLite's schema has other numbers than TfLiteType; these are those of TfLiteType that it has beside the
// delegate's.
constexpr TfLiteType kTfLiteFloat16 = static_cast<TfLiteType>(10);

// Name of a type as in the schema, in lower case.
std::string TypeName(TfLiteType type);
// Bytes of an element, 0 for types that this program does not hold.
size_t ElementBytes(TfLiteType type);

// Numbers of built-in operators (schema.fbs) beside those that the delegate knows.
enum BuiltinOperator : int32_t {
  kAveragePool2d = 1,
  kDepthwiseConv2d = 4,
  kDequantize = 6,
  kFullyConnected = 9,
  kLogistic = 14,
  kRelu = 19,
  kReluN1To1 = 20,
  kRelu6 = 21,
  kSoftmax = 25,
  kTanh = 28,
  kMean = 40,
  kSub = 41,
  kDiv = 42,
  kSqueeze = 43,
  kSplit = 49,
  kPrelu = 54,
  kMaximum = 55,
  kMinimum = 57,
  kLeakyRelu = 98,
};

struct ModelTensor {
  std::string name;
  TfLiteType type = kTfLiteNoType;
  std::vector<int> shape;
  // Of a constant, in the file.
  Bytes constant;
  bool is_constant = false;
  // Empty without quantization, one of each, or one for each index along `quantized_axis`.
  std::vector<float> scales;
  std::vector<int64_t> zero_points;
  int quantized_axis = 0;
};

// Options of built-in operators; each uses some. Those that the delegate reads are in the form in which the runtime
// gives them to it.
struct OperatorOptions {
  TfLiteConvParams conv = {};
  TfLitePoolParams pool = {};
  TfLiteConcatenationParams concatenation = {};
  TfLiteArithmeticParams arithmetic = {};
  TfLiteFusedActivation activation = kTfLiteActNone;  // FULLY_CONNECTED, SUB, DIV
  bool keep_dims = false;                             // MEAN, FULLY_CONNECTED
  float number = 0;                                   // SOFTMAX's beta, LEAKY_RELU's alpha
  std::vector<int> sizes;                             // RESHAPE's shape, SQUEEZE's dimensions
};

struct ModelOperator {
  int32_t code = 0;
  std::string custom_name;
  // As in the schema, such as CONV_2D, or the custom name.
  std::string name;
  // -1 for an optional input that is absent.
  std::vector<int> inputs;
  std::vector<int> outputs;
  OperatorOptions options;
  Bytes custom_options;

  // What TfLiteNode::builtin_data has to point to; null for operators that the delegate does not know.
  void* builtin_data();
};

struct Model {
  std::vector<ModelTensor> tensors;
  // In the order of execution.
  std::deque<ModelOperator> operators;
  std::vector<int> inputs;
  std::vector<int> outputs;
};

// Reads the first graph of a file, which must outlive the model.
//
// Throws Error if the file is damaged or its graph makes no sense: tensors that are not there, that two operators
// write, or whose constants have another size than their shape.
Model ReadModel(Bytes file);

}  // namespace larq_melius::program

#endif  // LARQ_MELIUS_PROGRAM_MODEL_H_

#include "model.h"

#include <algorithm>
#include <set>

namespace larq_melius::program {
namespace {

// No network has more of anything; damaged files do.
constexpr size_t kMaxTensors = 20000;
constexpr size_t kMaxOperators = 5000;
constexpr size_t kMaxOperands = 1024;
constexpr size_t kMaxRank = 8;
constexpr size_t kMaxScales = 1 << 20;

// Names of built-in operators by their numbers (schema.fbs), as far as models have them.
// clang-format off
constexpr const char* kOperatorNames[] = {
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "DEQUANTIZE",
    "EMBEDDING_LOOKUP", "FLOOR", "FULLY_CONNECTED", "HASHTABLE_LOOKUP", "L2_NORMALIZATION", "L2_POOL_2D",
    "LOCAL_RESPONSE_NORMALIZATION", "LOGISTIC", "LSH_PROJECTION", "LSTM", "MAX_POOL_2D", "MUL", "RELU",
    "RELU_N1_TO_1", "RELU6", "RESHAPE", "RESIZE_BILINEAR", "RNN", "SOFTMAX", "SPACE_TO_DEPTH", "SVDF", "TANH",
    "CONCAT_EMBEDDINGS", "SKIP_GRAM", "CALL", "CUSTOM", "EMBEDDING_LOOKUP_SPARSE", "PAD",
    "UNIDIRECTIONAL_SEQUENCE_RNN", "GATHER", "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND", "TRANSPOSE", "MEAN", "SUB",
    "DIV", "SQUEEZE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "STRIDED_SLICE", "BIDIRECTIONAL_SEQUENCE_RNN", "EXP", "TOPK_V2",
    "SPLIT", "LOG_SOFTMAX", "DELEGATE", "BIDIRECTIONAL_SEQUENCE_LSTM", "CAST", "PRELU", "MAXIMUM", "ARG_MAX",
    "MINIMUM", "LESS", "NEG", "PADV2", "GREATER", "GREATER_EQUAL", "LESS_EQUAL", "SELECT", "SLICE", "SIN",
    "TRANSPOSE_CONV", "SPARSE_TO_DENSE", "TILE", "EXPAND_DIMS", "EQUAL", "NOT_EQUAL", "LOG", "SUM", "SQRT", "RSQRT",
    "SHAPE", "POW", "ARG_MIN", "FAKE_QUANT", "REDUCE_PROD", "REDUCE_MAX", "PACK", "LOGICAL_OR", "ONE_HOT",
    "LOGICAL_AND", "LOGICAL_NOT", "UNPACK", "REDUCE_MIN", "FLOOR_DIV", "REDUCE_ANY", "SQUARE", "ZEROS_LIKE", "FILL",
    "FLOOR_MOD", "RANGE", "RESIZE_NEAREST_NEIGHBOR", "LEAKY_RELU", "SQUARED_DIFFERENCE", "MIRROR_PAD", "ABS",
    "SPLIT_V", "UNIQUE", "CEIL", "REVERSE_V2", "ADD_N", "GATHER_ND", "COS", "WHERE", "RANK", "ELU",
    "REVERSE_SEQUENCE", "MATRIX_DIAG", "QUANTIZE", "MATRIX_SET_DIAG", "ROUND", "HARD_SWISH", "IF", "WHILE",
    "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", "SCATTER_ND", "SELECT_V2", "DENSIFY", "SEGMENT_SUM",
    "BATCH_MATMUL", "PLACEHOLDER_FOR_GREATER_OP_CODES", "CUMSUM", "CALL_ONCE", "BROADCAST_TO", "RFFT2D", "CONV_3D",
    "IMAG", "REAL", "COMPLEX_ABS", "HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_SIZE", "REDUCE_ALL",
    "CONV_3D_TRANSPOSE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "BROADCAST_ARGS", "RANDOM_STANDARD_NORMAL",
    "BUCKETIZE", "RANDOM_UNIFORM", "MULTINOMIAL", "GELU", "DYNAMIC_UPDATE_SLICE", "RELU_0_TO_1",
    "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_SUM", "ATAN2", "UNSORTED_SEGMENT_MIN", "SIGN",
    "BITCAST", "BITWISE_XOR", "RIGHT_SHIFT",
};
// clang-format on

constexpr size_t kOperatorNameCount = sizeof(kOperatorNames) / sizeof(kOperatorNames[0]);

// Tables of operators' options in the union BuiltinOptions (schema.fbs).
enum OptionsType : uint8_t {
  kNoOptions = 0,
  kConv2dOptions = 1,
  kDepthwiseConv2dOptions = 2,
  kPool2dOptions = 5,
  kFullyConnectedOptions = 8,
  kSoftmaxOptions = 9,
  kConcatenationOptions = 10,
  kAddOptions = 11,
  kReshapeOptions = 17,
  kMulOptions = 21,
  kReducerOptions = 27,
  kSubOptions = 28,
  kDivOptions = 29,
  kSqueezeOptions = 30,
  kLeakyReluOptions = 75,
};

struct TypeInfo {
  uint8_t schema_number;
  TfLiteType type;
  const char* name;
  size_t bytes;
};

// TensorType of the schema and TfLiteType count differently.
constexpr TypeInfo kTypes[] = {
    {0, kTfLiteFloat32, "float32", 4},
    {1, kTfLiteFloat16, "float16", 2},
    {2, kTfLiteInt32, "int32", 4},
    {3, static_cast<TfLiteType>(3), "uint8", 1},
    {4, static_cast<TfLiteType>(4), "int64", 8},
    {5, static_cast<TfLiteType>(5), "string", 0},
    {6, kTfLiteBool, "bool", 1},
    {7, static_cast<TfLiteType>(7), "int16", 2},
    {9, kTfLiteInt8, "int8", 1},
    {10, static_cast<TfLiteType>(11), "float64", 8},
};

TfLiteType FromSchema(uint8_t number) {
  for (const TypeInfo& info : kTypes) {
    if (info.schema_number == number) return info.type;
  }
  return kTfLiteNoType;
}

TfLitePadding ReadPadding(const Table& options) {
  const int8_t padding = options.Get<int8_t>(0, 0);
  Require(padding == 0 || padding == 1, "a padding is unknown");
  return padding == 0 ? kTfLitePaddingSame : kTfLitePaddingValid;
}

TfLiteFusedActivation ReadActivation(const Table& options, int field) {
  const int8_t activation = options.Get<int8_t>(field, 0);
  Require(activation >= kTfLiteActNone && activation <= kTfLiteActRelu6, "a fused activation is not supported");
  return static_cast<TfLiteFusedActivation>(activation);
}

uint8_t OptionsTypeOf(int32_t code) {
  switch (code) {
    case kTfLiteBuiltinConv2d: return kConv2dOptions;
    case kDepthwiseConv2d: return kDepthwiseConv2dOptions;
    case kTfLiteBuiltinMaxPool2d:
    case kAveragePool2d: return kPool2dOptions;
    case kFullyConnected: return kFullyConnectedOptions;
    case kSoftmax: return kSoftmaxOptions;
    case kTfLiteBuiltinConcatenation: return kConcatenationOptions;
    case kTfLiteBuiltinAdd: return kAddOptions;
    case kTfLiteBuiltinMul: return kMulOptions;
    case kSub: return kSubOptions;
    case kDiv: return kDivOptions;
    case kTfLiteBuiltinReshape: return kReshapeOptions;
    case kMean: return kReducerOptions;
    case kSqueeze: return kSqueezeOptions;
    case kLeakyRelu: return kLeakyReluOptions;
    default: return kNoOptions;
  }
}

void ReadOptions(const Table& table, int32_t code, OperatorOptions& options) {
  switch (code) {
    case kTfLiteBuiltinConv2d:
    case kDepthwiseConv2d: {
      // Both have the same fields, but for the multiplier of a depthwise convolution between them.
      const int shift = code == kDepthwiseConv2d ? 1 : 0;
      TfLiteConvParams& conv = options.conv;
      conv.padding = ReadPadding(table);
      conv.stride_width = table.Get<int32_t>(1, 0);
      conv.stride_height = table.Get<int32_t>(2, 0);
      conv.activation = ReadActivation(table, 3 + shift);
      conv.dilation_width_factor = table.Get<int32_t>(4 + shift, 1);
      conv.dilation_height_factor = table.Get<int32_t>(5 + shift, 1);
      break;
    }
    case kTfLiteBuiltinMaxPool2d:
    case kAveragePool2d: {
      TfLitePoolParams& pool = options.pool;
      pool.padding = ReadPadding(table);
      pool.stride_width = table.Get<int32_t>(1, 0);
      pool.stride_height = table.Get<int32_t>(2, 0);
      pool.filter_width = table.Get<int32_t>(3, 0);
      pool.filter_height = table.Get<int32_t>(4, 0);
      pool.activation = ReadActivation(table, 5);
      break;
    }
    case kTfLiteBuiltinConcatenation:
      options.concatenation.axis = table.Get<int32_t>(0, 0);
      options.concatenation.activation = ReadActivation(table, 1);
      break;
    case kTfLiteBuiltinAdd:
    case kTfLiteBuiltinMul: options.arithmetic.activation = ReadActivation(table, 0); break;
    case kSub:
    case kDiv: options.activation = ReadActivation(table, 0); break;
    case kFullyConnected:
      options.activation = ReadActivation(table, 0);
      Require(table.Get<int8_t>(1, 0) == 0, "FULLY_CONNECTED has shuffled weights, which are not supported");
      options.keep_dims = table.Get<uint8_t>(2, 0) != 0;
      break;
    case kMean: options.keep_dims = table.Get<uint8_t>(0, 0) != 0; break;
    case kSoftmax:
    case kLeakyRelu: options.number = table.Get<float>(0, 0.0f); break;
    case kTfLiteBuiltinReshape:
    case kSqueeze: options.sizes = table.Numbers<int32_t>(0, kMaxRank); break;
    default: break;
  }
}

// Where a buffer's bytes are: in it, or, in a file whose constants stand behind the flatbuffer, at its offset.
Bytes ReadBuffer(Bytes file, const Table& buffer) {
  const uint64_t offset = buffer.Get<uint64_t>(1, 0);
  const uint64_t size = buffer.Get<uint64_t>(2, 0);
  if (offset <= 1) return buffer.Blob(0);  // 1 stands for an offset that was never filled in.
  Require(offset <= file.size && size <= file.size - offset, "a constant lies behind the end of the file");
  return {file.data + offset, static_cast<size_t>(size)};
}

ModelTensor ReadTensor(Bytes file, const Table& table, const std::vector<Table>& buffers) {
  ModelTensor tensor;
  tensor.name = table.Text(3);
  tensor.type = FromSchema(table.Get<uint8_t>(1, 0));
  tensor.shape = table.Numbers<int32_t>(0, kMaxRank);
  Require(!table.Child(6).has_value(), "a tensor is sparse, which is not supported");
  Require(table.Get<uint8_t>(5, 0) == 0, "a tensor is a variable, which is not supported");
  Shape shape;
  for (int size : tensor.shape) shape.push_back(size);
  const int64_t elements = ElementCount(shape);
  const uint32_t buffer = table.Get<uint32_t>(2, 0);
  Require(buffer < buffers.size() || buffer == 0, "a tensor's buffer is not there");
  if (buffer != 0) tensor.constant = ReadBuffer(file, buffers[buffer]);
  tensor.is_constant = tensor.constant.size != 0;
  if (tensor.is_constant) {
    const size_t bytes = static_cast<size_t>(elements) * ElementBytes(tensor.type);
    Require(tensor.constant.size >= bytes, "a constant of " + std::to_string(elements) + " elements has only " +
                                               std::to_string(tensor.constant.size) + " bytes");
  }
  if (const std::optional<Table> quantization = table.Child(4)) {
    tensor.scales = quantization->Numbers<float>(2, kMaxScales);
    tensor.zero_points = quantization->Numbers<int64_t>(3, kMaxScales);
    tensor.quantized_axis = quantization->Get<int32_t>(6, 0);
    Require(tensor.zero_points.empty() || tensor.zero_points.size() == tensor.scales.size(),
            "a tensor has another number of zero points than of scales");
    tensor.zero_points.resize(tensor.scales.size(), 0);
  }
  return tensor;
}

struct OperatorCode {
  int32_t code = 0;
  std::string custom_name;
};

OperatorCode ReadOperatorCode(const Table& table) {
  // Numbers up to 127 stood in the first field, and old files have only that.
  OperatorCode code;
  code.code = std::max<int32_t>(table.Get<int8_t>(0, 0), table.Get<int32_t>(3, 0));
  code.custom_name = table.Text(1);
  return code;
}

std::string OperatorName(const OperatorCode& code) {
  if (code.code == kTfLiteBuiltinCustom) return code.custom_name.empty() ? "CUSTOM" : code.custom_name;
  if (code.code >= 0 && static_cast<size_t>(code.code) < kOperatorNameCount) return kOperatorNames[code.code];
  return "the built-in operator " + std::to_string(code.code);
}

ModelOperator ReadOperator(const Table& table, const std::vector<OperatorCode>& codes) {
  const uint32_t code_index = table.Get<uint32_t>(0, 0);
  Require(code_index < codes.size(), "an operator's code is not there");
  ModelOperator op;
  op.code = codes[code_index].code;
  op.custom_name = codes[code_index].custom_name;
  op.name = OperatorName(codes[code_index]);
  op.inputs = table.Numbers<int32_t>(1, kMaxOperands);
  op.outputs = table.Numbers<int32_t>(2, kMaxOperands);
  op.custom_options = table.Blob(5);
  const uint8_t wanted = OptionsTypeOf(op.code);
  const uint8_t given = table.Get<uint8_t>(3, 0);
  const std::optional<Table> options = table.Child(4);
  if (wanted == kNoOptions || !options.has_value()) {
    const bool optional = wanted == kNoOptions || wanted == kReshapeOptions || wanted == kSqueezeOptions;
    Require(optional, op.name + " has no options");
    return op;
  }
  Require(given == wanted, op.name + " has the options of another operator");
  ReadOptions(*options, op.code, op.options);
  return op;
}

void CheckGraph(const Model& model) {
  const int count = static_cast<int>(model.tensors.size());
  std::set<int> written;
  for (int input : model.inputs) {
    Require(input >= 0 && input < count, "an input of the network is not there");
    Require(!model.tensors[static_cast<size_t>(input)].is_constant, "an input of the network is a constant");
    Require(written.insert(input).second, "an input of the network is there twice");
  }
  for (const ModelOperator& op : model.operators) {
    for (int input : op.inputs) {
      if (input == kTfLiteOptionalTensor) continue;
      Require(input >= 0 && input < count, op.name + " reads a tensor that is not there");
      Require(written.count(input) != 0 || model.tensors[static_cast<size_t>(input)].is_constant,
              op.name + " reads a tensor that has no value yet");
    }
    for (int output : op.outputs) {
      Require(output >= 0 && output < count, op.name + " writes a tensor that is not there");
      Require(!model.tensors[static_cast<size_t>(output)].is_constant, op.name + " writes to a constant");
      Require(written.insert(output).second, op.name + " writes a tensor that has a value already");
    }
  }
  for (int output : model.outputs) {
    Require(output >= 0 && output < count, "an output of the network is not there");
    Require(written.count(output) != 0 || model.tensors[static_cast<size_t>(output)].is_constant,
            "an output of the network has no value");
  }
  Require(!model.inputs.empty() && !model.outputs.empty(), "the network has no inputs or no outputs");
}

}  // namespace

std::string TypeName(TfLiteType type) {
  for (const TypeInfo& info : kTypes) {
    if (info.type == type) return info.name;
  }
  return "unknown";
}

size_t ElementBytes(TfLiteType type) {
  for (const TypeInfo& info : kTypes) {
    if (info.type == type) return info.bytes;
  }
  return 0;
}

void* ModelOperator::builtin_data() {
  switch (code) {
    case kTfLiteBuiltinConv2d: return &options.conv;
    case kTfLiteBuiltinMaxPool2d: return &options.pool;
    case kTfLiteBuiltinConcatenation: return &options.concatenation;
    case kTfLiteBuiltinAdd:
    case kTfLiteBuiltinMul: return &options.arithmetic;
    default: return nullptr;
  }
}

Model ReadModel(Bytes file) {
  const Table root = Table::Root(file, "TFL3");
  const std::vector<Table> graphs = root.Children(2, kMaxOperands);
  Require(!graphs.empty(), "the file has no graph");
  const Table& graph = graphs[0];
  std::vector<OperatorCode> codes;
  for (const Table& table : root.Children(1, kMaxOperands)) codes.push_back(ReadOperatorCode(table));
  const std::vector<Table> buffers = root.Children(4, 2 * kMaxTensors);

  Model model;
  for (const Table& table : graph.Children(0, kMaxTensors)) model.tensors.push_back(ReadTensor(file, table, buffers));
  model.inputs = graph.Numbers<int32_t>(1, kMaxOperands);
  model.outputs = graph.Numbers<int32_t>(2, kMaxOperands);
  for (const Table& table : graph.Children(3, kMaxOperators)) model.operators.push_back(ReadOperator(table, codes));
  CheckGraph(model);
  return model;
}

}  // namespace larq_melius::program

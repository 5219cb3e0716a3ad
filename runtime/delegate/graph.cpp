#include "graph.h"

#include <cstring>

#include "flexbuffer.h"

namespace larq_melius {
namespace {

// Strides, dilations and window sizes above this are damage, and could overflow the arithmetic of shapes.
constexpr int64_t kMaxExtent = 1 << 15;
constexpr int64_t kMaxChannels = 1 << 20;

Type FromTfLite(TfLiteType type) {
  switch (type) {
    case kTfLiteFloat32: return Type::kFloat32;
    case kTfLiteInt32: return Type::kInt32;
    case kTfLiteInt8: return Type::kInt8;
    case kTfLiteBool: return Type::kBool;
    default: return Type::kOther;
  }
}

Tensor ReadTensor(const TfLiteContext* context, int index) {
  Require(index >= 0 && static_cast<size_t>(index) < context->tensors_size,
          "an operator uses a tensor that is not there");
  const TfLiteTensor& source = context->tensors[index];
  Tensor tensor;
  tensor.type = FromTfLite(source.type);
  if (source.dims != nullptr) {
    for (int i = 0; i < source.dims->size; ++i) tensor.shape.push_back(source.dims->data[i]);
  }
  tensor.scale = source.params.scale;
  tensor.zero_point = source.params.zero_point;
  tensor.bytes = source.bytes;
  if (source.allocation_type == kTfLiteMmapRo) tensor.constant = source.data;
  return tensor;
}

class CustomOptions {
 public:
  CustomOptions(const TfLiteNode& node, Operator op) : op_(op) {
    Require(node.custom_initial_data_size >= 0, Message("has damaged options"));
    values_ = ReadFlexbufferIntegers(node.custom_initial_data, static_cast<size_t>(node.custom_initial_data_size));
  }

  int Get(const char* key, int64_t minimum, int64_t maximum) const {
    const auto found = values_.find(key);
    Require(found != values_.end(), Message(std::string("lacks the option ") + key));
    Require(found->second >= minimum && found->second <= maximum,
            Message(std::string("has the option ") + key + " = " + std::to_string(found->second)));
    return static_cast<int>(found->second);
  }

  Padding GetPadding() const {
    // Numbers of TFLite's schema.
    return Get("padding", 0, 1) == 0 ? Padding::kSame : Padding::kValid;
  }

  Activation GetActivation() const {
    constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kReluN1To1,
                                           Activation::kRelu6};
    return kActivations[Get("fused_activation_function", 0, 3)];
  }

 private:
  std::string Message(const std::string& problem) const { return std::string(Name(op_)) + " " + problem; }

  Operator op_;
  std::map<std::string, int64_t> values_;
};

template <typename Params>
const Params& BuiltinOptions(const TfLiteNode& node, Operator op) {
  Require(node.builtin_data != nullptr, std::string(Name(op)) + " has no options");
  return *static_cast<const Params*>(node.builtin_data);
}

Activation FromTfLite(TfLiteFusedActivation activation) {
  switch (activation) {
    case kTfLiteActNone: return Activation::kNone;
    case kTfLiteActRelu: return Activation::kRelu;
    case kTfLiteActReluN1To1: return Activation::kReluN1To1;
    case kTfLiteActRelu6: return Activation::kRelu6;
  }
  throw Error("a fused activation is unknown");
}

Padding FromTfLite(TfLitePadding padding) {
  Require(padding == kTfLitePaddingSame || padding == kTfLitePaddingValid, "a padding is unknown");
  return padding == kTfLitePaddingSame ? Padding::kSame : Padding::kValid;
}

int Extent(int value) {
  Require(value >= 1 && value <= kMaxExtent, "a stride, dilation or window is out of range");
  return value;
}

// Strides, padding and activation, which the options of convolutions and pools share by name.
template <typename Params>
Options WindowOptions(const Params& params) {
  Options options;
  options.stride_height = Extent(params.stride_height);
  options.stride_width = Extent(params.stride_width);
  options.padding = FromTfLite(params.padding);
  options.activation = FromTfLite(params.activation);
  return options;
}

Options ReadBuiltinOptions(const TfLiteNode& node, Operator op) {
  Options options;
  switch (op) {
    case Operator::kMultiply:
    case Operator::kAdd:
      options.activation = FromTfLite(BuiltinOptions<TfLiteArithmeticParams>(node, op).activation);
      break;
    case Operator::kConcatenate: {
      const auto& params = BuiltinOptions<TfLiteConcatenationParams>(node, op);
      options.axis = params.axis;
      options.activation = FromTfLite(params.activation);
      break;
    }
    case Operator::kMaxPool: {
      const auto& params = BuiltinOptions<TfLitePoolParams>(node, op);
      options = WindowOptions(params);
      options.filter_height = Extent(params.filter_height);
      options.filter_width = Extent(params.filter_width);
      break;
    }
    case Operator::kConv: {
      const auto& params = BuiltinOptions<TfLiteConvParams>(node, op);
      options = WindowOptions(params);
      options.dilation_height = Extent(params.dilation_height_factor);
      options.dilation_width = Extent(params.dilation_width_factor);
      break;
    }
    default: break;
  }
  return options;
}

Options ReadOptions(const TfLiteNode& node, Operator op) {
  if (!IsLceOperator(op)) return ReadBuiltinOptions(node, op);
  Options options;
  if (op == Operator::kBinaryConv) {
    const CustomOptions custom(node, op);
    options.stride_height = custom.Get("stride_height", 1, kMaxExtent);
    options.stride_width = custom.Get("stride_width", 1, kMaxExtent);
    options.dilation_height = custom.Get("dilation_height_factor", 1, kMaxExtent);
    options.dilation_width = custom.Get("dilation_width_factor", 1, kMaxExtent);
    options.padding = custom.GetPadding();
    options.pad_value = custom.Get("pad_values", 0, 1);
    options.channels_in = custom.Get("channels_in", 1, kMaxChannels);
    options.activation = custom.GetActivation();
  } else if (op == Operator::kBinaryMaxPool) {
    const CustomOptions custom(node, op);
    options.filter_height = custom.Get("filter_height", 1, kMaxExtent);
    options.filter_width = custom.Get("filter_width", 1, kMaxExtent);
    options.stride_height = custom.Get("stride_height", 1, kMaxExtent);
    options.stride_width = custom.Get("stride_width", 1, kMaxExtent);
    options.padding = custom.GetPadding();
  }
  return options;
}

std::vector<int> ToVector(const TfLiteIntArray* array) {
  if (array == nullptr) return {};
  return std::vector<int>(array->data, array->data + array->size);
}

bool FitsArity(Operator op, size_t inputs) {
  switch (op) {
    case Operator::kBinaryConv: return inputs == 5;
    case Operator::kMultiply:
    case Operator::kAdd: return inputs == 2;
    case Operator::kPad: return inputs == 2 || inputs == 3;
    case Operator::kReshape:
    case Operator::kTranspose: return inputs == 2;
    case Operator::kConv: return inputs == 3;
    case Operator::kConcatenate: return inputs >= 1;
    default: return inputs == 1;
  }
}

// Throws Error if it is not a constant of that type and count.
void CheckConstant(const Tensor& tensor, Type type, int64_t count, const char* what) {
  Require(tensor.constant != nullptr, std::string(what) + " is not a constant");
  Require(tensor.type == type, std::string(what) + " has the type " + Name(tensor.type) + " instead of " + Name(type));
  const int64_t elements = ElementCount(tensor.shape);
  Require(elements == count && tensor.bytes / sizeof(int32_t) >= static_cast<size_t>(elements),
          std::string(what) + " has " + std::to_string(elements) + " elements instead of " + std::to_string(count));
}

template <typename T>
std::vector<T> CopyConstant(const Tensor& tensor, Type type, int64_t count, const char* what) {
  static_assert(sizeof(T) == sizeof(int32_t));
  CheckConstant(tensor, type, count, what);
  std::vector<T> values(static_cast<size_t>(count));
  if (count > 0) std::memcpy(values.data(), tensor.constant, values.size() * sizeof(T));
  return values;
}

}  // namespace

const char* Name(Type type) {
  switch (type) {
    case Type::kFloat32: return "float32";
    case Type::kInt32: return "int32";
    case Type::kInt8: return "int8";
    case Type::kBool: return "bool";
    case Type::kOther: break;
  }
  return "another type";
}

const char* Name(Operator op) {
  switch (op) {
    case Operator::kQuantize: return "LceQuantize";
    case Operator::kDequantize: return "LceDequantize";
    case Operator::kBinaryConv: return "LceBconv2d";
    case Operator::kBinaryMaxPool: return "LceBMaxPool2d";
    case Operator::kMultiply: return "MUL";
    case Operator::kAdd: return "ADD";
    case Operator::kConcatenate: return "CONCATENATION";
    case Operator::kPad: return "PAD";
    case Operator::kMaxPool: return "MAX_POOL_2D";
    case Operator::kConv: return "CONV_2D";
    case Operator::kReshape: return "RESHAPE";
    case Operator::kTranspose: return "TRANSPOSE";
    case Operator::kOther: break;
  }
  return "another operator";
}

bool IsLceOperator(Operator op) {
  return op == Operator::kQuantize || op == Operator::kDequantize || op == Operator::kBinaryConv ||
         op == Operator::kBinaryMaxPool;
}

const Tensor& Graph::tensor(int index) const {
  const auto found = tensors.find(index);
  Require(found != tensors.end(), "an input of an operator is absent");
  return found->second;
}

Operator RecognizeOperator(const TfLiteRegistration& registration) {
  switch (registration.builtin_code) {
    case kTfLiteBuiltinMul: return Operator::kMultiply;
    case kTfLiteBuiltinAdd: return Operator::kAdd;
    case kTfLiteBuiltinConcatenation: return Operator::kConcatenate;
    case kTfLiteBuiltinPad:
    case kTfLiteBuiltinPadv2: return Operator::kPad;
    case kTfLiteBuiltinMaxPool2d: return Operator::kMaxPool;
    case kTfLiteBuiltinConv2d: return Operator::kConv;
    case kTfLiteBuiltinReshape: return Operator::kReshape;
    case kTfLiteBuiltinTranspose: return Operator::kTranspose;
    case kTfLiteBuiltinCustom: break;
    default: return Operator::kOther;
  }
  if (registration.custom_name == nullptr) return Operator::kOther;
  for (Operator op : {Operator::kQuantize, Operator::kDequantize, Operator::kBinaryConv, Operator::kBinaryMaxPool}) {
    if (std::strcmp(registration.custom_name, Name(op)) == 0) return op;
  }
  return Operator::kOther;
}

Operator ReadOperator(TfLiteContext* context, int node_index) {
  TfLiteNode* node = nullptr;
  TfLiteRegistration* registration = nullptr;
  Require(context->GetNodeAndRegistration(context, node_index, &node, &registration) == kTfLiteOk &&
              registration != nullptr,
          "the runtime does not give access to an operator");
  return RecognizeOperator(*registration);
}

Graph ReadGraph(TfLiteContext* context, const std::vector<int>& node_indices) {
  Graph graph;
  for (int index : node_indices) {
    TfLiteNode* source = nullptr;
    TfLiteRegistration* registration = nullptr;
    Require(context->GetNodeAndRegistration(context, index, &source, &registration) == kTfLiteOk && source != nullptr &&
                registration != nullptr,
            "the runtime does not give access to an operator");
    Node node;
    node.index = index;
    node.op = RecognizeOperator(*registration);
    Require(node.op != Operator::kOther, "the runtime handed over an operator that was not claimed");
    node.inputs = ToVector(source->inputs);
    node.outputs = ToVector(source->outputs);
    Require(FitsArity(node.op, node.inputs.size()) && node.outputs.size() == 1,
            std::string(Name(node.op)) + " has the wrong number of inputs or outputs");
    node.options = ReadOptions(*source, node.op);
    for (int input : node.inputs) {
      if (input != kTfLiteOptionalTensor) graph.tensors.emplace(input, ReadTensor(context, input));
    }
    for (int output : node.outputs) graph.tensors.emplace(output, ReadTensor(context, output));
    graph.nodes.push_back(std::move(node));
  }
  return graph;
}

std::vector<float> FloatConstant(const Tensor& tensor, int64_t count, const char* what) {
  return CopyConstant<float>(tensor, Type::kFloat32, count, what);
}

std::vector<int32_t> IntConstant(const Tensor& tensor, int64_t count, const char* what) {
  return CopyConstant<int32_t>(tensor, Type::kInt32, count, what);
}

ConstantWords WordConstant(const Tensor& tensor, int64_t count, const char* what) {
  CheckConstant(tensor, Type::kInt32, count, what);
  return ConstantWords(tensor.constant);
}

}  // namespace larq_melius

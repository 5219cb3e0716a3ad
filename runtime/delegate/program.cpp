#include "program.h"

#include <algorithm>
#include <cstring>

namespace larq_melius {
namespace {

// A sum of more terms would not fit the accumulators.
constexpr int64_t kMaxTerms = 1 << 24;

void RequireType(const Node& node, const char* what, Type actual, std::initializer_list<Type> allowed) {
  Require(std::find(allowed.begin(), allowed.end(), actual) != allowed.end(),
          std::string(Name(node.op)) + ": the " + what + " has an unsupported type (" + Name(actual) + ")");
}

std::shared_ptr<const BinaryConvConstants> ReadConvConstants(const Graph& graph, const Node& node, Type output_type) {
  auto constants = std::make_shared<BinaryConvConstants>();
  const Tensor& filter = graph.tensor(node.inputs[1]);
  Require(filter.shape.size() == 4, "LceBconv2d: the filter does not have four dimensions");
  for (int64_t size : filter.shape) Require(size > 0, "LceBconv2d: the filter is empty");
  constants->filter = WordConstant(filter, ElementCount(filter.shape), "LceBconv2d: the filter");
  constants->channels_out = filter.shape[0];
  constants->filter_height = filter.shape[1];
  constants->filter_width = filter.shape[2];
  constants->words = filter.shape[3];
  const int64_t positions = CheckedProduct(constants->filter_height, constants->filter_width);
  Require(positions * constants->words * kWordBits <= kMaxTerms, "LceBconv2d: the filter is too large");
  if (output_type == Type::kInt32) {
    constants->thresholds =
        IntConstant(graph.tensor(node.inputs[4]), constants->channels_out, "LceBconv2d: the vector of thresholds");
  } else {
    constants->multiplier =
        FloatConstant(graph.tensor(node.inputs[2]), constants->channels_out, "LceBconv2d: the multiplier");
    constants->bias = FloatConstant(graph.tensor(node.inputs[3]), constants->channels_out, "LceBconv2d: the bias");
  }
  return constants;
}

bool IsConstant(const Graph& graph, int index) { return graph.tensor(index).constant != nullptr; }

// A float map [N, H, W, C] of the runtime.
void RequireMap(const Node& node, const Tensor& tensor) {
  RequireType(node, "map", tensor.type, {Type::kFloat32});
  Require(tensor.constant == nullptr && tensor.shape.size() == 4 && ElementCount(tensor.shape) > 0,
          std::string(Name(node.op)) + ": not a map");
}

// A constant for each channel of the map at `input`; one for all is repeated.
std::vector<float> ReadChannelConstant(const Graph& graph, const Node& node, int constant, int input) {
  const Tensor& tensor = graph.tensor(constant);
  const int64_t channels = graph.tensor(input).shape.back();
  const int64_t count = ElementCount(tensor.shape);
  Require(count == 1 || (tensor.shape.back() == channels && count == channels),
          std::string(Name(node.op)) + ": the constant is not one number a channel");
  std::vector<float> values = FloatConstant(tensor, count, Name(node.op));
  values.resize(static_cast<size_t>(channels), values[0]);
  return values;
}

// MUL or ADD: by a constant for each channel, or of two maps of one shape.
void LowerArithmetic(const Graph& graph, const Node& node, Instruction& instruction) {
  const bool first_is_constant = IsConstant(graph, node.inputs[0]);
  const int input = node.inputs[first_is_constant ? 1 : 0];
  const int other = node.inputs[first_is_constant ? 0 : 1];
  RequireMap(node, graph.tensor(input));
  instruction.inputs = {input};
  if (!IsConstant(graph, other)) {
    Require(node.op == Operator::kAdd, "MUL: both inputs are maps");
    RequireMap(node, graph.tensor(other));
    Require(graph.tensor(input).shape == graph.tensor(other).shape, "ADD: the maps have different shapes");
    instruction.kind = InstructionKind::kAdd;
    instruction.inputs.push_back(other);
    return;
  }
  instruction.kind = InstructionKind::kAffine;
  (node.op == Operator::kMultiply ? instruction.multiplier : instruction.addend) =
      ReadChannelConstant(graph, node, other, input);
}

void LowerConcatenate(const Graph& graph, const Node& node, Instruction& instruction) {
  instruction.kind = InstructionKind::kConcatenate;
  instruction.inputs = node.inputs;
  for (int input : node.inputs) RequireMap(node, graph.tensor(input));
  Require(node.options.axis == 3 || node.options.axis == -1, "CONCATENATION: not of channels");
  Require(node.options.activation == Activation::kNone, "CONCATENATION: has an activation");
}

void LowerPad(const Graph& graph, const Node& node, Instruction& instruction) {
  instruction.kind = InstructionKind::kPad;
  RequireMap(node, graph.tensor(node.inputs[0]));
  const std::vector<int32_t> padding = IntConstant(graph.tensor(node.inputs[1]), 8, "PAD: the padding");
  for (int32_t size : padding) Require(size >= 0 && size <= (1 << 15), "PAD: the padding is out of range");
  Require(padding[0] == 0 && padding[1] == 0, "PAD: of the batch");
  instruction.channels_before = padding[6];
  instruction.channels_behind = padding[7];
  instruction.border = {padding[2], padding[3], padding[4], padding[5]};
  if (node.inputs.size() == 3)
    instruction.border_value = FloatConstant(graph.tensor(node.inputs[2]), 1, "PAD: the value")[0];
}

void RequireFloats(const Node& node, const Tensor& tensor) {
  RequireType(node, "input", tensor.type, {Type::kFloat32});
  Require(tensor.constant == nullptr && ElementCount(tensor.shape) > 0, std::string(Name(node.op)) + ": not a map");
}

// Channels to groups of them, or back: what a channel shuffle is made of.
void LowerReshape(const Graph& graph, const Node& node, Instruction& instruction) {
  instruction.kind = InstructionKind::kReshape;
  RequireFloats(node, graph.tensor(node.inputs[0]));
  const Shape& in = graph.tensor(node.inputs[0]).shape;
  const Tensor& target = graph.tensor(node.inputs[1]);
  Require(target.shape.size() == 1 && target.shape[0] + static_cast<int64_t>(in.size()) == 7,
          "RESHAPE: not of channels to groups of them, or back");
  const std::vector<int32_t> sizes = IntConstant(target, target.shape[0], "RESHAPE: the shape");
  instruction.target.assign(sizes.begin(), sizes.end());
  int64_t unknown = 0;
  for (int64_t size : instruction.target) {
    Require(size >= -1 && size != 0, "RESHAPE: a size is out of range");
    unknown += size == -1 ? 1 : 0;
  }
  Require(unknown <= 1, "RESHAPE: several sizes are unknown");
  const bool splits = in.size() == 4;
  const Shape& groups = splits ? instruction.target : in;
  const int64_t channels = splits ? in[3] : instruction.target[3];
  Require(groups[1] > 0 && groups[2] > 0 && CheckedProduct(groups[1], groups[2]) == channels,
          "RESHAPE: not of channels to groups of them, or back");
}

void LowerTranspose(const Graph& graph, const Node& node, Instruction& instruction) {
  instruction.kind = InstructionKind::kTranspose;
  RequireFloats(node, graph.tensor(node.inputs[0]));
  const std::vector<int32_t> order = IntConstant(graph.tensor(node.inputs[1]), 3, "TRANSPOSE: the order");
  Require(graph.tensor(node.inputs[0]).shape.size() == 3 && order == std::vector<int32_t>{0, 2, 1},
          "TRANSPOSE: not of the last two of three dimensions");
}

bool IsWindow(int64_t size) { return size >= 2 && size <= 11; }

// Convolutions of few channels, in groups or of an image, which runtimes are slow at, and of single pixels.
void LowerConv(const Graph& graph, const Node& node, Instruction& instruction) {
  instruction.kind = InstructionKind::kConv;
  const Tensor& input = graph.tensor(node.inputs[0]);
  RequireMap(node, input);
  const Tensor& filter = graph.tensor(node.inputs[1]);
  Require(filter.shape.size() == 4 && ElementCount(filter.shape) > 0, "CONV_2D: the filter is empty");
  auto constants = std::make_shared<ConvConstants>();
  constants->channels_out = filter.shape[0];
  constants->filter_height = filter.shape[1];
  constants->filter_width = filter.shape[2];
  constants->group_channels_in = filter.shape[3];
  const int64_t groups = input.shape[3] / constants->group_channels_in;
  Require(groups * constants->group_channels_in == input.shape[3] && constants->channels_out % groups == 0,
          "CONV_2D: the filter does not fit the input");
  const int64_t group_channels_out = constants->channels_out / groups;
  if (constants->filter_height == 1 && constants->filter_width == 1) {
    instruction.kind = InstructionKind::kPointwiseConv;
    Require(node.options.stride_height == 1 && node.options.stride_width == 1 && group_channels_out >= 16 &&
                constants->group_channels_in >= 16,
            "CONV_2D: the runtime is as good at it");
  } else {
    const bool few_channels = groups > 1 ? constants->group_channels_in <= 16 : input.shape[3] <= 4;
    Require(few_channels && group_channels_out % 4 == 0 && IsWindow(constants->filter_height) &&
                IsWindow(constants->filter_width) && node.options.stride_width <= 4 &&
                node.options.dilation_height <= 16 && node.options.dilation_width <= 16,
            "CONV_2D: the runtime is as good at it");
  }
  constants->filter = FloatConstant(filter, ElementCount(filter.shape), "CONV_2D: the filter");
  if (node.inputs[2] == kTfLiteOptionalTensor) {
    constants->bias.assign(static_cast<size_t>(constants->channels_out), 0.0f);
  } else {
    constants->bias = FloatConstant(graph.tensor(node.inputs[2]), constants->channels_out, "CONV_2D: the bias");
  }
  instruction.groups = groups;
  instruction.float_conv = std::move(constants);
}

}  // namespace

Instruction LowerNode(const Graph& graph, const Node& node) {
  Instruction instruction;
  instruction.inputs = {node.inputs[0]};
  instruction.output = node.outputs[0];
  instruction.options = node.options;
  const Tensor& input = graph.tensor(node.inputs[0]);
  const Tensor& output = graph.tensor(node.outputs[0]);
  switch (node.op) {
    case Operator::kQuantize:
      instruction.kind = InstructionKind::kPack;
      RequireType(node, "input", input.type, {Type::kFloat32, Type::kInt8, Type::kBool});
      RequireType(node, "output", output.type, {Type::kInt32});
      break;
    case Operator::kDequantize:
      instruction.kind = InstructionKind::kUnpack;
      RequireType(node, "input", input.type, {Type::kInt32});
      RequireType(node, "output", output.type, {Type::kFloat32, Type::kInt8, Type::kBool});
      Require(!output.shape.empty() && output.shape.back() >= 0, "LceDequantize: the output has no channels");
      instruction.channels = output.shape.back();
      break;
    case Operator::kBinaryConv:
      instruction.kind = InstructionKind::kBinaryConv;
      RequireType(node, "input", input.type, {Type::kInt32});
      RequireType(node, "output", output.type, {Type::kFloat32, Type::kInt8, Type::kInt32});
      instruction.conv = ReadConvConstants(graph, node, output.type);
      break;
    case Operator::kBinaryMaxPool:
      instruction.kind = InstructionKind::kBinaryMaxPool;
      RequireType(node, "input", input.type, {Type::kInt32});
      RequireType(node, "output", output.type, {Type::kInt32});
      break;
    case Operator::kMultiply:
    case Operator::kAdd: LowerArithmetic(graph, node, instruction); break;
    case Operator::kConcatenate: LowerConcatenate(graph, node, instruction); break;
    case Operator::kPad: LowerPad(graph, node, instruction); break;
    case Operator::kMaxPool:
      instruction.kind = InstructionKind::kMaxPool;
      RequireMap(node, input);
      break;
    case Operator::kConv: LowerConv(graph, node, instruction); break;
    case Operator::kReshape: LowerReshape(graph, node, instruction); break;
    case Operator::kTranspose: LowerTranspose(graph, node, instruction); break;
    case Operator::kOther: throw Error("an operator is unknown");
  }
  if (instruction.kind == InstructionKind::kReshape || instruction.kind == InstructionKind::kTranspose) {
    RequireFloats(node, output);
  } else if (!IsLceOperator(node.op)) {
    RequireMap(node, output);
  }
  if (output.type == Type::kInt8) {
    Require(output.scale > 0, std::string(Name(node.op)) + ": the int8 output is not quantized");
  }
  return instruction;
}

namespace {

int64_t PlaceAlong(int64_t in, int64_t filter, int64_t dilation, int64_t stride, Padding padding, int64_t* out) {
  const int64_t extent = (filter - 1) * dilation + 1;
  if (padding == Padding::kValid) {
    Require(in >= extent,
            "a window of " + std::to_string(extent) + " does not fit into a map of " + std::to_string(in));
    *out = (in - extent) / stride + 1;
    return 0;
  }
  *out = DivideRoundingUp(in, stride);
  return std::max<int64_t>(0, (*out - 1) * stride + extent - in) / 2;
}

void InferBinaryConv(const Program& program, Instruction& instruction, Value& output) {
  const Shape& in = program.values.at(instruction.inputs[0]).shape;
  const BinaryConvConstants& conv = *instruction.conv;
  Require(in.size() == 4, "LceBconv2d: the input does not have four dimensions");
  Require(in[3] == WordCount(instruction.options.channels_in),
          "LceBconv2d: the input has " + std::to_string(in[3]) + " words for " +
              std::to_string(instruction.options.channels_in) + " channels");
  Require(in[3] % conv.words == 0, "LceBconv2d: the filter does not fit the input");
  instruction.groups = in[3] / conv.words;
  if (instruction.groups > 1) {
    Require(instruction.options.channels_in % (instruction.groups * kWordBits) == 0,
            "LceBconv2d: the channels of a group are not a multiple of 32");
    Require(conv.channels_out % instruction.groups == 0, "LceBconv2d: the output channels do not divide into groups");
  }
  instruction.window = PlaceWindow(in, conv.filter_height, conv.filter_width, instruction.options, instruction.border);
  const int64_t channels = output.type == Type::kInt32 ? WordCount(conv.channels_out) : conv.channels_out;
  output.shape = {in[0], instruction.window.out_height, instruction.window.out_width, channels};
  if (instruction.inputs.size() > 1) {
    Require(program.values.at(instruction.inputs[1]).shape == output.shape, "ADD: the maps have different shapes");
  }
}

void InferFloatMap(const Program& program, Instruction& instruction, Value& output) {
  const Shape& in = program.values.at(instruction.inputs[0]).shape;
  const std::string name = Name(instruction.kind);
  Require(in.size() == 4, name + ": the input does not have four dimensions");
  output.shape = in;
  for (const std::vector<float>* constant : {&instruction.multiplier, &instruction.addend}) {
    Require(constant->empty() || static_cast<int64_t>(constant->size()) == in[3],
            name + ": the input has " + std::to_string(in[3]) + " channels");
  }
  switch (instruction.kind) {
    case InstructionKind::kAdd:
      Require(program.values.at(instruction.inputs[1]).shape == in, name + ": the maps have different shapes");
      break;
    case InstructionKind::kConcatenate:
      for (size_t i = 1; i < instruction.inputs.size(); ++i) {
        const Shape& other = program.values.at(instruction.inputs[i]).shape;
        Require(other.size() == 4 && std::equal(in.begin(), in.begin() + 3, other.begin()),
                name + ": the maps have different sizes");
        output.shape[3] += other[3];
      }
      break;
    case InstructionKind::kPad:
      output.shape[1] += instruction.border.top + instruction.border.bottom;
      output.shape[2] += instruction.border.left + instruction.border.right;
      output.shape[3] += instruction.channels_before + instruction.channels_behind;
      break;
    case InstructionKind::kMaxPool:
      instruction.window = PlaceWindow(in, instruction.options.filter_height, instruction.options.filter_width,
                                       instruction.options, instruction.border);
      break;
    case InstructionKind::kConv:
    case InstructionKind::kPointwiseConv:
      Require(in[3] == instruction.groups * instruction.float_conv->group_channels_in,
              name + ": the filter does not fit the input");
      instruction.window = PlaceWindow(in, instruction.float_conv->filter_height, instruction.float_conv->filter_width,
                                       instruction.options, instruction.border);
      output.shape[3] = instruction.float_conv->channels_out;
      break;
    default: break;
  }
  if (instruction.kind == InstructionKind::kMaxPool || instruction.kind == InstructionKind::kConv ||
      instruction.kind == InstructionKind::kPointwiseConv) {
    output.shape[1] = instruction.window.out_height;
    output.shape[2] = instruction.window.out_width;
  }
}

Shape ResolveShape(const Shape& in, const Shape& target) {
  Shape shape = target;
  int64_t known = 1;
  for (int64_t size : target) known = size < 0 ? known : CheckedProduct(known, size);
  for (int64_t& size : shape) size = size < 0 && known > 0 ? ElementCount(in) / known : size;
  Require(std::count(shape.begin(), shape.end(), -1) == 0 && ElementCount(shape) == ElementCount(in),
          "RESHAPE: the elements do not fit the shape");
  return shape;
}

void RequireShuffle(const Shape& in, const Instruction& instruction) {
  Require(in.size() == 4 && in[3] % instruction.shuffled_groups == 0 && ResolveShape(in, instruction.target) == in,
          "RESHAPE: the elements do not fit the shape");
}

void InferShape(Program& program, Instruction& instruction) {
  const Shape& in = program.values.at(instruction.inputs[0]).shape;
  Value& output = program.values.at(instruction.output);
  Require(!in.empty(), std::string(Name(instruction.kind)) + ": the input has no dimensions");
  switch (instruction.kind) {
    case InstructionKind::kPack:
      output.shape = in;
      output.shape.back() = WordCount(in.back());
      break;
    case InstructionKind::kUnpack:
      Require(in.back() == WordCount(instruction.channels),
              "LceDequantize: the words of the input do not match the channels");
      output.shape = in;
      output.shape.back() = instruction.channels;
      break;
    case InstructionKind::kBinaryConv: InferBinaryConv(program, instruction, output); break;
    case InstructionKind::kAffine:
    case InstructionKind::kAdd:
    case InstructionKind::kConcatenate:
    case InstructionKind::kPad:
    case InstructionKind::kMaxPool:
    case InstructionKind::kConv:
    case InstructionKind::kPointwiseConv:
      if (!instruction.target.empty()) RequireShuffle(in, instruction);
      InferFloatMap(program, instruction, output);
      break;
    case InstructionKind::kReshape: output.shape = ResolveShape(in, instruction.target); break;
    case InstructionKind::kTranspose:
      Require(in.size() == 3, "TRANSPOSE: the input does not have three dimensions");
      output.shape = {in[0], in[2], in[1]};
      break;
    case InstructionKind::kShuffle:
      RequireShuffle(in, instruction);
      output.shape = in;
      break;
    case InstructionKind::kBinaryMaxPool:
      Require(in.size() == 4, "LceBMaxPool2d: the input does not have four dimensions");
      instruction.window = PlaceWindow(in, instruction.options.filter_height, instruction.options.filter_width,
                                       instruction.options, instruction.border);
      output.shape = {in[0], instruction.window.out_height, instruction.window.out_width, in[3]};
      break;
  }
  ElementCount(output.shape);
  for (const SignOutput& sign : instruction.signs) {
    Shape& shape = program.values.at(sign.output).shape;
    shape = output.shape;
    if (instruction.kind != InstructionKind::kPack) shape.back() = WordCount(shape.back());
  }
}

}  // namespace

const char* Name(InstructionKind kind) {
  switch (kind) {
    case InstructionKind::kPack: return "pack";
    case InstructionKind::kUnpack: return "unpack";
    case InstructionKind::kBinaryConv: return "binary_conv";
    case InstructionKind::kBinaryMaxPool: return "binary_max_pool";
    case InstructionKind::kAffine: return "affine";
    case InstructionKind::kAdd: return "add";
    case InstructionKind::kConcatenate: return "concatenate";
    case InstructionKind::kPad: return "pad";
    case InstructionKind::kMaxPool: return "max_pool";
    case InstructionKind::kConv: return "conv";
    case InstructionKind::kPointwiseConv: return "pointwise_conv";
    case InstructionKind::kReshape: return "reshape";
    case InstructionKind::kTranspose: return "transpose";
    case InstructionKind::kShuffle: return "shuffle";
  }
  return "";
}

Window PlaceWindow(const Shape& in, int64_t filter_height, int64_t filter_width, const Options& options,
                   const Border& border) {
  Window window;
  window.pad_top = border.top + PlaceAlong(in[1] + border.top + border.bottom, filter_height, options.dilation_height,
                                           options.stride_height, options.padding, &window.out_height);
  window.pad_left = border.left + PlaceAlong(in[2] + border.left + border.right, filter_width, options.dilation_width,
                                             options.stride_width, options.padding, &window.out_width);
  return window;
}

Border BorderOf(const Shape& in, const Instruction& conv) {
  const Window& window = conv.window;
  const Options& options = conv.options;
  const auto behind = [](int64_t size, int64_t pad, int64_t out, int64_t stride, int64_t filter, int64_t dilation) {
    return std::max<int64_t>(0, (out - 1) * stride + (filter - 1) * dilation + 1 - pad - size);
  };
  return {window.pad_top,
          behind(in[1], window.pad_top, window.out_height, options.stride_height, conv.float_conv->filter_height,
                 options.dilation_height),
          window.pad_left,
          behind(in[2], window.pad_left, window.out_width, options.stride_width, conv.float_conv->filter_width,
                 options.dilation_width)};
}

Program Lower(const Graph& graph, const std::vector<int>& external_inputs, const std::vector<int>& external_outputs) {
  Program program;
  for (const Node& node : graph.nodes) {
    program.instructions.push_back(LowerNode(graph, node));
    const Instruction& instruction = program.instructions.back();
    std::vector<int> indices = instruction.inputs;
    indices.push_back(instruction.output);
    for (int index : indices) {
      const Tensor& tensor = graph.tensor(index);
      Value& value = program.values[index];
      value.type = tensor.type;
      value.shape = tensor.shape;
      value.scale = tensor.scale;
      value.zero_point = tensor.zero_point;
    }
  }
  for (int index : external_inputs) {
    if (program.values.count(index) != 0) program.values[index].external_input = true;
  }
  for (int index : external_outputs) {
    Require(program.values.count(index) != 0, "the runtime asks for a tensor that no operator writes");
    program.values[index].external_output = true;
  }
  for (const Instruction& instruction : program.instructions) {
    Value& output = program.values[instruction.output];
    Require(!output.external_input, "an operator writes a tensor that it should read");
  }
  return program;
}

void InferShapes(Program& program) {
  std::map<int, bool> known;
  for (const auto& [index, value] : program.values) known[index] = value.external_input;
  for (Instruction& instruction : program.instructions) {
    for (int input : instruction.inputs) Require(known[input], "an operator reads a tensor before it is written");
    Require(!known[instruction.output], "two operators write the same tensor");
    InferShape(program, instruction);
    known[instruction.output] = true;
    for (const SignOutput& sign : instruction.signs) known[sign.output] = true;
  }
}

}  // namespace larq_melius

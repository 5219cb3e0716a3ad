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
  const std::vector<int32_t> words = IntConstant(filter, ElementCount(filter.shape), "LceBconv2d: the filter");
  constants->filter.assign(words.begin(), words.end());
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
    case Operator::kOther:
      throw Error("an operator is unknown");
  }
  if (output.type == Type::kInt8) {
    Require(output.scale > 0, std::string(Name(node.op)) + ": the int8 output is not quantized");
  }
  return instruction;
}

int64_t PlaceAlong(int64_t in, int64_t filter, int64_t dilation, int64_t stride, Padding padding, int64_t* out) {
  const int64_t extent = (filter - 1) * dilation + 1;
  if (padding == Padding::kValid) {
    Require(in >= extent, "a window of " + std::to_string(extent) + " does not fit into a map of " + std::to_string(in));
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
  instruction.window = PlaceWindow(in, conv.filter_height, conv.filter_width, instruction.options);
  const int64_t channels = output.type == Type::kInt32 ? WordCount(conv.channels_out) : conv.channels_out;
  output.shape = {in[0], instruction.window.out_height, instruction.window.out_width, channels};
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
      Require(in.back() == WordCount(instruction.channels), "LceDequantize: the words of the input do not match the channels");
      output.shape = in;
      output.shape.back() = instruction.channels;
      break;
    case InstructionKind::kBinaryConv:
      InferBinaryConv(program, instruction, output);
      break;
    case InstructionKind::kBinaryMaxPool:
      Require(in.size() == 4, "LceBMaxPool2d: the input does not have four dimensions");
      instruction.window =
          PlaceWindow(in, instruction.options.filter_height, instruction.options.filter_width, instruction.options);
      output.shape = {in[0], instruction.window.out_height, instruction.window.out_width, in[3]};
      break;
  }
  ElementCount(output.shape);
}

}  // namespace

const char* Name(InstructionKind kind) {
  switch (kind) {
    case InstructionKind::kPack: return "pack";
    case InstructionKind::kUnpack: return "unpack";
    case InstructionKind::kBinaryConv: return "binary_conv";
    case InstructionKind::kBinaryMaxPool: return "binary_max_pool";
  }
  return "";
}

Window PlaceWindow(const Shape& in, int64_t filter_height, int64_t filter_width, const Options& options) {
  Window window;
  window.pad_top = PlaceAlong(in[1], filter_height, options.dilation_height, options.stride_height, options.padding,
                              &window.out_height);
  window.pad_left = PlaceAlong(in[2], filter_width, options.dilation_width, options.stride_width, options.padding,
                               &window.out_width);
  return window;
}

Program Lower(const Graph& graph, const std::vector<int>& external_inputs, const std::vector<int>& external_outputs) {
  Program program;
  for (const Node& node : graph.nodes) {
    program.instructions.push_back(LowerNode(graph, node));
    const Instruction& instruction = program.instructions.back();
    for (int index : {instruction.inputs[0], instruction.output}) {
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
  }
}

}  // namespace larq_melius

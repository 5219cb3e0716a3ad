// What the operators have in common when they are made: checked access to their tensors.
#ifndef LARQ_MELIUS_PROGRAM_OPERATOR_READER_H_
#define LARQ_MELIUS_PROGRAM_OPERATOR_READER_H_

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "host.h"
#include "kernels.h"
#include "model.h"
#include "operators.h"

namespace larq_melius::program {

// What a fused activation lets pass.
struct Range {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};

inline Range RangeOf(TfLiteFusedActivation activation) {
  switch (activation) {
    case kTfLiteActNone: return {};
    case kTfLiteActRelu: return {0.0f, Range().high};
    case kTfLiteActReluN1To1: return {-1.0f, 1.0f};
    case kTfLiteActRelu6: return {0.0f, 6.0f};
  }
  return {};
}

// An operator with its tensors. Every function throws Error, with the operator's name, where these are not what is
// asked for.
class OperatorReader {
 public:
  OperatorReader(const ModelOperator& op, const Model& model, Host& host) : op_(op), model_(model), host_(host) {}

  const ModelOperator& op() const { return op_; }
  const OperatorOptions& options() const { return op_.options; }
  Host& host() const { return host_; }

  void Check(bool condition, const std::string& problem) const { Require(condition, op_.name + ": " + problem); }
  void CheckOperands(size_t least_inputs, size_t most_inputs, size_t outputs = 1) const;

  size_t input_count() const { return op_.inputs.size(); }
  size_t output_count() const { return op_.outputs.size(); }
  bool has_input(size_t i) const { return i < op_.inputs.size() && op_.inputs[i] != kTfLiteOptionalTensor; }
  // The number of a tensor.
  int input(size_t i) const;
  int output(size_t i = 0) const { return op_.outputs[i]; }
  // Of 32-bit floats.
  int FloatInput(size_t i) const;
  // Of any elements of four bytes.
  int WordInput(size_t i) const;
  TfLiteType type(int tensor) const { return host_.tensor(tensor).type; }
  Shape shape(int tensor) const;
  // As the file describes it.
  const ModelTensor& description(int tensor) const { return model_.tensors[static_cast<size_t>(tensor)]; }

  std::vector<float> FloatConstant(size_t i) const;
  std::vector<int> IntConstant(size_t i) const;

  // Gives an output its shape.
  void SetOutput(size_t i, const Shape& shape, TfLiteType type) const;

 private:
  const ModelOperator& op_;
  const Model& model_;
  Host& host_;
};

// Extents of strides, dilations and windows above this are damage, and could overflow the arithmetic of shapes.
constexpr int64_t kMaxExtent = 1 << 15;
// More than any tensor of a network for a phone has, and less than would make the system end the program.
constexpr int64_t kMaxTensorBytes = int64_t{1} << 30;

using OperatorPointer = std::unique_ptr<Operator>;

// Each makes the operators that its file has.
OperatorPointer MakeConv(const OperatorReader& reader, const FloatKernels& kernels);
OperatorPointer MakeDepthwiseConv(const OperatorReader& reader, const FloatKernels& kernels);
OperatorPointer MakeFullyConnected(const OperatorReader& reader, const FloatKernels& kernels);
OperatorPointer MakePool(const OperatorReader& reader);
OperatorPointer MakeReshape(const OperatorReader& reader);
OperatorPointer MakeConcatenation(const OperatorReader& reader);
OperatorPointer MakeSplit(const OperatorReader& reader);
OperatorPointer MakePad(const OperatorReader& reader);
OperatorPointer MakeTranspose(const OperatorReader& reader);

}  // namespace larq_melius::program

#endif  // LARQ_MELIUS_PROGRAM_OPERATOR_READER_H_

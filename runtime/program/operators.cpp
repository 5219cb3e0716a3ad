#include "operators.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "operator_reader.h"

namespace larq_melius::program {

void OperatorReader::CheckOperands(size_t least_inputs, size_t most_inputs, size_t outputs) const {
  const size_t inputs = op_.inputs.size();
  Check(inputs >= least_inputs && inputs <= most_inputs && op_.outputs.size() == outputs,
        "it has the wrong number of inputs or outputs");
}

int OperatorReader::input(size_t i) const {
  Check(has_input(i), "an input is absent");
  return op_.inputs[i];
}

int OperatorReader::FloatInput(size_t i) const {
  const int index = input(i);
  Check(type(index) == kTfLiteFloat32,
        "it is of the type " + TypeName(type(index)) +
            ", and this program computes with float32; a network of that type needs TFLite");
  return index;
}

int OperatorReader::WordInput(size_t i) const {
  const int index = input(i);
  Check(ElementBytes(type(index)) == 4, "it is of the type " + TypeName(type(index)) + ", which is not supported");
  return index;
}

Shape OperatorReader::shape(int tensor) const {
  const TfLiteIntArray& dims = *host_.tensor(tensor).dims;
  return Shape(dims.data, dims.data + dims.size);
}

std::vector<float> OperatorReader::FloatConstant(size_t i) const {
  const int index = FloatInput(i);
  const TfLiteTensor& tensor = host_.tensor(index);
  Check(tensor.allocation_type == kTfLiteMmapRo, "an input that has to be a constant is none");
  std::vector<float> values(static_cast<size_t>(ElementCount(shape(index))));
  Check(tensor.bytes >= values.size() * sizeof(float), "a constant has less memory than its shape needs");
  if (!values.empty()) std::memcpy(values.data(), tensor.data, values.size() * sizeof(float));
  return values;
}

std::vector<int> OperatorReader::IntConstant(size_t i) const {
  const int index = input(i);
  const TfLiteTensor& tensor = host_.tensor(index);
  Check(tensor.allocation_type == kTfLiteMmapRo && tensor.type == kTfLiteInt32,
        "an input that has to be a constant of int32 is none");
  std::vector<int> values(static_cast<size_t>(ElementCount(shape(index))));
  Check(tensor.bytes >= values.size() * sizeof(int), "a constant has less memory than its shape needs");
  if (!values.empty()) std::memcpy(values.data(), tensor.data, values.size() * sizeof(int));
  return values;
}

void OperatorReader::SetOutput(size_t i, const Shape& shape, TfLiteType type) const {
  for (int64_t size : shape) Check(size >= 0 && size <= INT32_MAX, "its output is too large");
  Check(ElementCount(shape) * static_cast<int64_t>(ElementBytes(type)) <= kMaxTensorBytes, "its output is too large");
  Check(host_.tensor(output(i)).type == type,
        "its output is of the type " + TypeName(host_.tensor(output(i)).type) + " instead of " + TypeName(type));
  host_.Resize(output(i), std::vector<int>(shape.begin(), shape.end()));
}

namespace {

// Elements that a thread takes at a time, about.
constexpr int64_t kElementGrain = 1 << 14;

const float* Read(Host& host, int tensor) { return static_cast<const float*>(host.tensor(tensor).data); }
float* Write(Host& host, int tensor) { return static_cast<float*>(host.tensor(tensor).data); }

// output = clamp(function(input)).
template <typename Function>
class Unary : public Operator {
 public:
  Unary(const OperatorReader& reader, Function function)
      : input_(reader.FloatInput(0)), output_(reader.output()), function_(function) {
    const Shape shape = reader.shape(input_);
    elements_ = ElementCount(shape);
    reader.SetOutput(0, shape, kTfLiteFloat32);
  }

  void Run(Host& host, ThreadPool& pool, int threads) const override {
    const float* input = Read(host, input_);
    float* output = Write(host, output_);
    pool.Run(threads, elements_, kElementGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) output[i] = function_(input[i]);
    });
  }

 private:
  int input_;
  int output_;
  Function function_;
  int64_t elements_;
};

template <typename Function>
OperatorPointer MakeUnary(const OperatorReader& reader, Function function) {
  reader.CheckOperands(1, 1);
  return std::make_unique<Unary<Function>>(reader, function);
}

// output = clamp(function(x, y)), where a dimension of 1 stands for as many as the other input has.
template <typename Function>
class Binary : public Operator {
 public:
  Binary(const OperatorReader& reader, Function function, Range range)
      : x_(reader.FloatInput(0)),
        y_(reader.FloatInput(1)),
        output_(reader.output()),
        function_(function),
        range_(range) {
    Shape x = reader.shape(x_);
    Shape y = reader.shape(y_);
    const std::string text = "inputs " + ToString(x) + " and " + ToString(y) + " do not fit together";
    // Whole tensors of one shape, and scalars, are one row.
    const size_t rank = std::max({x.size(), y.size(), size_t{1}});
    x.insert(x.begin(), rank - x.size(), 1);
    y.insert(y.begin(), rank - y.size(), 1);
    Shape out(rank);
    for (size_t i = 0; i < rank; ++i) {
      reader.Check(x[i] == y[i] || x[i] == 1 || y[i] == 1, text);
      out[i] = x[i] == 1 ? y[i] : x[i];
    }
    const size_t given = std::max(reader.shape(x_).size(), reader.shape(y_).size());
    reader.SetOutput(0, Shape(out.end() - static_cast<int64_t>(given), out.end()), kTfLiteFloat32);
    if (x == y) x = y = out = {ElementCount(out)};
    for (size_t i = 0; i < out.size(); ++i) {
      const auto stride = [&](const Shape& shape) {
        const Shape behind(shape.begin() + static_cast<int64_t>(i) + 1, shape.end());
        return shape[i] == 1 ? 0 : ElementCount(behind);
      };
      x_strides_.push_back(stride(x));
      y_strides_.push_back(stride(y));
    }
    out_ = out;
  }

  void Run(Host& host, ThreadPool& pool, int threads) const override {
    const float* x = Read(host, x_);
    const float* y = Read(host, y_);
    float* output = Write(host, output_);
    if (out_.size() == 1) {
      pool.Run(threads, out_[0], kElementGrain, [&](int64_t begin, int64_t end) {
        ComputeRow(x + begin * x_strides_[0], y + begin * y_strides_[0], end - begin, output + begin);
      });
      return;
    }
    const int64_t row = out_.back();
    const int64_t rows = ElementCount(Shape(out_.begin(), out_.end() - 1));
    pool.Run(threads, rows, std::max<int64_t>(1, kElementGrain / std::max<int64_t>(row, 1)),
             [&](int64_t begin, int64_t end) {
               for (int64_t i = begin; i < end; ++i) {
                 int64_t rest = i;
                 int64_t x_offset = 0;
                 int64_t y_offset = 0;
                 for (size_t axis = out_.size() - 1; axis-- > 0;) {
                   x_offset += rest % out_[axis] * x_strides_[axis];
                   y_offset += rest % out_[axis] * y_strides_[axis];
                   rest /= out_[axis];
                 }
                 ComputeRow(x + x_offset, y + y_offset, row, output + i * row);
               }
             });
  }

 private:
  float Compute(float x, float y) const { return std::min(std::max(function_(x, y), range_.low), range_.high); }

  // Steps of 1 or 0 are written out, so that the compiler vectorizes the loops.
  void ComputeRow(const float* x, const float* y, int64_t count, float* output) const {
    if (x_strides_.back() != 0 && y_strides_.back() != 0) {
      for (int64_t i = 0; i < count; ++i) output[i] = Compute(x[i], y[i]);
    } else if (x_strides_.back() != 0) {
      for (int64_t i = 0; i < count; ++i) output[i] = Compute(x[i], *y);
    } else if (y_strides_.back() != 0) {
      for (int64_t i = 0; i < count; ++i) output[i] = Compute(*x, y[i]);
    } else {
      for (int64_t i = 0; i < count; ++i) output[i] = Compute(*x, *y);
    }
  }

  int x_;
  int y_;
  int output_;
  Function function_;
  Range range_;
  Shape out_;
  Shape x_strides_;
  Shape y_strides_;
};

template <typename Function>
OperatorPointer MakeBinary(const OperatorReader& reader, TfLiteFusedActivation activation, Function function) {
  reader.CheckOperands(2, 2);
  return std::make_unique<Binary<Function>>(reader, function, RangeOf(activation));
}

class Mean : public Operator {
 public:
  explicit Mean(const OperatorReader& reader) : input_(reader.FloatInput(0)), output_(reader.output()) {
    in_ = reader.shape(input_);
    const int64_t rank = static_cast<int64_t>(in_.size());
    reader.Check(rank >= 1, "its input is a scalar");
    std::vector<bool> goes(in_.size(), false);
    for (int axis : reader.IntConstant(1)) {
      reader.Check(axis >= -rank && axis < rank, "there is no axis " + std::to_string(axis));
      goes[static_cast<size_t>(axis < 0 ? axis + rank : axis)] = true;
    }
    Shape out;
    strides_.assign(in_.size(), 0);
    for (size_t i = in_.size(); i-- > 0;) {
      if (!goes[i]) {
        strides_[i] = out_elements_;
        out_elements_ *= in_[i];
      }
      if (!goes[i] || reader.options().keep_dims) out.insert(out.begin(), goes[i] ? 1 : in_[i]);
    }
    reader.SetOutput(0, out, kTfLiteFloat32);
    reader.Check(out_elements_ > 0 && ElementCount(in_) > 0, "its input is empty");
  }

  void Run(Host& host, ThreadPool& /*pool*/, int /*threads*/) const override {
    const float* input = Read(host, input_);
    float* output = Write(host, output_);
    std::fill_n(output, out_elements_, 0.0f);
    const int64_t row = in_.back();
    const int64_t elements = ElementCount(in_);
    for (int64_t i = 0; i < elements / row; ++i, input += row) {
      int64_t rest = i;
      float* target = output;
      for (size_t axis = in_.size() - 1; axis-- > 0;) {
        target += rest % in_[axis] * strides_[axis];
        rest /= in_[axis];
      }
      if (strides_.back() != 0) {
        for (int64_t k = 0; k < row; ++k) target[k] += input[k];
      } else {
        float sum = 0;
        for (int64_t k = 0; k < row; ++k) sum += input[k];
        *target += sum;
      }
    }
    const float count = static_cast<float>(elements / out_elements_);
    for (int64_t i = 0; i < out_elements_; ++i) output[i] /= count;
  }

 private:
  int input_;
  int output_;
  Shape in_;
  Shape strides_;  // of the output; 0 where the mean is taken
  int64_t out_elements_ = 1;
};

class Softmax : public Operator {
 public:
  explicit Softmax(const OperatorReader& reader)
      : input_(reader.FloatInput(0)), output_(reader.output()), beta_(reader.options().number) {
    const Shape shape = reader.shape(input_);
    reader.Check(!shape.empty() && shape.back() > 0, "its input is empty");
    row_ = shape.back();
    rows_ = ElementCount(shape) / row_;
    reader.SetOutput(0, shape, kTfLiteFloat32);
  }

  void Run(Host& host, ThreadPool& /*pool*/, int /*threads*/) const override {
    const float* input = Read(host, input_);
    float* output = Write(host, output_);
    for (int64_t i = 0; i < rows_; ++i, input += row_, output += row_) {
      const float largest = *std::max_element(input, input + row_);
      float sum = 0;
      for (int64_t k = 0; k < row_; ++k) sum += output[k] = std::exp((input[k] - largest) * beta_);
      for (int64_t k = 0; k < row_; ++k) output[k] /= sum;
    }
  }

 private:
  int input_;
  int output_;
  float beta_;
  int64_t row_ = 0;
  int64_t rows_ = 0;
};

float FromFloat16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  float value;
  if (exponent == 31) {
    const uint32_t infinite = 0x7f800000u | static_cast<uint32_t>(fraction) << 13;
    std::memcpy(&value, &infinite, sizeof(value));
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<float>(fraction), -24);
  } else {
    value = std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  }
  uint32_t result;
  std::memcpy(&result, &value, sizeof(result));
  result |= sign;
  std::memcpy(&value, &result, sizeof(value));
  return value;
}

// Weights that are stored in fewer bits become floats once, when the network is opened.
void Dequantize(const OperatorReader& reader, OwnedConstants& constants) {
  reader.CheckOperands(1, 1);
  const int input = reader.input(0);
  const TfLiteTensor& tensor = reader.host().tensor(input);
  reader.Check(tensor.allocation_type == kTfLiteMmapRo,
               "only constants are supported; a network of 8-bit arithmetic needs TFLite");
  reader.Check(tensor.type == kTfLiteFloat16 || tensor.type == kTfLiteInt8,
               "the type " + TypeName(tensor.type) + " is not supported");
  const Shape shape = reader.shape(input);
  const int64_t elements = ElementCount(shape);
  reader.Check(tensor.bytes >= static_cast<size_t>(elements) * ElementBytes(tensor.type),
               "a constant has less memory than its shape needs");
  reader.SetOutput(0, shape, kTfLiteFloat32);
  AlignedBuffer<float> values(static_cast<size_t>(elements));
  const auto* source = static_cast<const uint8_t*>(tensor.data);
  if (tensor.type == kTfLiteFloat16) {
    for (size_t i = 0; i < values.size(); ++i) {
      uint16_t bits;
      std::memcpy(&bits, source + 2 * i, sizeof(bits));
      values[i] = FromFloat16(bits);
    }
  } else {
    const ModelTensor& description = reader.description(input);
    const int64_t scales = static_cast<int64_t>(description.scales.size());
    reader.Check(scales >= 1, "its input has no scale");
    int64_t step = elements;  // from one scale's elements to the next
    if (scales > 1) {
      const int axis = description.quantized_axis;
      reader.Check(axis >= 0 && static_cast<size_t>(axis) < shape.size() && shape[static_cast<size_t>(axis)] == scales,
                   "its scales do not suit its input");
      step = ElementCount(Shape(shape.begin() + axis + 1, shape.end()));
    }
    for (int64_t i = 0; i < elements; ++i) {
      const size_t k = static_cast<size_t>(i / step % scales);
      const int64_t zero_point = description.zero_points[k];
      reader.Check(zero_point >= INT8_MIN && zero_point <= INT8_MAX, "its input has a zero point out of range");
      const auto stored = static_cast<int64_t>(static_cast<int8_t>(source[i]));
      values[static_cast<size_t>(i)] = description.scales[k] * static_cast<float>(stored - zero_point);
    }
  }
  constants.push_back(std::move(values));
  reader.host().SetConstant(reader.output(), constants.back().data(), static_cast<size_t>(elements) * sizeof(float));
}

}  // namespace

OperatorPointer MakeOperator(const ModelOperator& op, const Model& model, Host& host, const FloatKernels& kernels,
                             OwnedConstants& constants) {
  const OperatorReader reader(op, model, host);
  const auto clamp = [](Range range) {
    return [range](float x) { return std::min(std::max(x, range.low), range.high); };
  };
  switch (op.code) {
    case kTfLiteBuiltinConv2d: return MakeConv(reader, kernels);
    case kDepthwiseConv2d: return MakeDepthwiseConv(reader, kernels);
    case kFullyConnected: return MakeFullyConnected(reader, kernels);
    case kTfLiteBuiltinMaxPool2d:
    case kAveragePool2d: return MakePool(reader);
    case kTfLiteBuiltinReshape:
    case kSqueeze: return MakeReshape(reader);
    case kTfLiteBuiltinConcatenation: return MakeConcatenation(reader);
    case kSplit: return MakeSplit(reader);
    case kTfLiteBuiltinPad:
    case kTfLiteBuiltinPadv2: return MakePad(reader);
    case kTfLiteBuiltinTranspose: return MakeTranspose(reader);
    case kTfLiteBuiltinAdd:
      return MakeBinary(reader, op.options.arithmetic.activation, [](float x, float y) { return x + y; });
    case kTfLiteBuiltinMul:
      return MakeBinary(reader, op.options.arithmetic.activation, [](float x, float y) { return x * y; });
    case kSub: return MakeBinary(reader, op.options.activation, [](float x, float y) { return x - y; });
    case kDiv: return MakeBinary(reader, op.options.activation, [](float x, float y) { return x / y; });
    case kMaximum: return MakeBinary(reader, kTfLiteActNone, [](float x, float y) { return x < y ? y : x; });
    case kMinimum: return MakeBinary(reader, kTfLiteActNone, [](float x, float y) { return x < y ? x : y; });
    case kPrelu: return MakeBinary(reader, kTfLiteActNone, [](float x, float y) { return x < 0 ? x * y : x; });
    case kRelu: return MakeUnary(reader, clamp(RangeOf(kTfLiteActRelu)));
    case kReluN1To1: return MakeUnary(reader, clamp(RangeOf(kTfLiteActReluN1To1)));
    case kRelu6: return MakeUnary(reader, clamp(RangeOf(kTfLiteActRelu6)));
    case kLeakyRelu: {
      const float alpha = op.options.number;
      return MakeUnary(reader, [alpha](float x) { return x < 0 ? x * alpha : x; });
    }
    case kLogistic: return MakeUnary(reader, [](float x) { return 1.0f / (1.0f + std::exp(-x)); });
    case kTanh: return MakeUnary(reader, [](float x) { return std::tanh(x); });
    case kMean: reader.CheckOperands(2, 2); return std::make_unique<Mean>(reader);
    case kSoftmax: reader.CheckOperands(1, 1); return std::make_unique<Softmax>(reader);
    case kDequantize: Dequantize(reader, constants); return nullptr;
    default:
      throw Error("it has the operator " + op.name + ", which this program does not know; TFLite itself may run it");
  }
}

}  // namespace larq_melius::program

// Operators that move elements of four bytes, whatever they mean.
#include <algorithm>
#include <cstring>

#include "operator_reader.h"

namespace larq_melius::program {
namespace {

using Word = uint32_t;

// Elements that a thread takes at a time, about.
constexpr int64_t kElementGrain = 1 << 14;

const Word* Read(Host& host, int tensor) { return static_cast<const Word*>(host.tensor(tensor).data); }
Word* Write(Host& host, int tensor) { return static_cast<Word*>(host.tensor(tensor).data); }

int64_t Product(const Shape& shape, size_t first, size_t last) {
  return ElementCount(Shape(shape.begin() + static_cast<int64_t>(first), shape.begin() + static_cast<int64_t>(last)));
}

size_t FindAxis(const OperatorReader& reader, int64_t axis, size_t rank) {
  const int64_t dimensions = static_cast<int64_t>(rank);
  reader.Check(axis >= -dimensions && axis < dimensions, "there is no axis " + std::to_string(axis));
  return static_cast<size_t>(axis < 0 ? axis + dimensions : axis);
}

class Reshape : public Operator {
 public:
  Reshape(int input, int output, int64_t elements) : input_(input), output_(output), elements_(elements) {}

  void Run(Host& host, ThreadPool& /*pool*/, int /*threads*/) const override {
    std::memcpy(Write(host, output_), Read(host, input_), static_cast<size_t>(elements_) * sizeof(Word));
  }

 private:
  int input_;
  int output_;
  int64_t elements_;
};

// Blocks of several tensors behind one another in one, or the other way round.
class Interleave : public Operator {
 public:
  // `blocks` has the elements of a block of each of the parts.
  Interleave(std::vector<int> parts, int whole, std::vector<int64_t> blocks, int64_t outer, bool split)
      : parts_(std::move(parts)), whole_(whole), blocks_(std::move(blocks)), outer_(outer), split_(split) {}

  void Run(Host& host, ThreadPool& pool, int threads) const override {
    int64_t row = 0;
    for (int64_t block : blocks_) row += block;
    Word* whole = Write(host, whole_);
    const int64_t grain = std::max<int64_t>(1, kElementGrain / std::max<int64_t>(row, 1));
    pool.Run(threads, outer_, grain, [&](int64_t begin, int64_t end) {
      int64_t offset = 0;
      for (size_t k = 0; k < parts_.size(); ++k) {
        Word* part = Write(host, parts_[k]);
        const size_t bytes = static_cast<size_t>(blocks_[k]) * sizeof(Word);
        for (int64_t i = begin; i < end; ++i) {
          Word* in_part = part + i * blocks_[k];
          Word* in_whole = whole + i * row + offset;
          if (bytes != 0) std::memcpy(split_ ? in_part : in_whole, split_ ? in_whole : in_part, bytes);
        }
        offset += blocks_[k];
      }
    });
  }

 private:
  std::vector<int> parts_;
  int whole_;
  std::vector<int64_t> blocks_;
  int64_t outer_;
  bool split_;
};

class Pad : public Operator {
 public:
  Pad(int input, int output, Shape in, Shape out, Shape before, float value)
      : input_(input), output_(output), in_(std::move(in)), out_(std::move(out)), before_(std::move(before)) {
    std::memcpy(&value_, &value, sizeof(value_));
  }

  void Run(Host& host, ThreadPool& /*pool*/, int /*threads*/) const override {
    Copy(Read(host, input_), Write(host, output_), 0);
  }

 private:
  void Copy(const Word* input, Word* output, size_t axis) const {
    const int64_t in_block = Product(in_, axis + 1, in_.size());
    const int64_t out_block = Product(out_, axis + 1, out_.size());
    output = std::fill_n(output, before_[axis] * out_block, value_);
    if (axis + 1 == in_.size()) {
      output = std::copy_n(input, in_[axis], output);
    } else {
      for (int64_t i = 0; i < in_[axis]; ++i) Copy(input + i * in_block, output + i * out_block, axis + 1);
      output += in_[axis] * out_block;
    }
    std::fill_n(output, (out_[axis] - before_[axis] - in_[axis]) * out_block, value_);
  }

  int input_;
  int output_;
  Shape in_;
  Shape out_;
  Shape before_;
  Word value_;
};

class Transpose : public Operator {
 public:
  Transpose(int input, int output, Shape out, Shape strides)
      : input_(input), output_(output), out_(std::move(out)), strides_(std::move(strides)) {}

  void Run(Host& host, ThreadPool& pool, int threads) const override {
    const Word* input = Read(host, input_);
    Word* output = Write(host, output_);
    const int64_t row = out_.back();
    const int64_t stride = strides_.back();
    const int64_t rows = Product(out_, 0, out_.size() - 1);
    const int64_t grain = std::max<int64_t>(1, kElementGrain / std::max<int64_t>(row, 1));
    pool.Run(threads, rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t rest = i;
        const Word* source = input;
        for (size_t axis = out_.size() - 1; axis-- > 0;) {
          source += rest % out_[axis] * strides_[axis];
          rest /= out_[axis];
        }
        for (int64_t k = 0; k < row; ++k) output[i * row + k] = source[k * stride];
      }
    });
  }

 private:
  int input_;
  int output_;
  Shape out_;
  Shape strides_;  // of the input, in the order of the output's dimensions
};

}  // namespace

OperatorPointer MakeReshape(const OperatorReader& reader) {
  reader.CheckOperands(1, 2);
  const int input = reader.WordInput(0);
  const Shape in = reader.shape(input);
  Shape out;
  if (reader.op().code == kSqueeze) {
    const std::vector<int>& squeezed = reader.options().sizes;
    std::vector<bool> goes(in.size(), squeezed.empty());
    for (int axis : squeezed) goes[FindAxis(reader, axis, in.size())] = true;
    for (size_t i = 0; i < in.size(); ++i) {
      reader.Check(squeezed.empty() || !goes[i] || in[i] == 1, "a dimension to squeeze is not 1");
      if (!goes[i] || in[i] != 1) out.push_back(in[i]);
    }
  } else {
    std::vector<int> sizes = reader.options().sizes;
    if (reader.has_input(1)) sizes = reader.IntConstant(1);
    out.assign(sizes.begin(), sizes.end());
    reader.Check(std::count(out.begin(), out.end(), -1) <= 1, "more than one dimension is left open");
    const auto open = std::find(out.begin(), out.end(), -1);
    if (open != out.end()) {
      *open = 1;
      const int64_t known = ElementCount(out);
      reader.Check(known > 0 && ElementCount(in) % known == 0, "the input does not fit into the shape");
      *open = ElementCount(in) / known;
    }
  }
  reader.Check(ElementCount(out) == ElementCount(in),
               "an input " + ToString(in) + " does not fit into the shape " + ToString(out));
  reader.SetOutput(0, out, reader.type(input));
  return std::make_unique<Reshape>(input, reader.output(), ElementCount(in));
}

OperatorPointer MakeConcatenation(const OperatorReader& reader) {
  reader.CheckOperands(1, SIZE_MAX);
  reader.Check(reader.options().concatenation.activation == kTfLiteActNone, "it has a fused activation");
  Shape out = reader.shape(reader.WordInput(0));
  const size_t axis = FindAxis(reader, reader.options().concatenation.axis, out.size());
  std::vector<int> parts;
  std::vector<int64_t> blocks;
  int64_t sum = 0;
  for (size_t i = 0; i < reader.input_count(); ++i) {
    parts.push_back(reader.WordInput(i));
    reader.Check(reader.type(parts[i]) == reader.type(parts[0]), "its inputs have different types");
    Shape shape = reader.shape(parts[i]);
    reader.Check(shape.size() == out.size(), "its inputs have different numbers of dimensions");
    blocks.push_back(Product(shape, axis, shape.size()));
    sum += shape[axis];
    shape[axis] = out[axis];
    reader.Check(shape == out, "the shapes of its inputs do not fit together");
  }
  out[axis] = sum;
  reader.SetOutput(0, out, reader.type(parts[0]));
  return std::make_unique<Interleave>(parts, reader.output(), blocks, Product(out, 0, axis), false);
}

OperatorPointer MakeSplit(const OperatorReader& reader) {
  reader.CheckOperands(2, 2, reader.output_count());
  const std::vector<int> axes = reader.IntConstant(0);
  reader.Check(axes.size() == 1, "it has several axes");
  const int input = reader.WordInput(1);
  Shape shape = reader.shape(input);
  const size_t axis = FindAxis(reader, axes[0], shape.size());
  const int64_t count = static_cast<int64_t>(reader.output_count());
  reader.Check(count >= 1 && shape[axis] % count == 0,
               "an input " + ToString(shape) + " cannot be split in " + std::to_string(count));
  const int64_t outer = Product(shape, 0, axis);
  shape[axis] /= count;
  for (size_t i = 0; i < reader.output_count(); ++i) reader.SetOutput(i, shape, reader.type(input));
  const std::vector<int64_t> blocks(reader.output_count(), Product(shape, axis, shape.size()));
  return std::make_unique<Interleave>(reader.op().outputs, input, blocks, outer, true);
}

OperatorPointer MakePad(const OperatorReader& reader) {
  reader.CheckOperands(2, 3);
  const int input = reader.FloatInput(0);
  const Shape in = reader.shape(input);
  const std::vector<int> padding = reader.IntConstant(1);
  reader.Check(!in.empty() && padding.size() == 2 * in.size(), "the paddings do not suit the input");
  float value = 0;
  if (reader.has_input(2)) {
    const std::vector<float> values = reader.FloatConstant(2);
    reader.Check(values.size() == 1, "it has several values to pad with");
    value = values[0];
  }
  Shape out;
  Shape before;
  for (size_t i = 0; i < in.size(); ++i) {
    const int64_t first = padding[2 * i];
    const int64_t last = padding[2 * i + 1];
    reader.Check(first >= 0 && last >= 0 && first <= kMaxExtent && last <= kMaxExtent, "a padding is out of range");
    before.push_back(first);
    out.push_back(first + in[i] + last);
  }
  reader.SetOutput(0, out, kTfLiteFloat32);
  return std::make_unique<Pad>(input, reader.output(), in, out, before, value);
}

OperatorPointer MakeTranspose(const OperatorReader& reader) {
  reader.CheckOperands(2, 2);
  const int input = reader.WordInput(0);
  const Shape in = reader.shape(input);
  const std::vector<int> order = reader.IntConstant(1);
  std::vector<int> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  bool fits = !in.empty() && order.size() == in.size();
  for (size_t i = 0; fits && i < sorted.size(); ++i) fits = sorted[i] == static_cast<int>(i);
  reader.Check(fits, "its order of dimensions does not suit the input");
  Shape out;
  Shape strides;
  for (int axis : order) {
    out.push_back(in[static_cast<size_t>(axis)]);
    strides.push_back(Product(in, static_cast<size_t>(axis) + 1, in.size()));
  }
  reader.SetOutput(0, out, reader.type(input));
  return std::make_unique<Transpose>(input, reader.output(), out, strides);
}

}  // namespace larq_melius::program

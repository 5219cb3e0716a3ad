// What becomes of a binary convolution's sums: the output in its type, and the signs of it.
#ifndef LARQ_MELIUS_DELEGATE_BINARY_CONV_OUTPUT_H_
#define LARQ_MELIUS_DELEGATE_BINARY_CONV_OUTPUT_H_

#include <utility>
#include <vector>

#include "execute.h"

namespace larq_melius {

// Some output channels, kChannelBlock at most.
struct OutputChannels {
  int64_t first;
  int64_t count;
};

class BinaryConvOutput {
 public:
  // Takes an instruction of a program with shapes and layout, both of which must outlive it.
  BinaryConvOutput(const Program& program, const Instruction& instruction);

  // Prepares pixels before the first of their channels are written.
  void Begin(const RunContext& context, int64_t pixel, int64_t pixels) const;
  // Whether channels can be written by `accumulate_and_write`.
  bool FitsAccumulateAndWrite(const OutputChannels& channels) const {
    return type_ == Type::kFloat32 && channels.count == kChannelBlock && sum_correction_.size() == 0;
  }
  // For that, without sums.
  WriteArguments FloatArguments(const RunContext& context, const OutputChannels& channels, int64_t pixel,
                                int64_t pixels) const;
  // Writes channels of pixels that follow one another, from their differing bits, [pixels][kChannelBlock].
  void Write(const RunContext& context, const Kernels& kernels, const OutputChannels& channels, const int32_t* sums,
             int64_t pixel, int64_t pixels) const;
  // Makes the signs of pixels all of whose channels are written.
  void End(const RunContext& context, const Kernels& kernels, int64_t pixel, int64_t pixels) const;

 private:
  // For SAME padding with 0: which filter rows (or columns) lie inside of the map, for each output row (or column).
  struct InsideRanges {
    // Distinct ranges [first, second).
    std::vector<std::pair<int64_t, int64_t>> ranges;
    std::vector<int> of_output;
  };

  // See Instruction::signs.
  struct Sign {
    int output;
    int64_t stride;
    const Comparison* comparison;
  };

  static InsideRanges FindInsideRanges(int64_t out, int64_t in, int64_t filter, int64_t stride, int64_t dilation,
                                       int64_t pad);
  void PrepareTransform(const Value& output);
  void PrepareCorrection(const Shape& in_shape);
  size_t CorrectionOffset(int64_t pixel) const;
  void WriteFloats(const RunContext& context, const Kernels& kernels, const OutputChannels& channels,
                   const int32_t* sums, int64_t pixel, int64_t pixels, const int32_t* sum_correction,
                   const float* correction) const;
  void WritePixel(const RunContext& context, const Kernels& kernels, const OutputChannels& channels,
                  const int32_t* sums, int64_t pixel) const;
  int8_t ToInt8(int32_t twice, int64_t channel) const;

  const Instruction& instruction_;
  const BinaryConvConstants& conv_;
  Shape shape_;
  int64_t stride_ = 0;
  // 0 where nothing is added.
  int64_t summand_stride_ = 0;
  Type type_;
  std::vector<Sign> signs_;
  AlignedBuffer<float> multiplier_;
  AlignedBuffer<float> bias_;
  OutputTransform transform_ = {};
  InsideRanges rows_;
  InsideRanges columns_;
  AlignedBuffer<int32_t> sum_correction_;  // [row range, column range, channel]
  AlignedBuffer<float> float_correction_;  // the same, where the float result is corrected
};

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_BINARY_CONV_OUTPUT_H_

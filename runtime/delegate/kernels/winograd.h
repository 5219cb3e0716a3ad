// 3x3 convolutions by Winograd's minimal filtering; each instruction set's file compiles its own copy.
//
// As in float_tiles.h, which also says what a `Vector` is. Beside that it has
//
//   Add, Subtract
//   Even, Odd      of the columns of two rows: of each four, two of the first and then two of the second
//   First, Second  the rows again
#ifndef LARQ_MELIUS_DELEGATE_KERNELS_WINOGRAD_H_
#define LARQ_MELIUS_DELEGATE_KERNELS_WINOGRAD_H_

#include "kernels/kernels.h"

namespace larq_melius {
namespace {

// Four elements that follow one another, on their way to products: the transform B^T of F(2, 3).
template <typename Vector>
inline void TransformFour(const Vector* x, Vector (&y)[4]) {
  y[0] = Vector::Subtract(x[0], x[2]);
  y[1] = Vector::Add(x[1], x[2]);
  y[2] = Vector::Subtract(x[2], x[1]);
  y[3] = Vector::Subtract(x[1], x[3]);
}

template <typename Vector>
void TransformWindows(const TransformWindowsArguments& arguments) {
  constexpr int kLanes = Vector::kLanes;
  float* target = arguments.windows;
  for (int64_t channel = 0; channel < arguments.channels; ++channel) {
    // [row of a window][column of it]
    Vector columns[4][4];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      Vector rows[kWindowRows];
#pragma GCC unroll 6
      for (int i = 0; i < kWindowRows; ++i) {
        rows[i] = Vector::Load(arguments.rows[i] + channel * arguments.plane_stride + 2 * half);
      }
      Vector upper[4], lower[4];
      TransformFour(rows, upper);
      TransformFour(rows + 2, lower);
#pragma GCC unroll 4
      for (int row = 0; row < 4; ++row) {
        columns[row][2 * half] = Vector::Even(upper[row], lower[row]);
        columns[row][2 * half + 1] = Vector::Odd(upper[row], lower[row]);
      }
    }
#pragma GCC unroll 4
    for (int row = 0; row < 4; ++row) {
      Vector transformed[4];
      TransformFour(columns[row], transformed);
#pragma GCC unroll 4
      for (int column = 0; column < 4; ++column) {
        Vector::Store(transformed[column], target + (4 * row + column) * kLanes);
      }
    }
    target += kWindowPositions * kLanes;
  }
}

// Adds the products at some positions of the windows to the sums of each, of kChannels output channels.
template <typename Vector, int kChannels, int kPositions>
inline const float* AddProducts(const MultiplyWindowsArguments& arguments, const WindowStage& stage,
                                const float* weights, Vector (&sums)[kPositions][kChannels]) {
  // Scalars are loaded eight at a time, or fewer.
  constexpr int kTogether = kPositions * kChannels < 8 ? kPositions : 8 / kChannels;
  const float* windows = arguments.windows;
  for (int64_t channel = 0; channel < arguments.channels_in; ++channel) {
#pragma GCC unroll 4
    for (int first = 0; first < kPositions; first += kTogether) {
      const typename Vector::Scalars scalars = Vector::LoadScalars(weights);
      weights += kTogether * kChannels;
#pragma GCC unroll 4
      for (int i = 0; i < kTogether; ++i) {
        const Vector x = Vector::Load(windows + stage.positions[first + i] * Vector::kLanes);
#pragma GCC unroll 4
        for (int c = 0; c < kChannels; ++c) {
          sums[first + i][c] = Vector::MultiplyAdd(x, scalars, i * kChannels + c, sums[first + i][c]);
        }
      }
    }
    windows += kWindowPositions * Vector::kLanes;
  }
  return weights;
}

template <typename Vector, int kChannels>
inline void SumAndDifference(Vector (&a)[kChannels], Vector (&b)[kChannels]) {
#pragma GCC unroll 4
  for (int c = 0; c < kChannels; ++c) {
    const Vector sum = Vector::Add(a[c], b[c]);
    b[c] = Vector::Subtract(a[c], b[c]);
    a[c] = sum;
  }
}

// The sums of a line of products that two outputs share: to one goes their sum, to the other their difference.
template <typename Vector, int kChannels>
inline const float* AddShared(const MultiplyWindowsArguments& arguments, const WindowStage& stage, const float* weights,
                              Vector (&sum)[kChannels], Vector (&difference)[kChannels]) {
  Vector sums[2][kChannels];
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 4
    for (int c = 0; c < kChannels; ++c) sums[i][c] = Vector::Zero();
  }
  weights = AddProducts<Vector, kChannels, 2>(arguments, stage, weights, sums);
  SumAndDifference<Vector, kChannels>(sums[0], sums[1]);
#pragma GCC unroll 4
  for (int c = 0; c < kChannels; ++c) {
    sum[c] = Vector::Add(sum[c], sums[0][c]);
    difference[c] = Vector::Add(difference[c], sums[1][c]);
  }
  return weights;
}

// `kWhole`: all rows of the block.
template <typename Vector, int kChannels, bool kWhole>
inline void WriteBlock(const MultiplyWindowsArguments& arguments, const Vector (&y)[4][kChannels], float* output) {
  // Copies, which what is written cannot change.
  const float low = arguments.low;
  const float high = arguments.high;
  const int64_t row_stride = arguments.row_stride;
  const int64_t plane_stride = arguments.plane_stride;
  const int64_t rows = arguments.rows;
#pragma GCC unroll 4
  for (int c = 0; c < kChannels; ++c) {
    float* target = output;
#pragma GCC unroll 2
    for (int row = 0; row < 2; ++row) {
      const Vector even = Vector::Clip(y[2 * row][c], low, high);
      const Vector odd = Vector::Clip(y[2 * row + 1][c], low, high);
      if (kWhole || row < rows) Vector::Store(Vector::First(even, odd), target);
      if (kWhole || row + 2 < rows) Vector::Store(Vector::Second(even, odd), target + 2 * row_stride);
      target += row_stride;
    }
    output += plane_stride;
  }
}

template <typename Vector, int kChannels>
inline void MultiplyWindowsOf(const MultiplyWindowsArguments& arguments, int64_t first) {
  // The products of the inner columns, and those of the outer ones, of each of the inner rows; then the outputs, row by
  // row, and what the outer rows add to them.
  Vector y[4][kChannels];
#pragma GCC unroll 4
  for (int c = 0; c < kChannels; ++c) {
    y[0][c] = Vector::Repeat(arguments.bias[first + c]);
    y[1][c] = y[2][c] = y[3][c] = Vector::Zero();
  }
  const float* weights = arguments.weights + first * arguments.channels_in * kWindowPositions;
  weights = AddProducts<Vector, kChannels, 4>(arguments, kWindowStages[0], weights, y);
  SumAndDifference<Vector, kChannels>(y[0], y[1]);
  SumAndDifference<Vector, kChannels>(y[2], y[3]);
  weights = AddProducts<Vector, kChannels, 4>(arguments, kWindowStages[1], weights, y);
  SumAndDifference<Vector, kChannels>(y[0], y[2]);
  SumAndDifference<Vector, kChannels>(y[1], y[3]);
  weights = AddShared<Vector, kChannels>(arguments, kWindowStages[2], weights, y[0], y[1]);
  weights = AddShared<Vector, kChannels>(arguments, kWindowStages[3], weights, y[2], y[3]);
  AddProducts<Vector, kChannels, 4>(arguments, kWindowStages[4], weights, y);
  float* output = arguments.output + first * arguments.plane_stride;
  if (arguments.rows == kBlockRows) {
    WriteBlock<Vector, kChannels, true>(arguments, y, output);
  } else {
    WriteBlock<Vector, kChannels, false>(arguments, y, output);
  }
}

template <typename Vector, int kChannels>
void MultiplyWindows(const MultiplyWindowsArguments& arguments) {
  for (int64_t first = 0; first < arguments.channels_out; first += kChannels) {
    MultiplyWindowsOf<Vector, kChannels>(arguments, first);
  }
}

// Fills in what these loops give, for kChannels output channels at a time.
template <typename Vector, int kChannels>
constexpr void AddWinograd(Kernels& kernels) {
  static_assert(kChannels <= kMaxWindowChannels);
  kernels.window_channels = kChannels;
  kernels.transform_windows = TransformWindows<Vector>;
  kernels.multiply_windows = MultiplyWindows<Vector, kChannels>;
}

}  // namespace
}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_KERNELS_WINOGRAD_H_

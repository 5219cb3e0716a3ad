// Float convolutions and what goes with planes of pixels; each instruction set's file compiles its own copy.
//
// As in common.h, everything is in an unnamed namespace, and nothing calls the standard library. `Vector` is kLanes
// floats:
//
//   Load, Store, LoadPartial, StorePartial   the latter touch the first `count` lanes only
//   Zero, Repeat                             one float in all lanes
//   Scalars, LoadScalars, MultiplyAdd        sum + x * (scalar `row`), where it can with one rounding
//   Affine                                   x * multiplier + addend, rounded twice
//   Clip                                     to a range, as is quickest
//   Limit                                    the same as Clamp does it, zeros of either sign and NaNs included
//   LimitBelow                               that without an upper limit
//   Max                                      the first where it is greater, else the second
//   Transpose                                of kLanes vectors
#ifndef LARQ_MELIUS_DELEGATE_KERNELS_FLOAT_TILES_H_
#define LARQ_MELIUS_DELEGATE_KERNELS_FLOAT_TILES_H_

#include "kernels/common.h"
#include "kernels/kernels.h"

namespace larq_melius {
namespace {

// Where the scalars of a term are, those of all rows together.
template <typename Vector, int kRows>
struct ScalarsTogether {
  const float* scalars;
  int64_t stride;

  explicit ScalarsTogether(const MultiplyArguments& arguments)
      : scalars(arguments.scalars), stride(arguments.scalar_stride) {}

  typename Vector::Scalars Next(int64_t) {
    const typename Vector::Scalars loaded = Vector::LoadScalars(scalars);
    scalars += stride;
    return loaded;
  }
  static Vector MultiplyAdd(Vector x, const typename Vector::Scalars& scalars, int row, Vector sum) {
    return Vector::MultiplyAdd(x, scalars, row, sum);
  }
};

// The same, each row for itself. Behind the last row is the last row again.
template <typename Vector, int kRows>
struct ScalarsInRows {
  const float* rows[kRows];
  const int64_t* offsets;

  explicit ScalarsInRows(const MultiplyArguments& arguments) : offsets(arguments.scalar_offsets) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
      rows[r] = arguments.scalars + Smaller(r, arguments.rows - 1) * arguments.scalar_stride;
  }

  int64_t Next(int64_t term) const { return offsets[term]; }
  Vector MultiplyAdd(Vector x, int64_t offset, int row, Vector sum) const {
    return Vector::MultiplyAdd(x, rows[row] + offset, 0, sum);
  }
};

// The loops over a tile are unrolled: its sums stay in registers only where no index is computed.
template <typename Vector, template <typename, int> class Scalars, int kRows, int kVectors>
inline void MultiplyTile(const MultiplyArguments& arguments, int64_t first) {
  float* output = arguments.output + first;
  Vector sums[kRows][kVectors];
  if (arguments.row_bias != nullptr) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) sums[r][v] = Vector::Repeat(arguments.row_bias[r]);
    }
  } else if (arguments.lane_bias != nullptr) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
      const Vector bias = Vector::Load(arguments.lane_bias + first + v * Vector::kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sums[r][v] = bias;
    }
  } else {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float* row = output + Smaller(r, arguments.rows - 1) * arguments.output_stride;
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) sums[r][v] = Vector::Load(row + v * Vector::kLanes);
    }
  }
  const float* vectors = arguments.vectors + first;
  Scalars<Vector, kRows> all_scalars(arguments);
  for (int64_t term = 0; term < arguments.terms; ++term) {
    const float* at = vectors + arguments.offsets[term];
    Vector x[kVectors];
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) x[v] = Vector::Load(at + v * Vector::kLanes);
    const auto scalars = all_scalars.Next(term);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) sums[r][v] = all_scalars.MultiplyAdd(x[v], scalars, r, sums[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    if (r < arguments.rows) {
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) {
        Vector::Store(Vector::Clip(sums[r][v], arguments.low, arguments.high), output + v * Vector::kLanes);
      }
    }
    output += arguments.output_stride;
  }
}

// Tiles of at most three vectors, none of which is much smaller than the others: a single vector leaves multipliers
// waiting.
template <typename Vector, template <typename, int> class Scalars, int kRows>
void MultiplyRows(const MultiplyArguments& arguments) {
  int64_t tiles = (arguments.vector_count + 2) / 3;
  int64_t left = arguments.vector_count;
  int64_t first = 0;
  for (; tiles > 0; --tiles) {
    const int64_t count = (left + tiles - 1) / tiles;
    if (count == 3) {
      MultiplyTile<Vector, Scalars, kRows, 3>(arguments, first);
    } else if (count == 2) {
      MultiplyTile<Vector, Scalars, kRows, 2>(arguments, first);
    } else {
      MultiplyTile<Vector, Scalars, kRows, 1>(arguments, first);
    }
    first += count * Vector::kLanes;
    left -= count;
  }
}

template <typename Vector, int kRows>
void Multiply(const MultiplyArguments& arguments) {
  MultiplyRows<Vector, ScalarsTogether, kRows>(arguments);
}

// Tiles of a row less, too, so that few pixels can be shared out evenly.
template <typename Vector, int kRows>
void MultiplyInRows(const MultiplyArguments& arguments) {
  if (arguments.rows == kRows - 1) {
    MultiplyRows<Vector, ScalarsInRows, kRows - 1>(arguments);
  } else {
    MultiplyRows<Vector, ScalarsInRows, kRows>(arguments);
  }
}

template <typename Vector>
inline Vector LoadUpTo(const float* address, int64_t count) {
  return count >= Vector::kLanes ? Vector::Load(address) : Vector::LoadPartial(address, static_cast<int>(count));
}

template <typename Vector>
inline void StoreUpTo(Vector x, float* address, int64_t count) {
  if (count >= Vector::kLanes) {
    Vector::Store(x, address);
  } else {
    Vector::StorePartial(x, address, static_cast<int>(count));
  }
}

template <typename Vector>
void Transpose(const float* input, int64_t rows, int64_t input_stride, int64_t columns, float* output,
               int64_t output_stride) {
  constexpr int kLanes = Vector::kLanes;
  for (int64_t row = 0; row < rows; row += kLanes) {
    for (int64_t column = 0; column < columns; column += kLanes) {
      const float* source = input + row * input_stride + column;
      float* target = output + column * output_stride + row;
      const int64_t left = columns - column;
      Vector block[kLanes];
      if (row + kLanes <= rows && left >= kLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) block[i] = Vector::Load(source + i * input_stride);
        Vector::Transpose(block);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) Vector::Store(block[i], target + i * output_stride);
        continue;
      }
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        block[i] = row + i < rows ? LoadUpTo<Vector>(source + i * input_stride, left) : Vector::Zero();
      }
      Vector::Transpose(block);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        if (i < left) StoreUpTo(block[i], target + i * output_stride, rows - row);
      }
    }
  }
}

// The columns of a few planes: the greatest of the rows of a window, as pixels of kLanes channels.
template <typename Vector, bool kAffine>
inline void PoolColumns(const PoolRowArguments& arguments, int64_t channel, float* columns) {
  constexpr int kLanes = Vector::kLanes;
  for (int64_t x = 0; x < arguments.width_in; x += kLanes) {
    Vector block[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      block[i] = Vector::Zero();
      if (channel + i >= arguments.channels) continue;
      const int64_t at = (channel + i) * arguments.plane_stride + x;
      Vector greatest = Vector::Repeat(-__builtin_inff());
      for (int64_t row = 0; row < arguments.row_count; ++row) {
        Vector y = Vector::Load(arguments.rows[row] + at);
        if constexpr (kAffine) {
          const Vector multiplier = Vector::Repeat(arguments.multiplier[channel + i]);
          const Vector addend = Vector::Repeat(arguments.addend[channel + i]);
          y = Vector::Limit(Vector::Affine(y, multiplier, addend), arguments.affine_low, arguments.affine_high);
        }
        greatest = Vector::Max(y, greatest);
      }
      block[i] = greatest;
    }
    Vector::Transpose(block);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) Vector::Store(block[i], columns + (x + i) * kLanes);
  }
}

template <typename Vector>
void PoolRow(const PoolRowArguments& arguments) {
  constexpr int kLanes = Vector::kLanes;
  alignas(64) float columns[kMaxPooledWidth * kLanes];
  for (int64_t channel = 0; channel < arguments.channels; channel += kLanes) {
    if (arguments.multiplier != nullptr) {
      PoolColumns<Vector, true>(arguments, channel, columns);
    } else {
      PoolColumns<Vector, false>(arguments, channel, columns);
    }
    for (int64_t x = 0; x < arguments.width_out; ++x) {
      const int64_t left = x * arguments.stride - arguments.pad_left;
      int64_t first = Larger(left, -arguments.border_left);
      int64_t last = Smaller(left + arguments.filter_width, arguments.width_in + arguments.border_right);
      const bool meets_border = arguments.rows_meet_border || first < 0 || last > arguments.width_in;
      Vector greatest = Vector::Repeat(meets_border ? arguments.border_value : -__builtin_inff());
      first = Larger(first, 0);
      last = Smaller(last, arguments.width_in);
      for (int64_t column = first; column < last; ++column) {
        greatest = Vector::Max(Vector::Load(columns + column * kLanes), greatest);
      }
      StoreUpTo(Vector::Limit(greatest, arguments.low, arguments.high),
                arguments.output + x * arguments.output_stride + channel, arguments.channels - channel);
    }
  }
}

// `kCapped`: whether there is an upper limit for the affine map's result.
template <typename Vector, bool kAffine, bool kCapped>
void PoolWindowsAs(const PoolWindowsArguments& arguments) {
  for (int64_t channel = 0; channel < arguments.channels; channel += Vector::kLanes) {
    const int64_t count = arguments.channels - channel;
    const Vector multiplier = kAffine ? LoadUpTo<Vector>(arguments.multiplier + channel, count) : Vector::Zero();
    const Vector addend = kAffine ? LoadUpTo<Vector>(arguments.addend + channel, count) : Vector::Zero();
    for (int64_t window = 0; window < arguments.windows; ++window) {
      const float* pixels = arguments.pixels + window * arguments.window_stride + channel;
      Vector greatest = Vector::Repeat(arguments.least);
      for (int64_t column = 0; column < arguments.columns; ++column) {
        for (int64_t row = 0; row < arguments.rows; ++row) {
          const float* pixel = pixels + column * arguments.column_stride + row * arguments.row_stride;
          Vector y = LoadUpTo<Vector>(pixel, count);
          if constexpr (kAffine) {
            y = Vector::Affine(y, multiplier, addend);
            y = kCapped ? Vector::Limit(y, arguments.affine_low, arguments.affine_high)
                        : Vector::LimitBelow(y, arguments.affine_low);
          }
          greatest = Vector::Max(y, greatest);
        }
      }
      StoreUpTo(Vector::Limit(greatest, arguments.low, arguments.high),
                arguments.output + window * arguments.output_stride + channel, count);
    }
  }
}

template <typename Vector>
void PoolWindows(const PoolWindowsArguments& arguments) {
  if (arguments.multiplier == nullptr) {
    PoolWindowsAs<Vector, false, false>(arguments);
  } else if (arguments.affine_high < __builtin_inff()) {
    PoolWindowsAs<Vector, true, true>(arguments);
  } else {
    PoolWindowsAs<Vector, true, false>(arguments);
  }
}

// Fills in what these loops give, with the tile's rows, except for multiply_in_rows.
template <typename Vector, int kRows>
constexpr void AddFloatTiles(Kernels& kernels) {
  static_assert(kRows <= kMaxTileRows && Vector::kLanes <= kMaxLanes);
  kernels.lanes = Vector::kLanes;
  kernels.tile_rows = kRows;
  kernels.multiply = Multiply<Vector, kRows>;
  kernels.transpose = Transpose<Vector>;
  kernels.pool_row = PoolRow<Vector>;
  kernels.pool_windows = PoolWindows<Vector>;
}

}  // namespace
}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_KERNELS_FLOAT_TILES_H_

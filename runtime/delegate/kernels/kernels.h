// What an instruction set brings: the inner loops, behind one table of functions.
//
// Binary convolution. A map is stored as a row of units for each pixel; a unit holds the bits of `unit_channels`
// channels in the form that the inner loop takes. A kernel counts, for a few pixels and 64 output channels at a time,
// the bits in which map and filter differ; the lanes of its vectors are output channels. Maps carry their padding (zero
// bits, +1) around them, so that the taps of a filter row lie next to one another and no kernel checks borders.
//
// Where `unit_pixels` is 2, a unit also has the bits of the pixel that the next output pixel of the row meets there:
// the map is `expand`ed and then `join`ed, row by row. Pixels that are computed together are called a span.
//
// Where the processor multiplies matrices, a map has a byte for each channel, its bit, and the filter is `expand`ed to
// bytes +1 and -1 when it is needed: the differing bits are those that differ from a map of zeros, which are those of
// the filter, and one more or less for each bit of the map. See MultiplyBytesArguments.
#ifndef LARQ_MELIUS_DELEGATE_KERNELS_KERNELS_H_
#define LARQ_MELIUS_DELEGATE_KERNELS_KERNELS_H_

#include <cstdint>

namespace larq_melius {

// Output channels that a call of `accumulate` computes.
constexpr int kChannelBlock = 64;
// Largest span_tile and unit_pixels.
constexpr int kMaxSpanTile = 8;
constexpr int kMaxUnitPixels = 2;

// Consecutive units of a map, at most `segment_units`, that meet consecutive units of the filter.
struct Segment {
  // From the address of a span's first tap, in bytes.
  int64_t offset;
  int64_t units;
};

struct AccumulateArguments {
  // Addresses of the first tap of some spans, `span_tile` at most.
  const uint8_t* const* spans;
  int64_t span_count;
  const Segment* segments;
  int64_t segment_count;
  // [unit][kChannelBlock] elements of `unit_bytes`, in the order of the segments.
  const uint8_t* weights;
  // Whether `sums` has the sums of other segments, to be added to.
  bool continues;
  // Differing bits, [span_count][unit_pixels][kChannelBlock].
  int32_t* sums;
};

// A product of matrices is made of so many rows, positions of a map, by so many columns, output channels, in steps of
// so many bytes of channels. In a step of the filter, bytes that meet one quad of the map lie together.
constexpr int kMatrixPositions = 32;
constexpr int kMatrixChannels = 32;
constexpr int kMatrixDepth = 64;
constexpr int kMatrixQuad = 4;

struct MultiplyBytesArguments {
  // Where the first position's window begins; the others follow at this distance.
  const uint8_t* map;
  int64_t position_bytes;
  // A multiple of kMatrixPositions.
  int64_t positions;
  // From there, to the bytes of each step. All kMatrixDepth of them are readable.
  const int64_t* offsets;
  int64_t steps;
  // Steps that are done for all positions before the next.
  int64_t part_steps;
  // [half of the block][step][quad][kMatrixChannels][kMatrixQuad]
  const uint8_t* weights;
  // What a sum is without the products, [kChannelBlock].
  const int32_t* initial;
  // [positions][kChannelBlock]
  int32_t* sums;
};

// From the number of differing bits to the output: clamp(2 sum) * multiplier + bias, as LCE computes it.
struct OutputTransform {
  const float* multiplier;
  const float* bias;
  int32_t clamp_min;
  int32_t clamp_max;
  // Whether clamping changes no sum, and sum * (2 multiplier) is the same: no such product is too large for a float.
  bool is_linear;
};

// Some pixels whose sums follow one another, and whose corrections are the same.
struct WriteArguments {
  // [pixels][kChannelBlock]
  const int32_t* sums;
  int64_t pixels;
  int64_t channels;
  OutputTransform transform;
  // Added to twice the sum before it is clamped; may be null.
  const int32_t* sum_correction;
  // Added to the result, and then the summand; both may be null.
  const float* correction;
  const float* summand;
  // From pixel to pixel.
  int64_t summand_stride;
  // May be `summand`.
  float* output;
  int64_t output_stride;
};

// Some pixels to be compared, (value ^ flip) < threshold, with the bits of the float flipped. Strides are from pixel to
// pixel.
struct CompareArguments {
  const float* values;
  int64_t value_stride;
  int64_t pixels;
  // By channel.
  const uint32_t* flips;
  const float* thresholds;
  int64_t channels;
  // Bits after the last channel are 0.
  uint32_t* words;
  int64_t word_stride;
};

// The most lanes that a vector of floats has, and the most rows of a tile of `multiply`.
constexpr int kMaxLanes = 16;
constexpr int kMaxTileRows = 8;
// The widest map that `pool_row` takes.
constexpr int kMaxPooledWidth = 512;

// Sums of products, the inner loop of float convolutions:
//
//   output[row][lane] = clamp(bias + the sum over all terms of scalars[term][row] * vectors[offsets[term] + lane])
//
// In a 1x1 convolution lanes are output channels and rows are pixels, in others it is the other way around. A sum is
// made in the order of the terms: it depends on nothing beside it.
struct MultiplyArguments {
  int64_t terms;
  // `tile_rows` of them for each term, whatever `rows` is, at this distance from term to term. For `multiply_in_rows`:
  // at this distance from row to row, those of a row at the offsets of the terms.
  const float* scalars;
  int64_t scalar_stride;
  const int64_t* scalar_offsets;
  const float* vectors;
  const int64_t* offsets;
  int64_t vector_count;
  // One of them, of `tile_rows` or of all lanes, is set; neither where `output` has the sums of other terms already.
  const float* row_bias;
  const float* lane_bias;
  float low;
  float high;
  // Rows that are written, at most `tile_rows`; of all lanes.
  int64_t rows;
  float* output;
  int64_t output_stride;
};

// 3x3 convolutions that move by one pixel, by Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray 2015,
// arXiv:1509.09308): for four outputs of a channel, two rows of two, 16 products a channel of the input instead of 36.
// They are of the 4x4 elements that the outputs' windows cover and of the filter, both of them transformed. What four
// outputs cover is called a window here; the lanes of a vector are windows. A block, four rows of as many columns as a
// vector has lanes, fills one.
constexpr int kWindowPositions = 16;
constexpr int kBlockRows = 4;
// Of the input, which a block's windows cover.
constexpr int kWindowRows = 6;
// The most output channels that `multiply_windows` computes together.
constexpr int kMaxWindowChannels = 4;

struct TransformWindowsArguments {
  // Where the windows begin in each of the rows, in the first of the planes.
  const float* rows[kWindowRows];
  int64_t plane_stride;
  int64_t channels;
  // [channel][kWindowPositions][lane]
  float* windows;
};

struct MultiplyWindowsArguments {
  const float* windows;
  int64_t channels_in;
  // A multiple of `window_channels`.
  int64_t channels_out;
  // Of so many output channels, and of each of kWindowStages, [channel][position][output channel].
  const float* weights;
  const float* bias;
  float low;
  float high;
  // Rows that are written, of all lanes.
  int64_t rows;
  // In the plane of the first channel.
  float* output;
  int64_t row_stride;
  int64_t plane_stride;
};

// The positions of products in the order in which they are computed, each stage for all channels before the next.
struct WindowStage {
  int count;
  int positions[4];
};
constexpr WindowStage kWindowStages[] = {
    {4, {5, 6, 9, 10}}, {4, {4, 7, 8, 11}}, {2, {1, 2}}, {2, {13, 14}}, {4, {0, 3, 12, 15}}};

// Windows of one size of a max pool of pixels, after an affine map of its input, column by column, as with planes: of
// +0 and -0, the first is the greater.
struct PoolWindowsArguments {
  int64_t windows;
  int64_t window_stride;
  // The first window's.
  const float* pixels;
  int64_t columns;
  int64_t column_stride;
  int64_t rows;
  int64_t row_stride;
  int64_t channels;
  // Both null without an affine map.
  const float* multiplier;
  const float* addend;
  float affine_low;
  float affine_high;
  // What the result is at least: the value of a border that the windows meet.
  float least;
  float low;
  float high;
  float* output;
  int64_t output_stride;
};

// A row of the output of a max pool that reads planes and writes pixels, after an affine map of its input.
struct PoolRowArguments {
  // The rows of the first plane that the window meets, readable to a multiple of kMaxLanes floats.
  const float* const* rows;
  int64_t row_count;
  int64_t plane_stride;
  int64_t channels;
  int64_t width_in;
  // Both null without an affine map.
  const float* multiplier;
  const float* addend;
  float affine_low;
  float affine_high;
  int64_t filter_width;
  int64_t stride;
  int64_t pad_left;
  // Columns of `border_value` beside the map, and whether the window meets rows of it.
  int64_t border_left;
  int64_t border_right;
  bool rows_meet_border;
  float border_value;
  float low;
  float high;
  int64_t width_out;
  float* output;
  int64_t output_stride;
};

struct Kernels {
  const char* name;
  int unit_channels;
  // 1 or 2.
  int unit_pixels;
  // Of a filter and of a map.
  int unit_bytes;
  int map_unit_bytes;
  int span_tile;
  int64_t segment_units;
  // Bytes of a filter that a kernel reads fast enough again and again.
  int64_t part_bytes;
  // Terms that a sum may have.
  int64_t max_terms;

  // Sets bit c where values[c] < 0; bits after the last channel are 0.
  void (*pack_floats)(const float* values, int64_t channels, uint32_t* words);
  // The same for values[c] < zero_point.
  void (*pack_bytes)(const int8_t* values, int zero_point, int64_t channels, uint32_t* words);
  void (*compare)(const CompareArguments& arguments);
  // Words to the units of a map.
  void (*expand)(const uint32_t* words, int64_t count, uint8_t* units);
  // Adds to each of `count` units the bits of the unit `distance` behind it, if there is one among them. Null where a
  // unit has one pixel.
  void (*join)(uint8_t* units, int64_t count, int64_t distance);
  void (*accumulate)(const AccumulateArguments& arguments);
  // The same for `span_tile` spans, whose sums are then written, as by `write_floats`, without going through memory:
  // whole blocks of channels, no corrections. Null where it is no faster.
  void (*accumulate_and_write)(const AccumulateArguments& arguments, const WriteArguments& write);
  // For convolutions whose windows move by one pixel, instead of `accumulate`. Null where there are none.
  void (*multiply_bytes)(const MultiplyBytesArguments& arguments);
  // Bits to this many bytes, a multiple of 64: +1 where not set, -1 where set. Null where there is no multiply_bytes.
  void (*expand_filter)(const uint64_t* bits, int64_t bytes, uint8_t* weights);
  // For binary convolutions that these do not take.
  const Kernels& (*others)();
  void (*write_floats)(const WriteArguments& arguments);

  // output = clamp(x * multiplier + addend), rounded after each operation. `output` may be `x`.
  void (*affine)(const float* x, const float* multiplier, const float* addend, float low, float high, int64_t channels,
                 float* output);
  // output = clamp(x + y). `output` may be either.
  void (*add)(const float* x, const float* y, float low, float high, int64_t channels, float* output);

  // Of vectors of floats.
  int lanes;
  int tile_rows;
  void (*multiply)(const MultiplyArguments& arguments);
  // The same with scalars where they are; fastest with `tile_rows` of them or one less. Null where those of a term must
  // lie together.
  void (*multiply_in_rows)(const MultiplyArguments& arguments);
  // Output channels that `multiply_windows` computes together.
  int window_channels;
  void (*transform_windows)(const TransformWindowsArguments& arguments);
  void (*multiply_windows)(const MultiplyWindowsArguments& arguments);
  // output[c][r] = input[r][c].
  void (*transpose)(const float* input, int64_t rows, int64_t input_stride, int64_t columns, float* output,
                    int64_t output_stride);
  void (*pool_row)(const PoolRowArguments& arguments);
  void (*pool_windows)(const PoolWindowsArguments& arguments);
};

// Runs everywhere. The others are defined only in builds for their processors.
const Kernels& PortableKernels();
const Kernels& Avx2Kernels();
const Kernels& Avx512Kernels();
const Kernels& AmxKernels();
const Kernels& NeonKernels();

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_KERNELS_KERNELS_H_

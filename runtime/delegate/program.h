// Step 2 of the compiler: turns operators into instructions with checked types, constants and shapes.
#ifndef LARQ_MELIUS_DELEGATE_PROGRAM_H_
#define LARQ_MELIUS_DELEGATE_PROGRAM_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base.h"
#include "graph.h"
#include "planes.h"

namespace larq_melius {

// A tensor of the network. Its number is that of the tensor in the runtime.
struct Value {
  Type type = Type::kOther;
  // Bit-packed values (int32) count words in the last dimension.
  Shape shape;
  float scale = 0;
  int zero_point = 0;
  // Whether the runtime holds it, because operators outside of this program write or read it.
  bool external_input = false;
  bool external_output = false;
  // Set by AssignLayout. Values of one buffer lie behind one another in the channels of its pixels.
  int buffer = -1;
  int64_t channel_offset = 0;
  // Channels from one pixel to the next.
  int64_t pixel_stride = 0;
  // Where the map has a buffer of its own and is kept as planes.
  Planes planes;
  // Where not 0, only so many rows of pixels are kept, as in a ring of planes.
  int64_t ring_rows = 0;

  bool external() const { return external_input || external_output; }
  bool is_ring() const { return planes.ring != 0 || ring_rows != 0; }
};

enum class InstructionKind {
  // Values to bits: set where negative.
  kPack,
  // Bits to values.
  kUnpack,
  kBinaryConv,
  kBinaryMaxPool,
  // activation(x * multiplier + addend), each by channel; either may be absent.
  kAffine,
  // activation(x + y).
  kAdd,
  // Channels of several maps behind one another.
  kConcatenate,
  kPad,
  kMaxPool,
  // Of a window of more than one pixel.
  kConv,
  // 1x1.
  kPointwiseConv,
  // Channels as two dimensions, or two dimensions as channels.
  kReshape,
  // Of the last two dimensions.
  kTranspose,
  // Both in turns: channels of several groups, one of each group behind the other.
  kShuffle,
};

const char* Name(InstructionKind kind);

// Constants of a binary convolution, as the file has them.
struct BinaryConvConstants {
  int64_t channels_out = 0;
  int64_t filter_height = 0;
  int64_t filter_width = 0;
  // Words of a filter at one position: those of one group.
  int64_t words = 0;
  ConstantWords filter;  // [channels_out, filter_height, filter_width, words]
  // Float and int8 outputs.
  std::vector<float> multiplier;
  std::vector<float> bias;
  // Bit-packed outputs.
  std::vector<int32_t> thresholds;
};

// Constants of a float convolution.
struct ConvConstants {
  int64_t channels_out = 0;
  int64_t filter_height = 0;
  int64_t filter_width = 0;
  int64_t group_channels_in = 0;
  std::vector<float> filter;  // [channels_out, filter_height, filter_width, group_channels_in]
  std::vector<float> bias;
};

// A batch normalization before a sign, as one comparison: negative where (x ^ flip) < threshold, of each channel.
struct Comparison {
  explicit Comparison(size_t channels) : flips(channels), thresholds(channels) {}

  AlignedBuffer<uint32_t> flips;
  AlignedBuffer<float> thresholds;
};

// How a window moves over a map, once the map's size is known.
struct Window {
  int64_t out_height = 0;
  int64_t out_width = 0;
  // From the window's first position to the map's first element, an added border included.
  int64_t pad_top = 0;
  int64_t pad_left = 0;
};

// Signs that an instruction makes beside its output: of that output, or for a kPack of its input.
struct SignOutput {
  int output = 0;
  std::shared_ptr<const Comparison> comparison;
};

struct Instruction {
  InstructionKind kind = InstructionKind::kPack;
  // A binary convolution may have a second one, which is added to its result.
  std::vector<int> inputs;
  int output = 0;
  Options options;
  std::shared_ptr<const BinaryConvConstants> conv;
  std::shared_ptr<const ConvConstants> float_conv;
  // kAffine, and kMaxPool where one is fused into it. Empty vectors: absent.
  std::vector<float> multiplier;
  std::vector<float> addend;
  // Of the affine map that is fused into a kMaxPool.
  Activation affine_activation = Activation::kNone;
  // kPack; null for a comparison with zero.
  std::shared_ptr<const Comparison> comparison;
  // kBinaryConv with a float output, and kPack with a comparison.
  std::vector<SignOutput> signs;
  // kPad, and kMaxPool, kConv and kBinaryConv where one is fused into them.
  Border border;
  float border_value = 0;
  // kPad: channels that are added before the map's, and behind them.
  int64_t channels_before = 0;
  int64_t channels_behind = 0;
  // kReshape and kShuffle: the output's shape, one of whose sizes may be -1. kPointwiseConv where a kShuffle is fused
  // into it: that one's.
  Shape target;
  // kShuffle, and kPointwiseConv where one is fused into it.
  int64_t shuffled_groups = 1;
  // Of the output's channels, where the file alone knows it (kUnpack).
  int64_t channels = 0;
  // Set by InferShapes.
  Window window;
  int64_t groups = 1;
};

struct Program {
  std::vector<Instruction> instructions;
  std::map<int, Value> values;
};

// Translates operators into instructions, one for one.
//
// Throws Error if types or constants are not what the operators need.
Program Lower(const Graph& graph, const std::vector<int>& external_inputs, const std::vector<int>& external_outputs);

// Computes the shape of everything from those of the external inputs.
//
// Throws Error if shapes do not fit together.
void InferShapes(Program& program);

// Translates one operator.
Instruction LowerNode(const Graph& graph, const Node& node);

// Where a window of that size, moved over a map with a border around it, begins, and how often it fits.
//
// Throws Error if it does not fit at all.
Window PlaceWindow(const Shape& in, int64_t filter_height, int64_t filter_width, const Options& options,
                   const Border& border);

// The zeros that a convolution of a map of that shape meets around it, once the window is known.
Border BorderOf(const Shape& in, const Instruction& conv);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_PROGRAM_H_

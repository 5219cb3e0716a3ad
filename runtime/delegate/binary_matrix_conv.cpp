#include "binary_matrix_conv.h"

#include <algorithm>
#include <cstring>

#include "binary_conv_input.h"
#include "binary_conv_output.h"

namespace larq_melius {
namespace {

// Positions whose sums stay in a near cache.
constexpr int64_t kMaxPositions = 256;
// Steps whose filter, of half a block of channels, stays in the nearest cache while all positions meet it.
constexpr int64_t kPartSteps = 18;
// Copies of the filter that there is memory for: more threads than that do not take part.
constexpr int64_t kMaxShares = 8;

// A row of a step's quads, for half a block of channels, is so many masks of 64 bits.
constexpr int64_t kMaskBits = 64;
constexpr int64_t kMasks = kMatrixChannels * kMatrixQuad / kMaskBits;

// Some bytes that a window and a filter have in common.
struct Step {
  int64_t map_offset;
  int64_t filter_word;
  int64_t channel;
  // What there are of kMatrixDepth.
  int64_t bytes;
};

// Where a map has one pixel behind the other, rows of the padded map included, so are the windows: all of its pixels
// are positions of a matrix, and what the windows give that begin in the padding at a row's end is left out.
class BinaryMatrixConv : public Executable {
 public:
  BinaryMatrixConv(const Program& program, const Instruction& instruction, const PackedMap& map, bool reads_map)
      : conv_(*instruction.conv),
        kernels_(*map.kernels),
        input_(map, instruction.inputs[0], reads_map),
        out_shape_(program.values.at(instruction.output).shape),
        output_(program, instruction) {
    MakeSteps(instruction.options);
    PackFilter();
  }

  int64_t scratch_bytes() const override { return weights_offset() + kMaxShares * weights_bytes(); }

  // Each thread expands the filter for itself: to fetch it from another core's cache would take longer.
  void Run(const RunContext& context) const override {
    const uint8_t* map = input_.Prepare(context);
    const int64_t shares = std::min<int64_t>(context.threads(), kMaxShares);
    const int64_t share = DivideRoundingUp(DivideRoundingUp(positions(), shares), kMatrixPositions) * kMatrixPositions;
    context.Parallel(positions(), share, [&](int64_t begin, int64_t end) {
      uint8_t* weights = context.scratch<uint8_t>() + weights_offset() + begin / share * weights_bytes();
      for (int64_t first = 0; first < conv_.channels_out; first += kChannelBlock) {
        ExpandFilter(first, weights);
        const OutputChannels channels = {first, std::min<int64_t>(kChannelBlock, conv_.channels_out - first)};
        for (int64_t at = begin; at < end; at += kMaxPositions) {
          ComputePositions(context, map, weights, channels, at, std::min(at + kMaxPositions, end));
        }
      }
    });
  }

  std::string Describe() const override { return std::string(kernels_.name) + ", " + input_.Describe(); }

 private:
  static constexpr int64_t kHalves = kChannelBlock / kMatrixChannels;
  static constexpr int64_t kStepBytes = kMatrixDepth * kMatrixChannels;

  const PackedMap& map() const { return input_.map(); }
  int64_t step_count() const { return static_cast<int64_t>(steps_.size()); }
  int64_t weights_bytes() const { return kHalves * step_count() * kStepBytes; }
  int64_t weights_offset() const { return DivideRoundingUp(input_.scratch_bytes(), kAlignment) * kAlignment; }
  // The last window of the last image ends the map.
  int64_t positions() const { return (map().rows() - map().height + out_shape_[1] - 1) * map().width + out_shape_[2]; }

  // Taps that follow one another in the map are taken together. A few channels of all taps come first, then the next
  // few, so that a part of the steps meets a part of the map again and again.
  void MakeSteps(const Options& options) {
    const int64_t tap_bytes = conv_.words * kWordBits;
    const bool joined = options.dilation_width == 1 && map().pixel_bytes() == tap_bytes;
    const int64_t joined_taps = joined ? conv_.filter_width : 1;
    for (int64_t y = 0; y < conv_.filter_height; ++y) {
      for (int64_t x = 0; x < conv_.filter_width; x += joined_taps) {
        const int64_t offset =
            y * options.dilation_height * map().row_bytes() + x * options.dilation_width * map().pixel_bytes();
        const int64_t word = (y * conv_.filter_width + x) * conv_.words;
        for (int64_t byte = 0; byte < joined_taps * tap_bytes; byte += kMatrixDepth) {
          steps_.push_back({offset + byte, word + byte / kWordBits, byte % tap_bytes,
                            std::min<int64_t>(kMatrixDepth, joined_taps * tap_bytes - byte)});
        }
      }
    }
    std::stable_sort(steps_.begin(), steps_.end(), [](const Step& a, const Step& b) { return a.channel < b.channel; });
    for (const Step& step : steps_) offsets_.push_back(step.map_offset);
  }

  void PackFilter() {
    const int64_t blocks = DivideRoundingUp(conv_.channels_out, kChannelBlock);
    const int64_t filter_words = conv_.filter_height * conv_.filter_width * conv_.words;
    differing_at_zero_ = AlignedBuffer<int32_t>(static_cast<size_t>(blocks * kChannelBlock));
    for (const Step& step : steps_) {
      bit_offsets_.push_back(half_bits_);
      half_bits_ += step.bytes / kMatrixQuad * kMasks;
    }
    bits_ = AlignedBuffer<uint64_t>(static_cast<size_t>(CheckedProduct(blocks * kHalves, half_bits_)));
    for (int64_t channel = 0; channel < conv_.channels_out; ++channel) {
      const int64_t first_word = channel * filter_words;
      for (int64_t word = 0; word < filter_words; ++word) {
        differing_at_zero_[static_cast<size_t>(channel)] += __builtin_popcount(conv_.filter[first_word + word]);
      }
      uint64_t* half = bits_.data() + channel / kMatrixChannels * half_bits_;
      const int64_t lane = channel % kMatrixChannels * kMatrixQuad;
      for (size_t i = 0; i < steps_.size(); ++i) {
        for (int64_t byte = 0; byte < steps_[i].bytes; byte += kMatrixQuad) {
          const uint32_t word = conv_.filter[first_word + steps_[i].filter_word + byte / kWordBits];
          const uint64_t quad = word >> (byte % kWordBits) & ((1u << kMatrixQuad) - 1);
          half[bit_offsets_[i] + byte / kMatrixQuad * kMasks + lane / kMaskBits] |= quad << (lane % kMaskBits);
        }
      }
    }
  }

  // For a block of channels.
  void ExpandFilter(int64_t first_channel, uint8_t* weights) const {
    for (int64_t half = 0; half < kHalves; ++half) {
      const uint64_t* bits = bits_.data() + (first_channel / kMatrixChannels + half) * half_bits_;
      for (size_t step = 0; step < steps_.size(); ++step, weights += kStepBytes) {
        const int64_t used = steps_[step].bytes * kMatrixChannels;
        kernels_.expand_filter(bits + bit_offsets_[step], used, weights);
        std::memset(weights + used, 0, static_cast<size_t>(kStepBytes - used));
      }
    }
  }

  void ComputePositions(const RunContext& context, const uint8_t* map, const uint8_t* weights,
                        const OutputChannels& channels, int64_t begin, int64_t end) const {
    if (channels.first == 0) {
      ForRuns(begin, end, [&](int64_t, int64_t pixel, int64_t pixels) { output_.Begin(context, pixel, pixels); });
    }
    alignas(kAlignment) int32_t sums[kMaxPositions * kChannelBlock];
    MultiplyBytesArguments arguments = {};
    arguments.map = map + begin * input_.map().pixel_bytes();
    arguments.position_bytes = input_.map().pixel_bytes();
    arguments.positions = DivideRoundingUp(end - begin, kMatrixPositions) * kMatrixPositions;
    arguments.offsets = offsets_.data();
    arguments.steps = step_count();
    // Parts of about one size.
    arguments.part_steps = DivideRoundingUp(step_count(), DivideRoundingUp(step_count(), kPartSteps));
    arguments.weights = weights;
    arguments.initial = differing_at_zero_.data() + channels.first;
    arguments.sums = sums;
    kernels_.multiply_bytes(arguments);
    const bool is_last = channels.first + channels.count == conv_.channels_out;
    ForRuns(begin, end, [&](int64_t number, int64_t pixel, int64_t pixels) {
      output_.Write(context, kernels_, channels, sums + number * kChannelBlock, pixel, pixels);
      if (is_last) output_.End(context, kernels_, pixel, pixels);
    });
  }

  // Calls `function(number, pixel, count)` for the output pixels among these positions, which follow one another from
  // that position on.
  template <typename Function>
  void ForRuns(int64_t begin, int64_t end, const Function& function) const {
    for (int64_t row = begin / map().width; row * map().width < end; ++row) {
      const int64_t first = std::max(begin, row * map().width);
      const int64_t last = std::min(end, row * map().width + out_shape_[2]);
      const int64_t y = row % map().height;
      if (y >= out_shape_[1] || first >= last) continue;
      const int64_t pixel = (row / map().height * out_shape_[1] + y) * out_shape_[2] + first - row * map().width;
      function(first - begin, pixel, last - first);
    }
  }

  const BinaryConvConstants& conv_;
  const Kernels& kernels_;
  BinaryConvInput input_;
  Shape out_shape_;
  BinaryConvOutput output_;
  std::vector<Step> steps_;
  std::vector<int64_t> offsets_;      // of each step, from a window's beginning
  std::vector<int64_t> bit_offsets_;  // of each step, within half a block of channels
  int64_t half_bits_ = 0;
  AlignedBuffer<uint64_t> bits_;              // [half of a block][step][quad of bytes][channel][byte]
  AlignedBuffer<int32_t> differing_at_zero_;  // of each channel: the bits of its filter that are set
};

}  // namespace

std::unique_ptr<Executable> MakeBinaryMatrixConv(const Program& program, const Instruction& instruction,
                                                 const PackedMap& map, bool reads_map) {
  return std::make_unique<BinaryMatrixConv>(program, instruction, map, reads_map);
}

}  // namespace larq_melius

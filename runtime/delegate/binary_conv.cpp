#include "binary_conv.h"

#include <algorithm>
#include <cstring>

#include "binary_conv_input.h"
#include "binary_conv_output.h"
#include "binary_matrix_conv.h"

namespace larq_melius {
namespace {

// Output channels of one group.
struct ChannelBlock {
  int64_t group;
  OutputChannels channels;
  int64_t weights_offset;
};

// Some of the taps and channels that a sum has.
struct Part {
  std::vector<Segment> segments;
  int64_t weights_offset;
};

// Kernels take units in groups of three at most.
constexpr int64_t kUnitGroup = 3;
// Pixels whose sums and outputs stay in the nearest caches.
constexpr int64_t kMaxPixels = 64;
// Pixels whose sums are written at once where nothing more is to be added to them.
constexpr int64_t kWritePixels = 8;

class BinaryConv : public RowExecutable {
 public:
  BinaryConv(const Program& program, const Instruction& instruction, const PackedMap& map, bool reads_map)
      : RowExecutable(program.values.at(instruction.output).shape),
        instruction_(instruction),
        conv_(*instruction.conv),
        kernels_(*map.kernels),
        input_(map, instruction.inputs[0], reads_map),
        out_shape_(program.values.at(instruction.output).shape),
        output_(program, instruction) {
    MakeSegments();
    PackFilter();
  }

  int64_t scratch_bytes() const override { return input_.scratch_bytes(); }

  void Run(const RunContext& context) const override {
    RunSpans(context, 0, out_shape_[0] * out_shape_[1] * row_spans());
  }

  // A map that is packed first is packed as a whole.
  const RowExecutable* by_rows() const override { return input_.is_packed() ? this : nullptr; }
  // Whole tiles; an even number.
  int64_t row_step() const override { return kernels_.span_tile * (1 + kernels_.span_tile % 2); }

  RowRange InputRows(RowRange rows) const override {
    const int64_t window = (conv_.filter_height - 1) * instruction_.options.dilation_height + 1;
    return WindowRows(rows, instruction_.options.stride_height, instruction_.window.pad_top, window);
  }

  void RunRows(const RunContext& context, int64_t image, RowRange rows) const override {
    const int64_t first = image * out_shape_[1];
    RunSpans(context, (first + rows.begin) * row_spans(), (first + rows.end) * row_spans());
  }

  std::string Describe() const override { return std::string(kernels_.name) + ", " + input_.Describe(); }

 private:
  const PackedMap& map() const { return input_.map(); }
  int64_t units_per_word() const { return kWordBits / kernels_.unit_channels; }
  int64_t group_units() const { return conv_.words * units_per_word(); }
  int64_t row_spans() const { return DivideRoundingUp(out_shape_[2], kernels_.unit_pixels); }

  void RunSpans(const RunContext& context, int64_t first, int64_t last) const {
    const uint8_t* data = input_.Prepare(context);
    const int64_t tile = kernels_.span_tile;
    int64_t tiles = kMaxPixels / kernels_.unit_pixels / tile;
    // Some four shares for each thread, so that all have work until the end.
    if (context.threads() > 1) {
      tiles = std::min(tiles, std::max<int64_t>(1, (last - first) / (4 * context.threads() * tile)));
    }
    const int64_t grain = tiles * tile;
    context.Parallel(last - first, grain,
                     [&](int64_t begin, int64_t end) { ComputeSpans(context, data, first + begin, first + end); });
  }

  void MakeSegments() {
    const Options& options = instruction_.options;
    const bool whole_rows = instruction_.groups == 1 && options.dilation_width == 1;
    for (int64_t group = 0; group < instruction_.groups; ++group) {
      std::vector<Segment> segments;
      for (int64_t y = 0; y < conv_.filter_height; ++y) {
        const int64_t row = y * options.dilation_height * map().row_bytes();
        if (whole_rows) {
          segments.push_back({row, conv_.filter_width * group_units()});
          continue;
        }
        for (int64_t x = 0; x < conv_.filter_width; ++x) {
          const int64_t offset =
              row + x * options.dilation_width * map().pixel_bytes() + group * group_units() * kernels_.map_unit_bytes;
          segments.push_back({offset, group_units()});
        }
      }
      parts_.push_back(Split(segments));
    }
  }

  // Parts of about one size, whose filters are near enough, of segments as short as the kernel needs them.
  std::vector<Part> Split(const std::vector<Segment>& segments) const {
    const auto share = [](int64_t units, int64_t most) {
      const int64_t count = DivideRoundingUp(units, most);
      return std::min(most, DivideRoundingUp(DivideRoundingUp(units, count), kUnitGroup) * kUnitGroup);
    };
    int64_t units = 0;
    for (const Segment& segment : segments) units += segment.units;
    const int64_t unit_bytes = kChannelBlock * kernels_.unit_bytes;
    const int64_t part_units = share(units, kernels_.part_bytes / unit_bytes);
    std::vector<Part> parts;
    int64_t room = 0;
    int64_t done = 0;
    for (Segment segment : segments) {
      while (segment.units > 0) {
        if (room == 0) {
          parts.push_back({{}, done * unit_bytes});
          room = part_units;
        }
        const int64_t taken = std::min({room, segment.units, share(segment.units, kernels_.segment_units)});
        parts.back().segments.push_back({segment.offset, taken});
        segment.offset += taken * kernels_.map_unit_bytes;
        segment.units -= taken;
        room -= taken;
        done += taken;
      }
    }
    return parts;
  }

  void PackFilter() {
    const int64_t positions = conv_.filter_height * conv_.filter_width;
    const int64_t units = positions * group_units();
    const int64_t block_bytes = units * kChannelBlock * kernels_.unit_bytes;
    const int64_t group_channels = conv_.channels_out / instruction_.groups;
    int64_t offset = 0;
    for (int64_t group = 0; group < instruction_.groups; ++group) {
      for (int64_t channel = 0; channel < group_channels; channel += kChannelBlock) {
        const int64_t count = std::min<int64_t>(kChannelBlock, group_channels - channel);
        blocks_.push_back({group, {group * group_channels + channel, count}, offset});
        offset += CheckedProduct(block_bytes, 1);
        CheckedProduct(offset, 1);
      }
    }
    weights_ = AlignedBuffer<uint8_t>(static_cast<size_t>(offset));
    const uint32_t mask = kernels_.unit_channels == kWordBits ? ~0u : (1u << kernels_.unit_channels) - 1;
    for (const ChannelBlock& block : blocks_) {
      for (int64_t c = 0; c < block.channels.count; ++c) {
        const int64_t first_word = (block.channels.first + c) * positions * conv_.words;
        uint8_t* target = weights_.data() + block.weights_offset + c * kernels_.unit_bytes;
        for (int64_t unit = 0; unit < units; ++unit) {
          const int64_t shift = unit % units_per_word() * kernels_.unit_channels;
          const uint32_t bits = (conv_.filter[first_word + unit / units_per_word()] >> shift) & mask;
          std::memcpy(target + unit * kChannelBlock * kernels_.unit_bytes, &bits,
                      static_cast<size_t>(kernels_.unit_bytes));
        }
      }
    }
  }

  // Calls `function(number, pixel, count)` for pixels of these spans that follow one another, both in the map and,
  // from that number on, among the sums.
  template <typename Function>
  void ForRuns(int64_t begin, int64_t end, const Function& function) const {
    // A row of odd width ends in half a span.
    const bool has_gaps = out_shape_[2] % kernels_.unit_pixels != 0;
    for (int64_t span = begin; span < end;) {
      const int64_t column = span % row_spans();
      const int64_t next = has_gaps ? std::min(end, span - column + row_spans()) : end;
      const int64_t first = column * kernels_.unit_pixels;
      int64_t count = (next - span) * kernels_.unit_pixels;
      if (has_gaps) count = std::min(count, out_shape_[2] - first);
      function((span - begin) * kernels_.unit_pixels, span / row_spans() * out_shape_[2] + first, count);
      span = next;
    }
  }

  // The addresses of the first taps of the spans from `begin` to `end`.
  void FindSpans(const uint8_t* data, int64_t begin, int64_t end, const uint8_t** spans) const {
    const int64_t row_bytes = instruction_.options.stride_height * map().row_bytes();
    const int64_t span_bytes = kernels_.unit_pixels * instruction_.options.stride_width * map().pixel_bytes();
    int64_t row = begin / row_spans();
    int64_t column = begin % row_spans();
    while (begin < end) {
      const uint8_t* first =
          data + row / out_shape_[1] * map().height * map().row_bytes() + row % out_shape_[1] * row_bytes;
      const int64_t count = std::min(end - begin, row_spans() - column);
      for (int64_t i = 0; i < count; ++i) *spans++ = first + (column + i) * span_bytes;
      begin += count;
      column = 0;
      ++row;
    }
  }

  void ComputeSpans(const RunContext& context, const uint8_t* data, int64_t begin, int64_t end) const {
    const uint8_t* spans[kMaxPixels];
    FindSpans(data, begin, end, spans);
    ForRuns(begin, end, [&](int64_t, int64_t pixel, int64_t pixels) { output_.Begin(context, pixel, pixels); });
    const int64_t tile = kernels_.span_tile;
    const int64_t few = tile * std::max<int64_t>(1, kWritePixels / (tile * kernels_.unit_pixels));
    for (const ChannelBlock& block : blocks_) {
      // Sums of parts of the filter are kept until the last part is done.
      const bool at_once = WritesTiles(block) || parts_[static_cast<size_t>(block.group)].size() > 1;
      const int64_t step = at_once ? end - begin : few;
      for (int64_t first = begin; first < end; first += step) {
        ComputeChannels(context, block, spans + (first - begin), first, std::min(first + step, end));
      }
    }
    ForRuns(begin, end, [&](int64_t, int64_t pixel, int64_t pixels) { output_.End(context, kernels_, pixel, pixels); });
  }

  bool WritesTiles(const ChannelBlock& block) const {
    return kernels_.accumulate_and_write != nullptr && output_.FitsAccumulateAndWrite(block.channels);
  }

  // Of the spans from `begin` to `end`, whose addresses are given.
  void ComputeChannels(const RunContext& context, const ChannelBlock& block, const uint8_t* const* spans, int64_t begin,
                       int64_t end) const {
    alignas(kAlignment) int32_t sums[kMaxPixels * kChannelBlock];
    const int64_t tile = kernels_.span_tile;
    const int64_t span_sums = kernels_.unit_pixels * kChannelBlock;
    const bool writes_tiles = WritesTiles(block);
    const std::vector<Part>& parts = parts_[static_cast<size_t>(block.group)];
    WriteArguments write = {};
    if (writes_tiles) write = output_.FloatArguments(context, block.channels, begin, tile);
    int64_t written = begin;
    for (const Part& part : parts) {
      AccumulateArguments arguments = {};
      arguments.segments = part.segments.data();
      arguments.segment_count = static_cast<int64_t>(part.segments.size());
      arguments.weights = weights_.data() + block.weights_offset + part.weights_offset;
      arguments.continues = part.weights_offset != 0;
      const bool is_last = &part == &parts.back();
      for (int64_t span = begin; span < end; span += tile) {
        arguments.spans = spans + (span - begin);
        arguments.span_count = std::min(tile, end - span);
        arguments.sums = sums + (span - begin) * span_sums;
        if (writes_tiles && is_last && arguments.span_count == tile) {
          kernels_.accumulate_and_write(arguments, write);
          write.output += tile * write.output_stride;
          if (write.summand != nullptr) write.summand += tile * write.summand_stride;
          written += tile;
        } else {
          kernels_.accumulate(arguments);
        }
      }
    }
    ForRuns(written, end, [&](int64_t number, int64_t pixel, int64_t pixels) {
      output_.Write(context, kernels_, block.channels, sums + (written - begin) * span_sums + number * kChannelBlock,
                    pixel, pixels);
    });
  }

  const Instruction& instruction_;
  const BinaryConvConstants& conv_;
  const Kernels& kernels_;
  BinaryConvInput input_;
  Shape out_shape_;
  BinaryConvOutput output_;
  std::vector<std::vector<Part>> parts_;  // of each group
  std::vector<ChannelBlock> blocks_;
  AlignedBuffer<uint8_t> weights_;
};

}  // namespace

std::unique_ptr<Executable> MakeBinaryConv(const Program& program, const Instruction& instruction,
                                           const Kernels& kernels, bool reads_map) {
  const PackedMap map = PackedMapOf(program, instruction, kernels);
  if (map.kernels->multiply_bytes != nullptr) return MakeBinaryMatrixConv(program, instruction, map, reads_map);
  return std::make_unique<BinaryConv>(program, instruction, map, reads_map);
}

}  // namespace larq_melius

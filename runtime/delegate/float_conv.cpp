#include "float_conv.h"

#include <algorithm>

#include "float_conv_input.h"
#include "float_map.h"
#include "winograd_conv.h"

namespace larq_melius {
namespace {

// Input channels of a 1x1 convolution that are taken together: where pixels are packed, so that they stay in the
// nearest cache, else so that the filter does in the next one.
constexpr int64_t kPackedTerms = 160;
constexpr int64_t kTerms = 512;
// Pixels that are, at most.
constexpr int64_t kPixelBlock = 56;

// Rows of the output that a thread takes at a time.
constexpr int64_t kRowGrain = 8;

class Conv : public RowExecutable {
 public:
  Conv(const Program& program, const Instruction& instruction, const Kernels& kernels)
      : RowExecutable(program.values.at(instruction.output).shape),
        kernels_(kernels),
        out_(program, instruction.output),
        source_(program, instruction, out_.planes.ring != 0 ? kRowStep : out_.shape[1]),
        groups_(instruction.groups),
        range_(RangeOf(instruction.options.activation)) {
    const ConvConstants& conv = *instruction.float_conv;
    group_channels_in_ = conv.group_channels_in;
    group_channels_out_ = conv.channels_out / groups_;
    group_blocks_ = DivideRoundingUp(group_channels_out_, kernels.tile_rows);
    terms_ = group_channels_in_ * conv.filter_height * conv.filter_width;
    const int64_t rows = kernels.tile_rows;
    weights_ = AlignedBuffer<float>(static_cast<size_t>(groups_ * group_blocks_ * terms_ * rows));
    bias_ = AlignedBuffer<float>(static_cast<size_t>(groups_ * group_blocks_ * rows));
    for (int64_t c = 0; c < group_channels_in_; ++c) {
      for (int64_t y = 0; y < conv.filter_height; ++y) {
        for (int64_t x = 0; x < conv.filter_width; ++x) {
          offsets_.push_back(y * instruction.options.dilation_height * source_.planes().row_stride +
                             source_.ColumnOffset(x * instruction.options.dilation_width, c));
        }
      }
    }
    for (int64_t channel = 0; channel < conv.channels_out; ++channel) {
      const int64_t in_group = channel % group_channels_out_;
      const int64_t block = channel / group_channels_out_ * group_blocks_ + in_group / rows;
      const int64_t row = in_group % rows;
      bias_[static_cast<size_t>(block * rows + row)] = conv.bias[static_cast<size_t>(channel)];
      const int64_t positions = conv.filter_height * conv.filter_width;
      for (int64_t term = 0; term < terms_; ++term) {
        const int64_t position = term % positions;
        const int64_t c = term / positions;
        weights_[static_cast<size_t>((block * terms_ + term) * rows + row)] =
            conv.filter[static_cast<size_t>((channel * positions + position) * group_channels_in_ + c)];
      }
    }
  }

  int64_t row_step() const override { return kRowStep; }
  RowRange InputRows(RowRange rows) const override { return source_.Rows(rows); }

  void RunRows(const RunContext& context, int64_t image, RowRange rows) const override {
    source_.Pack(context, kernels_, image, rows);
    context.Parallel(rows.end - rows.begin, kRowGrain, [&](int64_t begin, int64_t end) {
      ComputeRows(context, image, rows.begin, {rows.begin + begin, rows.begin + end});
    });
  }

  int64_t scratch_bytes() const override { return source_.scratch_bytes(); }

  std::string Describe() const override {
    return std::string(kernels_.name) + ", " + std::to_string(groups_) + (groups_ == 1 ? " group, " : " groups, ") +
           (source_.packs() ? "pixels to " : "planes to ") + (out_.planes.used() ? "planes" : "pixels");
  }

 private:
  // One block of channels after the other: a few rows of the planes that it reads stay in the nearest cache.
  void ComputeRows(const RunContext& context, int64_t image, int64_t first, RowRange rows) const {
    const float* input = source_.Image(context, image);
    for (int64_t block = 0; block < groups_ * group_blocks_; ++block) {
      const int64_t group = block / group_blocks_;
      const int64_t in_group = block % group_blocks_ * kernels_.tile_rows;
      MultiplyArguments arguments = {};
      arguments.terms = terms_;
      arguments.scalars = weights_.data() + block * terms_ * kernels_.tile_rows;
      arguments.scalar_stride = kernels_.tile_rows;
      arguments.offsets = offsets_.data();
      arguments.row_bias = bias_.data() + block * kernels_.tile_rows;
      arguments.low = range_.low;
      arguments.high = range_.high;
      arguments.rows = std::min<int64_t>(kernels_.tile_rows, group_channels_out_ - in_group);
      const int64_t channel = group * group_channels_out_ + in_group;
      const float* planes = input + group * group_channels_in_ * source_.planes().plane_stride;
      for (int64_t y = rows.begin; y < rows.end; ++y) {
        arguments.vectors = planes + source_.RowOffset(first, y);
        if (out_.planes.used()) {
          WritePlanes(context, arguments, image, channel, y);
        } else {
          WritePixels(context, arguments, out_.RowPixel(image, y), channel);
        }
      }
    }
  }

  void WritePlanes(const RunContext& context, MultiplyArguments& arguments, int64_t image, int64_t channel,
                   int64_t y) const {
    const Planes& planes = out_.planes;
    float* first = context.value<float>(out_.index) + out_.PlaneOffset(image, channel);
    arguments.vector_count = DivideRoundingUp(planes.width, kernels_.lanes);
    arguments.output = first + planes.Offset(y, 0);
    arguments.output_stride = planes.plane_stride;
    kernels_.multiply(arguments);
    for (int64_t i = 0; i < arguments.rows; ++i) ClearAroundRow(planes, y, first + i * planes.plane_stride);
  }

  void WritePixels(const RunContext& context, MultiplyArguments& arguments, int64_t pixel, int64_t channel) const {
    constexpr int64_t kPixels = 8 * kMaxLanes;
    alignas(kAlignment) float tile[kMaxTileRows * kPixels];
    float* output = context.value<float>(out_.index) + pixel * out_.pixel_stride + channel;
    arguments.output = tile;
    arguments.output_stride = kPixels;
    for (int64_t x = 0; x < out_.shape[2]; x += kPixels) {
      const int64_t count = std::min(kPixels, out_.shape[2] - x);
      arguments.vector_count = DivideRoundingUp(count, kernels_.lanes);
      kernels_.multiply(arguments);
      kernels_.transpose(tile, arguments.rows, kPixels, count, output + x * out_.pixel_stride, out_.pixel_stride);
      arguments.vectors += kPixels;
    }
  }

  const Kernels& kernels_;
  Map out_;
  FloatConvInput source_;
  int64_t groups_;
  int64_t group_channels_in_ = 0;
  int64_t group_channels_out_ = 0;
  // Of `tile_rows` output channels.
  int64_t group_blocks_ = 0;
  int64_t terms_ = 0;
  Range range_;
  // Of each term, from where the filter's first element meets the first channel of a group.
  std::vector<int64_t> offsets_;
  AlignedBuffer<float> weights_;  // [block][term][tile_rows]
  AlignedBuffer<float> bias_;     // [block][tile_rows]
};

// A 1x1 convolution, for which the pixels of all images are one list.
class PointwiseConv : public Executable {
 public:
  PointwiseConv(const Program& program, const Instruction& instruction, const Kernels& kernels)
      : kernels_(kernels),
        in_(program, instruction.inputs[0]),
        out_(program, instruction.output),
        groups_(instruction.groups),
        shuffled_groups_(instruction.shuffled_groups),
        group_channels_in_(instruction.float_conv->group_channels_in),
        group_channels_out_(instruction.float_conv->channels_out / groups_),
        range_(RangeOf(instruction.options.activation)) {
    PackFilter(*instruction.float_conv);
    // A multiple of shuffled_groups_, so that packing begins with the first of them.
    terms_ = packs() ? kPackedTerms / shuffled_groups_ * shuffled_groups_ : kTerms;
    for (int64_t count = 1; count <= kPanelVectors; ++count) {
      for (int64_t term = 0; term < terms_; ++term) offsets_[count - 1].push_back(term * count * kernels.lanes);
    }
    for (int64_t channel = 0; channel < in_.channels(); ++channel) sources_.push_back(SourceOf(channel));
    blocks_ = DivideRoundingUp(out_.pixels(), kPixelBlock);
    // Small maps in smaller parts, so that there is one for each of a few threads.
    if (packs()) blocks_ = std::max(blocks_, std::min<int64_t>(8, DivideRoundingUp(out_.pixels(), kMaxLanes)));
  }

  void Run(const RunContext& context) const override {
    const int64_t panels = groups_ * group_panels();
    // Pixels are packed for all panels.
    context.Parallel(blocks_ * panels, packs() ? panels : 1, [&](int64_t begin, int64_t end) {
      for (int64_t next; begin < end; begin = next) {
        const int64_t block = begin / panels;
        next = std::min(end, (block + 1) * panels);
        ComputeBlock(context, block, begin - block * panels, next - block * panels);
      }
    });
  }

  std::string Describe() const override {
    return std::string(kernels_.name) + ", " + std::to_string(groups_) + (groups_ == 1 ? " group, " : " groups, ") +
           (shuffled_groups_ > 1 ? "shuffled " + std::to_string(shuffled_groups_) + ", " : "") + "channels of " +
           std::to_string(in_.pixel_stride) + " to " + std::to_string(out_.pixel_stride);
  }

 private:
  // Vectors of a tile.
  static constexpr int64_t kPanelVectors = 3;

  // Some output channels of each group.
  struct Panel {
    int64_t channel;
    int64_t vectors;
  };

  bool packs() const { return kernels_.multiply_in_rows == nullptr; }
  int64_t group_panels() const { return static_cast<int64_t>(panels_.size()); }

  // The channel of a pixel that is this one for the filter.
  int64_t SourceOf(int64_t channel) const {
    return channel % shuffled_groups_ * (in_.channels() / shuffled_groups_) + channel / shuffled_groups_;
  }

  void PackFilter(const ConvConstants& conv) {
    const int64_t vectors = DivideRoundingUp(group_channels_out_, kernels_.lanes);
    int64_t done = 0;
    // As even as can be: single vectors are slow.
    for (int64_t left = DivideRoundingUp(vectors, kPanelVectors); left > 0; --left) {
      panels_.push_back({done * kernels_.lanes, DivideRoundingUp(vectors - done, left)});
      done += panels_.back().vectors;
    }
    group_lanes_ = vectors * kernels_.lanes;
    weights_ = AlignedBuffer<float>(static_cast<size_t>(CheckedProduct(groups_ * group_lanes_, group_channels_in_)));
    bias_ = AlignedBuffer<float>(static_cast<size_t>(groups_ * group_lanes_));
    for (int64_t group = 0; group < groups_; ++group) {
      for (const Panel& panel : panels_) {
        const int64_t width = panel.vectors * kernels_.lanes;
        float* weights = weights_.data() + (group * group_lanes_ + panel.channel) * group_channels_in_;
        for (int64_t i = 0; i < std::min(width, group_channels_out_ - panel.channel); ++i) {
          const int64_t channel = group * group_channels_out_ + panel.channel + i;
          const float* filter = conv.filter.data() + channel * group_channels_in_;
          for (int64_t term = 0; term < group_channels_in_; ++term) weights[term * width + i] = filter[term];
          bias_[static_cast<size_t>(group * group_lanes_ + panel.channel + i)] =
              conv.bias[static_cast<size_t>(channel)];
        }
      }
    }
  }

  // Panels are counted through all groups.
  void ComputeBlock(const RunContext& context, int64_t block, int64_t first_panel, int64_t last_panel) const {
    const int64_t begin = block * out_.pixels() / blocks_;
    const int64_t pixels = (block + 1) * out_.pixels() / blocks_ - begin;
    const float* input = context.value<const float>(in_.index) + begin * in_.pixel_stride;
    float* output = context.value<float>(out_.index) + begin * out_.pixel_stride;
    for (int64_t next; first_panel < last_panel; first_panel = next) {
      const int64_t group = first_panel / group_panels();
      next = std::min(last_panel, (group + 1) * group_panels());
      for (int64_t term = 0; term < group_channels_in_; term += terms_) {
        MultiplyArguments arguments = {};
        arguments.terms = std::min(terms_, group_channels_in_ - term);
        arguments.output_stride = out_.pixel_stride;
        alignas(kAlignment) float packed[kPackedTerms * kPixelBlock];
        if (packs()) {
          Pack(input, group * group_channels_in_ + term, arguments.terms, pixels, packed);
          arguments.scalar_stride = kPixelBlock;
        } else {
          arguments.scalar_stride = in_.pixel_stride;
          arguments.scalar_offsets = sources_.data() + group * group_channels_in_ + term;
        }
        for (int64_t i = first_panel; i < next; ++i) {
          const Panel& panel = panels_[static_cast<size_t>(i - group * group_panels())];
          float* panel_output = output + group * group_channels_out_ + panel.channel;
          // Tiles of about as many pixels each.
          const int64_t tiles = DivideRoundingUp(pixels, kernels_.tile_rows);
          for (int64_t tile = 0; tile < tiles; ++tile) {
            const int64_t pixel = tile * pixels / tiles;
            arguments.rows = (tile + 1) * pixels / tiles - pixel;
            arguments.scalars = packs() ? packed + pixel : input + pixel * in_.pixel_stride;
            arguments.output = panel_output + pixel * out_.pixel_stride;
            Multiply(arguments, group, panel, term);
          }
        }
      }
    }
  }

  // Channels as the filter takes them, of pixels that then lie together. Those of one shuffled group are a row of them.
  void Pack(const float* pixels, int64_t channel, int64_t count, int64_t pixel_count, float* packed) const {
    for (int64_t shuffled = 0; shuffled < shuffled_groups_; ++shuffled) {
      kernels_.transpose(pixels + SourceOf(channel + shuffled), pixel_count, in_.pixel_stride, count / shuffled_groups_,
                         packed + shuffled * kPixelBlock, shuffled_groups_ * kPixelBlock);
    }
  }

  void Multiply(MultiplyArguments arguments, int64_t group, const Panel& panel, int64_t first_term) const {
    const auto multiply = packs() ? kernels_.multiply : kernels_.multiply_in_rows;
    const int64_t width = panel.vectors * kernels_.lanes;
    const bool is_last = first_term + arguments.terms == group_channels_in_;
    const int64_t lane = group * group_lanes_ + panel.channel;
    arguments.vectors = weights_.data() + lane * group_channels_in_ + first_term * width;
    arguments.offsets = offsets_[panel.vectors - 1].data();
    arguments.vector_count = panel.vectors;
    arguments.lane_bias = first_term == 0 ? bias_.data() + lane : nullptr;
    arguments.low = is_last ? range_.low : Range().low;
    arguments.high = is_last ? range_.high : Range().high;
    const int64_t channels = std::min(width, group_channels_out_ - panel.channel);
    if (channels == width) {
      multiply(arguments);
      return;
    }
    // Behind these channels are others.
    float tile[kMaxTileRows * kPanelVectors * kMaxLanes];
    float* output = arguments.output;
    const int64_t stride = arguments.output_stride;
    arguments.output = tile;
    arguments.output_stride = width;
    for (int64_t row = 0; row < arguments.rows; ++row) {
      std::copy(output + row * stride, output + row * stride + channels, tile + row * width);
      std::fill(tile + row * width + channels, tile + (row + 1) * width, 0.0f);
    }
    multiply(arguments);
    for (int64_t row = 0; row < arguments.rows; ++row) {
      std::copy(tile + row * width, tile + row * width + channels, output + row * stride);
    }
  }

  const Kernels& kernels_;
  Map in_;
  Map out_;
  int64_t groups_;
  int64_t shuffled_groups_;
  int64_t group_channels_in_;
  int64_t group_channels_out_;
  // The latter in whole vectors.
  int64_t group_lanes_ = 0;
  // Input channels that are taken together.
  int64_t terms_ = 0;
  // Of pixels.
  int64_t blocks_ = 0;
  Range range_;
  std::vector<Panel> panels_;
  std::vector<int64_t> sources_;                 // of each of the filter's channels
  std::vector<int64_t> offsets_[kPanelVectors];  // of the terms in panels of one vector, of two, of three
  AlignedBuffer<float> weights_;                 // [group][panel][term][lane]
  AlignedBuffer<float> bias_;                    // [group][lane]
};

}  // namespace

std::unique_ptr<Executable> MakePointwiseConv(const Program& program, const Instruction& instruction,
                                              const Kernels& kernels) {
  return std::make_unique<PointwiseConv>(program, instruction, kernels);
}

std::unique_ptr<Executable> MakeConv(const Program& program, const Instruction& instruction, const Kernels& kernels) {
  if (FitsWinograd(instruction)) return MakeWinogradConv(program, instruction, kernels);
  return std::make_unique<Conv>(program, instruction, kernels);
}

}  // namespace larq_melius

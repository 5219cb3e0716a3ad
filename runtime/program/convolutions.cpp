// Operators that move a window over a map, and the fully connected layer, which is a convolution of one pixel.
#include <algorithm>
#include <cstring>

#include "operator_reader.h"

namespace larq_melius::program {
namespace {

// Pixels and blocks of output channels that a thread takes at a time.
constexpr int64_t kPixelGrain = 8 * kTilePixels;
constexpr int64_t kBlockGrain = 8;

// A window and where it lies in a map, in one direction.
struct Axis {
  int64_t size = 1;
  int64_t out = 1;
  int64_t filter = 1;
  int64_t stride = 1;
  int64_t dilation = 1;
  int64_t pad = 0;
};

Axis PlaceWindow(const OperatorReader& reader, int64_t size, int64_t filter, int64_t stride, int64_t dilation,
                 TfLitePadding padding) {
  for (int64_t extent : {filter, stride, dilation}) {
    reader.Check(extent >= 1 && extent <= kMaxExtent, "a stride, dilation or window is out of range");
  }
  Axis axis = {size, 0, filter, stride, dilation, 0};
  const int64_t extent = (filter - 1) * dilation + 1;
  if (padding == kTfLitePaddingSame) {
    axis.out = DivideRoundingUp(size, stride);
    axis.pad = std::max<int64_t>(0, (axis.out - 1) * stride + extent - size) / 2;
  } else {
    axis.out = size < extent ? 0 : (size - extent) / stride + 1;
  }
  reader.Check(axis.out >= 1, "the window is larger than the map");
  return axis;
}

// A window that moves over images [N, H, W, C].
struct Geometry {
  int64_t batch = 1;
  Axis rows;
  Axis columns;
  int64_t channels_in = 0;
  int64_t channels_out = 0;

  int64_t pixels_out() const { return batch * rows.out * columns.out; }
  WindowPosition Position(const float* input, int64_t pixel) const {
    const int64_t image = pixel / (rows.out * columns.out);
    const int64_t row = pixel / columns.out % rows.out;
    return {input + image * rows.size * columns.size * channels_in, row * rows.stride - rows.pad,
            pixel % columns.out * columns.stride - columns.pad};
  }
};

std::vector<float> BiasOf(const OperatorReader& reader, int64_t channels) {
  if (!reader.has_input(2)) return std::vector<float>(static_cast<size_t>(channels), 0.0f);
  std::vector<float> bias = reader.FloatConstant(2);
  reader.Check(static_cast<int64_t>(bias.size()) == channels, "the bias has another number of elements");
  return bias;
}

// A convolution in groups: [out, filter_height, filter_width, in / groups].
class Conv : public Operator {
 public:
  Conv(int input, int output, const Geometry& geometry, int64_t groups, const std::vector<float>& filter,
       const std::vector<float>& bias, Range range, const FloatKernels& kernels)
      : input_(input),
        output_(output),
        geometry_(geometry),
        groups_(groups),
        group_in_(geometry.channels_in / groups),
        group_out_(geometry.channels_out / groups),
        group_blocks_(DivideRoundingUp(group_out_, kTileChannels)),
        taps_(geometry.rows.filter * geometry.columns.filter * group_in_),
        range_(range),
        kernels_(kernels),
        weights_(static_cast<size_t>(groups * group_blocks_ * taps_ * kTileChannels)),
        bias_(static_cast<size_t>(groups * group_blocks_ * kTileChannels)),
        zeros_(static_cast<size_t>(group_in_)) {
    for (int64_t c = 0; c < geometry.channels_out; ++c) {
      const int64_t block = c / group_out_ * group_blocks_ + c % group_out_ / kTileChannels;
      const int64_t lane = c % group_out_ % kTileChannels;
      bias_[static_cast<size_t>(block * kTileChannels + lane)] = bias[static_cast<size_t>(c)];
      for (int64_t tap = 0; tap < taps_; ++tap) {
        weights_[static_cast<size_t>((block * taps_ + tap) * kTileChannels + lane)] =
            filter[static_cast<size_t>(c * taps_ + tap)];
      }
    }
  }

  void Run(Host& host, ThreadPool& pool, int threads) const override {
    const auto* input = static_cast<const float*>(host.tensor(input_).data);
    auto* output = static_cast<float*>(host.tensor(output_).data);
    const int64_t pixel_ranges = DivideRoundingUp(geometry_.pixels_out(), kPixelGrain);
    const int64_t block_ranges = DivideRoundingUp(groups_ * group_blocks_, kBlockGrain);
    pool.Run(threads, pixel_ranges * block_ranges, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t pixel = i / block_ranges * kPixelGrain;
        const int64_t block = i % block_ranges * kBlockGrain;
        ComputeRange(input, output, pixel, std::min(pixel + kPixelGrain, geometry_.pixels_out()), block,
                     std::min(block + kBlockGrain, groups_ * group_blocks_));
      }
    });
  }

 private:
  void ComputeRange(const float* input, float* output, int64_t first_pixel, int64_t last_pixel, int64_t first_block,
                    int64_t last_block) const {
    ConvTile tile = {geometry_.rows.size,
                     geometry_.columns.size,
                     geometry_.channels_in,
                     0,
                     group_in_,
                     geometry_.rows.filter,
                     geometry_.columns.filter,
                     geometry_.rows.dilation,
                     geometry_.columns.dilation,
                     zeros_.data(),
                     nullptr,
                     nullptr,
                     range_.low,
                     range_.high};
    for (int64_t block = first_block; block < last_block; ++block) {
      const int64_t group = block / group_blocks_;
      const int64_t first = block % group_blocks_ * kTileChannels;
      const size_t channels = static_cast<size_t>(std::min<int64_t>(kTileChannels, group_out_ - first));
      tile.first_channel = group * group_in_;
      tile.weights = weights_.data() + block * taps_ * kTileChannels;
      tile.bias = bias_.data() + block * kTileChannels;
      for (int64_t pixel = first_pixel; pixel < last_pixel; pixel += kTilePixels) {
        const int count = static_cast<int>(std::min<int64_t>(kTilePixels, last_pixel - pixel));
        WindowPosition positions[kTilePixels];
        for (int p = 0; p < count; ++p) positions[p] = geometry_.Position(input, pixel + p);
        float results[kTilePixels * kTileChannels];
        kernels_.conv(tile, positions, count, results);
        float* target = output + pixel * geometry_.channels_out + group * group_out_ + first;
        for (int p = 0; p < count; ++p) {
          std::memcpy(target + p * geometry_.channels_out, results + p * kTileChannels, channels * sizeof(float));
        }
      }
    }
  }

  int input_;
  int output_;
  Geometry geometry_;
  int64_t groups_;
  int64_t group_in_;
  int64_t group_out_;
  int64_t group_blocks_;
  int64_t taps_;
  Range range_;
  const FloatKernels& kernels_;
  AlignedBuffer<float> weights_;  // [group][block][tap][kTileChannels]
  AlignedBuffer<float> bias_;
  AlignedBuffer<float> zeros_;
};

class Depthwise : public Operator {
 public:
  Depthwise(int input, int output, const Geometry& geometry, std::vector<float> filter, std::vector<float> bias,
            Range range, const FloatKernels& kernels)
      : input_(input),
        output_(output),
        geometry_(geometry),
        filter_(std::move(filter)),
        bias_(std::move(bias)),
        range_(range),
        kernels_(kernels) {}

  void Run(Host& host, ThreadPool& pool, int threads) const override {
    const auto* input = static_cast<const float*>(host.tensor(input_).data);
    auto* output = static_cast<float*>(host.tensor(output_).data);
    const DepthwiseConv conv = {geometry_.rows.size,
                                geometry_.columns.size,
                                geometry_.channels_in,
                                geometry_.rows.filter,
                                geometry_.columns.filter,
                                geometry_.rows.dilation,
                                geometry_.columns.dilation,
                                filter_.data(),
                                bias_.data(),
                                range_.low,
                                range_.high};
    pool.Run(threads, geometry_.pixels_out(), kPixelGrain, [&](int64_t begin, int64_t end) {
      for (int64_t pixel = begin; pixel < end; ++pixel) {
        kernels_.depthwise(conv, geometry_.Position(input, pixel), output + pixel * geometry_.channels_out);
      }
    });
  }

 private:
  int input_;
  int output_;
  Geometry geometry_;
  std::vector<float> filter_;
  std::vector<float> bias_;
  Range range_;
  const FloatKernels& kernels_;
};

class Pool : public Operator {
 public:
  Pool(int input, int output, const Geometry& geometry, bool average, Range range)
      : input_(input), output_(output), geometry_(geometry), average_(average), range_(range) {}

  void Run(Host& host, ThreadPool& pool, int threads) const override {
    const auto* input = static_cast<const float*>(host.tensor(input_).data);
    auto* output = static_cast<float*>(host.tensor(output_).data);
    pool.Run(threads, geometry_.pixels_out(), kPixelGrain, [&](int64_t begin, int64_t end) {
      for (int64_t pixel = begin; pixel < end; ++pixel) {
        ComputePixel(geometry_.Position(input, pixel), output + pixel * geometry_.channels_out);
      }
    });
  }

 private:
  void ComputePixel(const WindowPosition& position, float* output) const {
    const int64_t channels = geometry_.channels_in;
    const int64_t last_row = std::min(position.top + geometry_.rows.filter, geometry_.rows.size);
    const int64_t last_column = std::min(position.left + geometry_.columns.filter, geometry_.columns.size);
    std::fill(output, output + channels, average_ ? 0.0f : Range().low);
    int64_t count = 0;
    for (int64_t y = std::max<int64_t>(position.top, 0); y < last_row; ++y) {
      for (int64_t x = std::max<int64_t>(position.left, 0); x < last_column; ++x) {
        const float* pixel = position.image + (y * geometry_.columns.size + x) * channels;
        if (average_) {
          for (int64_t c = 0; c < channels; ++c) output[c] += pixel[c];
        } else {
          for (int64_t c = 0; c < channels; ++c) output[c] = output[c] < pixel[c] ? pixel[c] : output[c];
        }
        ++count;
      }
    }
    const float divisor = average_ ? static_cast<float>(count) : 1.0f;
    for (int64_t c = 0; c < channels; ++c) {
      output[c] = std::min(std::max(output[c] / divisor, range_.low), range_.high);
    }
  }

  int input_;
  int output_;
  Geometry geometry_;
  bool average_;
  Range range_;
};

// The geometry of a convolution's input and filter; the latter is [., height, width, .].
Geometry ReadGeometry(const OperatorReader& reader, const Shape& in, int64_t filter_height, int64_t filter_width,
                      const TfLiteConvParams& params) {
  reader.Check(in.size() == 4, "the input has the shape " + ToString(in) + ", not four dimensions");
  Geometry geometry;
  geometry.batch = in[0];
  geometry.rows =
      PlaceWindow(reader, in[1], filter_height, params.stride_height, params.dilation_height_factor, params.padding);
  geometry.columns =
      PlaceWindow(reader, in[2], filter_width, params.stride_width, params.dilation_width_factor, params.padding);
  geometry.channels_in = in[3];
  return geometry;
}

}  // namespace

OperatorPointer MakeConv(const OperatorReader& reader, const FloatKernels& kernels) {
  reader.CheckOperands(2, 3);
  const int input = reader.FloatInput(0);
  const std::vector<float> filter = reader.FloatConstant(1);
  const Shape shape = reader.shape(reader.input(1));
  reader.Check(shape.size() == 4, "the filter has the shape " + ToString(shape) + ", not four dimensions");
  const TfLiteConvParams& params = reader.options().conv;
  Geometry geometry = ReadGeometry(reader, reader.shape(input), shape[1], shape[2], params);
  geometry.channels_out = shape[0];
  const int64_t groups = shape[3] == 0 ? 0 : geometry.channels_in / shape[3];
  reader.Check(groups >= 1 && groups * shape[3] == geometry.channels_in && geometry.channels_out >= 1 &&
                   geometry.channels_out % groups == 0,
               "a filter " + ToString(shape) + " does not suit " + std::to_string(geometry.channels_in) + " channels");
  reader.SetOutput(0, {geometry.batch, geometry.rows.out, geometry.columns.out, geometry.channels_out}, kTfLiteFloat32);
  return std::make_unique<Conv>(input, reader.output(), geometry, groups, filter, BiasOf(reader, shape[0]),
                                RangeOf(params.activation), kernels);
}

OperatorPointer MakeFullyConnected(const OperatorReader& reader, const FloatKernels& kernels) {
  reader.CheckOperands(2, 3);
  const int input = reader.FloatInput(0);
  const std::vector<float> filter = reader.FloatConstant(1);
  const Shape weights = reader.shape(reader.input(1));
  const Shape in = reader.shape(input);
  reader.Check(weights.size() == 2 && weights[0] >= 1 && weights[1] >= 1 && ElementCount(in) % weights[1] == 0,
               "weights " + ToString(weights) + " do not suit an input " + ToString(in));
  Geometry geometry;
  geometry.batch = ElementCount(in) / weights[1];
  geometry.channels_in = weights[1];
  geometry.channels_out = weights[0];
  Shape out = {geometry.batch, weights[0]};
  if (reader.options().keep_dims) {
    reader.Check(!in.empty() && in.back() == weights[1], "the input's last dimension is not that of the weights");
    out.assign(in.begin(), in.end());
    out.back() = weights[0];
  }
  reader.SetOutput(0, out, kTfLiteFloat32);
  return std::make_unique<Conv>(input, reader.output(), geometry, 1, filter, BiasOf(reader, weights[0]),
                                RangeOf(reader.options().activation), kernels);
}

OperatorPointer MakeDepthwiseConv(const OperatorReader& reader, const FloatKernels& kernels) {
  reader.CheckOperands(2, 3);
  const int input = reader.FloatInput(0);
  std::vector<float> filter = reader.FloatConstant(1);
  const Shape shape = reader.shape(reader.input(1));
  reader.Check(shape.size() == 4 && shape[0] == 1, "the filter has the shape " + ToString(shape));
  const TfLiteConvParams& params = reader.options().conv;
  Geometry geometry = ReadGeometry(reader, reader.shape(input), shape[1], shape[2], params);
  geometry.channels_out = shape[3];
  reader.Check(geometry.channels_in >= 1 && shape[3] >= 1 && shape[3] % geometry.channels_in == 0,
               "a filter " + ToString(shape) + " does not suit " + std::to_string(geometry.channels_in) + " channels");
  reader.SetOutput(0, {geometry.batch, geometry.rows.out, geometry.columns.out, shape[3]}, kTfLiteFloat32);
  const Range range = RangeOf(params.activation);
  std::vector<float> bias = BiasOf(reader, shape[3]);
  if (shape[3] == geometry.channels_in) {
    return std::make_unique<Depthwise>(input, reader.output(), geometry, std::move(filter), std::move(bias), range,
                                       kernels);
  }
  // Several filters for a channel are a convolution in groups of one channel.
  const int64_t taps = shape[1] * shape[2];
  std::vector<float> by_channel(filter.size());
  for (int64_t c = 0; c < shape[3]; ++c) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      by_channel[static_cast<size_t>(c * taps + tap)] = filter[static_cast<size_t>(tap * shape[3] + c)];
    }
  }
  return std::make_unique<Conv>(input, reader.output(), geometry, geometry.channels_in, by_channel, bias, range,
                                kernels);
}

OperatorPointer MakePool(const OperatorReader& reader) {
  reader.CheckOperands(1, 1);
  const int input = reader.FloatInput(0);
  const TfLitePoolParams& pool = reader.options().pool;
  const TfLiteConvParams window = {pool.padding, pool.stride_width, pool.stride_height, pool.activation, 1, 1};
  Geometry geometry = ReadGeometry(reader, reader.shape(input), pool.filter_height, pool.filter_width, window);
  geometry.channels_out = geometry.channels_in;
  reader.SetOutput(0, {geometry.batch, geometry.rows.out, geometry.columns.out, geometry.channels_out}, kTfLiteFloat32);
  return std::make_unique<Pool>(input, reader.output(), geometry, reader.op().code == kAveragePool2d,
                                RangeOf(pool.activation));
}

}  // namespace larq_melius::program

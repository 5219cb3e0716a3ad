#include "packed_map.h"

namespace larq_melius {
namespace {

// Where fewer pixels meet a filter, its expansion takes longer than the products save.
constexpr int64_t kFewestPixelsOfMatrix = 64;

bool Take(const Kernels& kernels, const Instruction& conv, int64_t batch) {
  const BinaryConvConstants& constants = *conv.conv;
  const int64_t terms = constants.filter_height * constants.filter_width * constants.words * kWordBits;
  if (kernels.multiply_bytes != nullptr) {
    const int64_t pixels = batch * conv.window.out_height * conv.window.out_width;
    const bool moves_by_one = conv.options.stride_height == 1 && conv.options.stride_width == 1;
    if (!moves_by_one || conv.groups != 1 || pixels < kFewestPixelsOfMatrix) return false;
  }
  return terms <= kernels.max_terms;
}

}  // namespace

PackedMap PackedMapOf(const Program& program, const Instruction& conv, const Kernels& kernels) {
  const BinaryConvConstants& constants = *conv.conv;
  const Shape& in = program.values.at(conv.inputs[0]).shape;
  const Options& options = conv.options;
  const auto extent = [](int64_t out, int64_t stride, int64_t filter, int64_t dilation) {
    return out == 0 ? 0 : (out - 1) * stride + (filter - 1) * dilation + 1;
  };
  PackedMap map;
  map.kernels = &kernels;
  while (!Take(*map.kernels, conv, in[0])) map.kernels = &map.kernels->others();
  map.batch = in[0];
  map.height = extent(conv.window.out_height, options.stride_height, constants.filter_height, options.dilation_height);
  map.width = extent(conv.window.out_width, options.stride_width, constants.filter_width, options.dilation_width);
  map.pixel_words = in[3];
  map.inner_height = in[1];
  map.inner_width = in[2];
  map.pad_top = conv.window.pad_top;
  map.pad_left = conv.window.pad_left;
  map.stride = options.stride_width;
  CheckedProduct(CheckedProduct(map.batch, map.height), CheckedProduct(map.width, map.pixel_bytes()));
  return map;
}

}  // namespace larq_melius

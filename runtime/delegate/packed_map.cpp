#include "packed_map.h"

namespace larq_melius {

PackedMap PackedMapOf(const Program& program, const Instruction& conv, const Kernels& kernels) {
  const BinaryConvConstants& constants = *conv.conv;
  const Shape& in = program.values.at(conv.inputs[0]).shape;
  const Options& options = conv.options;
  const int64_t terms = constants.filter_height * constants.filter_width * constants.words * kWordBits;
  const auto extent = [](int64_t out, int64_t stride, int64_t filter, int64_t dilation) {
    return out == 0 ? 0 : (out - 1) * stride + (filter - 1) * dilation + 1;
  };
  PackedMap map;
  map.kernels = terms <= kernels.max_terms ? &kernels : &PortableKernels();
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

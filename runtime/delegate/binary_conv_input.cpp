#include "binary_conv_input.h"

namespace larq_melius {

const uint8_t* BinaryConvInput::Prepare(const RunContext& context) const {
  if (is_packed_) return context.value<const uint8_t>(value_);
  const uint32_t* words = context.value<const uint32_t>(value_);
  uint8_t* packed = context.scratch<uint8_t>();
  context.Parallel(map_.rows(), 4, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      map_.WriteRow(row, packed, [&](int64_t image, int64_t y, int64_t count, uint8_t* units) {
        const int64_t first = (image * map_.inner_height + y) * map_.inner_width;
        map_.Expand(words + first * map_.pixel_words, count, units);
      });
    }
  });
  return packed;
}

std::string BinaryConvInput::Describe() const {
  return "map " + std::to_string(map_.height) + "x" + std::to_string(map_.width) + "x" +
         std::to_string(map_.pixel_bytes()) + "B" + (is_packed_ ? " read" : " made");
}

}  // namespace larq_melius

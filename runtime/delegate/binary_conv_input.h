// The packed map that a binary convolution reads: as it gets it, or made from plain words.
#ifndef LARQ_MELIUS_DELEGATE_BINARY_CONV_INPUT_H_
#define LARQ_MELIUS_DELEGATE_BINARY_CONV_INPUT_H_

#include <string>

#include "execute.h"
#include "packed_map.h"

namespace larq_melius {

class BinaryConvInput {
 public:
  // With `is_packed`, the value is the packed map already.
  BinaryConvInput(const PackedMap& map, int value, bool is_packed) : map_(map), value_(value), is_packed_(is_packed) {}

  bool is_packed() const { return is_packed_; }

  const PackedMap& map() const { return map_; }
  int64_t scratch_bytes() const { return is_packed_ ? 0 : map_.bytes(); }
  // Makes the map in scratch memory where it is not there yet.
  const uint8_t* Prepare(const RunContext& context) const;
  std::string Describe() const;

 private:
  PackedMap map_;
  int value_;
  bool is_packed_;
};

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_BINARY_CONV_INPUT_H_

#include "flexbuffer.h"

#include <cstring>

#include "base.h"

namespace larq_melius {
namespace {

// Types of https://flatbuffers.dev/internals/#flexbuffers that matter here.
enum FlexType { kInt = 1, kUInt = 2, kMap = 9, kBool = 26 };

class Reader {
 public:
  Reader(const void* data, size_t size) : data_(static_cast<const uint8_t*>(data)), size_(size) {}

  size_t size() const { return size_; }

  uint64_t Unsigned(size_t position, size_t width) const {
    Check(position, width);
    uint64_t value = 0;
    for (size_t i = 0; i < width; ++i) value |= uint64_t{data_[position + i]} << (8 * i);
    return value;
  }

  int64_t Signed(size_t position, size_t width) const {
    const int unused = static_cast<int>(64 - 8 * width);
    return static_cast<int64_t>(Unsigned(position, width) << unused) >> unused;
  }

  // Where an offset, which counts backwards from its own position, points to.
  size_t Follow(size_t position, size_t width) const {
    const uint64_t offset = Unsigned(position, width);
    Require(offset <= position, "the custom options are damaged");
    return position - static_cast<size_t>(offset);
  }

  std::string Text(size_t position) const {
    Check(position, 1);
    const void* end = std::memchr(data_ + position, 0, size_ - position);
    Require(end != nullptr, "the custom options are damaged");
    return std::string(reinterpret_cast<const char*>(data_ + position));
  }

 private:
  void Check(size_t position, size_t width) const {
    Require(position <= size_ && width <= size_ - position, "the custom options are damaged");
  }

  const uint8_t* data_;
  size_t size_;
};

void RequireWidth(uint64_t width) {
  Require(width == 1 || width == 2 || width == 4 || width == 8, "the custom options are damaged");
}

}  // namespace

std::map<std::string, int64_t> ReadFlexbufferIntegers(const void* data, size_t size) {
  Require(data != nullptr && size >= 3, "the custom options are missing");
  const Reader reader(data, size);
  const size_t root_width = reader.Unsigned(size - 1, 1);
  RequireWidth(root_width);
  const uint64_t root_type = reader.Unsigned(size - 2, 1);
  Require(root_type >> 2 == kMap && size >= 2 + root_width, "the custom options are not a map");
  const size_t width = size_t{1} << (root_type & 3);
  const size_t values = reader.Follow(size - 2 - root_width, root_width);
  Require(values >= 3 * width, "the custom options are damaged");
  const uint64_t count = reader.Unsigned(values - width, width);
  const uint64_t key_width = reader.Unsigned(values - 2 * width, width);
  RequireWidth(key_width);
  const size_t keys = reader.Follow(values - 3 * width, width);
  Require(count <= size, "the custom options are damaged");

  std::map<std::string, int64_t> integers;
  for (size_t i = 0; i < count; ++i) {
    const std::string key = reader.Text(reader.Follow(keys + i * key_width, key_width));
    const uint64_t type = reader.Unsigned(values + count * width + i, 1) >> 2;
    if (type == kInt) {
      integers[key] = reader.Signed(values + i * width, width);
    } else if (type == kUInt || type == kBool) {
      integers[key] = static_cast<int64_t>(reader.Unsigned(values + i * width, width));
    }
  }
  return integers;
}

}  // namespace larq_melius

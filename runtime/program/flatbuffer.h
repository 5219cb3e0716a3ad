// Reads FlatBuffers (https://flatbuffers.dev/internals) without trusting them: whatever an offset in a damaged file
// says, nothing outside of the file is read.
#ifndef LARQ_MELIUS_PROGRAM_FLATBUFFER_H_
#define LARQ_MELIUS_PROGRAM_FLATBUFFER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "base.h"

namespace larq_melius::program {

struct Bytes {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

// A table of a FlatBuffer, which must outlive it. Fields go by their numbers in the schema. All functions throw Error
// where the file ends too early.
class Table {
 public:
  // The root of a file whose identifier is `identifier`.
  static Table Root(Bytes file, const char* identifier);

  template <typename T>
  T Get(int field, T fallback) const {
    const size_t at = FieldPosition(field);
    return at == 0 ? fallback : Read<T>(at);
  }
  std::optional<Table> Child(int field) const;
  // The tables of a vector, at most `limit`.
  std::vector<Table> Children(int field, size_t limit) const;
  // The numbers of a vector, at most `limit`; none if it is absent.
  template <typename T>
  std::vector<T> Numbers(int field, size_t limit) const {
    const Vector vector = FindVector(field, sizeof(T));
    Require(vector.length <= limit, "a list in the file is longer than it can be");
    std::vector<T> values(vector.length);
    if (vector.length != 0) std::memcpy(values.data(), file_.data + vector.position, vector.length * sizeof(T));
    return values;
  }
  // The elements of a vector of bytes, where they are; none if it is absent.
  Bytes Blob(int field) const;
  // A string; empty if it is absent.
  std::string Text(int field) const;

 private:
  struct Vector {
    size_t position = 0;
    size_t length = 0;
  };

  Table(Bytes file, size_t position);

  template <typename T>
  T Read(size_t position) const {
    Require(position <= file_.size && sizeof(T) <= file_.size - position, "the file is damaged");
    T value;
    std::memcpy(&value, file_.data + position, sizeof(T));
    return value;
  }
  // 0 for a field that is absent.
  size_t FieldPosition(int field) const;
  size_t Follow(size_t position) const { return position + Read<uint32_t>(position); }
  Vector FindVector(int field, size_t element_bytes) const;

  Bytes file_;
  size_t position_;
  size_t fields_ = 0;
  size_t fields_bytes_ = 0;
};

}  // namespace larq_melius::program

#endif  // LARQ_MELIUS_PROGRAM_FLATBUFFER_H_

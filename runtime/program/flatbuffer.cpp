#include "flatbuffer.h"

namespace larq_melius::program {
namespace {

constexpr size_t kIdentifierPosition = 4;
constexpr size_t kIdentifierBytes = 4;

}  // namespace

Table Table::Root(Bytes file, const char* identifier) {
  Require(file.size >= kIdentifierPosition + kIdentifierBytes &&
              std::memcmp(file.data + kIdentifierPosition, identifier, kIdentifierBytes) == 0,
          "it is not a TFLite flatbuffer");
  uint32_t position;
  std::memcpy(&position, file.data, sizeof(position));
  return Table(file, position);
}

Table::Table(Bytes file, size_t position) : file_(file), position_(position) {
  const int64_t fields = static_cast<int64_t>(position) - Read<int32_t>(position);
  Require(fields >= 0, "the file is damaged");
  fields_ = static_cast<size_t>(fields);
  fields_bytes_ = Read<uint16_t>(fields_);
}

size_t Table::FieldPosition(int field) const {
  const size_t entry = 4 + 2 * static_cast<size_t>(field);
  if (entry + 2 > fields_bytes_) return 0;
  const uint16_t offset = Read<uint16_t>(fields_ + entry);
  return offset == 0 ? 0 : position_ + offset;
}

std::optional<Table> Table::Child(int field) const {
  const size_t at = FieldPosition(field);
  if (at == 0) return std::nullopt;
  return Table(file_, Follow(at));
}

Table::Vector Table::FindVector(int field, size_t element_bytes) const {
  const size_t at = FieldPosition(field);
  if (at == 0) return {};
  const size_t start = Follow(at);
  Vector vector;
  vector.length = Read<uint32_t>(start);
  vector.position = start + sizeof(uint32_t);
  Require(vector.length <= (file_.size - vector.position) / element_bytes, "the file is damaged");
  return vector;
}

std::vector<Table> Table::Children(int field, size_t limit) const {
  const Vector vector = FindVector(field, sizeof(uint32_t));
  Require(vector.length <= limit, "a list in the file is longer than it can be");
  std::vector<Table> tables;
  tables.reserve(vector.length);
  for (size_t i = 0; i < vector.length; ++i) {
    tables.push_back(Table(file_, Follow(vector.position + i * sizeof(uint32_t))));
  }
  return tables;
}

Bytes Table::Blob(int field) const {
  const Vector vector = FindVector(field, 1);
  if (vector.length == 0) return {};
  return {file_.data + vector.position, vector.length};
}

std::string Table::Text(int field) const {
  const Bytes text = Blob(field);
  return std::string(reinterpret_cast<const char*>(text.data), text.size);
}

}  // namespace larq_melius::program

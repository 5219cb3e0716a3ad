// Reads the options of a custom operator: a FlexBuffer map of integers.
#ifndef LARQ_MELIUS_DELEGATE_FLEXBUFFER_H_
#define LARQ_MELIUS_DELEGATE_FLEXBUFFER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace larq_melius {

// The integers of a map by their key; values of other types are left out. Every access is checked against `size`.
//
// Throws Error if the bytes are not a FlexBuffer map.
std::map<std::string, int64_t> ReadFlexbufferIntegers(const void* data, size_t size);

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_FLEXBUFFER_H_

// What every step of the compiler uses: errors, shapes and aligned memory.
#ifndef LARQ_MELIUS_DELEGATE_BASE_H_
#define LARQ_MELIUS_DELEGATE_BASE_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace larq_melius {

// A model that cannot be run; the message says what is wrong in one line. Never leaves the library: the entry points
// report it through the runtime.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline void Require(bool condition, const std::string& message) {
  if (!condition) throw Error(message);
}

using Shape = std::vector<int64_t>;

// No tensor of a network on a device comes near this many elements; damaged files do.
constexpr int64_t kMaxElements = int64_t{1} << 31;

inline int64_t CheckedProduct(int64_t a, int64_t b) {
  Require(a >= 0 && b >= 0, "a size is negative");
  Require(b == 0 || a <= kMaxElements / b, "a tensor is too large");
  return a * b;
}

inline int64_t ElementCount(const Shape& shape) {
  int64_t count = 1;
  for (int64_t size : shape) count = CheckedProduct(count, size);
  return count;
}

inline int64_t DivideRoundingUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Channels that one word of a bit-packed tensor holds.
constexpr int kWordBits = 32;

inline int64_t WordCount(int64_t channels) { return DivideRoundingUp(channels, kWordBits); }

inline std::string ToString(const Shape& shape) {
  std::string text;
  for (int64_t size : shape) text += (text.empty() ? "" : "x") + std::to_string(size);
  return text.empty() ? "scalar" : text;
}

constexpr size_t kAlignment = 64;
// Vector kernels may read, but never use, this many bytes after the end of a buffer.
constexpr size_t kReadSlack = 64;

constexpr size_t kHugePage = size_t{2} << 20;

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};

// Memory for `size` elements at a multiple of 64 bytes, zeroed. The system gives its pages only as they are used; large
// memory in huge pages, where it has them: a network walks through all of its memory, more than the processor knows the
// addresses of in small pages.
template <typename T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size) : size_(size) {
    if (size > std::numeric_limits<size_t>::max() / 2 / sizeof(T)) throw std::bad_alloc();
    const size_t bytes = size * sizeof(T) + kReadSlack;
    const size_t alignment = bytes < kHugePage ? kAlignment : kHugePage;
    memory_.reset(std::calloc(bytes + alignment, 1));
    if (memory_ == nullptr) throw std::bad_alloc();
    const uintptr_t address = reinterpret_cast<uintptr_t>(memory_.get());
    data_ = reinterpret_cast<T*>((address + alignment - 1) / alignment * alignment);
#if defined(__linux__)
    // Only what fills whole ones, so that no more memory is taken. It is advice: whether it is taken does not matter.
    if (bytes >= kHugePage) madvise(data_, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  }
  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  T& operator[](size_t index) { return data_[index]; }
  const T& operator[](size_t index) const { return data_[index]; }

 private:
  std::unique_ptr<void, FreeDeleter> memory_;
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace larq_melius

#endif  // LARQ_MELIUS_DELEGATE_BASE_H_

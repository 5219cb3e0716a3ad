// The little that tests need: checks that print where they failed, and reproducible random numbers.
#ifndef LARQ_MELIUS_TESTS_CHECK_H_
#define LARQ_MELIUS_TESTS_CHECK_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "base.h"

#define CHECK(condition)                                                             \
  do {                                                                               \
    if (!(condition)) {                                                              \
      std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                  \
    }                                                                                \
  } while (false)

// That `function` throws an Error with `text` in its message.
template <typename Function>
void CheckError(const Function& function, const std::string& text) {
  try {
    function();
  } catch (const larq_melius::Error& error) {
    if (std::string(error.what()).find(text) != std::string::npos) return;
    std::fprintf(stderr, "the error \"%s\" does not say \"%s\"\n", error.what(), text.c_str());
    std::exit(1);
  }
  std::fprintf(stderr, "no error that says \"%s\"\n", text.c_str());
  std::exit(1);
}

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  // From `low` to `high`, both included.
  int64_t Integer(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(engine_); }
  float Float() { return std::normal_distribution<float>()(engine_); }
  uint32_t Word() { return static_cast<uint32_t>(engine_()); }

 private:
  std::mt19937_64 engine_;
};

#endif  // LARQ_MELIUS_TESTS_CHECK_H_

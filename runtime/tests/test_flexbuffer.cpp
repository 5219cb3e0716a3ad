#include <vector>

#include "check.h"
#include "flexbuffer.h"

namespace {

// Written by the flatbuffers package of Python: {"a": 1, "pad": 300, "s": "text", "neg": -2}.
const std::vector<uint8_t> kOptions = {
    97, 0, 112, 97, 100, 0, 115, 0, 4, 116, 101, 120, 116, 0,  110, 101, 103, 0, 4,  19, 6,  19, 16,
    0,  5, 0,   1,  0,   4, 0,   1, 0, 254, 255, 44,  1,   27, 0,   5,   5,   5, 20, 12, 37, 1,
};

void TestReadsIntegersAndLeavesOtherTypesOut() {
  const auto values = larq_melius::ReadFlexbufferIntegers(kOptions.data(), kOptions.size());
  CHECK(values.size() == 3);
  CHECK(values.at("a") == 1);
  CHECK(values.at("pad") == 300);
  CHECK(values.at("neg") == -2);
}

void TestWhatIsNoMapIsAnError() {
  const std::vector<uint8_t> integer = {5, 4, 1};
  CheckError([&] { larq_melius::ReadFlexbufferIntegers(integer.data(), integer.size()); }, "not a map");
  CheckError([&] { larq_melius::ReadFlexbufferIntegers(nullptr, 0); }, "missing");
}

// Truncated, changed and random bytes are read or refused; an access out of bounds would stop a sanitizer's build.
void TestDamageIsReadOrRefused() {
  Random random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> bytes = kOptions;
    if (round % 3 == 0) bytes.resize(static_cast<size_t>(random.Integer(0, static_cast<int64_t>(bytes.size()))));
    if (round % 3 == 1) {
      for (int i = 0; i < 3; ++i) {
        bytes[static_cast<size_t>(random.Integer(0, static_cast<int64_t>(bytes.size()) - 1))] =
            static_cast<uint8_t>(random.Word());
      }
    }
    if (round % 3 == 2) {
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.Word());
      bytes[bytes.size() - 2] = 9 << 2 | (bytes[0] & 3);
      bytes[bytes.size() - 1] = 1;
    }
    bytes.shrink_to_fit();
    try {
      larq_melius::ReadFlexbufferIntegers(bytes.data(), bytes.size());
    } catch (const larq_melius::Error&) {
    }
  }
}

}  // namespace

int main() {
  TestReadsIntegersAndLeavesOtherTypesOut();
  TestWhatIsNoMapIsAnError();
  TestDamageIsReadOrRefused();
  return 0;
}

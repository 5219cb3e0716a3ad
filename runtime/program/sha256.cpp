#include "sha256.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

namespace larq_melius::program {
namespace {

constexpr uint32_t kConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

constexpr size_t kBlock = 64;

uint32_t Rotate(uint32_t x, int bits) { return x >> bits | x << (32 - bits); }

void Compress(const uint8_t* block, uint32_t* state) {
  uint32_t words[64];
  for (int i = 0; i < 16; ++i) {
    const uint8_t* b = block + 4 * i;
    words[i] = uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
  }
  for (int i = 16; i < 64; ++i) {
    const uint32_t s0 = Rotate(words[i - 15], 7) ^ Rotate(words[i - 15], 18) ^ words[i - 15] >> 3;
    const uint32_t s1 = Rotate(words[i - 2], 17) ^ Rotate(words[i - 2], 19) ^ words[i - 2] >> 10;
    words[i] = words[i - 16] + s0 + words[i - 7] + s1;
  }
  uint32_t v[8];
  std::copy_n(state, 8, v);
  for (int i = 0; i < 64; ++i) {
    const uint32_t s1 = Rotate(v[4], 6) ^ Rotate(v[4], 11) ^ Rotate(v[4], 25);
    const uint32_t first = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + kConstants[i] + words[i];
    const uint32_t s0 = Rotate(v[0], 2) ^ Rotate(v[0], 13) ^ Rotate(v[0], 22);
    const uint32_t second = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    std::copy_backward(v, v + 7, v + 8);
    v[4] += first;
    v[0] = first + second;
  }
  for (int i = 0; i < 8; ++i) state[i] += v[i];
}

}  // namespace

std::string Sha256(Bytes data) {
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  const size_t whole = data.size / kBlock * kBlock;
  for (size_t i = 0; i < whole; i += kBlock) Compress(data.data + i, state);
  uint8_t rest[2 * kBlock] = {};
  const size_t remaining = data.size - whole;
  if (remaining != 0) std::memcpy(rest, data.data + whole, remaining);
  rest[remaining] = 0x80;
  const size_t padded = remaining + 9 <= kBlock ? kBlock : 2 * kBlock;
  const uint64_t bits = uint64_t{data.size} * 8;
  for (size_t i = 0; i < 8; ++i) rest[padded - 1 - i] = static_cast<uint8_t>(bits >> (8 * i));
  for (size_t i = 0; i < padded; i += kBlock) Compress(rest + i, state);
  std::string text;
  for (uint32_t word : state) {
    char digits[9];
    std::snprintf(digits, sizeof(digits), "%08x", word);
    text += digits;
  }
  return text;
}

void CheckContent(Bytes file) {
  constexpr char kField[] = "\"sha256\": \"";
  constexpr size_t kFieldBytes = sizeof(kField) - 1;
  constexpr size_t kDigits = 64;
  const uint8_t* end = file.data + file.size;
  const uint8_t* found = file.data;
  while (true) {
    found = std::search(found, end, kField, kField + kFieldBytes);
    if (static_cast<size_t>(end - found) < kFieldBytes + kDigits + 1) return;
    if (found[kFieldBytes + kDigits] == '"') break;
    ++found;
  }
  const size_t start = static_cast<size_t>(found - file.data) + kFieldBytes;
  const std::string digits(file.data + start, file.data + start + kDigits);
  if (digits == std::string(kDigits, '0')) return;
  std::vector<uint8_t> copy(file.data, end);
  std::fill_n(copy.begin() + static_cast<int64_t>(start), kDigits, uint8_t{'0'});
  Require(Sha256({copy.data(), copy.size()}) == digits,
          "the file is damaged or was changed: its contents do not match the SHA-256 that it carries");
}

}  // namespace larq_melius::program

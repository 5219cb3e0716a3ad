// Every instruction set that this processor has, against naive loops.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "check.h"
#include "kernels/kernels.h"
#include "select.h"

namespace larq_melius {
// See emulated/avx512.cpp.
const Kernels& EmulatedAvx512Kernels();
}  // namespace larq_melius

using namespace larq_melius;

namespace {

std::vector<const Kernels*> AvailableKernels() {
  std::vector<const Kernels*> available = {&EmulatedAvx512Kernels()};
  for (const char* name : {"portable", "avx2", "avx512", "neon"}) {
    try {
      available.push_back(&SelectKernels(name));
      std::printf("%s\n", name);
    } catch (const Error&) {
    }
  }
  return available;
}

void TestPackFloats(const Kernels& kernels) {
  Random random(4);
  for (int64_t channels = 1; channels <= 200; ++channels) {
    std::vector<float> values(static_cast<size_t>(channels));
    for (float& value : values) value = random.Integer(0, 4) == 0 ? -0.0f : random.Float();
    values[0] = std::nanf("");
    const size_t words = static_cast<size_t>(WordCount(channels));
    std::vector<uint32_t> actual(words, ~0u);
    std::vector<uint32_t> expected(words);
    for (size_t c = 0; c < values.size(); ++c) expected[c / 32] |= static_cast<uint32_t>(values[c] < 0) << (c % 32);
    kernels.pack_floats(values.data(), channels, actual.data());
    CHECK(actual == expected);
  }
}

void TestCompare(const Kernels& kernels) {
  Random random(8);
  for (int64_t channels = 1; channels <= 200; ++channels) {
    // No more than there are channels: what is read beyond them, a sanitizer reports.
    const size_t count = static_cast<size_t>(channels);
    const int64_t pixels = random.Integer(1, 5);
    const int64_t value_stride = channels + random.Integer(0, 3);
    const int64_t word_stride = WordCount(channels) + random.Integer(0, 2);
    std::vector<float> values(static_cast<size_t>((pixels - 1) * value_stride) + count), thresholds(count);
    std::vector<uint32_t> flips(count);
    for (float& value : values) value = random.Float();
    for (size_t c = 0; c < count; ++c) {
      flips[c] = random.Integer(0, 1) == 0 ? 0 : 0x80000000u;
      // Some equal the first pixel's value.
      const float x = flips[c] == 0 ? values[c] : -values[c];
      thresholds[c] = random.Integer(0, 2) == 0 ? x : random.Float();
    }
    std::vector<uint32_t> actual(static_cast<size_t>(pixels * word_stride), ~0u);
    std::vector<uint32_t> expected = actual;
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      uint32_t* words = expected.data() + pixel * word_stride;
      std::fill(words, words + WordCount(channels), 0);
      for (size_t c = 0; c < count; ++c) {
        const float value = values[static_cast<size_t>(pixel * value_stride) + c];
        words[c / 32] |= static_cast<uint32_t>((flips[c] == 0 ? value : -value) < thresholds[c]) << (c % 32);
      }
    }
    kernels.compare({values.data(), value_stride, pixels, flips.data(), thresholds.data(), channels, actual.data(),
                     word_stride});
    CHECK(actual == expected);
  }
}

// A row of a 3x3 convolution in groups, at the border of the map and within, against naive loops.
void TestConvRow(const Kernels& kernels) {
  Random random(9);
  for (int round = 0; round < 200; ++round) {
    const int64_t groups = random.Integer(1, 4);
    const int64_t group_channels = random.Integer(1, 9);
    const int64_t group_blocks = random.Integer(1, 2);
    const int64_t channels = groups * group_channels;
    const int64_t blocks = groups * group_blocks;
    const int64_t width = random.Integer(3, 30);
    const int64_t pad_left = random.Integer(0, 1);
    const int64_t width_out = width - 2 + 2 * pad_left;
    std::vector<float> map(static_cast<size_t>(3 * width * channels)), bias(static_cast<size_t>(8 * blocks));
    std::vector<float> weights(static_cast<size_t>(blocks * 9 * group_channels * 8));
    for (std::vector<float>* numbers : {&map, &bias, &weights}) {
      for (float& number : *numbers) number = random.Float();
    }
    ConvRowArguments arguments = {};
    for (int64_t row = 0; row < 3; ++row) arguments.rows[row] = map.data() + row * width * channels;
    if (round % 3 == 0) arguments.rows[round / 3 % 2 * 2] = nullptr;
    arguments.width_in = width;
    arguments.channels_in = channels;
    arguments.group_channels_in = group_channels;
    arguments.group_blocks = group_blocks;
    arguments.blocks = blocks;
    arguments.weights = weights.data();
    arguments.bias = bias.data();
    arguments.low = -8.0f;
    arguments.high = 8.0f;
    arguments.width_out = width_out;
    arguments.pad_left = pad_left;
    arguments.output_stride = 8 * blocks;
    std::vector<float> output(static_cast<size_t>(width_out * 8 * blocks));
    arguments.output = output.data();
    kernels.conv_row(arguments);
    for (int64_t x = 0; x < width_out; ++x) {
      for (int64_t channel = 0; channel < 8 * blocks; ++channel) {
        const int64_t block = channel / 8;
        double expected = bias[static_cast<size_t>(channel)];
        for (int64_t row = 0; row < 3; ++row) {
          for (int64_t column = 0; column < 3; ++column) {
            const int64_t in_x = x - pad_left + column;
            if (arguments.rows[row] == nullptr || in_x < 0 || in_x >= width) continue;
            for (int64_t c = 0; c < group_channels; ++c) {
              const size_t weight =
                  static_cast<size_t>((((block * 3 + row) * 3 + column) * group_channels + c) * 8 + channel % 8);
              expected += static_cast<double>(weights[weight]) *
                          arguments.rows[row][in_x * channels + block / group_blocks * group_channels + c];
            }
          }
        }
        expected = std::min(std::max(expected, -8.0), 8.0);
        CHECK(std::abs(output[static_cast<size_t>(x * 8 * blocks + channel)] - expected) < 1e-4);
      }
    }
  }
}

void TestPackBytes(const Kernels& kernels) {
  Random random(5);
  for (int64_t channels = 1; channels <= 200; ++channels) {
    std::vector<int8_t> values(static_cast<size_t>(channels));
    for (int8_t& value : values) value = static_cast<int8_t>(random.Word());
    const int zero_point = static_cast<int>(random.Integer(-140, 140));
    const size_t words = static_cast<size_t>(WordCount(channels));
    std::vector<uint32_t> actual(words, ~0u);
    std::vector<uint32_t> expected(words);
    for (size_t c = 0; c < values.size(); ++c) {
      expected[c / 32] |= static_cast<uint32_t>(values[c] < zero_point) << (c % 32);
    }
    kernels.pack_bytes(values.data(), zero_point, channels, actual.data());
    CHECK(actual == expected);
  }
}

// Segments of random words against a filter of random words, through expand, join and accumulate.
void TestAccumulate(const Kernels& kernels) {
  Random random(6);
  const int units_per_word = kWordBits / kernels.unit_channels;
  for (int round = 0; round < 60; ++round) {
    const int64_t words = random.Integer(1, round % 10 == 0 ? 700 : 40);
    const int64_t split = random.Integer(0, words);
    // Of each span: its pixels, of two segments with a gap of three words between them.
    const int64_t pixel_words = words + 3;
    const int64_t stride = random.Integer(1, 3);
    std::vector<std::vector<uint32_t>> pixels;
    std::vector<AlignedBuffer<uint8_t>> maps;
    std::vector<const uint8_t*> addresses;
    const int64_t spans = random.Integer(1, kernels.span_tile);
    for (int64_t span = 0; span < spans; ++span) {
      const int64_t row_words = (1 + (kernels.unit_pixels - 1) * stride) * pixel_words;
      std::vector<uint32_t> row(static_cast<size_t>(row_words));
      for (uint32_t& word : row) word = round == 0 ? ~0u : random.Word();
      maps.emplace_back(static_cast<size_t>(row_words * units_per_word * kernels.map_unit_bytes));
      kernels.expand(row.data(), row_words, maps.back().data());
      if (kernels.unit_pixels > 1) {
        kernels.join(maps.back().data(), row_words * units_per_word, stride * pixel_words * units_per_word);
      }
      addresses.push_back(maps.back().data());
      for (int pixel = 0; pixel < kernels.unit_pixels; ++pixel) {
        pixels.emplace_back(row.begin() + pixel * stride * pixel_words,
                            row.begin() + pixel * stride * pixel_words + words + 3);
        pixels.back().erase(pixels.back().begin() + split, pixels.back().begin() + split + 3);
      }
    }
    std::vector<Segment> segments;
    for (int64_t unit = 0; unit < words * units_per_word; unit += segments.back().units) {
      const int64_t end = unit < split * units_per_word ? split * units_per_word : words * units_per_word;
      const int64_t at_most = std::min(kernels.segment_units, end - unit);
      const int64_t units = round == 0 ? at_most : random.Integer(1, at_most);
      segments.push_back(
          {(unit < split * units_per_word ? unit : unit + 3 * units_per_word) * kernels.map_unit_bytes, units});
    }

    std::vector<std::vector<uint32_t>> filters(kChannelBlock);
    AlignedBuffer<uint8_t> weights(static_cast<size_t>(words * units_per_word * kernels.unit_bytes) * kChannelBlock);
    for (size_t c = 0; c < filters.size(); ++c) {
      for (int64_t w = 0; w < words; ++w) filters[c].push_back(round == 0 ? 0 : random.Word());
      for (int64_t unit = 0; unit < words * units_per_word; ++unit) {
        const uint32_t bits = static_cast<uint32_t>((uint64_t{filters[c][static_cast<size_t>(unit / units_per_word)]} >>
                                                     (unit % units_per_word * kernels.unit_channels)) &
                                                    ((uint64_t{1} << kernels.unit_channels) - 1));
        std::memcpy(
            weights.data() + (static_cast<size_t>(unit) * kChannelBlock + c) * static_cast<size_t>(kernels.unit_bytes),
            &bits, static_cast<size_t>(kernels.unit_bytes));
      }
    }
    alignas(64) int32_t sums[kMaxSpanTile * kMaxUnitPixels * kChannelBlock];
    // In two calls.
    const int64_t half = static_cast<int64_t>(segments.size()) / 2;
    int64_t done = 0;
    for (int64_t s = 0; s < half; ++s) done += segments[static_cast<size_t>(s)].units;
    if (half > 0) kernels.accumulate({addresses.data(), spans, segments.data(), half, weights.data(), false, sums});
    kernels.accumulate({addresses.data(), spans, segments.data() + half, static_cast<int64_t>(segments.size()) - half,
                        weights.data() + done * kChannelBlock * kernels.unit_bytes, half > 0, sums});
    for (size_t p = 0; p < pixels.size(); ++p) {
      for (size_t c = 0; c < filters.size(); ++c) {
        int32_t expected = 0;
        for (size_t w = 0; w < pixels[p].size(); ++w) expected += __builtin_popcount(pixels[p][w] ^ filters[c][w]);
        CHECK(sums[p * kChannelBlock + c] == expected);
      }
    }
  }
}

void TestWriteFloats(const Kernels& kernels) {
  constexpr size_t kPixels = 3;
  Random random(7);
  for (int64_t channels = 1; channels <= kChannelBlock; ++channels) {
    const size_t count = static_cast<size_t>(channels);
    const size_t stride = count + static_cast<size_t>(random.Integer(1, 3));
    alignas(64) int32_t sums[kPixels * kChannelBlock];
    std::vector<float> multiplier(kChannelBlock), bias(kChannelBlock), correction(kChannelBlock);
    std::vector<int32_t> sum_correction(kChannelBlock);
    for (int32_t& sum : sums) sum = static_cast<int32_t>(random.Integer(0, 5000));
    for (size_t c = 0; c < kChannelBlock; ++c) {
      multiplier[c] = random.Float();
      bias[c] = random.Float() * 1000;
      correction[c] = random.Float();
      sum_correction[c] = static_cast<int32_t>(random.Integer(-500, 500));
    }
    for (int variant = 0; variant < 8; ++variant) {
      // The summand is overwritten; what lies between the pixels is not.
      std::vector<float> actual(kPixels * stride, 12345.0f);
      WriteArguments arguments = {};
      arguments.sums = sums;
      arguments.pixels = kPixels;
      arguments.channels = channels;
      arguments.transform = {multiplier.data(), bias.data(), 1000, 8000};
      arguments.sum_correction = (variant & 1) != 0 ? sum_correction.data() : nullptr;
      arguments.correction = (variant & 2) != 0 ? correction.data() : nullptr;
      arguments.summand = (variant & 4) != 0 ? actual.data() : nullptr;
      arguments.summand_stride = static_cast<int64_t>(stride);
      arguments.output = actual.data();
      arguments.output_stride = static_cast<int64_t>(stride);
      kernels.write_floats(arguments);
      for (size_t i = 0; i < actual.size(); ++i) {
        const size_t c = i % stride;
        volatile float expected = 12345.0f;
        if (c < count) {
          int32_t x = 2 * sums[i / stride * kChannelBlock + c];
          if (arguments.sum_correction != nullptr) x += sum_correction[c];
          x = x < 1000 ? 1000 : x > 8000 ? 8000 : x;
          volatile float product = static_cast<float>(x) * multiplier[c];
          expected = product + bias[c];
          if (arguments.correction != nullptr) expected = expected + correction[c];
          if (arguments.summand != nullptr) expected = expected + 12345.0f;
        }
        CHECK(actual[i] == expected);
      }
    }
  }
}

void TestUnknownInstructionSetsAreErrors() {
  CheckError([] { SelectKernels("mmx"); }, "unknown; there are");
  CHECK(SelectKernels("").name != nullptr);
}

}  // namespace

int main() {
  for (const Kernels* kernels : AvailableKernels()) {
    CHECK(kernels->span_tile <= kMaxSpanTile && kernels->unit_pixels <= kMaxUnitPixels);
    TestPackFloats(*kernels);
    TestCompare(*kernels);
    TestPackBytes(*kernels);
    TestAccumulate(*kernels);
    TestWriteFloats(*kernels);
    TestConvRow(*kernels);
  }
  TestUnknownInstructionSetsAreErrors();
  return 0;
}

// Every instruction set that this processor has, against naive loops.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "check.h"
#include "kernels/kernels.h"
#include "select.h"

namespace larq_melius {
// See emulated/.
const Kernels& EmulatedAvx512Kernels();
const Kernels& EmulatedAmxKernels();
}  // namespace larq_melius

using namespace larq_melius;

namespace {

// What no kernel may overwrite.
constexpr float kUnwritten = 12345.0f;

std::vector<const Kernels*> AvailableKernels() {
  std::vector<const Kernels*> available = {&EmulatedAvx512Kernels(), &EmulatedAmxKernels()};
  for (const char* name : {"portable", "avx2", "avx512", "amx", "neon"}) {
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
    kernels.compare(
        {values.data(), value_stride, pixels, flips.data(), thresholds.data(), channels, actual.data(), word_stride});
    CHECK(actual == expected);
  }
}

// Sums of products of whole numbers, which no rounding changes, against naive loops. Arrays end where the kernel may
// read or write last: a sanitizer reports what lies beyond.
void TestMultiply(const Kernels& kernels) {
  Random random(9);
  const auto numbers = [&](int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = static_cast<float>(random.Integer(-9, 9));
    return values;
  };
  for (int round = 0; round < 200; ++round) {
    const int64_t terms = random.Integer(1, 30);
    const int64_t vector_count = random.Integer(1, 8);
    const int64_t lanes = vector_count * kernels.lanes;
    const int64_t scalar_stride = kernels.tile_rows + random.Integer(0, 3);
    const int64_t rows = random.Integer(1, kernels.tile_rows);
    const int64_t output_stride = lanes + random.Integer(0, 5);
    const std::vector<float> scalars = numbers((terms - 1) * scalar_stride + kernels.tile_rows);
    const std::vector<float> vectors = numbers(lanes + 20);
    const std::vector<float> bias = numbers(round % 2 == 0 ? kernels.tile_rows : lanes);
    std::vector<int64_t> offsets(static_cast<size_t>(terms));
    for (int64_t& offset : offsets) offset = random.Integer(0, 20);
    std::vector<float> output(static_cast<size_t>((rows - 1) * output_stride + lanes), kUnwritten);
    MultiplyArguments arguments = {};
    arguments.terms = terms;
    arguments.scalars = scalars.data();
    arguments.scalar_stride = scalar_stride;
    arguments.vectors = vectors.data();
    arguments.offsets = offsets.data();
    arguments.vector_count = vector_count;
    (round % 2 == 0 ? arguments.row_bias : arguments.lane_bias) = bias.data();
    arguments.low = -100.0f;
    arguments.high = 200.0f;
    arguments.rows = rows;
    arguments.output = output.data();
    arguments.output_stride = output_stride;
    // Each row of scalars for itself, in any order.
    std::vector<float> row_scalars = scalars;
    std::vector<int64_t> scalar_offsets(static_cast<size_t>(terms));
    const bool in_rows = round % 3 == 0 && kernels.multiply_in_rows != nullptr;
    if (in_rows) {
      for (int64_t& offset : scalar_offsets) offset = random.Integer(0, 40);
      arguments.scalar_stride = random.Integer(0, 50);
      row_scalars = numbers((rows - 1) * arguments.scalar_stride +
                            *std::max_element(scalar_offsets.begin(), scalar_offsets.end()) + 1);
      arguments.scalars = row_scalars.data();
      arguments.scalar_offsets = scalar_offsets.data();
      kernels.multiply_in_rows(arguments);
    } else {
      kernels.multiply(arguments);
    }
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t lane = 0; lane < lanes; ++lane) {
        float expected = bias[static_cast<size_t>(round % 2 == 0 ? row : lane)];
        for (int64_t term = 0; term < terms; ++term) {
          const int64_t scalar = in_rows ? row * arguments.scalar_stride + scalar_offsets[static_cast<size_t>(term)]
                                         : term * scalar_stride + row;
          expected += row_scalars[static_cast<size_t>(scalar)] *
                      vectors[static_cast<size_t>(offsets[static_cast<size_t>(term)] + lane)];
        }
        expected = std::min(std::max(expected, -100.0f), 200.0f);
        CHECK(output[static_cast<size_t>(row * output_stride + lane)] == expected);
      }
      for (int64_t lane = lanes; lane < output_stride && row < rows - 1; ++lane) {
        CHECK(output[static_cast<size_t>(row * output_stride + lane)] == kUnwritten);
      }
    }
  }
}

// The filter transform of F(2, 3), the last row negated.
constexpr float kFilterTransform[4][3] = {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, -1}};

// Convolutions of small whole numbers, which no rounding changes, against naive loops. What lies below the rows that
// are needed is not a number, and must not matter.
void TestWinograd(const Kernels& kernels) {
  Random random(16);
  for (int round = 0; round < 100; ++round) {
    const int64_t channels_in = random.Integer(1, 9);
    const int64_t channels_out = kernels.window_channels * random.Integer(1, 3);
    const int64_t rows = random.Integer(1, kBlockRows);
    const int64_t plane = 10 * (kernels.lanes + 2);
    std::vector<float> map(static_cast<size_t>(channels_in * plane), std::nanf(""));
    // As they lie in a ring, two of them as far as possible.
    TransformWindowsArguments transform = {};
    for (int64_t i = 0; i < kWindowRows; ++i) {
      const int64_t offset = (i + round) % 10 * (kernels.lanes + 2);
      transform.rows[i] = map.data() + offset;
      for (int64_t c = 0; c < channels_in && i < rows + 2; ++c) {
        for (int64_t x = 0; x < kernels.lanes + 2; ++x) {
          map[static_cast<size_t>(c * plane + offset + x)] = static_cast<float>(random.Integer(-9, 9));
        }
      }
    }
    transform.plane_stride = plane;
    transform.channels = channels_in;
    std::vector<float> windows(static_cast<size_t>(channels_in * kWindowPositions * kernels.lanes));
    transform.windows = windows.data();
    kernels.transform_windows(transform);

    std::vector<float> filter(static_cast<size_t>(channels_out * channels_in * 9));
    for (float& value : filter) value = static_cast<float>(random.Integer(-9, 9));
    const auto tap = [&](int64_t out, int64_t in, int64_t y, int64_t x) {
      return filter[static_cast<size_t>(((out * channels_in + in) * 3 + y) * 3 + x)];
    };
    std::vector<float> weights;
    for (int64_t first = 0; first < channels_out; first += kernels.window_channels) {
      for (const WindowStage& stage : kWindowStages) {
        for (int64_t in = 0; in < channels_in; ++in) {
          for (int i = 0; i < stage.count; ++i) {
            for (int64_t out = first; out < first + kernels.window_channels; ++out) {
              const int position = stage.positions[i];
              weights.push_back(0);
              for (int64_t y = 0; y < 3; ++y) {
                for (int64_t x = 0; x < 3; ++x) {
                  weights.back() +=
                      kFilterTransform[position / 4][y] * kFilterTransform[position % 4][x] * tap(out, in, y, x);
                }
              }
            }
          }
        }
      }
    }
    std::vector<float> bias(static_cast<size_t>(channels_out));
    for (float& value : bias) value = static_cast<float>(random.Integer(-9, 9));
    MultiplyWindowsArguments arguments = {};
    arguments.windows = windows.data();
    arguments.channels_in = channels_in;
    arguments.channels_out = channels_out;
    arguments.weights = weights.data();
    arguments.bias = bias.data();
    arguments.low = -100.0f;
    arguments.high = 200.0f;
    arguments.rows = rows;
    arguments.row_stride = kernels.lanes + random.Integer(0, 3);
    arguments.plane_stride = rows * arguments.row_stride + random.Integer(0, 3);
    const int64_t last = (channels_out - 1) * arguments.plane_stride + (rows - 1) * arguments.row_stride;
    std::vector<float> output(static_cast<size_t>(last + kernels.lanes), kUnwritten);
    arguments.output = output.data();
    kernels.multiply_windows(arguments);
    std::vector<float> expected(output.size(), kUnwritten);
    for (int64_t out = 0; out < channels_out; ++out) {
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t column = 0; column < kernels.lanes; ++column) {
          float sum = bias[static_cast<size_t>(out)];
          for (int64_t in = 0; in < channels_in; ++in) {
            for (int64_t y = 0; y < 3; ++y) {
              for (int64_t x = 0; x < 3; ++x) {
                sum += tap(out, in, y, x) * transform.rows[row + y][in * plane + column + x];
              }
            }
          }
          expected[static_cast<size_t>(out * arguments.plane_stride + row * arguments.row_stride + column)] =
              std::min(std::max(sum, -100.0f), 200.0f);
        }
      }
    }
    CHECK(output == expected);
  }
}

void TestTranspose(const Kernels& kernels) {
  Random random(10);
  for (int round = 0; round < 300; ++round) {
    const int64_t rows = random.Integer(1, 40);
    const int64_t columns = random.Integer(1, round % 2 == 0 ? 8 : 40);
    const int64_t input_stride = columns + random.Integer(0, 2);
    const int64_t output_stride = rows + random.Integer(0, 2);
    std::vector<float> input(static_cast<size_t>((rows - 1) * input_stride + columns));
    for (float& value : input) value = random.Float();
    std::vector<float> output(static_cast<size_t>((columns - 1) * output_stride + rows), kUnwritten);
    kernels.transpose(input.data(), rows, input_stride, columns, output.data(), output_stride);
    for (int64_t i = 0; i < static_cast<int64_t>(output.size()); ++i) {
      const int64_t row = i % output_stride;
      const int64_t column = i / output_stride;
      const float expected = row < rows ? input[static_cast<size_t>(row * input_stride + column)] : kUnwritten;
      CHECK(output[static_cast<size_t>(i)] == expected);
    }
  }
}

// Rounded after each operation.
float Affine(float x, float multiplier, float addend, float low, float high) {
  volatile float product = x * multiplier;
  volatile float sum = product + addend;
  const float y = sum;
  const float clipped = y < low ? low : y;
  return clipped > high ? high : clipped;
}

// A max pool of planes gives the very bits of that of pixels: zeros of either sign, NaNs and infinities included.
void TestPoolRow(const Kernels& kernels) {
  Random random(11);
  const float special[] = {0.0f, -0.0f, std::nanf(""), -std::numeric_limits<float>::infinity(), 1e30f};
  for (int round = 0; round < 300; ++round) {
    PoolRowArguments arguments = {};
    arguments.width_in = random.Integer(1, 40);
    arguments.channels = random.Integer(1, 40);
    arguments.row_count = random.Integer(0, 3);
    const int64_t row_stride = (arguments.width_in + kMaxLanes - 1) / kMaxLanes * kMaxLanes;
    arguments.plane_stride = 3 * row_stride + 5;
    arguments.filter_width = random.Integer(1, 4);
    arguments.stride = random.Integer(1, 3);
    arguments.border_left = random.Integer(0, 2);
    arguments.border_right = random.Integer(0, 2);
    arguments.pad_left = arguments.border_left + random.Integer(0, 1);
    arguments.width_out = (arguments.width_in + arguments.pad_left) / arguments.stride;
    arguments.rows_meet_border = random.Integer(0, 3) == 0;
    arguments.border_value = random.Integer(0, 1) == 0 ? 0.0f : 0.5f;
    const bool limited = random.Integer(0, 1) == 0;
    arguments.affine_low = limited ? 0.0f : -std::numeric_limits<float>::infinity();
    arguments.affine_high = limited ? 6.0f : std::numeric_limits<float>::infinity();
    arguments.low = random.Integer(0, 1) == 0 ? 0.0f : -std::numeric_limits<float>::infinity();
    arguments.high = std::numeric_limits<float>::infinity();
    arguments.output_stride = arguments.channels + random.Integer(0, 2);
    std::vector<float> map(static_cast<size_t>(arguments.channels * arguments.plane_stride));
    for (float& value : map) value = random.Integer(0, 2) == 0 ? special[random.Integer(0, 4)] : random.Float();
    std::vector<float> multiplier, addend;
    for (int64_t c = 0; c < arguments.channels; ++c) {
      multiplier.push_back(random.Integer(0, 1) == 0 ? 1.0f : random.Float());
      addend.push_back(random.Integer(0, 1) == 0 ? -0.0f : random.Float());
    }
    std::vector<float> output(static_cast<size_t>(arguments.width_out * arguments.output_stride), kUnwritten);
    // As they lie in a ring.
    const int64_t first_row = random.Integer(0, 2);
    const float* rows[3];
    for (int64_t row = 0; row < 3; ++row) rows[row] = map.data() + (first_row + row) % 3 * row_stride;
    arguments.rows = rows;
    const bool has_affine = round % 3 != 0;
    arguments.multiplier = has_affine ? multiplier.data() : nullptr;
    arguments.addend = has_affine ? addend.data() : nullptr;
    arguments.output = output.data();
    kernels.pool_row(arguments);
    std::vector<float> expected(output.size(), kUnwritten);
    for (int64_t x = 0; x < arguments.width_out; ++x) {
      const int64_t left = std::max(x * arguments.stride - arguments.pad_left, -arguments.border_left);
      const int64_t right = std::min(x * arguments.stride - arguments.pad_left + arguments.filter_width,
                                     arguments.width_in + arguments.border_right);
      const bool meets_border = arguments.rows_meet_border || left < 0 || right > arguments.width_in;
      for (int64_t c = 0; c < arguments.channels; ++c) {
        float& greatest = expected[static_cast<size_t>(x * arguments.output_stride + c)];
        greatest = meets_border ? arguments.border_value : -std::numeric_limits<float>::infinity();
        for (int64_t column = std::max<int64_t>(left, 0); column < std::min(right, arguments.width_in); ++column) {
          for (int64_t row = 0; row < arguments.row_count; ++row) {
            const float value = rows[row][c * arguments.plane_stride + column];
            const float y = !has_affine
                                ? value
                                : Affine(value, multiplier[static_cast<size_t>(c)], addend[static_cast<size_t>(c)],
                                         arguments.affine_low, arguments.affine_high);
            greatest = greatest < y ? y : greatest;
          }
        }
        greatest = Affine(greatest, 1.0f, -0.0f, arguments.low, arguments.high);
      }
    }
    CHECK(output.empty() || std::memcmp(output.data(), expected.data(), output.size() * sizeof(float)) == 0);
  }
}

void TestPoolWindows(const Kernels& kernels) {
  Random random(12);
  const float special[] = {0.0f, -0.0f, std::nanf(""), -std::numeric_limits<float>::infinity(), 1e30f};
  for (int round = 0; round < 300; ++round) {
    PoolWindowsArguments arguments = {};
    arguments.windows = random.Integer(1, 4);
    arguments.columns = random.Integer(0, 3);
    arguments.rows = random.Integer(0, 3);
    arguments.channels = random.Integer(1, 70);
    arguments.column_stride = arguments.channels + random.Integer(0, 2);
    arguments.row_stride = 3 * arguments.column_stride + random.Integer(0, 2);
    arguments.window_stride = random.Integer(1, 3) * arguments.column_stride;
    arguments.output_stride = arguments.channels + random.Integer(0, 2);
    arguments.affine_low = arguments.low = random.Integer(0, 1) == 0 ? 0.0f : -std::numeric_limits<float>::infinity();
    arguments.affine_high = arguments.high = random.Integer(0, 1) == 0 ? 6.0f : std::numeric_limits<float>::infinity();
    arguments.least = random.Integer(0, 1) == 0 ? 0.5f : -std::numeric_limits<float>::infinity();
    const size_t channels = static_cast<size_t>(arguments.channels);
    // No more than there are: what is read beyond them, a sanitizer reports.
    const int64_t last =
        (arguments.windows - 1) * arguments.window_stride + 2 * arguments.row_stride + 2 * arguments.column_stride;
    std::vector<float> map(static_cast<size_t>(last) + channels), multiplier(channels), addend(channels);
    for (float& value : map) value = random.Integer(0, 2) == 0 ? special[random.Integer(0, 4)] : random.Float();
    for (float& value : multiplier) value = random.Float();
    for (float& value : addend) value = random.Float();
    const bool has_affine = round % 2 == 0;
    arguments.pixels = map.data();
    arguments.multiplier = has_affine ? multiplier.data() : nullptr;
    arguments.addend = has_affine ? addend.data() : nullptr;
    std::vector<float> output(
        static_cast<size_t>((arguments.windows - 1) * arguments.output_stride + arguments.channels), kUnwritten);
    std::vector<float> expected = output;
    arguments.output = output.data();
    kernels.pool_windows(arguments);
    for (int64_t window = 0; window < arguments.windows; ++window) {
      for (size_t c = 0; c < channels; ++c) {
        float greatest = arguments.least;
        for (int64_t column = 0; column < arguments.columns; ++column) {
          for (int64_t row = 0; row < arguments.rows; ++row) {
            const int64_t pixel =
                window * arguments.window_stride + column * arguments.column_stride + row * arguments.row_stride;
            float y = map[static_cast<size_t>(pixel) + c];
            if (has_affine) y = Affine(y, multiplier[c], addend[c], arguments.affine_low, arguments.affine_high);
            greatest = greatest < y ? y : greatest;
          }
        }
        expected[static_cast<size_t>(window * arguments.output_stride) + c] =
            Affine(greatest, 1.0f, -0.0f, arguments.low, arguments.high);
      }
    }
    CHECK(std::memcmp(output.data(), expected.data(), output.size() * sizeof(float)) == 0);
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

// For a whole block of channels of each pixel, without sums, every second time with a summand, which is overwritten.
WriteArguments RandomWriteArguments(Random& random, int64_t pixels, std::vector<float>* output) {
  static float multiplier[kChannelBlock];
  static float bias[kChannelBlock];
  for (size_t c = 0; c < kChannelBlock; ++c) {
    multiplier[c] = random.Float();
    bias[c] = random.Float() * 1000;
  }
  WriteArguments arguments = {};
  arguments.pixels = pixels;
  arguments.channels = kChannelBlock;
  // No sum here is larger.
  const bool is_linear = random.Integer(0, 1) == 0;
  arguments.transform = {multiplier, bias, is_linear ? 0 : static_cast<int32_t>(random.Integer(0, 500)),
                         is_linear ? 1 << 30 : static_cast<int32_t>(random.Integer(500, 5000)), is_linear};
  arguments.output_stride = kChannelBlock + random.Integer(0, 3);
  output->assign(static_cast<size_t>(pixels * arguments.output_stride), kUnwritten);
  arguments.output = output->data();
  if (random.Integer(0, 1) == 0) {
    arguments.summand = arguments.output;
    arguments.summand_stride = arguments.output_stride;
  }
  return arguments;
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
    const AccumulateArguments second = {addresses.data(),
                                        spans,
                                        segments.data() + half,
                                        static_cast<int64_t>(segments.size()) - half,
                                        weights.data() + done * kChannelBlock * kernels.unit_bytes,
                                        half > 0,
                                        sums};
    std::vector<float> written;
    WriteArguments write = {};
    if (kernels.accumulate_and_write != nullptr && spans == kernels.span_tile) {
      write = RandomWriteArguments(random, spans, &written);
      kernels.accumulate_and_write(second, write);
    }
    kernels.accumulate(second);
    for (size_t p = 0; p < pixels.size(); ++p) {
      for (size_t c = 0; c < filters.size(); ++c) {
        int32_t expected = 0;
        for (size_t w = 0; w < pixels[p].size(); ++w) expected += __builtin_popcount(pixels[p][w] ^ filters[c][w]);
        CHECK(sums[p * kChannelBlock + c] == expected);
      }
    }
    if (write.output != nullptr) {
      const std::vector<float> actual = written;
      std::fill(written.begin(), written.end(), kUnwritten);
      write.sums = sums;
      kernels.write_floats(write);
      CHECK(actual == written);
    }
  }
}

// Bytes of a map against a filter of bits, through expand_filter and multiply_bytes. Arrays end where the kernel may
// read or write last: a sanitizer reports what lies beyond.
void TestMultiplyBytes(const Kernels& kernels) {
  Random random(13);
  for (int round = 0; round < 20; ++round) {
    MultiplyBytesArguments arguments = {};
    arguments.positions = kMatrixPositions * random.Integer(1, 3);
    arguments.position_bytes = random.Integer(1, 200);
    arguments.steps = random.Integer(1, 9);
    arguments.part_steps = random.Integer(1, arguments.steps);
    std::vector<int64_t> offsets;
    for (int64_t step = 0; step < arguments.steps; ++step) offsets.push_back(random.Integer(0, 500));
    const int64_t last = *std::max_element(offsets.begin(), offsets.end());
    std::vector<uint8_t> map(
        static_cast<size_t>((arguments.positions - 1) * arguments.position_bytes + last + kMatrixDepth));
    for (uint8_t& byte : map) byte = static_cast<uint8_t>(random.Integer(0, 1));
    const int64_t bytes = kChannelBlock * arguments.steps * kMatrixDepth;
    std::vector<uint64_t> bits(static_cast<size_t>(bytes / 64));
    for (uint64_t& word : bits) word = uint64_t{random.Word()} << 32 | random.Word();
    std::vector<uint8_t> weights(static_cast<size_t>(bytes));
    kernels.expand_filter(bits.data(), bytes, weights.data());
    std::vector<int32_t> initial(kChannelBlock);
    for (int32_t& value : initial) value = static_cast<int32_t>(random.Integer(-99, 99));
    std::vector<int32_t> sums(static_cast<size_t>(arguments.positions * kChannelBlock));
    arguments.map = map.data();
    arguments.offsets = offsets.data();
    arguments.weights = weights.data();
    arguments.initial = initial.data();
    arguments.sums = sums.data();
    kernels.multiply_bytes(arguments);
    for (int64_t position = 0; position < arguments.positions; ++position) {
      for (int64_t channel = 0; channel < kChannelBlock; ++channel) {
        int32_t expected = initial[static_cast<size_t>(channel)];
        for (int64_t step = 0; step < arguments.steps; ++step) {
          for (int64_t byte = 0; byte < kMatrixDepth; ++byte) {
            const int64_t half = channel / kMatrixChannels * arguments.steps + step;
            const int64_t quad = half * (kMatrixDepth / kMatrixQuad) + byte / kMatrixQuad;
            const int64_t bit = (quad * kMatrixChannels + channel % kMatrixChannels) * kMatrixQuad + byte % kMatrixQuad;
            const int factor = (bits[static_cast<size_t>(bit / 64)] >> (bit % 64) & 1) != 0 ? -1 : 1;
            const int64_t at = position * arguments.position_bytes + offsets[static_cast<size_t>(step)] + byte;
            expected += factor * map[static_cast<size_t>(at)];
          }
        }
        CHECK(sums[static_cast<size_t>(position * kChannelBlock + channel)] == expected);
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
      std::vector<float> actual(kPixels * stride, kUnwritten);
      WriteArguments arguments = {};
      arguments.sums = sums;
      arguments.pixels = kPixels;
      arguments.channels = channels;
      arguments.transform = {multiplier.data(), bias.data(), 1000, 8000, false};
      arguments.sum_correction = (variant & 1) != 0 ? sum_correction.data() : nullptr;
      arguments.correction = (variant & 2) != 0 ? correction.data() : nullptr;
      arguments.summand = (variant & 4) != 0 ? actual.data() : nullptr;
      arguments.summand_stride = static_cast<int64_t>(stride);
      arguments.output = actual.data();
      arguments.output_stride = static_cast<int64_t>(stride);
      kernels.write_floats(arguments);
      for (size_t i = 0; i < actual.size(); ++i) {
        const size_t c = i % stride;
        volatile float expected = kUnwritten;
        if (c < count) {
          int32_t x = 2 * sums[i / stride * kChannelBlock + c];
          if (arguments.sum_correction != nullptr) x += sum_correction[c];
          x = x < 1000 ? 1000 : x > 8000 ? 8000 : x;
          volatile float product = static_cast<float>(x) * multiplier[c];
          expected = product + bias[c];
          if (arguments.correction != nullptr) expected = expected + correction[c];
          if (arguments.summand != nullptr) expected = expected + kUnwritten;
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
    CHECK(kernels->lanes <= kMaxLanes && kernels->tile_rows <= kMaxTileRows);
    CHECK(kernels->span_tile <= kMaxSpanTile && kernels->unit_pixels <= kMaxUnitPixels);
    TestPackFloats(*kernels);
    TestCompare(*kernels);
    TestPackBytes(*kernels);
    if (kernels->accumulate != nullptr) TestAccumulate(*kernels);
    if (kernels->multiply_bytes != nullptr) TestMultiplyBytes(*kernels);
    TestWriteFloats(*kernels);
    CHECK(kernels->window_channels <= kMaxWindowChannels);
    TestMultiply(*kernels);
    TestWinograd(*kernels);
    TestTranspose(*kernels);
    TestPoolRow(*kernels);
    TestPoolWindows(*kernels);
  }
  TestUnknownInstructionSetsAreErrors();
  return 0;
}

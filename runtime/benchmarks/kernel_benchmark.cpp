// How fast the binary convolutions run, layer by layer, in multiplications and additions (MACs) a clock cycle.
//
//   kernel_benchmark [instruction set...]
//
// The layers are 3x3 convolutions to 64 channels, as in the stages of MeliusNet. Packing of the map is not counted. The
// first line of an instruction set is how many float MACs a cycle it does in registers: what float layers could reach.
// Times are the least of many runs on one thread; the clock is measured by a chain of additions, one a cycle, just
// before.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "execute.h"
#include "fuse.h"
#include "layout.h"
#include "program.h"
#include "select.h"
#include "thread_pool.h"

namespace larq_melius {
namespace {

constexpr int64_t kFilters = 64;
constexpr int kRuns = 200;

double Nanoseconds(std::chrono::steady_clock::duration duration) {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count());
}

// Clock cycles a nanosecond.
double MeasureClock() {
  constexpr int kAdditions = 100000;
  double least = 1e30;
  for (int run = 0; run < 20; ++run) {
    const auto start = std::chrono::steady_clock::now();
    uint64_t x = 0;
    // Of two registers: recent processors add constants without taking a cycle.
    const uint64_t step = 1;
    for (int i = 0; i < kAdditions / 10; ++i) {
#if defined(__x86_64__)
#define LARQ_MELIUS_ADD "add %1, %0\n"
#else
#define LARQ_MELIUS_ADD "add %0, %0, %1\n"
#endif
      asm volatile(LARQ_MELIUS_ADD LARQ_MELIUS_ADD LARQ_MELIUS_ADD LARQ_MELIUS_ADD LARQ_MELIUS_ADD LARQ_MELIUS_ADD
                       LARQ_MELIUS_ADD LARQ_MELIUS_ADD LARQ_MELIUS_ADD LARQ_MELIUS_ADD
                   : "+r"(x)
                   : "r"(step));
    }
    least = std::min(least, Nanoseconds(std::chrono::steady_clock::now() - start));
  }
  return kAdditions / least;
}

// Multiplications and additions a cycle by twelve vectors, each of which waits only for itself; 0 for plain C++.
double MeasureFloatPeak(const std::string& name, double clock) {
  constexpr int kRounds = 20000;
  int macs = 0;
  double least = 1e30;
  for (int run = 0; run < 50; ++run) {
    const auto start = std::chrono::steady_clock::now();
#if defined(__x86_64__)
#define LARQ_MELIUS_FMA(bits, n) "vfmadd231ps %%" bits "mm15, %%" bits "mm14, %%" bits "mm" n "\n"
#define LARQ_MELIUS_FMAS(bits)                                                                                   \
  asm volatile(LARQ_MELIUS_FMA(bits, "0") LARQ_MELIUS_FMA(bits, "1") LARQ_MELIUS_FMA(bits, "2")                  \
                   LARQ_MELIUS_FMA(bits, "3") LARQ_MELIUS_FMA(bits, "4") LARQ_MELIUS_FMA(bits, "5")              \
                       LARQ_MELIUS_FMA(bits, "6") LARQ_MELIUS_FMA(bits, "7") LARQ_MELIUS_FMA(bits, "8")          \
                           LARQ_MELIUS_FMA(bits, "9") LARQ_MELIUS_FMA(bits, "10") LARQ_MELIUS_FMA(bits, "11")::  \
                               : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
                                 "xmm10", "xmm11")
    // What the registers held could be denormal, which is slow.
    const bool has_512_bits = name == "avx512" || name == "amx";
    if (has_512_bits || name == "avx2") asm volatile("vzeroall" ::: "xmm14", "xmm15");
    if (has_512_bits) {
      macs = 16 * 12;
      for (int i = 0; i < kRounds; ++i) LARQ_MELIUS_FMAS("z");
    } else if (name == "avx2") {
      macs = 8 * 12;
      for (int i = 0; i < kRounds; ++i) LARQ_MELIUS_FMAS("y");
    }
#elif defined(__aarch64__)
#define LARQ_MELIUS_FMA(n) "fmla v" n ".4s, v16.4s, v17.4s\n"
    if (name == "neon") {
      asm volatile("movi v16.4s, #0\n movi v17.4s, #0\n" ::: "v16", "v17");
      macs = 4 * 12;
      for (int i = 0; i < kRounds; ++i) {
        asm volatile(LARQ_MELIUS_FMA("0") LARQ_MELIUS_FMA("1") LARQ_MELIUS_FMA("2") LARQ_MELIUS_FMA("3")
                         LARQ_MELIUS_FMA("4") LARQ_MELIUS_FMA("5") LARQ_MELIUS_FMA("6") LARQ_MELIUS_FMA("7")
                             LARQ_MELIUS_FMA("8") LARQ_MELIUS_FMA("9") LARQ_MELIUS_FMA("10") LARQ_MELIUS_FMA("11")::
                                 : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11");
      }
    }
#endif
    least = std::min(least, Nanoseconds(std::chrono::steady_clock::now() - start));
  }
  return macs * static_cast<double>(kRounds) / least / clock;
}

Program MakeLayer(int64_t size, int64_t channels, const std::vector<uint32_t>& filter) {
  auto conv = std::make_shared<BinaryConvConstants>();
  conv->channels_out = kFilters;
  conv->filter_height = conv->filter_width = 3;
  conv->words = WordCount(channels);
  conv->filter = ConstantWords(filter.data());
  conv->multiplier.assign(kFilters, 1.0f);
  conv->bias.assign(kFilters, 0.0f);
  Program program;
  Instruction pack;
  pack.kind = InstructionKind::kPack;
  pack.inputs = {0};
  pack.output = 1;
  Instruction binary_conv;
  binary_conv.kind = InstructionKind::kBinaryConv;
  binary_conv.inputs = {1};
  binary_conv.output = 2;
  binary_conv.options.channels_in = static_cast<int>(channels);
  binary_conv.options.padding = Padding::kSame;
  binary_conv.conv = conv;
  program.instructions = {pack, binary_conv};
  program.values[0].type = program.values[2].type = Type::kFloat32;
  program.values[1].type = Type::kInt32;
  program.values[0].shape = {1, size, size, channels};
  program.values[0].external_input = program.values[2].external_output = true;
  InferShapes(program);
  AssignLayout(program, true);
  return program;
}

void Measure(const Kernels& kernels, int64_t size, int64_t channels) {
  std::mt19937 random(2);
  std::vector<float> input(static_cast<size_t>(size * size * channels));
  for (float& value : input) value = static_cast<float>(random()) - 2147483648.0f;
  std::vector<float> output(static_cast<size_t>(size * size * kFilters));
  std::vector<uint32_t> filter(static_cast<size_t>(kFilters * 9 * WordCount(channels)));
  for (uint32_t& word : filter) word = static_cast<uint32_t>(random());
  CompiledProgram program(MakeLayer(size, channels, filter), kernels);
  program.Profile();
  ThreadPool pool;
  const double clock = MeasureClock();
  for (int run = 0; run < kRuns; ++run) program.Run(pool, 1, {{0, input.data()}, {2, output.data()}});
  const double nanoseconds = static_cast<double>(program.LeastNanoseconds(1));
  const double macs = static_cast<double>(size * size * kFilters * 9 * channels);
  std::printf("%-9s %3ldx%-3ld %4ld channels %8.3f ms %7.1f MACs/cycle at %.2f GHz\n", kernels.name,
              static_cast<long>(size), static_cast<long>(size), static_cast<long>(channels), nanoseconds * 1e-6,
              macs / nanoseconds / clock, clock);
  std::fflush(stdout);
}

}  // namespace
}  // namespace larq_melius

int main(int count, char** arguments) {
  using namespace larq_melius;
  std::vector<std::string> names(arguments + 1, arguments + count);
  if (names.empty()) names = {""};
  try {
    for (const std::string& name : names) {
      const Kernels& kernels = SelectKernels(name);
      const double clock = MeasureClock();
      std::printf("%-9s float %32.1f MACs/cycle at %.2f GHz\n", kernels.name, MeasureFloatPeak(kernels.name, clock),
                  clock);
      for (const auto& [size, channels] : std::vector<std::pair<int64_t, int64_t>>{{56, 64},
                                                                                   {56, 128},
                                                                                   {56, 256},
                                                                                   {28, 128},
                                                                                   {28, 256},
                                                                                   {28, 512},
                                                                                   {14, 256},
                                                                                   {14, 640},
                                                                                   {7, 320},
                                                                                   {7, 672}}) {
        Measure(kernels, size, channels);
      }
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}

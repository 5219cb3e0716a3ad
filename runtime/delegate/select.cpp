#include "select.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base.h"

namespace larq_melius {
namespace {

struct Candidate {
  const char* name;
  // Null where this build has none of that name.
  const Kernels& (*kernels)();
  bool (*supported)();
};

bool Always() { return true; }
bool Never() { return false; }

#if defined(__x86_64__)
// What the processor has and the system saves: __builtin_cpu_supports says no to everything in libraries that Zig
// links.
struct Features {
  bool avx2 = false;    // and FMA
  bool avx512 = false;  // F, VL, BW, DQ and VPOPCNTDQ
};

Features ReadFeatures() {
  Features features;
  unsigned int eax, ebx, ecx, edx;
  constexpr unsigned int kFma = 1u << 12, kOsXsave = 1u << 27, kAvx = 1u << 28;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return features;
  constexpr unsigned int kNeeded = kFma | kOsXsave | kAvx;
  if ((ecx & kNeeded) != kNeeded) return features;
  unsigned int saved, saved_high;
  __asm__("xgetbv" : "=a"(saved), "=d"(saved_high) : "c"(0));
  constexpr unsigned int kSavedAvx = 0x6, kSavedAvx512 = 0xe6;
  if ((saved & kSavedAvx) != kSavedAvx || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return features;
  constexpr unsigned int kAvx2 = 1u << 5;
  constexpr unsigned int kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  constexpr unsigned int kVpopcntdq = 1u << 14;
  features.avx2 = (ebx & kAvx2) != 0;
  features.avx512 =
      features.avx2 && (saved & kSavedAvx512) == kSavedAvx512 && (ebx & kAvx512) == kAvx512 && (ecx & kVpopcntdq) != 0;
  return features;
}

bool HasAvx2() { return ReadFeatures().avx2; }
bool HasAvx512() { return ReadFeatures().avx512; }
constexpr Candidate kAvx512 = {"avx512", Avx512Kernels, HasAvx512};
constexpr Candidate kAvx2 = {"avx2", Avx2Kernels, HasAvx2};
#else
constexpr Candidate kAvx512 = {"avx512", nullptr, Never};
constexpr Candidate kAvx2 = {"avx2", nullptr, Never};
#endif
#if defined(__aarch64__)
constexpr Candidate kNeon = {"neon", NeonKernels, Always};
#else
constexpr Candidate kNeon = {"neon", nullptr, Never};
#endif

// The fastest first.
constexpr Candidate kCandidates[] = {kAvx512, kAvx2, kNeon, {"portable", PortableKernels, Always}};

}  // namespace

const Kernels& SelectKernels(const std::string& name) {
  std::string names;
  for (const Candidate& candidate : kCandidates) {
    const bool available = candidate.kernels != nullptr && candidate.supported();
    if (name == candidate.name || (name.empty() && available)) {
      Require(available, "this processor has no kernels of the instruction set \"" + name + "\"");
      return candidate.kernels();
    }
    names += std::string(names.empty() ? "" : ", ") + candidate.name;
  }
  throw Error("the instruction set \"" + name + "\" is unknown; there are " + names);
}

}  // namespace larq_melius

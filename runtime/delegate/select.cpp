#include "select.h"

#include "base.h"
#include "cpu_features.h"

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

#if defined(LARQ_MELIUS_AMX)
constexpr Candidate kAmx = {"amx", AmxKernels, RequestAmx};
#else
constexpr Candidate kAmx = {"amx", nullptr, Never};
#endif
#if defined(__x86_64__)
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
constexpr Candidate kCandidates[] = {kAmx, kAvx512, kAvx2, kNeon, {"portable", PortableKernels, Always}};

}  // namespace

const Kernels& SelectKernels(const std::string& name) {
  std::string names;
  for (const Candidate& candidate : kCandidates) {
    names += std::string(names.empty() ? "" : ", ") + candidate.name;
    // Only those that may be taken are asked for: AMX changes what the system does for the process.
    if (!name.empty() && name != candidate.name) continue;
    if (candidate.kernels != nullptr && candidate.supported()) return candidate.kernels();
    Require(name.empty(), "this processor has no kernels of the instruction set \"" + name + "\"");
  }
  throw Error("the instruction set \"" + name + "\" is unknown; there are " + names);
}

}  // namespace larq_melius

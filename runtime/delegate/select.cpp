#include "select.h"

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

// The fastest first.
constexpr Candidate kCandidates[] = {
    {"portable", PortableKernels, Always},
};

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

// Measures networks with Larq Compute Engine's operators on a device on which nothing is installed; see
// docs/runtime.md.
#include <cstdio>
#include <exception>

#include "benchmark.h"

int main(int argc, char** argv) {
  using namespace larq_melius::program;
  try {
    const Arguments arguments = ParseArguments(std::vector<std::string>(argv + 1, argv + argc));
    if (arguments.help) {
      std::fputs(HelpText().c_str(), stdout);
      return 0;
    }
    return RunBenchmark(arguments);
  } catch (const std::bad_alloc&) {
    std::fputs("larq-melius-benchmark: out of memory\n", stderr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "larq-melius-benchmark: %s\n", OneLine(error.what()).c_str());
  }
  return 1;
}

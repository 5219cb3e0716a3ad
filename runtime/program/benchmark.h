// The command line, and the measurement of one network after another.
#ifndef LARQ_MELIUS_PROGRAM_BENCHMARK_H_
#define LARQ_MELIUS_PROGRAM_BENCHMARK_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "report.h"

namespace larq_melius::program {

// A network to measure.
struct Graph {
  std::string path;
  // Raw values of the input, random ones if empty.
  std::string input;
  // Raw values that the outputs have to be close to, none if empty.
  std::string expected;
};

struct Arguments {
  std::vector<Graph> graphs;
  Settings settings;
  std::map<std::string, std::string> delegate_options;
  std::string output;
  // By how much an output may be off; by default, kTolerance.
  std::optional<double> tolerance;
  bool print_outputs = false;
  bool help = false;
};

// What is printed by --help.
std::string HelpText();

// Throws Error for an argument that is unknown or makes no sense.
Arguments ParseArguments(const std::vector<std::string>& arguments);

// Measures all networks and prints and writes what the arguments ask for. Returns the process's exit code: 0, or 1 if a
// network could not be measured.
//
// Throws Error if the file with the results cannot be written.
int RunBenchmark(const Arguments& arguments);

}  // namespace larq_melius::program

#endif  // LARQ_MELIUS_PROGRAM_BENCHMARK_H_

// Results: statistics, the JSON document (benchmarks/devices/schema.json), and the lines that are printed.
#ifndef LARQ_MELIUS_PROGRAM_REPORT_H_
#define LARQ_MELIUS_PROGRAM_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "device.h"
#include "interpreter.h"

namespace larq_melius::program {

struct Statistics {
  double min = 0;
  double mean = 0;
  double median = 0;
  // Interpolated linearly, as NumPy does.
  double p90 = 0;
  double p99 = 0;
  // Of the population.
  double std = 0;
};

// Of at least one sample.
Statistics Summarize(std::vector<double> samples);

enum class OutputCheck { kNotChecked, kPassed, kFailed };

// What one network costs, or why that is not known.
struct ModelResult {
  std::string name;
  std::optional<std::string> sha256;
  std::optional<int64_t> bytes;
  std::optional<std::string> delegate_isa;
  OutputCheck output_check = OutputCheck::kNotChecked;
  std::optional<double> output_max_error;
  std::optional<double> load_ms;
  std::optional<double> first_ms;
  std::optional<double> warmup_ms;  // mean; not in the document
  std::vector<double> samples_ms;
  // Of the measured runs' time; not in the document.
  double delegate_share = 0;
  std::optional<int64_t> memory_before_bytes;
  std::optional<int64_t> memory_peak_bytes;
  std::optional<int> claimed_operators;
  std::vector<OperatorTime> profile;
  std::optional<std::string> error;
};

struct Settings {
  int num_threads = 1;
  int warmup_runs = 1;
  int num_runs = 50;
  double min_secs = 0;
  double max_secs = 150;
  double run_delay_secs = 0;
  bool op_profiling = false;
};

struct Report {
  std::string created;
  Device device;
  State before;
  State after;
  Settings settings;
  std::vector<int> affinity;
  std::vector<ModelResult> models;
};

// This program's version, which is the delegate's.
const char* Version();
// The time of day as 2026-01-31T12:00:00Z.
std::string Now();
// A text without line breaks and what else would spoil a line.
std::string OneLine(const std::string& text);

std::string ToJson(const Report& report);
// The line in which TFLite's benchmark_model reports.
std::string TimingsLine(const ModelResult& result);
// What else there is to say about a network, in lines.
std::string Summary(const ModelResult& result, const Settings& settings);
// The time of each operator, in lines.
std::string ProfileTable(const std::vector<OperatorTime>& profile);
// Share of the profiled time in binary operators; nothing without a profile.
std::optional<double> BinaryShare(const std::vector<OperatorTime>& profile);

// Writes a file whole or not at all.
//
// Throws Error if it cannot be written.
void WriteFile(const std::string& path, const std::string& content);

}  // namespace larq_melius::program

#endif  // LARQ_MELIUS_PROGRAM_REPORT_H_

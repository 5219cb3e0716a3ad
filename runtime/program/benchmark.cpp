#include "benchmark.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "sha256.h"

namespace larq_melius::program {
namespace {

using Clock = std::chrono::steady_clock;

// FlatBuffers' offsets reach no further.
constexpr int64_t kMaxFileBytes = (int64_t{1} << 31) - 1;
constexpr double kProgressSeconds = 5;
constexpr int kMaxThreads = 256;
constexpr int kMaxRuns = 1000000;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

int ParseInteger(const std::string& flag, const std::string& text, int low, int high) {
  char* end = nullptr;
  errno = 0;
  const long value = std::strtol(text.c_str(), &end, 10);
  const bool is_number = !text.empty() && *end == '\0' && errno == 0;
  Require(is_number && value >= low && value <= high, flag + " must be a whole number from " + std::to_string(low) +
                                                          " to " + std::to_string(high) + ", not \"" + text + "\"");
  return static_cast<int>(value);
}

double ParseNumber(const std::string& flag, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const bool is_number = !text.empty() && *end == '\0' && std::isfinite(value);
  Require(is_number && value >= 0 && value <= 1e6, flag + " must be a number from 0 to 1000000, not \"" + text + "\"");
  return value;
}

bool ParseBool(const std::string& flag, const std::string& text) {
  Require(text == "true" || text == "false" || text == "1" || text == "0",
          flag + " must be true or false, not \"" + text + "\"");
  return text == "true" || text == "1";
}

// TFLite's form: key:value;key:value.
std::map<std::string, std::string> ParseDelegateOptions(const std::string& text) {
  std::map<std::string, std::string> options;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(';', start), text.size());
    const std::string option = text.substr(start, end - start);
    const size_t colon = option.find(':');
    Require(colon != std::string::npos && colon != 0,
            "--external_delegate_options must be like isa:neon;fuse:0, not \"" + text + "\"");
    options[option.substr(0, colon)] = option.substr(colon + 1);
    start = end + 1;
  }
  return options;
}

AlignedBuffer<uint8_t> ReadFile(const std::string& path) {
  // Looked at before it is opened: a pipe would wait for somebody to write.
  struct stat status = {};
  std::FILE* file = nullptr;
  if (stat(path.c_str(), &status) == 0) {
    Require(S_ISREG(status.st_mode), path + " cannot be read: it is no file");
    file = std::fopen(path.c_str(), "rb");
  }
  if (file == nullptr) throw Error(path + " cannot be read: " + std::strerror(errno));
  const auto bytes = static_cast<int64_t>(status.st_size);
  AlignedBuffer<uint8_t> content;
  try {
    Require(bytes <= kMaxFileBytes, path + " cannot be read: it is too large");
    content = AlignedBuffer<uint8_t>(static_cast<size_t>(bytes));
    Require(std::fread(content.data(), 1, content.size(), file) == content.size(), path + " cannot be read to its end");
  } catch (...) {
    std::fclose(file);
    throw;
  }
  std::fclose(file);
  return content;
}

std::string NameOf(const std::string& path) {
  std::string name = path.substr(path.find_last_of('/') + 1);
  const std::string suffix = ".tflite";
  if (name.size() > suffix.size() && name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0) {
    name.resize(name.size() - suffix.size());
  }
  return name;
}

// A network, ready to run, with what it was read from.
struct OpenNetwork {
  OpenNetwork(const std::string& path, int threads, const std::map<std::string, std::string>& options)
      : file(ReadFile(path)), model(ReadModel({file.data(), file.size()})), interpreter(model, threads, options) {}

  AlignedBuffer<uint8_t> file;
  Model model;
  Interpreter interpreter;
};

// Random numbers from -1 to 1, or whole ones of the input's type: time hardly depends on them.
void FillWithRandomNumbers(const Model& model, Interpreter& interpreter) {
  std::mt19937 random(0);
  for (int index : model.inputs) {
    TfLiteTensor& tensor = interpreter.tensor(index);
    if (tensor.type == kTfLiteFloat32) {
      auto* values = static_cast<float*>(tensor.data);
      for (size_t i = 0; i < tensor.bytes / sizeof(float); ++i) {
        values[i] = static_cast<float>(random()) * (2.0f / 4294967296.0f) - 1.0f;
      }
    } else {
      auto* values = static_cast<uint8_t*>(tensor.data);
      const uint32_t limit = tensor.type == kTfLiteBool ? 2 : 128;
      const size_t step = ElementBytes(tensor.type);
      for (size_t i = 0; i < tensor.bytes; i += step) values[i] = static_cast<uint8_t>(random() % limit);
    }
  }
}

void FillFromFile(const std::string& path, const Model& model, Interpreter& interpreter) {
  const AlignedBuffer<uint8_t> values = ReadFile(path);
  size_t wanted = 0;
  for (int index : model.inputs) wanted += interpreter.tensor(index).bytes;
  Require(values.size() == wanted,
          path + " has " + std::to_string(values.size()) + " bytes, and the input takes " + std::to_string(wanted));
  size_t offset = 0;
  for (int index : model.inputs) {
    TfLiteTensor& tensor = interpreter.tensor(index);
    if (tensor.bytes != 0) std::memcpy(tensor.data, values.data() + offset, tensor.bytes);
    offset += tensor.bytes;
  }
}

// All outputs behind one another.
std::vector<float> FloatOutputs(const Model& model, Interpreter& interpreter) {
  std::vector<float> values;
  for (int index : model.outputs) {
    const TfLiteTensor& tensor = interpreter.tensor(index);
    Require(tensor.type == kTfLiteFloat32, "outputs of the type " + TypeName(tensor.type) + " cannot be compared");
    const auto* data = static_cast<const float*>(tensor.data);
    values.insert(values.end(), data, data + tensor.bytes / sizeof(float));
  }
  return values;
}

// What rounding may change outputs by, in standard deviations of the expected ones, and in any case.
constexpr double kTolerance = 1e-3;
constexpr double kLeastTolerance = 1e-5;

double StandardDeviation(const float* values, size_t count) {
  double sum = 0;
  double squares = 0;
  for (size_t i = 0; i < count; ++i) sum += double{values[i]};
  const double mean = count == 0 ? 0 : sum / static_cast<double>(count);
  for (size_t i = 0; i < count; ++i) squares += (double{values[i]} - mean) * (double{values[i]} - mean);
  return count == 0 ? 0 : std::sqrt(squares / static_cast<double>(count));
}

void CheckOutputs(const Graph& graph, std::optional<double> given, OpenNetwork& network, ModelResult& result) {
  const std::vector<float> values = FloatOutputs(network.model, network.interpreter);
  const AlignedBuffer<uint8_t> expected = ReadFile(graph.expected);
  Require(expected.size() == values.size() * sizeof(float), graph.expected + " has " + std::to_string(expected.size()) +
                                                                " bytes, and the outputs have " +
                                                                std::to_string(values.size() * sizeof(float)));
  const auto* wanted = reinterpret_cast<const float*>(expected.data());
  const double tolerance =
      given.has_value() ? *given : kTolerance * StandardDeviation(wanted, values.size()) + kLeastTolerance;
  double error = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double difference = std::fabs(double{values[i]} - double{wanted[i]});
    error = difference <= error ? error : difference;  // takes over NaN
  }
  const bool passed = error <= tolerance;
  result.output_check = passed ? OutputCheck::kPassed : OutputCheck::kFailed;
  if (std::isfinite(error)) result.output_max_error = error;
  char text[96];
  std::snprintf(text, sizeof(text), ": its outputs are off by %.3g, more than %.3g", error, tolerance);
  Require(passed, graph.path + text);
}

void PrintOutputs(const Model& model, Interpreter& interpreter) {
  for (int index : model.outputs) {
    const TfLiteTensor& tensor = interpreter.tensor(index);
    const Shape shape(tensor.dims->data, tensor.dims->data + tensor.dims->size);
    std::printf("Output %s %s %s:", OneLine(model.tensors[static_cast<size_t>(index)].name).c_str(),
                TypeName(tensor.type).c_str(), ToString(shape).c_str());
    for (int64_t i = 0; i < ElementCount(shape); ++i) {
      if (tensor.type == kTfLiteFloat32) {
        std::printf(" %.9g", static_cast<double>(static_cast<const float*>(tensor.data)[i]));
      } else if (tensor.type == kTfLiteInt32) {
        std::printf(" %d", static_cast<const int32_t*>(tensor.data)[i]);
      } else if (tensor.type == kTfLiteInt8) {
        std::printf(" %d", static_cast<const int8_t*>(tensor.data)[i]);
      } else {
        std::printf(" ?");
      }
    }
    std::printf("\n");
  }
}

void Delay(double seconds) {
  if (seconds > 0) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

void MeasureRuns(const Arguments& arguments, Interpreter& interpreter, ModelResult& result) {
  const Settings& settings = arguments.settings;
  double delegate_milliseconds = 0;
  double milliseconds = 0;
  const Clock::time_point start = Clock::now();
  double next_progress = kProgressSeconds;
  while (true) {
    const int runs = static_cast<int>(result.samples_ms.size());
    const double seconds = MillisecondsSince(start) / 1000;
    const bool enough = runs >= settings.num_runs && seconds >= settings.min_secs;
    if (runs > 0 && (enough || runs >= kMaxRuns || seconds >= settings.max_secs)) break;
    if (seconds >= next_progress) {
      std::fprintf(stderr, "%s: %d of %d runs\n", OneLine(result.name).c_str(), runs,
                   std::max(settings.num_runs, runs + 1));
      next_progress = seconds + kProgressSeconds;
    }
    if (runs > 0) Delay(settings.run_delay_secs);
    interpreter.Run();
    const double sample = static_cast<double>(interpreter.nanoseconds()) * 1e-6;
    result.samples_ms.push_back(sample);
    if (!result.first_ms.has_value()) result.first_ms = sample;
    milliseconds += sample;
    delegate_milliseconds += static_cast<double>(interpreter.delegate_nanoseconds()) * 1e-6;
  }
  result.delegate_share = milliseconds > 0 ? delegate_milliseconds / milliseconds : 0;
}

// The operators are timed in an interpreter of its own: this takes time itself.
void MeasureProfile(const Arguments& arguments, const Graph& graph, ModelResult& result) {
  std::map<std::string, std::string> options = arguments.delegate_options;
  options["profile"] = "1";
  OpenNetwork network(graph.path, arguments.settings.num_threads, options);
  FillWithRandomNumbers(network.model, network.interpreter);
  const Clock::time_point start = Clock::now();
  for (int run = 0; run < arguments.settings.num_runs; ++run) {
    if (run > 0 && MillisecondsSince(start) / 1000 >= arguments.settings.max_secs) break;
    network.interpreter.Run();
  }
  result.profile = network.interpreter.TakeProfile();
}

void MeasureGraph(const Arguments& arguments, const Graph& graph, bool is_first, ModelResult& result) {
  const Settings& settings = arguments.settings;
  {
    const AlignedBuffer<uint8_t> file = ReadFile(graph.path);
    result.bytes = static_cast<int64_t>(file.size());
    result.sha256 = Sha256({file.data(), file.size()});
    CheckContent({file.data(), file.size()});
  }
  // An earlier network's memory would hide this one's.
  const bool knows_memory = ResetPeakMemory() || is_first;
  if (knows_memory) result.memory_before_bytes = PeakMemory();
  const Clock::time_point start = Clock::now();
  OpenNetwork network(graph.path, settings.num_threads, arguments.delegate_options);
  result.load_ms = MillisecondsSince(start);
  Interpreter& interpreter = network.interpreter;
  result.claimed_operators = interpreter.lce_operators();
  if (interpreter.uses_delegate()) result.delegate_isa = interpreter.isa();
  if (graph.input.empty()) {
    FillWithRandomNumbers(network.model, interpreter);
  } else {
    FillFromFile(graph.input, network.model, interpreter);
  }
  std::fprintf(stderr, "%s: opened in %.1f ms; %d warm-up and %d measured runs\n", OneLine(result.name).c_str(),
               *result.load_ms, settings.warmup_runs, settings.num_runs);
  double warmup_ms = 0;
  for (int run = 0; run < settings.warmup_runs; ++run) {
    interpreter.Run();
    const double sample = static_cast<double>(interpreter.nanoseconds()) * 1e-6;
    if (run == 0) result.first_ms = sample;
    warmup_ms += sample;
    Delay(settings.run_delay_secs);
  }
  if (settings.warmup_runs > 0) result.warmup_ms = warmup_ms / settings.warmup_runs;
  if (settings.warmup_runs == 0 && !graph.expected.empty()) {
    interpreter.Run();
    result.first_ms = static_cast<double>(interpreter.nanoseconds()) * 1e-6;
  }
  if (!graph.expected.empty()) CheckOutputs(graph, arguments.tolerance, network, result);
  MeasureRuns(arguments, interpreter, result);
  if (knows_memory) result.memory_peak_bytes = PeakMemory();
  if (arguments.print_outputs) PrintOutputs(network.model, interpreter);
  if (settings.op_profiling) MeasureProfile(arguments, graph, result);
}

// A problem with a network, beginning with its path.
std::string Describe(const Graph& graph, const std::string& problem) {
  const bool names_a_file = problem.compare(0, graph.path.size(), graph.path) == 0 ||
                            (!graph.input.empty() && problem.compare(0, graph.input.size(), graph.input) == 0) ||
                            (!graph.expected.empty() && problem.compare(0, graph.expected.size(), graph.expected) == 0);
  return names_a_file ? problem : graph.path + " cannot be run: " + problem;
}

ModelResult Measure(const Arguments& arguments, const Graph& graph, bool is_first) {
  ModelResult result;
  result.name = NameOf(graph.path);
  try {
    MeasureGraph(arguments, graph, is_first, result);
  } catch (const std::bad_alloc&) {
    result.error = Describe(graph, "out of memory");
  } catch (const std::exception& error) {
    result.error = Describe(graph, error.what());
  }
  return result;
}

}  // namespace

std::string HelpText() {
  return R"(Usage: larq-melius-benchmark --graph=FILE.tflite [FLAGS]

Measures networks with Larq Compute Engine's operators: those in the delegate of larq-melius, the rest in this program's
own operators on 32-bit floats, which take another time than TFLite's. Flags have the names of TFLite's benchmark_model.

  --graph=FILE                  network to measure; may be given several times
  --input=FILE                  raw values of the inputs of the --graph before it, by default random ones
  --expected=FILE               raw float32 values of its outputs, checked before its runs are measured
  --tolerance=NUMBER            by how much an output may be off, by default 0.001 standard deviations and 0.00001
  --num_threads=1               threads
  --warmup_runs=1               runs before those that are measured
  --num_runs=50                 runs to measure
  --min_secs=0                  measure further runs until this time has passed
  --max_secs=150                begin no further run after this time
  --run_delay=0                 seconds to wait between runs
  --enable_op_profiling=false   time each operator, in runs of their own
  --external_delegate_options=  options of the delegate, such as isa:neon;fuse:0
  --print_outputs=false         print the values of the outputs
  --output=FILE.json            write the results, with all samples and what is known of the device
  --help                        print this
)";
}

Arguments ParseArguments(const std::vector<std::string>& arguments) {
  Arguments parsed;
  Settings& settings = parsed.settings;
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    const std::string flag = argument.substr(0, equals);
    const bool has_value = equals != std::string::npos;
    const std::string value = has_value ? argument.substr(equals + 1) : "";
    if (flag == "--help" || flag == "-h") {
      parsed.help = true;
      return parsed;
    }
    const bool is_switch = flag == "--enable_op_profiling" || flag == "--print_outputs";
    Require(flag.compare(0, 2, "--") == 0, "\"" + argument + "\" is no flag; --help lists them");
    const auto graph = [&]() -> Graph& {
      Require(!parsed.graphs.empty(), flag + " belongs to the --graph before it, and there is none");
      return parsed.graphs.back();
    };
    const auto path = [&] {
      Require(!value.empty(), flag + " takes a file, as in " + flag + "=FILE");
      return value;
    };
    if (flag == "--graph") {
      parsed.graphs.push_back({path(), "", ""});
    } else if (flag == "--input") {
      graph().input = path();
    } else if (flag == "--expected") {
      graph().expected = path();
    } else if (flag == "--output") {
      parsed.output = path();
    } else if (flag == "--tolerance") {
      parsed.tolerance = ParseNumber(flag, value);
    } else if (flag == "--num_threads") {
      settings.num_threads = ParseInteger(flag, value, 1, kMaxThreads);
    } else if (flag == "--warmup_runs") {
      settings.warmup_runs = ParseInteger(flag, value, 0, kMaxRuns);
    } else if (flag == "--num_runs") {
      settings.num_runs = ParseInteger(flag, value, 1, kMaxRuns);
    } else if (flag == "--min_secs") {
      settings.min_secs = ParseNumber(flag, value);
    } else if (flag == "--max_secs") {
      settings.max_secs = ParseNumber(flag, value);
    } else if (flag == "--run_delay") {
      settings.run_delay_secs = ParseNumber(flag, value);
    } else if (flag == "--external_delegate_options") {
      parsed.delegate_options = ParseDelegateOptions(value);
    } else if (is_switch) {
      (flag == "--print_outputs" ? parsed.print_outputs : settings.op_profiling) = !has_value || ParseBool(flag, value);
    } else {
      throw Error("the flag " + flag + " is unknown; --help lists them");
    }
  }
  Require(!parsed.graphs.empty(), "there is no network to measure: give --graph=FILE.tflite; --help lists all flags");
  return parsed;
}

int RunBenchmark(const Arguments& arguments) {
  Report report;
  report.created = Now();
  report.device = ReadDevice();
  report.before = ReadState();
  report.settings = arguments.settings;
  report.affinity = ReadAffinity();
  bool failed = false;
  for (const Graph& graph : arguments.graphs) {
    ModelResult result = Measure(arguments, graph, report.models.empty());
    if (result.error.has_value()) {
      failed = true;
      std::fprintf(stderr, "larq-melius-benchmark: %s\n", OneLine(*result.error).c_str());
    } else {
      std::fputs(Summary(result, arguments.settings).c_str(), stdout);
      std::fputs(TimingsLine(result).c_str(), stdout);
      std::fputs(ProfileTable(result.profile).c_str(), stdout);
      std::fflush(stdout);
    }
    report.models.push_back(std::move(result));
  }
  report.after = ReadState();
  if (!arguments.output.empty()) WriteFile(arguments.output, ToJson(report));
  return failed ? 1 : 0;
}

}  // namespace larq_melius::program

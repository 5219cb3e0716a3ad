#include "report.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <numeric>

namespace larq_melius::program {
namespace {

// Bytes of the UTF-8 sequence that begins at a position, 0 if there is none.
size_t SequenceBytes(const std::string& text, size_t at) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(at);
  const size_t count = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : (first & 0xf0) == 0xe0 ? 3 : 0;
  if (first >= 0xf0 && first < 0xf5) {
    const unsigned second = byte(at + 1);
    const bool valid = (second & 0xc0) == 0x80 && (first != 0xf0 || second >= 0x90) && (first != 0xf4 || second < 0x90);
    return valid && (byte(at + 2) & 0xc0) == 0x80 && (byte(at + 3) & 0xc0) == 0x80 ? 4 : 0;
  }
  for (size_t i = 1; i < count; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
  }
  if (count == 3) {
    const unsigned code = (first & 0xf) << 12 | (byte(at + 1) & 0x3f) << 6;
    if (code < 0x800 || (code >= 0xd800 && code < 0xe000)) return 0;
  }
  return count;
}

// Writes JSON with one member or element a line.
class Json {
 public:
  std::string Finish() { return text_ + "\n"; }

  void Begin(char bracket) {
    text_ += bracket;
    indent_ += 2;
    first_ = true;
  }
  void End(char bracket) {
    indent_ -= 2;
    if (!first_) NewLine();
    text_ += bracket;
    first_ = false;
  }
  void Item() {
    if (!first_) text_ += ',';
    first_ = false;
    NewLine();
  }
  Json& Key(const char* name) {
    Item();
    String(name);
    text_ += ": ";
    return *this;
  }

  void Value(const std::string& value) { String(value); }
  void Value(const char* value) { String(value); }
  void Value(bool value) { text_ += value ? "true" : "false"; }
  void Value(int value) { text_ += std::to_string(value); }
  void Value(int64_t value) { text_ += std::to_string(value); }
  void Value(std::nullptr_t /*value*/) { text_ += "null"; }
  void Value(double value) {
    char digits[32];
    std::snprintf(digits, sizeof(digits), "%.9g", value);
    text_ += std::isfinite(value) ? digits : "null";
  }
  template <typename T>
  void Value(const std::optional<T>& value) {
    if (value.has_value()) {
      Value(*value);
    } else {
      Value(nullptr);
    }
  }
  template <typename T>
  void Value(const std::vector<T>& values) {
    text_ += '[';
    for (size_t i = 0; i < values.size(); ++i) {
      if (i != 0) text_ += ", ";
      Value(values[i]);
    }
    text_ += ']';
  }

 private:
  void NewLine() { text_ += "\n" + std::string(static_cast<size_t>(indent_), ' '); }

  void String(const std::string& value) {
    text_ += '"';
    for (size_t i = 0; i < value.size();) {
      const size_t bytes = SequenceBytes(value, i);
      const auto byte = static_cast<unsigned char>(value[i]);
      if (bytes == 0) {
        text_ += "\\ufffd";
      } else if (byte == '"' || byte == '\\') {
        text_ += std::string("\\") + value[i];
      } else if (byte < 0x20) {
        char escape[8];
        std::snprintf(escape, sizeof(escape), "\\u%04x", byte);
        text_ += escape;
      } else {
        text_ += value.substr(i, bytes);
      }
      i += std::max<size_t>(bytes, 1);
    }
    text_ += '"';
  }

  std::string text_;
  int indent_ = 0;
  bool first_ = true;
};

void Write(Json& json, const Device& device) {
  json.Begin('{');
  // Android's properties, which the harness adds, are not in /proc and /sys.
  json.Key("manufacturer").Value(nullptr);
  json.Key("model").Value(nullptr);
  json.Key("soc").Value(device.soc);
  json.Key("android_release").Value(nullptr);
  json.Key("android_sdk").Value(nullptr);
  json.Key("abi").Value(device.abi);
  json.Key("cores").Value(device.cores);
  json.Key("core_max_mhz").Value(device.core_max_mhz);
  json.Key("memory_bytes").Value(device.memory_bytes);
  json.End('}');
}

void Write(Json& json, const State& state) {
  json.Begin('{');
  json.Key("thermal_status").Value(nullptr);  // known to Android only
  json.Key("hottest_zone_c").Value(state.hottest_zone_c);
  json.Key("core_mhz").Value(state.core_mhz);
  json.Key("battery_percent").Value(state.battery_percent);
  json.Key("battery_c").Value(state.battery_c);
  json.Key("charging").Value(state.charging);
  json.End('}');
}

void Write(Json& json, const Settings& settings, const std::vector<int>& affinity) {
  json.Begin('{');
  json.Key("num_threads").Value(settings.num_threads);
  json.Key("warmup_runs").Value(settings.warmup_runs);
  json.Key("num_runs").Value(settings.num_runs);
  json.Key("max_secs").Value(settings.max_secs);
  json.Key("run_delay_secs").Value(settings.run_delay_secs);
  json.Key("op_profiling").Value(settings.op_profiling);
  json.Key("affinity").Value(affinity);
  json.End('}');
}

void Write(Json& json, const OperatorTime& time) {
  json.Begin('{');
  json.Key("name").Value(OneLine(time.name));
  json.Key("runner").Value(time.delegated ? "delegate" : "runtime");
  json.Key("binary").Value(time.binary);
  json.Key("count").Value(time.operators);
  json.Key("min_ms").Value(static_cast<double>(time.nanoseconds) * 1e-6);
  json.End('}');
}

const char* Name(OutputCheck check) {
  switch (check) {
    case OutputCheck::kPassed: return "passed";
    case OutputCheck::kFailed: return "failed";
    case OutputCheck::kNotChecked: break;
  }
  return "not_checked";
}

void Write(Json& json, const ModelResult& result) {
  std::optional<Statistics> statistics;
  if (!result.samples_ms.empty()) statistics = Summarize(result.samples_ms);
  const auto statistic = [&](double Statistics::* member) {
    return statistics.has_value() ? std::optional<double>((*statistics).*member) : std::nullopt;
  };
  json.Begin('{');
  json.Key("name").Value(OneLine(result.name));
  json.Key("sha256").Value(result.sha256);
  json.Key("bytes").Value(result.bytes);
  json.Key("runtime").Value("program");
  json.Key("runtime_version").Value(Version());
  json.Key("delegate_version").Value(Version());
  json.Key("delegate_isa").Value(result.delegate_isa);
  json.Key("output_check").Value(Name(result.output_check));
  json.Key("output_max_error").Value(result.output_max_error);
  json.Key("load_ms").Value(result.load_ms);
  json.Key("first_ms").Value(result.first_ms);
  json.Key("samples_ms").Value(result.samples_ms);
  json.Key("min_ms").Value(statistic(&Statistics::min));
  json.Key("mean_ms").Value(statistic(&Statistics::mean));
  json.Key("median_ms").Value(statistic(&Statistics::median));
  json.Key("p90_ms").Value(statistic(&Statistics::p90));
  json.Key("p99_ms").Value(statistic(&Statistics::p99));
  json.Key("std_ms").Value(statistic(&Statistics::std));
  json.Key("memory_before_bytes").Value(result.memory_before_bytes);
  json.Key("memory_peak_bytes").Value(result.memory_peak_bytes);
  json.Key("claimed_operators").Value(result.claimed_operators);
  json.Key("binary_share").Value(BinaryShare(result.profile));
  json.Key("profile").Begin('[');
  for (const OperatorTime& time : result.profile) {
    json.Item();
    Write(json, time);
  }
  json.End(']');
  json.Key("error").Value(result.error.has_value() ? std::optional(OneLine(*result.error)) : std::nullopt);
  json.End('}');
}

std::string Format(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

}  // namespace

Statistics Summarize(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const auto quantile = [&](double share) {
    const double position = share * static_cast<double>(samples.size() - 1);
    const size_t below = static_cast<size_t>(position);
    const size_t above = std::min(below + 1, samples.size() - 1);
    return samples[below] + (position - static_cast<double>(below)) * (samples[above] - samples[below]);
  };
  Statistics statistics;
  const double count = static_cast<double>(samples.size());
  statistics.min = samples.front();
  statistics.mean = std::accumulate(samples.begin(), samples.end(), 0.0) / count;
  statistics.median = quantile(0.5);
  statistics.p90 = quantile(0.9);
  statistics.p99 = quantile(0.99);
  double squares = 0;
  for (double sample : samples) squares += (sample - statistics.mean) * (sample - statistics.mean);
  statistics.std = std::sqrt(squares / count);
  return statistics;
}

const char* Version() { return LARQ_MELIUS_VERSION; }

std::string Now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string OneLine(const std::string& text) {
  std::string line;
  for (char c : text) line += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  return line.empty() ? "?" : line;
}

std::string ToJson(const Report& report) {
  Json json;
  json.Begin('{');
  json.Key("schema_version").Value(1);
  json.Key("created").Value(report.created);
  json.Key("tool").Value("larq-melius-benchmark");
  json.Key("tool_version").Value(Version());
  Write(json.Key("device"), report.device);
  Write(json.Key("state_before"), report.before);
  Write(json.Key("state_after"), report.after);
  Write(json.Key("settings"), report.settings, report.affinity);
  json.Key("models").Begin('[');
  for (const ModelResult& result : report.models) {
    json.Item();
    Write(json, result);
  }
  json.End(']');
  json.Key("error").Value(nullptr);
  json.End('}');
  return json.Finish();
}

std::string TimingsLine(const ModelResult& result) {
  const Statistics statistics = Summarize(result.samples_ms);
  const auto microseconds = [](double milliseconds) { return Format("%g", milliseconds * 1000); };
  return "Inference timings in us: Init: " + Format("%.0f", result.load_ms.value_or(0) * 1000) +
         ", First inference: " + Format("%.0f", result.first_ms.value_or(0) * 1000) +
         ", Warmup (avg): " + microseconds(result.warmup_ms.value_or(0)) +
         ", Inference (avg): " + microseconds(statistics.mean) + "\n";
}

std::string Summary(const ModelResult& result, const Settings& settings) {
  const Statistics statistics = Summarize(result.samples_ms);
  std::string text = OneLine(result.name) + ": " + std::to_string(result.samples_ms.size()) + " runs on " +
                     std::to_string(settings.num_threads) + (settings.num_threads == 1 ? " thread" : " threads") +
                     ": minimum " + Format("%.3f", statistics.min) + " ms, median " +
                     Format("%.3f", statistics.median) + ", 90th percentile " + Format("%.3f", statistics.p90);
  if (result.memory_before_bytes.has_value() && result.memory_peak_bytes.has_value()) {
    const auto bytes = static_cast<double>(*result.memory_peak_bytes - *result.memory_before_bytes);
    text += "; memory " + Format("%.1f", bytes / (1 << 20)) + " MiB";
  }
  if (result.output_check == OutputCheck::kPassed) {
    text += "; outputs as expected to " + Format("%.2g", result.output_max_error.value_or(0));
  }
  text += "\n";
  if (result.delegate_isa.has_value()) {
    return text + "The delegate (" + *result.delegate_isa + ") took " + Format("%.1f", 100 * result.delegate_share) +
           "% of the time. The rest ran in this program's own operators, and takes another time in TFLite.\n";
  }
  return text +
         "Nothing of it is the delegate's: all ran in this program's own operators, which take another time than "
         "TFLite's.\n";
}

std::string ProfileTable(const std::vector<OperatorTime>& profile) {
  std::string text;
  double sum = 0;
  for (const OperatorTime& time : profile) {
    const double milliseconds = static_cast<double>(time.nanoseconds) * 1e-6;
    sum += milliseconds;
    text += Format("%10.4f ms  ", milliseconds) + (time.delegated ? "delegate  " : "program   ") + OneLine(time.name) +
            "\n";
  }
  if (const auto share = BinaryShare(profile)) {
    text += Format("%10.4f ms  ", sum) + "in all, " + Format("%.1f", 100 * *share) + "% of it in binary operators\n";
  }
  return text;
}

std::optional<double> BinaryShare(const std::vector<OperatorTime>& profile) {
  int64_t binary = 0;
  int64_t all = 0;
  for (const OperatorTime& time : profile) {
    all += time.nanoseconds;
    binary += time.binary ? time.nanoseconds : 0;
  }
  if (all == 0) return std::nullopt;
  return static_cast<double>(binary) / static_cast<double>(all);
}

void WriteFile(const std::string& path, const std::string& content) {
  const std::string unfinished = path + "." + std::to_string(getpid()) + ".tmp";
  std::FILE* file = std::fopen(unfinished.c_str(), "wb");
  bool written = file != nullptr;
  if (file != nullptr) {
    written = std::fwrite(content.data(), 1, content.size(), file) == content.size();
    written = std::fclose(file) == 0 && written;
    written = written && std::rename(unfinished.c_str(), path.c_str()) == 0;
  }
  if (written) return;
  const std::string reason = std::strerror(errno);
  if (file != nullptr) std::remove(unfinished.c_str());
  throw Error(path + " cannot be written: " + reason);
}

}  // namespace larq_melius::program

#include "device.h"

#include <sched.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace larq_melius::program {
namespace {

// Cores, thermal zones and power supplies are counted up to this: a system has fewer.
constexpr int kMaxEntries = 256;

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  if (!file || !(text << file.rdbuf())) return std::nullopt;
  std::string content = text.str();
  while (!content.empty() && std::isspace(static_cast<unsigned char>(content.back())) != 0) content.pop_back();
  return content;
}

std::optional<double> ReadNumber(const std::string& path) {
  const std::optional<std::string> text = ReadFile(path);
  if (!text.has_value()) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(text->c_str(), &end);
  if (end == text->c_str()) return std::nullopt;
  return value;
}

// What follows "key", blanks and a colon in the first such line of a file.
std::optional<std::string> ReadField(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) != 0) continue;
    const size_t colon = line.find_first_not_of(" \t", key.size());
    if (colon == std::string::npos || line[colon] != ':') continue;
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    if (value != std::string::npos) return line.substr(value);
  }
  return std::nullopt;
}

// Cores that are configured, the offline ones included: the end of a list such as 0-7.
std::optional<int> ReadCores(const std::string& root) {
  const std::optional<std::string> possible = ReadFile(root + "/sys/devices/system/cpu/possible");
  if (!possible.has_value()) return std::nullopt;
  const size_t last = possible->find_last_of("-,");
  const int core = std::atoi(possible->c_str() + (last == std::string::npos ? 0 : last + 1));
  if (core < 0 || core >= kMaxEntries) return std::nullopt;
  return core + 1;
}

// A clock of each core, in MHz, from a file in kHz of its folder.
std::vector<std::optional<double>> ReadClocks(const std::string& root, const char* file) {
  std::vector<std::optional<double>> clocks;
  const int cores = ReadCores(root).value_or(0);
  for (int core = 0; core < cores; ++core) {
    std::optional<double> khz =
        ReadNumber(root + "/sys/devices/system/cpu/cpu" + std::to_string(core) + "/cpufreq/" + file);
    if (khz.has_value()) *khz /= 1000;
    clocks.push_back(khz);
  }
  const auto known = [](const std::optional<double>& clock) { return clock.has_value(); };
  if (std::none_of(clocks.begin(), clocks.end(), known)) clocks.clear();
  return clocks;
}

// The highest temperature of the zones that name the processor, or of all where none does.
std::optional<double> ReadHottestZone(const std::string& root) {
  std::optional<double> hottest;
  bool hottest_is_cpu = false;
  for (int zone = 0; zone < kMaxEntries; ++zone) {
    const std::string folder = root + "/sys/class/thermal/thermal_zone" + std::to_string(zone);
    std::optional<std::string> type = ReadFile(folder + "/type");
    if (!type.has_value()) break;
    const std::optional<double> reading = ReadNumber(folder + "/temp");
    if (!reading.has_value()) continue;
    // Thousandths of a degree; old phones have whole degrees.
    const double celsius = *reading > 1000 || *reading < -1000 ? *reading / 1000 : *reading;
    if (celsius < -50 || celsius > 200) continue;  // what zones that are turned off say
    std::transform(type->begin(), type->end(), type->begin(),
                   [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
    const bool is_cpu = type->find("cpu") != std::string::npos;
    if (hottest_is_cpu && !is_cpu) continue;
    if (!hottest.has_value() || is_cpu != hottest_is_cpu || celsius > *hottest) hottest = celsius;
    hottest_is_cpu = is_cpu;
  }
  return hottest;
}

}  // namespace

Device ReadDevice(const std::string& root) {
  Device device;
#if defined(__aarch64__)
  device.abi = "arm64-v8a";
#elif defined(__x86_64__)
  device.abi = "x86_64";
#else
  device.abi = "unknown";
#endif
  device.soc = ReadField(root + "/proc/cpuinfo", "Hardware");
  if (!device.soc.has_value()) device.soc = ReadField(root + "/proc/cpuinfo", "model name");
  device.cores = ReadCores(root);
  device.core_max_mhz = ReadClocks(root, "cpuinfo_max_freq");
  if (const auto memory = ReadField(root + "/proc/meminfo", "MemTotal")) {
    device.memory_bytes = static_cast<int64_t>(std::atoll(memory->c_str())) * 1024;
  }
  return device;
}

State ReadState(const std::string& root) {
  State state;
  state.hottest_zone_c = ReadHottestZone(root);
  state.core_mhz = ReadClocks(root, "scaling_cur_freq");
  const std::string battery = root + "/sys/class/power_supply/battery";
  if (const auto percent = ReadNumber(battery + "/capacity"); percent && *percent >= 0 && *percent <= 100) {
    state.battery_percent = static_cast<int>(*percent);
  }
  if (const auto tenths = ReadNumber(battery + "/temp")) state.battery_c = *tenths / 10;
  if (const auto status = ReadFile(battery + "/status")) {
    // "Not charging" is what a phone on a cable says that takes no current.
    if (*status == "Charging" || *status == "Full" || *status == "Not charging") state.charging = true;
    if (*status == "Discharging") state.charging = false;
  }
  return state;
}

std::vector<int> ReadAffinity() {
  std::vector<int> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

bool ResetPeakMemory() {
  std::FILE* file = std::fopen("/proc/self/clear_refs", "w");
  if (file == nullptr) return false;
  const bool written = std::fputs("5", file) >= 0;
  return std::fclose(file) == 0 && written;
}

std::optional<int64_t> PeakMemory() {
  const auto peak = ReadField("/proc/self/status", "VmHWM");
  if (!peak.has_value()) return std::nullopt;
  return static_cast<int64_t>(std::atoll(peak->c_str())) * 1024;
}

}  // namespace larq_melius::program

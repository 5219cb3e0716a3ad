// What decides about a device's speed, as far as /proc and /sys tell anybody.
#ifndef LARQ_MELIUS_PROGRAM_DEVICE_H_
#define LARQ_MELIUS_PROGRAM_DEVICE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace larq_melius::program {

struct Device {
  std::optional<std::string> soc;
  // What this program was compiled for, by Android's names where it has one.
  std::string abi;
  std::optional<int> cores;
  // Of each core; empty if unknown.
  std::vector<std::optional<double>> core_max_mhz;
  std::optional<int64_t> memory_bytes;
};

struct State {
  std::optional<double> hottest_zone_c;
  std::vector<std::optional<double>> core_mhz;
  std::optional<int> battery_percent;
  std::optional<double> battery_c;
  std::optional<bool> charging;
};

// Both read the files under `root`, which is empty but in tests.
Device ReadDevice(const std::string& root = "");
State ReadState(const std::string& root = "");

// Cores that this process may run on; empty if unknown.
std::vector<int> ReadAffinity();

// Forgets this process's peak of memory. False where the system does not do that.
bool ResetPeakMemory();
// The most memory, in bytes, that this process has had in RAM since then.
std::optional<int64_t> PeakMemory();

}  // namespace larq_melius::program

#endif  // LARQ_MELIUS_PROGRAM_DEVICE_H_

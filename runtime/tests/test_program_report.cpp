// Statistics, the JSON document, the device's description, hashes and the command line of the benchmark program.
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "benchmark.h"
#include "check.h"
#include "sha256.h"

using namespace larq_melius::program;

namespace {

// A folder that goes with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/larq_melius_test_XXXXXX";
    CHECK(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~TemporaryFolder() {
    for (auto path = created_.rbegin(); path != created_.rend(); ++path) std::remove(path->c_str());
    std::remove(path_.c_str());
  }
  const std::string& path() const { return path_; }

  void Write(const std::string& name, const std::string& content) {
    for (size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
      const std::string folder = path_ + "/" + name.substr(0, slash);
      if (mkdir(folder.c_str(), 0700) == 0) created_.push_back(folder);
    }
    created_.push_back(path_ + "/" + name);
    std::ofstream(created_.back()) << content;
  }

 private:
  std::string path_;
  std::vector<std::string> created_;
};

bool IsClose(double a, double b) { return std::fabs(a - b) < 1e-9 * std::max(1.0, std::fabs(b)); }

void TestStatisticsAreNumPys() {
  // numpy.quantile([12.41, 12.12, 12.09, 12.55, 12.1], ...), numpy.std
  const Statistics statistics = Summarize({12.41, 12.12, 12.09, 12.55, 12.1});
  CHECK(IsClose(statistics.min, 12.09));
  CHECK(IsClose(statistics.mean, 12.254));
  CHECK(IsClose(statistics.median, 12.12));
  CHECK(IsClose(statistics.p90, 12.494));
  CHECK(IsClose(statistics.p99, 12.5444));
  CHECK(std::fabs(statistics.std - 0.19001052602421787) < 1e-9);
  CHECK(Summarize({2.5}).p99 == 2.5);
}

void TestHashes() {
  const auto hash = [](const std::string& text) {
    return Sha256({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  // FIPS 180-4's examples, and the lengths around a block's end by hashlib.
  CHECK(hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(hash(std::string(55, 'a')) == "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
  CHECK(hash(std::string(64, 'a')) == "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");

  const auto check = [](const std::string& text) {
    CheckContent({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  const std::string zeros(64, '0');
  const std::string unsealed = "model {\"sha256\": \"" + zeros + "\"} end";
  std::string sealed = unsealed;
  sealed.replace(sealed.find(zeros), 64, hash(unsealed));
  check("no hash at all");
  check("\"sha256\": \"too short");
  check(unsealed);
  check(sealed);
  sealed.back() = 'D';
  CheckError([&] { check(sealed); }, "damaged or was changed");
}

void TestDescribesADevice() {
  TemporaryFolder folder;
  folder.Write("proc/cpuinfo", "processor\t: 0\nHardware\t: Qualcomm SM8350\n");
  folder.Write("proc/meminfo", "MemTotal:        7900000 kB\nMemFree: 1 kB\n");
  folder.Write("sys/devices/system/cpu/possible", "0-2\n");
  folder.Write("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "1804800\n");
  folder.Write("sys/devices/system/cpu/cpu2/cpufreq/cpuinfo_max_freq", "2841600\n");
  folder.Write("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "300000\n");
  const char* const kZones[][2] = {
      {"battery", "65000"}, {"cpu-0-0", "41200"}, {"CPU-1", "43000"}, {"cpu-off", "-273000"}};
  for (int i = 0; i < 4; ++i) {
    folder.Write("sys/class/thermal/thermal_zone" + std::to_string(i) + "/type", kZones[i][0]);
    folder.Write("sys/class/thermal/thermal_zone" + std::to_string(i) + "/temp", kZones[i][1]);
  }
  folder.Write("sys/class/power_supply/battery/capacity", "81\n");
  folder.Write("sys/class/power_supply/battery/temp", "295\n");
  folder.Write("sys/class/power_supply/battery/status", "Charging\n");

  const Device device = ReadDevice(folder.path());
  CHECK(device.soc == "Qualcomm SM8350");
  CHECK(device.cores == 3);
  CHECK(device.memory_bytes == 8089600000);
  CHECK(device.core_max_mhz.size() == 3);
  CHECK(device.core_max_mhz[0] == 1804.8 && !device.core_max_mhz[1].has_value() && device.core_max_mhz[2] == 2841.6);
  const State state = ReadState(folder.path());
  CHECK(state.hottest_zone_c == 43.0);
  CHECK(state.core_mhz.size() == 3 && state.core_mhz[0] == 300.0);
  CHECK(state.battery_percent == 81 && state.battery_c == 29.5 && state.charging == true);

  const TemporaryFolder empty;
  CHECK(!ReadDevice(empty.path()).cores.has_value());
  CHECK(ReadDevice(empty.path()).core_max_mhz.empty());
  CHECK(!ReadState(empty.path()).charging.has_value());
  CHECK(!ReadState(empty.path()).hottest_zone_c.has_value());
}

void TestJsonAndLines() {
  Report report;
  report.created = Now();
  CHECK(report.created.size() == 20 && report.created.back() == 'Z');
  ModelResult result;
  result.name = "a \"quoted\"\nname\\ \xc3\xa4 \xff";
  result.samples_ms = {1.5, 2.5};
  result.load_ms = 3.25;
  result.first_ms = 4;
  result.warmup_ms = 4;
  result.profile = {{"CONV_2D", false, false, 1, 1000000}, {"LceBconv2d + ADD", true, true, 2, 3000000}};
  report.models = {result};
  const std::string json = ToJson(report);
  const auto has = [&](const std::string& text) { return json.find(text) != std::string::npos; };
  CHECK(has("\"name\": \"a \\\"quoted\\\" name\\\\ \xc3\xa4 \\ufffd\""));
  CHECK(has("\"samples_ms\": [1.5, 2.5]"));
  CHECK(has("\"mean_ms\": 2,"));
  CHECK(has("\"sha256\": null"));
  CHECK(has("\"binary_share\": 0.75"));
  CHECK(has("\"runner\": \"delegate\""));
  CHECK(TimingsLine(result) ==
        "Inference timings in us: Init: 3250, First inference: 4000, Warmup (avg): 4000, Inference (avg): 2000\n");

  TemporaryFolder folder;
  folder.Write("old.json", "old");
  WriteFile(folder.path() + "/old.json", "new");
  std::stringstream written;
  written << std::ifstream(folder.path() + "/old.json").rdbuf();
  CHECK(written.str() == "new");
  CheckError([&] { WriteFile(folder.path() + "/absent/x.json", "x"); }, "cannot be written: No such file");
}

void TestArguments() {
  const Arguments arguments = ParseArguments(
      {"--graph=a.tflite", "--expected=a.bin", "--graph=b.tflite", "--input=b.bin", "--num_threads=4",
       "--run_delay=0.5", "--enable_op_profiling=true", "--external_delegate_options=isa:portable;fuse:0"});
  CHECK(arguments.graphs.size() == 2);
  CHECK(arguments.graphs[0].expected == "a.bin" && arguments.graphs[0].input.empty());
  CHECK(arguments.graphs[1].input == "b.bin" && arguments.graphs[1].expected.empty());
  CHECK(arguments.settings.num_threads == 4 && arguments.settings.num_runs == 50 && arguments.settings.op_profiling);
  CHECK(arguments.settings.run_delay_secs == 0.5);
  CHECK(arguments.delegate_options.at("isa") == "portable" && arguments.delegate_options.at("fuse") == "0");
  CHECK(ParseArguments({"--help"}).help);
  CheckError([] { ParseArguments({}); }, "no network to measure");
  CheckError([] { ParseArguments({"--grap=x"}); }, "--grap is unknown");
  CheckError([] { ParseArguments({"x.tflite"}); }, "is no flag");
  CheckError([] { ParseArguments({"--input=x"}); }, "--graph before it");
  CheckError([] { ParseArguments({"--graph="}); }, "takes a file");
  CheckError([] { ParseArguments({"--graph=x", "--num_threads=0"}); }, "from 1 to 256");
  CheckError([] { ParseArguments({"--graph=x", "--num_runs=many"}); }, "not \"many\"");
  CheckError([] { ParseArguments({"--graph=x", "--max_secs=nan"}); }, "must be a number");
  CheckError([] { ParseArguments({"--graph=x", "--print_outputs=maybe"}); }, "true or false");
  CheckError([] { ParseArguments({"--graph=x", "--external_delegate_options=isa"}); }, "isa:neon");
}

}  // namespace

int main() {
  TestStatisticsAreNumPys();
  TestHashes();
  TestDescribesADevice();
  TestJsonAndLines();
  TestArguments();
  return 0;
}

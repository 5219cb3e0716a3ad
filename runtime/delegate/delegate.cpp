// The delegate: what the runtime calls.
//
// The library exports two functions, which every binding of TensorFlow Lite looks up in an external delegate.
// Everything else goes through function pointers of the runtime's own structures. No exception passes these functions.
#include "delegate.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base.h"
#include "execute.h"
#include "fuse.h"
#include "graph.h"
#include "layout.h"
#include "parts.h"
#include "profile.h"
#include "program.h"
#include "recognize.h"
#include "select.h"
#include "tflite_abi.h"
#include "thread_pool.h"

namespace larq_melius {
namespace {

constexpr int kMaxThreads = 256;

struct Settings {
  std::string instruction_set;
  // Prints the plan.
  bool dump = false;
  // Prints the plan with the time of each instruction, as the interpreter goes.
  bool profile = false;
  // Whether instructions are joined and buffers shared; results are the same.
  bool fuse = true;
  // Whether the delegate takes more than LCE's operators.
  bool glue = true;
  // 0: as many as the interpreter has.
  int threads = 0;
};

struct Partition;

// The partitions of a delegate that the runtime has not released, in the order in which they were made. Interpreters
// that share the delegate may come and go in several threads.
struct OpenPartitions {
  std::mutex mutex;
  std::vector<Partition*> partitions;
};

// One delegate as the application made it; may serve several interpreters.
struct Delegate {
  TfLiteDelegate base = {};
  Settings settings;
  const Kernels* kernels = nullptr;
  ThreadPool pool;
  std::shared_ptr<OpenPartitions> open = std::make_shared<OpenPartitions>();
};

// A run of operators that the delegate executes as one.
struct Partition {
  explicit Partition(Delegate* maker) : delegate(maker), open(maker->open), profile(maker->settings.profile) {
    const std::lock_guard<std::mutex> lock(open->mutex);
    open->partitions.push_back(this);
  }
  ~Partition() {
    const std::lock_guard<std::mutex> lock(open->mutex);
    open->partitions.erase(std::find(open->partitions.begin(), open->partitions.end(), this));
  }
  Partition(const Partition&) = delete;
  Partition& operator=(const Partition&) = delete;

  Delegate* delegate;
  Program program;  // as read from the file
  std::unique_ptr<CompiledProgram> compiled;
  // The delegate may be gone when the runtime releases the partition.
  std::shared_ptr<OpenPartitions> open;
  bool profile;
  int claimed = 0;  // operators of Larq Compute Engine's
  // What was wrong when it was made: the runtime asks only later.
  std::string error;
};

void Report(TfLiteContext* context, const std::string& message) {
  context->ReportError(context, "larq-melius: %s", message.c_str());
}

// Calls `function`, which returns nothing, and reports what it throws.
template <typename Function>
TfLiteStatus Guard(TfLiteContext* context, const Function& function) {
  try {
    function();
    return kTfLiteOk;
  } catch (const std::bad_alloc&) {
    Report(context, "out of memory");
  } catch (const std::exception& error) {
    Report(context, error.what());
  }
  return kTfLiteError;
}

std::vector<int> ToVector(const TfLiteIntArray* array) {
  if (array == nullptr) return {};
  return std::vector<int>(array->data, array->data + array->size);
}

std::unique_ptr<TfLiteIntArray, FreeDeleter> ToIntArray(const std::vector<int>& values) {
  const size_t bytes = offsetof(TfLiteIntArray, data) + sizeof(int) * std::max<size_t>(values.size(), 1);
  std::unique_ptr<TfLiteIntArray, FreeDeleter> array(static_cast<TfLiteIntArray*>(std::malloc(bytes)));
  if (array == nullptr) throw std::bad_alloc();
  array->size = static_cast<int>(values.size());
  if (!values.empty()) std::memcpy(array->data, values.data(), values.size() * sizeof(int));
  return array;
}

int CountLceOperators(TfLiteContext* context, const std::vector<int>& nodes) {
  const auto is_lce = [&](int node) { return IsLceOperator(ReadOperator(context, node)); };
  return static_cast<int>(std::count_if(nodes.begin(), nodes.end(), is_lce));
}

void* InitPartition(TfLiteContext* context, const char* buffer, size_t /*length*/) {
  const auto* params = reinterpret_cast<const TfLiteDelegateParams*>(buffer);
  try {
    auto partition = std::make_unique<Partition>(static_cast<Delegate*>(params->delegate->data));
    try {
      const std::vector<int> nodes = ToVector(params->nodes_to_replace);
      partition->claimed = CountLceOperators(context, nodes);
      const Graph graph = ReadGraph(context, nodes);
      partition->program = Lower(graph, ToVector(params->input_tensors), ToVector(params->output_tensors));
      if (partition->delegate->settings.fuse) {
        Fuse(partition->program);
        MoveSignsToParts(partition->program);
        MovePoolsToParts(partition->program);
      }
    } catch (const Error& error) {
      partition->error = error.what();
    }
    return partition.release();
  } catch (const std::exception&) {
    // Out of memory; PreparePartition reports it.
    return nullptr;
  }
}

void FreePartition(TfLiteContext* /*context*/, void* data) {
  const std::unique_ptr<Partition> partition(static_cast<Partition*>(data));
  if (partition == nullptr || partition->compiled == nullptr || !partition->profile) return;
  std::fputs(partition->compiled->Dump().c_str(), stderr);
}

void ReadExternalShapes(TfLiteContext* context, Program& program) {
  for (auto& [index, value] : program.values) {
    if (!value.external_input) continue;
    const TfLiteTensor& tensor = context->tensors[index];
    value.shape.clear();
    for (int size : ToVector(tensor.dims)) value.shape.push_back(size);
  }
}

void ResizeExternalOutputs(TfLiteContext* context, const Program& program) {
  for (const auto& [index, value] : program.values) {
    if (!value.external_output) continue;
    auto shape = ToIntArray(std::vector<int>(value.shape.begin(), value.shape.end()));
    Require(context->ResizeTensor(context, &context->tensors[index], shape.release()) == kTfLiteOk,
            "the runtime does not give memory to an output");
  }
}

TfLiteStatus PreparePartition(TfLiteContext* context, TfLiteNode* node) {
  return Guard(context, [&] {
    auto* partition = static_cast<Partition*>(node->user_data);
    if (partition == nullptr) throw std::bad_alloc();
    Require(partition->error.empty(), partition->error);
    partition->compiled.reset();
    Program program = partition->program;
    ReadExternalShapes(context, program);
    InferShapes(program);
    ResizeExternalOutputs(context, program);
    AssignLayout(program, partition->delegate->settings.fuse);
    partition->compiled = std::make_unique<CompiledProgram>(std::move(program), *partition->delegate->kernels);
    if (partition->delegate->settings.profile) partition->compiled->Profile();
    if (partition->delegate->settings.dump) std::fputs(partition->compiled->Dump().c_str(), stderr);
  });
}

// The data of the tensors that the runtime holds, once it is certain that they are as the program expects.
std::map<int, void*> ExternalData(TfLiteContext* context, const CompiledProgram& compiled) {
  std::map<int, void*> data;
  for (int index : compiled.external_values()) {
    const Value& value = compiled.program().values.at(index);
    const TfLiteTensor& tensor = context->tensors[index];
    const int64_t element = value.type == Type::kFloat32 || value.type == Type::kInt32 ? 4 : 1;
    const int64_t bytes = ElementCount(value.shape) * element;
    Require(tensor.bytes >= static_cast<size_t>(bytes) && (tensor.data != nullptr || bytes == 0),
            "a tensor has less memory than its shape needs");
    Require(reinterpret_cast<uintptr_t>(tensor.data) % static_cast<uintptr_t>(element) == 0, "a tensor is not aligned");
    data[index] = tensor.data;
  }
  return data;
}

TfLiteStatus InvokePartition(TfLiteContext* context, TfLiteNode* node) {
  return Guard(context, [&] {
    auto* partition = static_cast<Partition*>(node->user_data);
    Require(partition != nullptr && partition->compiled != nullptr, "the interpreter has not allocated its tensors");
    Delegate& delegate = *partition->delegate;
    const int wanted = delegate.settings.threads > 0 ? delegate.settings.threads : context->recommended_num_threads;
    const int threads = std::max(1, std::min(wanted, kMaxThreads));
    partition->compiled->Run(delegate.pool, threads, ExternalData(context, *partition->compiled));
  });
}

TfLiteStatus PrepareDelegate(TfLiteContext* context, TfLiteDelegate* base) {
  return Guard(context, [&] {
    TfLiteIntArray* plan = nullptr;
    Require(context->GetExecutionPlan(context, &plan) == kTfLiteOk, "the runtime does not give its execution plan");
    // The next call to the runtime may overwrite the plan.
    const std::vector<int> nodes_of_plan = ToVector(plan);
    auto& delegate = *static_cast<Delegate*>(base->data);
    const std::vector<int> claimed = RecognizeNodes(context, nodes_of_plan, delegate.settings.glue);
    if (claimed.empty()) return;
    TfLiteRegistration registration = {};
    registration.init = InitPartition;
    registration.free = FreePartition;
    registration.prepare = PreparePartition;
    registration.invoke = InvokePartition;
    registration.builtin_code = kTfLiteBuiltinDelegate;
    registration.custom_name = "LarqMeliusDelegate";
    registration.version = 1;
    const auto nodes = ToIntArray(claimed);
    Require(context->ReplaceNodeSubsetsWithDelegateKernels(context, registration, nodes.get(), base) == kTfLiteOk,
            "the runtime does not accept the delegate's operators");
    if (delegate.settings.dump) {
      std::fprintf(stderr, "claimed %d of %d operators of Larq Compute Engine\n", CountLceOperators(context, claimed),
                   CountLceOperators(context, nodes_of_plan));
    }
  });
}

int ParseThreads(const std::string& text) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  Require(!text.empty() && *end == '\0' && value >= 0 && value <= kMaxThreads,
          "num_threads must be a number from 0 to " + std::to_string(kMaxThreads) + ", not \"" + text + "\"");
  return static_cast<int>(value);
}

bool ParseSwitch(const std::string& name, const std::string& text) {
  Require(text == "0" || text == "1", name + " must be 0 or 1, not \"" + text + "\"");
  return text == "1";
}

// Options that the application gives, and for those that it does not give the environment.
Settings ReadSettings(const std::vector<std::string>& keys, const std::vector<std::string>& values) {
  Settings settings;
  const auto environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  settings.instruction_set = environment("LARQ_MELIUS_DELEGATE_ISA");
  const auto read_switch = [&](const char* name, bool* value) {
    const std::string text = environment(name);
    if (!text.empty()) *value = ParseSwitch(name, text);
  };
  read_switch("LARQ_MELIUS_DELEGATE_DUMP", &settings.dump);
  read_switch("LARQ_MELIUS_DELEGATE_PROFILE", &settings.profile);
  read_switch("LARQ_MELIUS_DELEGATE_FUSE", &settings.fuse);
  read_switch("LARQ_MELIUS_DELEGATE_GLUE", &settings.glue);
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::string& key = keys[i];
    const std::string& value = values[i];
    if (key == "isa") {
      settings.instruction_set = value;
    } else if (key == "dump") {
      settings.dump = ParseSwitch(key, value);
    } else if (key == "profile") {
      settings.profile = ParseSwitch(key, value);
    } else if (key == "fuse") {
      settings.fuse = ParseSwitch(key, value);
    } else if (key == "glue") {
      settings.glue = ParseSwitch(key, value);
    } else if (key == "num_threads") {
      settings.threads = ParseThreads(value);
    } else {
      throw Error("the option \"" + key + "\" is unknown; there are isa, num_threads, fuse, glue, dump and profile");
    }
  }
  return settings;
}

}  // namespace

TfLiteDelegate* CreateDelegate(const std::vector<std::string>& keys, const std::vector<std::string>& values) {
  auto delegate = std::make_unique<Delegate>();
  delegate->settings = ReadSettings(keys, values);
  delegate->kernels = &SelectKernels(delegate->settings.instruction_set);
  delegate->base.data = delegate.get();
  delegate->base.Prepare = PrepareDelegate;
  delegate->base.flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  return &delegate.release()->base;
}

void DestroyDelegate(TfLiteDelegate* delegate) {
  if (delegate != nullptr) delete static_cast<Delegate*>(delegate->data);
}

std::string PlanText(TfLiteDelegate* delegate) {
  const std::shared_ptr<OpenPartitions> open = static_cast<Delegate*>(delegate->data)->open;
  const std::lock_guard<std::mutex> lock(open->mutex);
  std::string text;
  for (const Partition* partition : open->partitions) {
    if (partition->compiled != nullptr) text += partition->compiled->Dump();
  }
  return text;
}

int ClaimedOperators(TfLiteDelegate* delegate) {
  const std::shared_ptr<OpenPartitions> open = static_cast<Delegate*>(delegate->data)->open;
  const std::lock_guard<std::mutex> lock(open->mutex);
  int claimed = 0;
  for (const Partition* partition : open->partitions) claimed += partition->claimed;
  return claimed;
}

std::vector<InstructionTime> TakeInstructionTimes(void* data) {
  auto& partition = *static_cast<Partition*>(data);
  partition.profile = false;
  std::vector<InstructionTime> times;
  if (partition.compiled == nullptr) return times;
  const std::vector<Instruction>& instructions = partition.compiled->program().instructions;
  for (size_t i = 0; i < instructions.size(); ++i) {
    const InstructionKind kind = instructions[i].kind;
    const bool binary = kind == InstructionKind::kPack || kind == InstructionKind::kUnpack ||
                        kind == InstructionKind::kBinaryConv || kind == InstructionKind::kBinaryMaxPool;
    times.push_back({OperatorNames(instructions[i]), binary, partition.compiled->LeastNanoseconds(i)});
  }
  return times;
}

}  // namespace larq_melius

#define LARQ_MELIUS_EXPORT extern "C" __attribute__((visibility("default")))

// Makes a delegate; null, after a call of `report_error`, if the options or the environment ask for what is not there.
LARQ_MELIUS_EXPORT TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values,
                                                                 size_t count, void (*report_error)(const char*)) {
  using namespace larq_melius;
  try {
    return CreateDelegate(std::vector<std::string>(keys, keys + count),
                          std::vector<std::string>(values, values + count));
  } catch (const std::exception& error) {
    if (report_error != nullptr) report_error(("larq-melius: " + std::string(error.what())).c_str());
    return nullptr;
  }
}

LARQ_MELIUS_EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) {
  larq_melius::DestroyDelegate(delegate);
}
